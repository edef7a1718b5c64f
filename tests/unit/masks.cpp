// SPDX-License-Identifier: MIT
// Every mask and every combination against its definition in words: position by position, tile by tile, bit by bit.
#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <string>

using namespace test;

namespace {

/// One question: does this query row attend this key?
struct place {
    int64 batch, head, row, position, key;
};

/// A problem with parameters of masks, all drawn from one seed.
class world {
public:
    static constexpr int64 batch = 2, heads = 3;
    int64 queries, keys, offset, left, right, prefix, by_rows;
    std::vector<int64> bounds, lengths;

    world(std::uint64_t seed, int64 most_keys) : random_(seed)
    {
        queries = drawn(1, 12);
        keys = drawn(1, most_keys);
        offset = drawn(0, 1) ? keys - queries : drawn(-5, keys + 5);  // positions before 0 and past the keys are legal
        left = drawn(0, keys / 2);
        right = drawn(0, keys / 3);
        prefix = drawn(0, keys + 2);
        by_rows = drawn(-5, keys);
        bounds = {0, 0};
        while (bounds.back() < keys && bounds.size() < 5)
            bounds.push_back(drawn(bounds.back(), keys));  // some documents are empty
        for (int64 b = 0; b < batch; ++b) lengths.push_back(drawn(0, keys));
        size_ = {batch, heads, queries, keys};
        const auto n = static_cast<std::size_t>(batch * heads * queries * keys);
        table_ = std::make_unique<bool[]>(n);
        for (std::size_t i = 0; i < n; ++i) table_[i] = drawn(0, 2) != 0;
    }
    int64 drawn(int64 low, int64 high) { return std::uniform_int_distribution<int64>(low, high)(random_); }

    bool allowed(int64 b, int64 h, int64 row, int64 key) const
    {
        return table_[static_cast<std::size_t>(((b * heads + h) * queries + row) * keys + key)];
    }
    /// The table, or its first entries along the extents that are given as 1.
    heed::view<const bool> table(int64 b, int64 h, int64 rows) const
    {
        heed::view<const bool> v = heed::bhsd(static_cast<const bool*>(table_.get()), size_);
        v.size = {b, h, rows, keys};
        return v;
    }

private:
    std::mt19937_64 random_;
    heed::extents size_;
    std::unique_ptr<bool[]> table_;
};

/// How much is promised of classify.
enum class promise { sound, sharp };

/// Calls f(name, promise, mask, attended) for every mask; `attended` is what the mask's name means, in plain words.
template <class F>
void for_each_single_mask(const world& w, F f)
{
    using namespace heed;
    f("all keys", promise::sharp, all_keys{}, [](const place&) { return true; });
    f("causal", promise::sharp, causal{}, [](const place& p) { return p.key <= p.position; });
    f("causal, top left", promise::sharp, causal::top_left(), [](const place& p) { return p.key <= p.row; });
    f("causal, offset", promise::sharp, causal::offset(w.by_rows),
      [&](const place& p) { return p.key - p.row <= w.by_rows; });
    f("window", promise::sharp, window{w.left, w.right},
      [&](const place& p) { return p.position - p.key <= w.left && p.key - p.position <= w.right; });
    f("window to the left", promise::sharp, window{.left = w.left},
      [&](const place& p) { return p.position - p.key <= w.left; });
    f("window to the right", promise::sharp, window{.right = w.right},
      [&](const place& p) { return p.key - p.position <= w.right; });
    f("window of one key", promise::sharp, window{0, 0}, [](const place& p) { return p.key == p.position; });
    f("window without ends", promise::sharp, window{}, [](const place&) { return true; });
    f("prefix", promise::sharp, prefix{w.prefix}, [&](const place& p) { return p.key < w.prefix; });
    f("key_lengths", promise::sharp, key_lengths{w.lengths.data(), w.batch},
      [&](const place& p) { return p.key < w.lengths[static_cast<std::size_t>(p.batch)]; });
    f("document", promise::sound, document{w.bounds.data(), static_cast<int64>(w.bounds.size())}, [&](const place& p) {
        for (std::size_t d = 1; d < w.bounds.size(); ++d) {
            const auto inside = [&](int64 x) { return w.bounds[d - 1] <= x && x < w.bounds[d]; };
            if (inside(p.position) && inside(p.key)) return true;
        }
        return false;
    });

    f("dense_mask", promise::sound, dense_mask{w.table(w.batch, w.heads, w.queries)},
      [&](const place& p) { return w.allowed(p.batch, p.head, p.row, p.key); });
    f("dense_mask, one batch", promise::sound, dense_mask{w.table(1, w.heads, w.queries)},
      [&](const place& p) { return w.allowed(0, p.head, p.row, p.key); });
    f("dense_mask, one head", promise::sound, dense_mask{w.table(w.batch, 1, w.queries)},
      [&](const place& p) { return w.allowed(p.batch, 0, p.row, p.key); });
    f("dense_mask, one row", promise::sound, dense_mask{w.table(w.batch, w.heads, 1)},
      [&](const place& p) { return w.allowed(p.batch, p.head, 0, p.key); });
    f("dense_mask, one line for all", promise::sound, dense_mask{w.table(1, 1, 1)},
      [&](const place& p) { return w.allowed(0, 0, 0, p.key); });
    heed::view<const bool> repeated = w.table(w.batch, w.heads, w.queries);
    repeated.stride.heads = 0;
    f("dense_mask, heads at stride 0", promise::sound, dense_mask{repeated},
      [&](const place& p) { return w.allowed(p.batch, 0, p.row, p.key); });

    const auto odd = [](int64 b, int64 h, int64 i, int64 j) { return (b + 2 * h + i + 3 * j) % 5 > 1; };
    f("attend_where", promise::sound, attend_where{odd},
      [odd](const place& p) { return odd(p.batch, p.head, p.position, p.key); });
}

/// The same for combinations: both, either, nested, and several masks of one definition.
template <class F>
void for_each_combination(const world& w, F f)
{
    using namespace heed;
    const auto is_causal = [](const place& p) { return p.key <= p.position; };
    const auto is_near = [&](const place& p) { return p.position - p.key <= w.left && p.key - p.position <= w.right; };
    const auto is_prefix = [&](const place& p) { return p.key < w.prefix; };
    const auto is_there = [&](const place& p) { return p.key < w.lengths[static_cast<std::size_t>(p.batch)]; };
    const auto is_odd = [](const place& p) { return (p.batch + p.head + p.position + p.key) % 2 != 0; };
    const auto odd = attend_where{[](int64 b, int64 h, int64 i, int64 j) { return (b + h + i + j) % 2 != 0; }};
    const dense_mask dense{w.table(w.batch, w.heads, w.queries)};
    const auto is_dense = [&](const place& p) { return w.allowed(p.batch, p.head, p.row, p.key); };
    const key_lengths there{w.lengths.data(), w.batch};
    const window near{w.left, w.right};

    f("causal & window", promise::sound, causal{} & near, [=](const place& p) { return is_causal(p) && is_near(p); });
    f("prefix | causal", promise::sound, prefix{w.prefix} | causal{},
      [=](const place& p) { return is_prefix(p) || is_causal(p); });
    f("all_keys & causal", promise::sharp, all_keys{} & causal{}, is_causal);
    f("all_keys | dense", promise::sharp, all_keys{} | dense, [](const place&) { return true; });
    f("prefix{0} | window", promise::sharp, prefix{0} | near, is_near);
    f("prefix{0} & dense", promise::sharp, prefix{0} & dense, [](const place&) { return false; });
    f("dense & odd", promise::sound, dense & odd, [=](const place& p) { return is_dense(p) && is_odd(p); });
    f("odd | dense", promise::sound, odd | dense, [=](const place& p) { return is_odd(p) || is_dense(p); });
    f("(prefix | causal) & lengths", promise::sound, (prefix{w.prefix} | causal{}) & there,
      [=](const place& p) { return (is_prefix(p) || is_causal(p)) && is_there(p); });
    f("prefix | causal & window", promise::sound, prefix{w.prefix} | (causal{} & near),
      [=](const place& p) { return is_prefix(p) || (is_causal(p) && is_near(p)); });
    f("(window | dense & lengths) & (odd | causal)", promise::sound, (near | (dense & there)) & (odd | causal{}),
      [=](const place& p) { return (is_near(p) || (is_dense(p) && is_there(p))) && (is_odd(p) || is_causal(p)); });
    f("a definition with three masks", promise::sound, attention{causal{}, softcap{9}, near | odd, softmax{}, there},
      [=](const place& p) { return is_causal(p) && (is_near(p) || is_odd(p)) && is_there(p); });
    f("a definition without masks", promise::sharp, attention{softmax{}}, [](const place&) { return true; });
}

template <class F>
void for_each_mask(const world& w, F f)
{
    for_each_single_mask(w, f);
    for_each_combination(w, f);
}

std::string text(const char* mask, const place& p)
{
    return std::string(mask) + ": batch " + std::to_string(p.batch) + ", head " + std::to_string(p.head) + ", row " +
           std::to_string(p.row) + ", position " + std::to_string(p.position) + ", key " + std::to_string(p.key);
}

}  // namespace

TEST_CASE("every mask attends the keys that its definition says")
{
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const world w(seed, 40);
        for_each_mask(w, [&](const char* name, promise, const auto& mask, const auto& attended) {
            std::string wrong;  // one assertion a mask: a million of them would be slow
            for (int64 b = 0; b < w.batch; ++b)
                for (int64 h = 0; h < w.heads; ++h)
                    for (int64 i = 0; i < w.queries; ++i)
                        for (int64 j = 0; j < w.keys; ++j) {
                            const place p{b, h, i, w.offset + i, j};
                            if (mask.attends({b, h, i, w.offset + i}, j) != attended(p)) wrong = text(name, p);
                        }
            REQUIRE(wrong == "");
        });
    }
}

TEST_CASE("classify never says none of a tile with an attended key, nor full of one with a masked key")
{
    int times_none = 0, times_full = 0;
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        world w(seed, 40);
        for_each_mask(w, [&](const char* name, promise promised, const auto& mask, const auto& attended) {
            for (int tile = 0; tile < 30; ++tile) {
                heed::block_place block;
                block.batch = w.drawn(0, w.batch - 1);
                block.head_begin = w.drawn(0, w.heads - 1);
                block.head_end = w.drawn(block.head_begin + 1, w.heads);
                block.row_begin = w.drawn(0, w.queries - 1);
                block.row_end = w.drawn(block.row_begin + 1, w.queries);
                block.position_begin = w.offset + block.row_begin;
                block.key_begin = w.drawn(0, w.keys - 1);
                block.key_end = w.drawn(block.key_begin + 1, w.keys);
                bool any = false, every = true;
                for (int64 h = block.head_begin; h < block.head_end; ++h)
                    for (int64 i = block.row_begin; i < block.row_end; ++i)
                        for (int64 j = block.key_begin; j < block.key_end; ++j) {
                            const bool yes = attended(place{block.batch, h, i, w.offset + i, j});
                            any = any || yes;
                            every = every && yes;
                        }
                const heed::coverage c = heed::classify(mask, block);
                INFO(text(name, {block.batch, block.head_begin, block.row_begin, block.position_begin, block.key_begin})
                     << " to row " << block.row_end << ", key " << block.key_end);
                if (c == heed::coverage::none) REQUIRE(!any);
                if (c == heed::coverage::full) REQUIRE(every);
                if (promised == promise::sharp && !any) REQUIRE(c == heed::coverage::none);
                if (promised == promise::sharp && every) REQUIRE(c == heed::coverage::full);
                times_none += c == heed::coverage::none;
                times_full += c == heed::coverage::full;
            }
        });
    }
    REQUIRE(times_none > 1000);  // the tiles were not all cut ones
    REQUIRE(times_full > 1000);
}

TEST_CASE("mark sets the bits of the attended keys of a tile and no others")
{
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        world w(seed, 1300);
        for_each_mask(w, [&](const char* name, promise, const auto& mask, const auto& attended) {
            for (int tile = 0; tile < 25; ++tile) {
                const int64 i = w.drawn(0, w.queries - 1), first = w.drawn(0, w.keys - 1), rest = w.keys - first;
                const heed::query_place at{w.drawn(0, w.batch - 1), w.drawn(0, w.heads - 1), i, w.offset + i};
                const int64 most = std::min<int64>(rest, heed::key_bits::capacity);
                const int count = static_cast<int>(tile % 5 == 0 ? most : w.drawn(1, most));
                heed::key_bits bits;
                heed::mark(mask, at, first, count, bits);
                std::string wrong;
                for (int j = 0; j < heed::key_bits::capacity; ++j) {
                    const place p{at.batch, at.head, at.row, at.position, first + j};
                    const bool expected = j < count && attended(p);
                    if (bits.test(j) != expected) wrong = text(name, p) + " of " + std::to_string(count);
                }
                REQUIRE(wrong == "");
            }
        });
    }
}

TEST_CASE("mark of a tile of every count from 1 to 512 stays within the count")
{
    for (int count = 1; count <= heed::key_bits::capacity; ++count) {
        const heed::query_place at{0, 0, 0, 4000};  // attends every key of the tile, and keys far behind it
        const auto last = [&](const auto& mask) {
            heed::key_bits bits;
            heed::mark(mask, at, 1024, count, bits);
            return bits.first() == 0 ? bits.end() : -1;
        };
        REQUIRE(last(heed::all_keys{}) == count);
        REQUIRE(last(heed::causal{}) == count);
        REQUIRE(last(heed::window{}) == count);
        REQUIRE(last(heed::prefix{4000} & heed::causal{}) == count);
        REQUIRE(last(heed::attend_where{[](int64, int64, int64, int64) { return true; }} | heed::prefix{1}) == count);
        REQUIRE(last(heed::attention{heed::softmax{}}) == count);
    }
}

TEST_CASE("key_bits sets exactly the range asked for, cut to its capacity")
{
    constexpr int64 capacity = heed::key_bits::capacity;
    const auto inside = [](int64 bit, int64 begin, int64 end) { return begin <= bit && bit < end; };
    int64 wrong = 0;
    for (int64 begin = -2; begin <= capacity + 2; ++begin)
        for (int64 end = -2; end <= capacity + 2; ++end) {
            heed::key_bits bits;
            bits.set_range(begin, end);
            for (int bit = 0; bit < capacity; ++bit) wrong += bits.test(bit) != inside(bit, begin, end);
            const int64 from = std::max<int64>(begin, 0), to = std::min<int64>(end, capacity);
            wrong += bits.first() != (from < to ? from : capacity);
            wrong += bits.end() != (from < to ? to : 0);
        }
    REQUIRE(wrong == 0);

    heed::key_bits bits;
    bits.set_range(std::numeric_limits<int64>::min() / 2, heed::unbounded);
    REQUIRE(bits.first() == 0);
    REQUIRE(bits.end() == capacity);
    bits.clear();
    REQUIRE(bits.first() == capacity);
    REQUIRE(bits.end() == 0);
}

TEST_CASE("key_bits are cleared below and from any bit")
{
    constexpr int capacity = heed::key_bits::capacity;
    for (int cut = 0; cut <= capacity; ++cut) {
        heed::key_bits below, from;
        below.set_range(0, capacity);
        below.clear_from(cut);
        from.set_range(0, capacity);
        from.clear_below(cut);
        int wrong = 0;
        for (int bit = 0; bit < capacity; ++bit)
            wrong += (below.test(bit) != (bit < cut)) + (from.test(bit) != (bit >= cut));
        REQUIRE(wrong == 0);
    }
}

TEST_CASE("key_bits combine, and are read sixteen at a time")
{
    constexpr int capacity = heed::key_bits::capacity;
    std::mt19937_64 random(1);
    for (int round = 0; round < 200; ++round) {
        heed::key_bits a, b;
        std::vector<bool> x(capacity), y(capacity);
        const auto one_in = static_cast<std::uint64_t>(1 + round % 70);  // from all bits to a few
        for (std::size_t bit = 0; bit < capacity; ++bit) {
            if (random() % one_in == 0) a.set(static_cast<int>(bit)), x[bit] = true;
            if (random() % one_in == 0) b.set(static_cast<int>(bit)), y[bit] = true;
        }
        // set_range adds to what is there.
        const auto begin = static_cast<std::size_t>(random() % capacity), end = begin + random() % 100;
        a.set_range(static_cast<int64>(begin), static_cast<int64>(end));
        for (std::size_t bit = begin; bit < end && bit < capacity; ++bit) x[bit] = true;

        heed::key_bits both = a, either = a;
        both &= b;
        either |= b;
        int wrong = 0, first = capacity, last = 0;
        for (int bit = 0; bit < capacity; ++bit) {
            const bool in_x = x[static_cast<std::size_t>(bit)], in_y = y[static_cast<std::size_t>(bit)];
            wrong += a.test(bit) != in_x;
            wrong += both.test(bit) != (in_x && in_y);
            wrong += either.test(bit) != (in_x || in_y);
            const std::uint32_t sixteen = a.sixteen(bit / 16 * 16);
            wrong += ((sixteen >> (bit % 16)) & 1) != in_x;
            wrong += sixteen >> 16 != 0;
            if (in_x && first == capacity) first = bit;
            if (in_x) last = bit + 1;
        }
        REQUIRE(wrong == 0);
        REQUIRE(a.first() == first);
        REQUIRE(a.end() == last);
    }
}

TEST_CASE("a mask that only says attends is skipped nowhere and marked key by key")
{
    const auto nothing = heed::attend_where{[](int64, int64, int64, int64) { return false; }};
    REQUIRE(heed::classify(nothing, heed::block_place{0, 0, 1, 0, 4, 0, 0, 8}) == heed::coverage::partial);
    heed::key_bits bits;
    heed::mark(nothing, {}, 0, 512, bits);
    REQUIRE(bits.end() == 0);
    // Beside a mask that knows its tiles it does not hide what that one knows.
    const heed::block_place future{0, 0, 1, 0, 4, 0, 8, 16};
    REQUIRE(heed::classify(heed::causal{} & nothing, future) == heed::coverage::none);
    REQUIRE(heed::classify(nothing & heed::causal{}, future) == heed::coverage::none);
    REQUIRE(heed::classify(heed::all_keys{} | nothing, future) == heed::coverage::full);
    REQUIRE(heed::classify(nothing | heed::all_keys{}, future) == heed::coverage::full);
}
