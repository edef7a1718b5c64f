// SPDX-License-Identifier: MIT
// The stride of an extent of 1 means nothing, whatever number it is; and rows that are never read may lie anywhere.
#include "tensors.hpp"

#include <heed/observe.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

constexpr int64 most = std::numeric_limits<int64>::max(), least = std::numeric_limits<int64>::min();
constexpr int64 any_strides[] = {int64{1} << 62, int64{1} << 61, -(int64{1} << 62), most, least, -1, 0};

/// The same tensor, with `stride` for every extent of 1.
template <class T>
heed::view<T> restrided(heed::view<T> v, int64 step)
{
    if (v.size.batch == 1) v.stride.batch = step;
    if (v.size.heads == 1) v.stride.heads = step;
    if (v.size.tokens == 1) v.stride.tokens = step;
    return v;
}

const heed::attention softmax{heed::softmax{}};

}  // namespace

TEST_CASE("out may be q itself, whatever the stride of its only token")
{
    const problem<float> p(1, 2, 1, 1, 9, 8, 8);
    const tensor<float> expected = p.attend(softmax);
    for (const int64 step : any_strides) {
        CAPTURE(step);
        tensor<float> both = p.q;
        const heed::view<float> in_place = restrided(both.view(), step);
        heed::or_throw(heed::attend(softmax, in_place, p.k.in(), p.v.in(), in_place));
        REQUIRE(same_bits(both.data, expected.data));
    }
}

TEST_CASE("a token of packed q, k and v that is alone is told apart from them, whatever its stride")
{
    const problem<float> p(2, 2, 2, 1, 1, 8, 8);
    const tensor<float> expected = p.attend(softmax);
    for (const int64 step : any_strides) {
        CAPTURE(step);
        tensor<float> packed({1, 1, 2 * 3 * 2, 8});  // sequences x (q, k, v) x heads
        const auto part = [&](int64 i) {
            return heed::view<float>{packed.data.data() + i * 16, {2, 2, 1, 8}, {48, 8, step}};
        };
        for (int64 i = 0; i < 3; ++i)
            for (int64 b = 0; b < 2; ++b)
                for (int64 h = 0; h < 2; ++h) {
                    const auto from = (i == 0 ? p.q : i == 1 ? p.k : p.v).in();
                    std::copy_n(from.row(b, h, 0), 8, part(i).row(b, h, 0));
                }
        heed::or_throw(heed::attend(softmax, heed::view<const float>(part(0)), heed::view<const float>(part(1)),
                                    heed::view<const float>(part(2)), part(0)));
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < 2; ++h)
                REQUIRE(std::memcmp(part(0).row(b, h, 0), expected.in().row(b, h, 0), 32) == 0);
    }
}

TEST_CASE("a stride of an extent of 1 is not looked at: attend, its statistics, observe and backward")
{
    for (const int64 queries : {1, 20})
        for (const int64 keys : {1, 700}) {
            const problem<float> p(1, 1, 1, queries, keys, 40, 24);
            const auto n = static_cast<std::size_t>(queries);
            std::vector<float> shift(n), mass(n), total(n), map(n * static_cast<std::size_t>(keys));
            const tensor<float> expected = p.attend(softmax), dout = normal<float>(p.out_size(), 9);
            std::vector<float> first_map;
            tensor<float> first_dk;
            for (const int64 step : any_strides) {
                CAPTURE(queries, keys, step);
                const auto q = restrided(p.q.in(), step), k = restrided(p.k.in(), step), v = restrided(p.v.in(), step);
                tensor<float> out(p.out_size(), -7), dq(p.q.size), dk(p.k.size), dv(p.v.size);
                const auto to = restrided(out.view(), step);
                heed::or_throw(heed::attend(softmax, q, k, v, to, {.stats = {shift.data(), mass.data()}}));
                REQUIRE(same_bits(out.data, expected.data));
                heed::or_throw(heed::observe(softmax, q, k, {shift.data(), mass.data()}, {.total = total.data()}));
                heed::or_throw(
                    heed::attention_map(softmax, q, k, {shift.data(), mass.data()}, {.rows = queries}, map.data()));
                heed::gradients<float> gradients;
                gradients.dq = restrided(dq.view(), step);
                gradients.dk = restrided(dk.view(), step);
                gradients.dv = restrided(dv.view(), step);
                heed::or_throw(heed::backward(softmax, q, k, v, heed::view<const float>(to),
                                              {shift.data(), mass.data()}, restrided(dout.in(), step), gradients));
                if (first_map.empty()) first_map = map, first_dk = dk;
                REQUIRE(same_bits(map, first_map));
                REQUIRE(same_bits(dk.data, first_dk.data));
            }
        }
}

TEST_CASE("a stride of an extent of 1 is not looked at: caches of one slot, one page or one head")
{
    const std::int32_t table[] = {0, 0, 0};
    const int64 length = 1, ring_length = 3;
    const problem<float> p(1, 1, 1, 1, 1, 40, 40);
    const tensor<float> expected = p.attend(softmax);
    std::int8_t narrow[40] = {3, -4, 5};
    const float scale = 0.25f;
    tensor<float> by_scale(p.out_size());
    const auto as_int8 = [&](int64 step) {
        return heed::view<const std::int8_t>{narrow, {1, 1, 1, 40}, {step, step, step}};
    };
    const auto scales = [&](int64 step) { return heed::view<const float>{&scale, {1, 1, 1, 1}, {step, step, step}}; };
    for (const int64 step : any_strides) {
        CAPTURE(step);
        const auto k = restrided(p.k.in(), step), v = restrided(p.v.in(), step);
        tensor<float> out(p.out_size(), -7);
        heed::or_throw(heed::attend(
            softmax, p.q.in(),
            heed::paged_kv{k, v, heed::page_table::padded(heed::index_view(table, 3), 1, heed::index_view(&length, 1))},
            out.view()));
        REQUIRE(same_bits(out.data, expected.data));
        heed::or_throw(
            heed::attend(softmax, p.q.in(), heed::ring_kv{k, v, heed::index_view(&ring_length, 1)}, out.view()));
        REQUIRE(same_bits(out.data, expected.data));
        const heed::dense_kv rows{as_int8(step), as_int8(step)};
        heed::or_throw(heed::attend(softmax, p.q.in(),
                                    heed::scaled_kv{rows, heed::per_token{scales(step)}, heed::per_token{scales(step)}},
                                    out.view()));
        for (int64 c = 0; c < 40; ++c) REQUIRE(out.data[static_cast<std::size_t>(c)] == 0.25f * narrow[c]);
    }
}

TEST_CASE("append and fetch take a cache of one token, whatever its strides")
{
    for (const int64 step : any_strides) {
        CAPTURE(step);
        tensor<float> k({1, 1, 1, 8}), v({1, 1, 1, 8});
        const tensor<float> row = normal<float>({1, 1, 1, 8}, 3);
        const heed::dense_kv cache{restrided(k.view(), step), restrided(v.view(), step)};
        heed::or_throw(heed::append(cache, 0, 0, restrided(row.in(), step), restrided(row.in(), step)));
        tensor<float> read_k({1, 1, 1, 8}), read_v({1, 1, 1, 8});
        heed::or_throw(heed::fetch(cache, 0, 0, restrided(read_k.view(), step), restrided(read_v.view(), step)));
        REQUIRE(same_bits(read_k.data, row.data));
        REQUIRE(same_bits(read_v.data, row.data));
    }
}

TEST_CASE("rows behind the tokens of a sequence may lie anywhere in 64 bits of address")
{
    for (const int64 queries : {1, 20}) {
        const problem<float> p(1, 1, 1, queries, 1, 40, 40);
        const tensor<float> expected = p.attend(softmax);
        const int64 length = 1;
        std::vector<float> memory(static_cast<std::size_t>((queries + 2) * 40));  // out lies before k and v
        heed::view<float> k{memory.data() + queries * 40, {1, 1, 3, 40}, {0, 0, int64{1} << 59}}, v = k;
        v.data += 40;
        std::copy_n(p.k.data.data(), 40, k.data);
        std::copy_n(p.v.data.data(), 40, v.data);
        heed::or_throw(heed::attend(softmax, p.q.in(), heed::dense_kv{k, v, heed::index_view(&length, 1)},
                                    heed::bhsd(memory.data(), p.out_size())));
        memory.resize(static_cast<std::size_t>(queries * 40));
        REQUIRE(same_bits(memory, expected.data));
    }
}

TEST_CASE("views that reach beyond the address space are refused")
{
    const problem<float> p(1, 1, 1, 1, 2, 8, 8);
    tensor<float> out(p.out_size(), 3);
    const std::vector<float> before = out.data;
    auto k = p.k.in();
    for (const int64 step : {least / 4, -(int64{1} << 60)}) {
        k.stride.tokens = step;
        const heed::status s = heed::attend(softmax, p.q.in(), k, p.v.in(), out.view());
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Contains("k: ") && Contains("address"));
    }
    std::int8_t narrow[8] = {};
    float scale = 1;
    const heed::view<std::int8_t> far{narrow, {1, 1, 2, 8}, {0, 0, least}};
    const heed::per_token scales{heed::view<float>{&scale, {1, 1, 2, 1}, {0, 0, 0}}};
    REQUIRE(!heed::append(heed::scaled_kv{heed::dense_kv{far, far}, scales, scales}, 0, 0, p.k.in(), p.v.in()));
    REQUIRE(same_bits(out.data, before));
}
