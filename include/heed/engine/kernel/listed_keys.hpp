// SPDX-License-Identifier: MIT
// The keys that a mask lists for the rows of a block, gathered into chunks of whole tiles: what decode reads of a cache
// where it does not read all.
#pragma once

#include "cover.hpp"
#include "rows.hpp"

HEED_BEGIN
namespace kernel {

/// Whether decode follows lists. Pairs of keys, and the integers of a tile, stand where their tile has them: products
/// of those go the way of any mask, and so do a cache with a hole between its tokens and keys that have an order.
template <class Job>
inline constexpr bool follows_lists =
    !is_thresholded_v<typename Job::def_type> && !has_order_v<typename Job::def_type::normalizer_type> &&
    has_lists<Job> && elements_of<typename Job::unit> == 1 && Job::def_type::integer_bits == 0 &&
    !has_gone_v<typename Job::kv_type>;

/// Rows of a block that attend a key, a bit each.
using row_bits = std::uint16_t;
static_assert(micro::streaming_rows <= 16);
inline row_bits all_rows(int count) { return static_cast<row_bits>((1u << count) - 1); }

/// The keys that any row of a block lists, in order, and who lists them.
template <class Job>
class list_cursor {
public:
    /// For tokens [first, end) of the block's sequence.
    list_cursor(const Job& job, const query_block& block, std::int64_t position_0, std::int64_t first, std::int64_t end)
        : end_(job.first_key + end)
    {
        place_cursor<Job> places(job, block, position_0);
        for (int r = 0; r < block.count; ++r) add(job.def.list(places.next()), static_cast<row_bits>(1u << r));
        for (int i = 0; i < count_; ++i) lists_[i].seek(job.first_key + first);
        find_next();
    }
    /// The next key, or one past them all.
    HEED_INLINE std::int64_t key() const { return key_; }
    HEED_INLINE bool at_end() const { return key_ >= end_; }

    /// Whether there are surely at most `room` keys before `end`: a lower bound of room, for lists may share keys.
    bool fits(std::int64_t end, int room) const
    {
        for (int i = 0; i < count_; ++i) {
            const one& l = lists_[i];
            const std::int64_t beyond = l.entry + room / count_ / l.list.block;
            if (beyond < l.list.entries.size() && l.list.begin(beyond) < end) return false;
        }
        return true;
    }
    /// Calls f(key, rows) for the keys before `end`.
    template <class F>
    HEED_INLINE void take(std::int64_t end, F f)
    {
        end = min_of(end, end_);
        if (count_ == 1 && lists_[0].list.block == 1) return take_entries(end, f);
        while (key_ < end) {
            row_bits rows = 0;
            for (int i = 0; i < count_; ++i) {
                if (lists_[i].key != key_) continue;
                rows = static_cast<row_bits>(rows | lists_[i].rows);
                lists_[i].step();
            }
            f(key_, rows);
            find_next();
        }
    }

private:
    static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();

    /// A list, and the rows whose list it is.
    struct one {
        key_list list;
        std::int64_t entry, key;
        row_bits rows;

        void seek(std::int64_t first)
        {
            entry = list.find(first);
            key = entry < list.entries.size() ? max_of(list.begin(entry), first) : none;
        }
        void step()
        {
            if (++key < list.end(entry)) return;
            key = ++entry < list.entries.size() ? list.begin(entry) : none;
        }
    };

    void add(const key_list& list, row_bits row)
    {
        for (int i = 0; i < count_; ++i)
            if (lists_[i].list.is(list)) {
                lists_[i].rows = static_cast<row_bits>(lists_[i].rows | row);
                return;
            }
        lists_[count_++] = {list, 0, 0, row};
    }
    void find_next()
    {
        key_ = none;
        for (int i = 0; i < count_; ++i) key_ = min_of(key_, lists_[i].key);
    }
    /// One list of tokens, as most are.
    template <class F>
    HEED_INLINE void take_entries(std::int64_t end, F f)
    {
        one& l = lists_[0];
        const row_bits rows = l.rows;
        const std::int64_t count = l.list.entries.size();
        l.list.entries.with_numbers([&](const auto* at) HEED_INLINE_LAMBDA {
            std::int64_t i = l.entry;
            for (; i < count && at[i] < end; ++i) f(std::int64_t{at[i]}, rows);
            l.entry = i;
            l.key = key_ = i < count ? std::int64_t{at[i]} : none;
        });
    }

    one lists_[micro::streaming_rows];
    int count_ = 0;
    std::int64_t end_, key_ = none;
};

/// Whole tiles' listed keys that are worked on together: scored as one row of scores, so that registers are full
/// however few keys a tile has.
template <class Kv>
struct key_chunk {
    static constexpr int capacity = micro::key_tile;
    using K = typename Kv::key_element;
    using V = typename Kv::value_element;

    /// Keys [first, next tile's first) of the chunk, of the tile that starts at `token`.
    struct tile {
        std::int64_t token;
        int first;
        bool masked;  // whether a row leaves out any of them
    };

    int count = 0, tiles = 0;
    tile of[capacity + 1];
    std::uint16_t key[capacity];  // within its tile
    row_bits rows[capacity];
    const K* keys[capacity + micro::listed_ahead];
    const V* values[capacity + micro::listed_ahead];

    int end_of(int t) const { return of[t + 1].first; }
};

/// Fills chunks for one block.
template <class Job>
class chunk_reader {
    using Kv = typename Job::kv_type;

public:
    /// For tokens [first, end).
    chunk_reader(const Job& job, const query_block& block, std::int64_t first, std::int64_t end)
        : job_(job), block_(block), position_0_(job.position_of_row_0(block.batch)), held_(job.kv.held(block.batch)),
          cursor_(job, block, position_0_, max_of(first, held_.first), min_of(end, held_.end))
    {}

    /// The next tiles with listed keys that any row attends: of about `wanted` keys, or of the one tile that has more.
    void read(key_chunk<Kv>& to, int wanted)
    {
        to.count = to.tiles = 0;
        while (!cursor_.at_end() && to.count < wanted) {
            const std::int64_t token = (cursor_.key() - job_.first_key) / micro::key_tile * micro::key_tile;
            const std::int64_t end = job_.first_key + token + micro::key_tile;
            if (to.count > 0 && !cursor_.fits(end, to.capacity - to.count)) break;
            read_tile(to, token, end);
        }
        to.of[to.tiles].first = to.count;
        find_rows(to);
    }

private:
    void read_tile(key_chunk<Kv>& to, std::int64_t token, std::int64_t end)
    {
        const int first = to.count;
        const row_bits all = all_rows(block_.count);
        int n = first;
        bool masked = false;
        const std::int64_t key_0 = job_.first_key + token;
        cursor_.take(end, [&](std::int64_t key, row_bits rows) HEED_INLINE_LAMBDA {
            to.key[n] = static_cast<std::uint16_t>(key - key_0);
            to.rows[n++] = rows;
            masked |= rows != all;
        });
        to.count = n;
        const coverage others = classify_others(token);
        if (others == coverage::none) to.count = first;
        if (others == coverage::partial) masked = leave_out(to, first, token) || masked;
        if (to.count == first) return;
        to.of[to.tiles++] = {token, first, masked};
    }
    std::int64_t keys_from(std::int64_t token) const { return min_of(micro::key_tile, held_.end - token); }
    coverage classify_others(std::int64_t token) const
    {
        const std::int64_t row = block_.first / job_.group, key_0 = job_.first_key + token;
        return job_.def.classify_beside_list(
            {block_.batch, block_.kv_head * job_.group, (block_.kv_head + 1) * job_.group, row,
             (block_.first + block_.count - 1) / job_.group + 1, position_0_ + row, key_0, key_0 + keys_from(token)});
    }
    /// Leaves out what other masks do not let pass; true where that is anything.
    bool leave_out(key_chunk<Kv>& to, int first, std::int64_t token) const
    {
        place_cursor<Job> places(job_, block_, position_0_);
        bool any = false;
        for (int r = 0; r < block_.count; ++r) {
            key_bits bits;
            job_.def.mark(places.next(), job_.first_key + token, static_cast<int>(keys_from(token)), bits);
            const auto row = static_cast<row_bits>(1u << r);
            for (int x = first; x < to.count; ++x) {
                if ((to.rows[x] & row) == 0 || bits.test(to.key[x])) continue;
                to.rows[x] = static_cast<row_bits>(to.rows[x] & ~row);
                any = true;
            }
        }
        int kept = first;
        for (int x = first; x < to.count; ++x) {
            if (to.rows[x] == 0) continue;
            to.key[kept] = to.key[x];
            to.rows[kept++] = to.rows[x];
        }
        to.count = kept;
        return any;
    }
    /// Where the rows of K and V lie; behind the last ones its own again, for what is prefetched.
    void find_rows(key_chunk<Kv>& to) const
    {
        const auto k = keys_of(job_.kv, block_.batch, block_.kv_head);
        const auto v = values_of(job_.kv, block_.batch, block_.kv_head);
        for (int t = 0; t < to.tiles; ++t)
            for (int x = to.of[t].first; x < to.end_of(t); ++x) {
                to.keys[x] = k(to.of[t].token + to.key[x]).data;
                to.values[x] = v(to.of[t].token + to.key[x]).data;
            }
        for (int i = 0; to.count > 0 && i < micro::listed_ahead; ++i) {
            to.keys[to.count + i] = to.keys[to.count - 1];
            to.values[to.count + i] = to.values[to.count - 1];
        }
    }

    const Job& job_;
    const query_block& block_;
    std::int64_t position_0_;
    token_span held_;
    list_cursor<Job> cursor_;
};

}  // namespace kernel
HEED_END
