// SPDX-License-Identifier: MIT
// Policies beside what the formulas say of them: each mask with a predicate, each normalizer with its terms' family.
// The predicates are written from the words of the masks' documentation and share nothing with them.
#pragma once

#include "plain.hpp"
#include "some_policies.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <memory>
#include <string>
#include <utility>

namespace oracle {

/// A mask, and whether it attends.
struct stated_mask {
    std::string name;
    some_mask mask;
    std::function<bool(const plain::place&)> attends;
};

/// One assertion for each number that does not hold: there are millions.
inline void check(const char* name, std::size_t i, const plain::judged& want, float got)
{
    if (want.holds(static_cast<double>(got))) return;
    FAIL_CHECK(name << " " << i << ": " << got << ", expected " << want.value << " +- " << 4 * want.error);
}

/// The numbers [batch][head][token][channel] of a tensor.
template <class T>
auto numbers_of(const test::tensor<T>& t)
{
    return [&t](int64 b, int64 h, int64 i, int64 c) {
        const heed::extents& e = t.size;
        return static_cast<double>(t.data[static_cast<std::size_t>(((b * e.heads + h) * e.tokens + i) * e.dim + c)]);
    };
}

/// Tables, masks and score maps of a problem of float with these sizes.
struct stated_case {
    static constexpr int64 batch = 2, heads = 4, kv_heads = 2, key_dim = 19, value_dim = 21;
    int64 queries, keys;
    test::problem<float> p;
    test::tensor<float> dout, added, added_to_keys;
    std::array<int64, 2> offsets, lengths;
    std::array<int64, 4> bounds;
    std::array<float, 4> tilts{0.5f, 0.25f, 0.125f, 0.0625f}, no_tilts{}, logits{0.5f, -1, 3, -INFINITY};
    std::unique_ptr<bool[]> of_rows, of_heads;
    std::vector<int64> list_offsets{0};  // lists of blocks of 5 keys, for each kv head and 3 rows
    std::vector<std::int32_t> list_entries;

    stated_case(int64 n_queries, int64 n_keys, std::array<int64, 2> position_of_row_0)
        : queries(n_queries), keys(n_keys), p(batch, heads, kv_heads, queries, keys, key_dim, value_dim, 77, 1.5),
          dout(test::normal<float>({batch, heads, queries, value_dim}, 81)),
          added(test::normal<float>({batch, heads, queries, keys}, 82)),
          added_to_keys(test::normal<float>({1, 1, 1, keys}, 83)),
          offsets(position_of_row_0), lengths{keys, keys / 3}, bounds{0, keys / 3, keys / 3, keys - 11},
          of_rows(std::make_unique<bool[]>(static_cast<std::size_t>(batch * queries * keys))),
          of_heads(std::make_unique<bool[]>(static_cast<std::size_t>(heads * keys)))
    {
        std::mt19937_64 random(6);
        for (int64 i = 0; i < batch * queries * keys; ++i)
            of_rows[static_cast<std::size_t>(i)] = i / keys % 9 != 4 && random() % 3 != 0;  // some rows are empty
        for (int64 i = 0; i < heads * keys; ++i) of_heads[static_cast<std::size_t>(i)] = random() % 3 != 0;
        for (float& x : added.data)
            if (random() % 5 == 0) x = -INFINITY;
        for (int64 n = 0; n < batch * kv_heads * ((queries + 2) / 3); ++n) {
            for (int64 e = 0; e * 5 < keys; ++e)
                if (listed(n, e)) list_entries.push_back(static_cast<std::int32_t>(e));
            list_offsets.push_back(static_cast<int64>(list_entries.size()));
        }
        for (const int64 t : {5, 9, 40})  // keys of equal scores
            for (int64 b = 0; b < batch; ++b)
                for (int64 h = 0; h < kv_heads; ++h) {
                    std::copy_n(p.k.in().row(b, h, 3), key_dim, p.k.view().row(b, h, t));
                    added_to_keys.data[static_cast<std::size_t>(t)] = added_to_keys.data[3];
                }
    }

    static bool listed(int64 list, int64 entry) { return list % 5 != 3 && (list + entry * entry) % 3 == 0; }
    bool is_listed(const plain::place& x) const
    {
        const int64 head = x.head / (heads / kv_heads),
                    list = (x.batch * kv_heads + head) * ((queries + 2) / 3) + x.row / 3;
        return listed(list, x.key / 5);
    }
    heed::list_shape shape_of_lists() const
    {
        heed::list_shape s;
        s.block = 5;
        s.heads = kv_heads;
        s.group = heads / kv_heads;
        s.row_blocks = (queries + 2) / 3;
        s.rows = 3;
        return s;
    }
    heed::query_offset offset() const { return {offsets.data(), batch}; }

    std::vector<stated_mask> masks() const
    {
        using namespace heed;
        using plain::place;
        const auto at = [](const bool* table, int64 i) { return table[static_cast<std::size_t>(i)]; };
        const auto by_row = [this, at](const place& x) {
            return at(of_rows.get(), (x.batch * queries + x.row) * keys + x.key);
        };
        const auto by_head = [this, at](const place& x) { return at(of_heads.get(), x.head * keys + x.key); };
        const auto document_of = [this](int64 position) {  // how many begin at or before it
            return std::count_if(bounds.begin(), bounds.end(), [&](int64 b) { return b <= position; });
        };
        const auto inside = [this](int64 position) { return position >= 0 && position < bounds[3]; };
        const auto same_document = [document_of, inside](const place& x) {
            return inside(x.key) && inside(x.position) && document_of(x.key) == document_of(x.position);
        };
        const auto near = [](const place& x, int64 left, int64 right) {
            return x.key >= x.position - left && x.key <= x.position + right;
        };
        const auto causal_at = [](const place& x) { return x.key <= x.position; };
        const auto long_enough = [this](const place& x) { return x.key < lengths[static_cast<std::size_t>(x.batch)]; };
        const view<const bool> row_table = bhsd(static_cast<const bool*>(of_rows.get()), {batch, 1, queries, keys});
        const view<const bool> head_table = bhsd(static_cast<const bool*>(of_heads.get()), {1, heads, 1, keys});
        const auto odd = [](int64 b, int64 h, int64 query, int64 key) { return (b + 2 * h + query + key) % 3 != 0; };
        const int64 first = keys / 2, wide = keys / 2 + 3;
        return {
            {"all keys", some_mask(all_keys{}), [](const place&) { return true; }},
            {"causal", some_mask(causal{}), causal_at},
            {"causal top left", some_mask(causal::top_left()), [](const place& x) { return x.key <= x.row; }},
            {"causal offset", some_mask(causal::offset(-7)), [](const place& x) { return x.key <= x.row - 7; }},
            {"window", some_mask(window{.left = 9, .right = 4}), [near](const place& x) { return near(x, 9, 4); }},
            {"window to the left", some_mask(window{.left = wide}),
             [wide](const place& x) { return x.key >= x.position - wide; }},
            {"window to the right", some_mask(window{.right = 0}), causal_at},
            {"causal & window", some_mask(causal{} & window{.left = 5}),
             [near](const place& x) { return near(x, 5, 0); }},
            {"prefix | causal", some_mask(prefix{first} | causal{}),
             [first, causal_at](const place& x) { return x.key < first || causal_at(x); }},
            {"document", some_mask(document{bounds.data(), 4}), same_document},
            {"document & causal", some_mask(document{bounds.data(), 4} & causal{}),
             [same_document, causal_at](const place& x) { return same_document(x) && causal_at(x); }},
            {"table of rows", some_mask(dense_mask{row_table}), by_row},
            {"table of heads", some_mask(dense_mask{head_table}), by_head},
            {"selected keys", some_mask(selected_keys{list_offsets, list_entries, shape_of_lists()}),
             [this](const place& x) { return is_listed(x); }},
            {"key_lengths", some_mask(key_lengths{lengths.data(), batch}), long_enough},
            {"attend_where", some_mask(attend_where{odd}),
             [](const place& x) { return (x.batch + 2 * x.head + x.position + x.key) % 3 != 0; }},
            {"window | table & key_lengths",
             some_mask(window{.left = 2, .right = 2} | (dense_mask{row_table} & key_lengths{lengths.data(), batch})),
             [near, by_row, long_enough](const place& x) { return near(x, 2, 2) || (by_row(x) && long_enough(x)); }}};
    }

    plain::problem formula() const
    {
        plain::problem of{batch, heads, kv_heads, key_dim, value_dim, keys, {}, {}, {}, {}, {}, {}, {}};
        of.rows = [this](int64) { return queries; };
        of.q = numbers_of(p.q);
        of.k = numbers_of(p.k);
        of.v = numbers_of(p.v);
        of.dout = numbers_of(dout);
        return of;
    }
    /// The definition around a normalizer: with every score map, or with a bias alone that all rows share.
    template <class Normalizer>
    auto def(const Normalizer& normalizer, const some_mask& mask, bool mapped) const
    {
        return heed::attention{normalizer,
                               heed::softcap{mapped ? 2.5 : 1e30},
                               heed::alibi{(mapped ? tilts : no_tilts).data(), heads},
                               heed::bias{(mapped ? added : added_to_keys).in()},
                               mask,
                               heed::scale{0.3},
                               offset()};
    }
    plain::definition formula_of(plain::definition weights, const stated_mask& mask, bool mapped) const
    {
        weights.scale = static_cast<double>(0.3f);
        weights.attends = mask.attends;
        weights.position_of_row_0 = [this](int64 b) { return offsets[static_cast<std::size_t>(b)]; };
        weights.added = [this](const plain::place& x) { return numbers_of(added_to_keys)(0, 0, 0, x.key); };
        if (!mapped) return weights;
        weights.cap = 2.5;
        weights.tilt = [this](int64 h) { return static_cast<double>(tilts[static_cast<std::size_t>(h)]); };
        weights.added = [this](const plain::place& x) { return numbers_of(added)(x.batch, x.head, x.row, x.key); };
        return weights;
    }
};

/// Calls f(name, normalizer, what the formulas say of it) with one normalizer of each kind.
template <class F>
void for_each_stated_normalizer(const stated_case& of, F f)
{
    using plain::family;
    plain::definition sink, pick, logistic, square;
    sink.log_c = [&of](int64 h) { return static_cast<double>(of.logits[static_cast<std::size_t>(h)]); };
    pick.weights = family::softpick;
    pick.log_c = [](int64) { return std::log(0.25); };
    logistic.weights = family::sigmoid;
    logistic.bias = -2;
    square.weights = family::relu;
    square.power = 2;
    f("softmax_sink", heed::softmax_sink{of.logits.data(), of.heads}, sink);
    f("softpick", heed::softpick{0.25}, pick);
    f("sigmoid", heed::sigmoid{-2}, logistic);
    f("relu<2>", heed::relu<2>{}, square);
}

}  // namespace oracle
