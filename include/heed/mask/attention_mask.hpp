// SPDX-License-Identifier: MIT
// The mask that engines hand over: a table with an entry for each score (PyTorch's and ONNX's attn_mask, ggml's mask),
// of numbers that are added, -inf for "leave out", or of bools. What most tables say is said in a few words: of 512
// keys a row attends none, all, or those between two, and adds 0. A mask_summary holds these words, found in one look
// at the table for all heads, layers and calls, so that kernels skip what is masked, do no mask work where all is
// attended and read the table only where it holds anything else.
#pragma once

#include "../base/table.hpp"
#include "../base/table_entries.hpp"
#include "../score/contract.hpp"
#include "contract.hpp"

HEED_BEGIN

template <class E>
struct attention_mask;

/// What a table says, by row and key tile, in memory of the caller's: a value that owns nothing. summarise() makes one.
/// It holds for any table of the same size with the same -inf and zeros, wherever that lies, until the caller changes
/// an entry; what it says then is what calls do, and no byte outside of the table or the tensors is read either way.
class mask_summary {
public:
    mask_summary() = default;

    /// The table's extents; of one that has not been made, 0.
    const extents& size() const { return size_; }
    bool is_made() const { return records_ != nullptr; }  ///< whether summarise() made it
    /// Rows of the table that may differ: those of an extent that is repeated (of 1, or of stride 0) are one.
    std::int64_t rows() const { return rows_.batch * rows_.heads * rows_.tokens; }
    /// Bytes of memory that the summary of a table of these extents and strides needs; 0 where they pass 64 bits.
    template <class E>
    static std::size_t bytes_for(const view<E>& table)
    {
        const mask_summary s(table, nullptr);
        const auto records = detail::checked(s.rows_.batch) * s.rows_.heads * s.rows_.tokens * s.tiles_;
        const auto bytes = records * std::int64_t{sizeof(record)} + (std::int64_t{alignof(record)} - 1);
        return bytes.fits() && bytes.value() > 0 ? static_cast<std::size_t>(bytes.value()) : 0;
    }

    /// The summary of a table, to be written to `memory` of bytes_for(table) bytes, at any alignment. Nothing is
    /// checked: summarise() does. look_at() then fills rows of it.
    template <class E>
    mask_summary(const view<E>& table, void* memory)
        : size_(table.size), rows_(table.size), tiles_((table.size.dim + key_tile - 1) / key_tile)
    {
        const auto distinct = [](std::int64_t n, std::int64_t stride) { return n > 1 && stride == 0 ? 1 : n; };
        rows_.batch = distinct(rows_.batch, table.stride.batch);
        rows_.heads = distinct(rows_.heads, table.stride.heads);
        rows_.tokens = distinct(rows_.tokens, table.stride.tokens);
        const auto address = reinterpret_cast<std::uintptr_t>(memory);
        const std::size_t skip = (alignof(record) - address % alignof(record)) % alignof(record);
        if (memory) records_ = reinterpret_cast<record*>(static_cast<char*>(memory) + skip);
    }

    /// Looks at the rows [first, end) of rows(), of the table that this was made for. Different rows may be looked at
    /// at once, by any threads.
    template <class E>
    void look_at(const view<E>& table, std::int64_t first, std::int64_t end)
    {
        for (std::int64_t i = first; i < end; ++i) {
            const std::int64_t row = i % rows_.tokens, of_head = i / rows_.tokens;
            const auto* entries = table.row(of_head / rows_.heads, of_head % rows_.heads, row);
            for (std::int64_t t = 0; t < tiles_; ++t)
                records_[i * tiles_ + t] = seen(entries + t * key_tile, min_of(size_.dim - t * key_tile, key_tile));
        }
    }

    /// What the table does to these rows and keys: never wrong, and partial where a row attends some of 512 keys that
    /// are not neighbours.
    coverage classify(const block_place& block) const
    {
        bool some = false, all = true;
        for_each(block, [&](const record& r, int from, int to) {
            const bool none = r.begin >= r.end || r.end <= from || to <= r.begin;
            some = some || !none;
            all = all && !r.scattered && r.begin <= from && to <= r.end;
            return all || !some;  // as long as one thing can be said of all
        });
        return all ? coverage::full : some ? coverage::partial : coverage::none;
    }
    /// Whether the table may add anything but 0 to these scores.
    bool adds(const block_place& block) const
    {
        bool any = false;
        for_each(block, [&](const record& r, int from, int to) {
            any = r.adds && r.begin < to && from < r.end;
            return !any;
        });
        return any;
    }
    /// Sets the bits of the attended keys among [first, first + count); asks ask(key, n, bit) for those of n keys from
    /// `key` on, for bits from `bit` on, where they are not neighbours.
    template <class Ask>
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits, Ask ask) const
    {
        const record* const row = row_of(at.batch, at.head, at.row);
        for (std::int64_t key = first, end = first + count; key < end;) {
            const std::int64_t tile = key / key_tile, base = tile * key_tile, next = min_of(base + key_tile, end);
            const record& r = row[tile];
            const auto bit = static_cast<int>(key - first);
            if (r.scattered) ask(key, static_cast<int>(next - key), bit);
            else bits.set_range(max_of(base + r.begin, key) - first, min_of(base + r.end, next) - first);
            key = next;
        }
    }

private:
    /// Of the keys of a tile: those that are attended lie in [begin, end), and are all of them unless scattered.
    struct record {
        std::uint16_t begin, end;
        std::uint8_t scattered, adds;
    };

    template <class E>
    static record seen(const E* entries, std::int64_t n)
    {
        if (n == key_tile)
            if (const auto all = detail::uniform<key_tile>(entries); all.full || all.none)
                return all.full ? record{0, key_tile, 0, 0} : record{key_tile, 0, 0, 0};
        record r{key_tile, 0, 0, 0};
        int count = 0;
        for (std::int64_t j = 0; j < n; j += 64) {
            const detail::entries e = detail::look_at(entries + j, min_of(n - j, 64));
            if (e.attended == 0) continue;
            if (r.end == 0) r.begin = static_cast<std::uint16_t>(j + __builtin_ctzll(e.attended));
            r.end = static_cast<std::uint16_t>(j + 64 - __builtin_clzll(e.attended));
            r.adds = r.adds || e.adds;
            count += __builtin_popcountll(e.attended);
        }
        r.scattered = r.end > 0 && count != r.end - r.begin;
        return r;
    }

    record* row_of(std::int64_t batch, std::int64_t head, std::int64_t row) const
    {
        const auto at = [](std::int64_t i, std::int64_t n) { return n == 1 ? 0 : i; };
        return records_ +
               ((at(batch, rows_.batch) * rows_.heads + at(head, rows_.heads)) * rows_.tokens + at(row, rows_.tokens)) *
                   tiles_;
    }
    /// f(record, from, to) for each row and key tile of a block, of which it holds the keys [from, to) of the tile,
    /// until f returns false.
    template <class F>
    void for_each(const block_place& b, F f) const
    {
        const std::int64_t head_end = rows_.heads == 1 ? b.head_begin + 1 : b.head_end;
        const std::int64_t row_end = rows_.tokens == 1 ? b.row_begin + 1 : b.row_end;
        for (std::int64_t head = b.head_begin; head < head_end; ++head)
            for (std::int64_t row = b.row_begin; row < row_end; ++row) {
                const record* const records = row_of(b.batch, head, row);
                for (std::int64_t tile = b.key_begin / key_tile; tile * key_tile < b.key_end; ++tile)
                    if (!f(records[tile], static_cast<int>(max_of(b.key_begin - tile * key_tile, 0)),
                           static_cast<int>(min_of(b.key_end - tile * key_tile, key_tile))))
                        return;
            }
    }

    extents size_, rows_;
    std::int64_t tiles_ = 0;
    record* records_ = nullptr;
};

namespace detail {

/// The mask of a table, whatever it adds: of bools that is all there is.
template <class E>
struct masked_by_table {
    view<const E> values;  ///< [B, Hq, Sq, Skv]
    mask_summary summary;  ///< of `values`, or none

    /// A table, and its summary or none.
    masked_by_table(const view<const E>& entries, const mask_summary& known)
        : values(repeat_ones(entries)), summary(known)
    {}

    bool attends(const query_place& at, std::int64_t key) const { return entry_attends(row(at) + key); }
    coverage classify(const block_place& block) const
    {
        return summary.is_made() ? summary.classify(block) : coverage::partial;
    }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        const auto ask = [&](std::int64_t key, int n, int bit) {
            for (int j = 0; j < n; j += 64)
                bits.set_bits(bit + j, look_at(row(at) + key + j, min_of(n - j, 64)).attended);
        };
        if (summary.is_made()) summary.mark(at, first, count, bits, ask);
        else ask(first, count, 0);
    }
    status check(const problem& p) const
    {
        using ll = long long;
        const status s = check_table("attention_mask", values, p);
        const extents &e = values.size, &of = summary.size();
        if (!s || !summary.is_made() ||
            (e.batch == of.batch && e.heads == of.heads && e.tokens == of.tokens && e.dim == of.dim))
            return s;
        return status::error(errc::invalid_argument,
                             "attention_mask: the summary is one of [%lld, %lld, %lld, %lld], the table is [%lld, "
                             "%lld, %lld, %lld]",
                             ll{of.batch}, ll{of.heads}, ll{of.tokens}, ll{of.dim}, ll{e.batch}, ll{e.heads},
                             ll{e.tokens}, ll{e.dim});
    }

protected:
    const E* row(const query_place& at) const { return values.row(at.batch, at.head, at.row); }
};

}  // namespace detail

/// A table [B, Hq, Sq, Skv] of float, f16, bf16 or double that is added to the scores; -inf leaves its key out, and
/// nothing of that key reaches the output. An extent of 1 is repeated along B, Hq and Sq; strides are any, 0 and padded
/// rows included. Columns are absolute key positions. In the order of the score maps it stands where it is written.
/// Where the table is 0 a score keeps its bits, so that a table of 0 and -inf gives the bits of the mask that it
/// spells. NaN makes the row NaN. backward() learns it as gradients::dbias.
///
/// With a summary it costs what the mask that it spells costs, and an addition where it is not 0. Without one each head
/// looks at the entries of the keys it takes, which is as good where a table is used once, by few heads.
template <class E>
struct attention_mask : detail::masked_by_table<E> {
    /// A table, and its summary or none.
    explicit attention_mask(const view<const E>& table, const mask_summary& known = {})
        : detail::masked_by_table<E>(table, known)
    {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        const V x = at.load(this->row(at));
        return select(x == V(0), s, s + x);
    }
    bool changes(const block_place& block) const { return !this->summary.is_made() || this->summary.adds(block); }
    template <class V>
    V slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const score_place<V>&) const
    {
        return V(1);
    }
};

/// The same of bools, true = attend: a mask, which adds nothing.
template <>
struct attention_mask<bool> : detail::masked_by_table<bool> {
    /// A table, and its summary or none.
    explicit attention_mask(const view<const bool>& attended, const mask_summary& known = {})
        : detail::masked_by_table<bool>(attended, known)
    {}
};
template <class E>
attention_mask(view<E>) -> attention_mask<std::remove_const_t<E>>;
template <class E>
attention_mask(view<E>, mask_summary) -> attention_mask<std::remove_const_t<E>>;

HEED_END
