// SPDX-License-Identifier: MIT
// Products of integers of few rows and of many are taken apart, and their tiles as well: few rows have the bits that
// they have among many, whatever tiles their masks leave out and wherever their keys end.
#include "quantised.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

constexpr int64 heads = 4, rows = 10;  // 40 rows of one kv head: more than products of bytes take

/// Of tile i the keys are attended where bit i of `tiles` is set, but for its first and last ones.
struct some_tiles {
    unsigned tiles;
    int64 first, end;

    bool operator()(int64, int64, int64, int64 key) const
    {
        const int64 in_tile = key % 512;
        return (tiles >> (key / 512) & 1) != 0 && first <= in_tile && in_tile < end;
    }
};

template <class E, class Compute, class Source>
void few_rows_have_the_bits_of_many(Compute by, int64 key_dim, int64 value_dim, Source source)
{
    constexpr int64 most = 2047;
    const tensor<float> q = normal<float>({1, heads, rows, key_dim}, 1);
    const tensor<E> k = drawn_elements<E>({1, 1, most, key_dim}, 2), v = drawn_elements<E>({1, 1, most, value_dim}, 3);
    const auto attend = [&](const auto& def, int64 row, int64 n, int64 keys, int threads) {
        heed::thread_pool pool(threads);
        tensor<float> out({1, heads, n, value_dim}, -7);
        heed::or_throw(heed::attend(def, tokens(q.in(), row, n),
                                    source(tokens(k.in(), 0, keys), tokens(v.in(), 0, keys)), out.view(),
                                    {.executor = pool}));
        return out;
    };
    const auto check = [&](const some_tiles& mask, int64 keys) {
        CAPTURE(mask.tiles, mask.first, mask.end, keys);
        const heed::attention def{heed::softmax{}, heed::attend_where(mask), by};
        const tensor<float> many = attend(def, 0, rows, keys, 1);
        for (const auto& [row, n] : {std::pair<int64, int64>{0, 1}, {rows - 1, 1}, {5, 4}, {0, 9}})
            for (const int threads : {1, 3}) {
                const tensor<float> few = attend(def, row, n, keys, threads);
                for (int64 h = 0; h < heads; ++h)
                    for (int64 r = 0; r < n; ++r)
                        REQUIRE(std::equal(few.in().row(0, h, r), few.in().row(0, h, r) + value_dim,
                                           many.in().row(0, h, row + r)));
            }
    };
    for (unsigned tiles = 0; tiles < 16; ++tiles) check({tiles, 0, 512}, most);
    for (const int64 keys : {1, 2, 15, 17, 63, 65, 129, 511, 512, 513, 575, 1024, 1025, 1537})
        check({15, 0, 512}, keys);
    for (const auto& [first, end] : {std::pair<int64, int64>{511, 512}, {0, 1}, {63, 66}, {100, 101}, {64, 448}})
        for (const unsigned tiles : {15u, 13u, 6u}) check({tiles, first, end}, most);
}

}  // namespace

TEST_CASE("in products of integers few rows have the bits of many, whatever tiles they attend")
{
    const tensor<float> k_scales = drawn_scales({1, 1, 2047, 1}, 4, 0.015),
                        v_scales = drawn_scales(k_scales.size, 5, 0.015);
    few_rows_have_the_bits_of_many<std::int8_t>(heed::compute<std::int8_t>{}, 80, 72, [&](auto k, auto v) {
        return heed::scaled_kv{heed::dense_kv{k, v}, heed::per_token{tokens(k_scales.in(), 0, k.size.tokens)},
                               heed::per_token{tokens(v_scales.in(), 0, v.size.tokens)}};
    });
}

TEST_CASE("in products of integers of blocks few rows have the bits of many, whatever tiles they attend")
{
    few_rows_have_the_bits_of_many<heed::q8_0>(heed::compute<std::int8_t, 8>{}, 64, 96, [](auto k, auto v) {
        return heed::dense_kv{k, v};
    });
}
