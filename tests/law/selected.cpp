// SPDX-License-Identifier: MIT
// A call over listed keys has the bits of the same call with the same keys as a mask: whatever the normalizer, the
// score maps and the other masks, however many rows share a list, and however the keys are split.
#include "selection.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cmath>

using namespace test;

namespace {

constexpr int64 batch = 2, heads = 4, kv_heads = 2;

/// {queries, keys, Dqk, Dv}: one row, a group or two, two register blocks, more than are streamed, a prefill.
const std::vector<std::array<int64, 4>> shapes{{1, 1300, 64, 64}, {1, 700, 33, 19}, {2, 1100, 16, 48},
                                               {6, 1500, 40, 65}, {7, 900, 64, 32}, {70, 1200, 24, 16}};
const std::vector<selection_shape> selections{{1, 1, true, 2},      {1, 3, false, 60},  {16, 2, true, 20},
                                              {48, 1, true, 30},    {100, 5, true, 30}, {512, 1, false, 50},
                                              {128, 1000, true, 25}};

/// Calls f(problem, selection) for all of them.
template <class T, class F>
void for_each_case(F f)
{
    std::uint64_t seed = 1;
    for (const auto& [queries, keys, key_dim, value_dim] : shapes)
        for (const selection_shape& s : selections) {
            CAPTURE(queries, keys, key_dim, value_dim, s.block, s.rows, s.by_head, s.percent);
            const problem<T> p(batch, heads, kv_heads, queries, keys, key_dim, value_dim, ++seed, 2);
            f(p, selection(p.q.size, kv_heads, keys, s, seed));
        }
}

/// That def(selected_keys) and def(dense_mask) have the same bits, on one thread and on more.
template <class T, class Make>
void equals_the_mask(Make def)
{
    for_each_case<T>([&](const problem<T>& p, const selection& s) {
        const tensor<T> expected = p.attend(def(s.mask()));
        for (const int workers : {1, 2, 5}) {
            CAPTURE(workers);
            heed::thread_pool pool(workers);
            REQUIRE(same_bits(p.attend(def(s.lists()), {pool, {}, {}}).data, expected.data));
        }
    });
}

constexpr std::array<float, heads> slopes{0.5f, 0.25f, 0.02f, 0.001f};

}  // namespace

TEST_CASE("listed keys have the bits of a mask")
{
    equals_the_mask<float>([](const auto& keys) { return heed::attention{keys}; });
}

TEST_CASE("listed keys under a window, with positions and without a mass, have the bits of a mask")
{
    equals_the_mask<float>([](const auto& keys) {
        return heed::attention{heed::sigmoid{-1}, heed::alibi{slopes.data(), heads},
                               heed::window{.left = 900, .right = 0} & keys};
    });
}

TEST_CASE("listed keys of double, which weigh nothing where their score is not positive, have the bits of a mask")
{
    equals_the_mask<double>([](const auto& keys) { return heed::attention{heed::softpick{}, heed::causal{}, keys}; });
}

TEST_CASE("two lists that a row's keys must both be in have the bits of two masks")
{
    const problem<float> p(batch, heads, kv_heads, 3, 1300, 32, 32);
    const selection a(p.q.size, kv_heads, 1300, {1, 1, true, 40}, 5),
        b(p.q.size, kv_heads, 1300, {32, 3, false, 50}, 6);
    const tensor<float> expected = p.attend(heed::attention{a.mask() & b.mask()});
    REQUIRE(same_bits(p.attend(heed::attention{a.lists() & b.lists()}).data, expected.data));
    REQUIRE(same_bits(p.attend(heed::attention{b.lists(), a.lists()}).data, expected.data));
}

TEST_CASE("parts of a sequence, listed at absolute positions, have the bits of the whole")
{
    const problem<float> p(1, heads, kv_heads, 2, 1700, 32, 32);
    const selection s(p.q.size, kv_heads, 1700, {1, 2, true, 5}, 9);
    const heed::attention def{s.lists()};
    const tensor<float> expected = p.attend(heed::attention{s.mask()});
    tensor<float> out(p.out_size());
    owned_state<float> sum(def, p.out_size());
    for (const auto& [first, end] : {std::pair<int64, int64>{0, 512}, {512, 1024}, {1024, 1700}})
        heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), first, end - first),
                                            tokens(p.v.in(), first, end - first), sum.state(), {first, 1700}));
    heed::or_throw(heed::finish(def, sum.state(), out.view()));
    REQUIRE(same_bits(out.data, expected.data));
}

TEST_CASE("what is not listed is not read: its NaN reaches no row, nor does that of a listed key without weight")
{
    problem<float> p(1, heads, kv_heads, 1, 1300, 32, 32);
    const selection s(p.q.size, kv_heads, 1300, {1, 1, false, 5}, 3);
    const heed::selected_keys lists = s.lists();
    const tensor<float> expected = p.attend(heed::attention{heed::softpick{}, lists});
    for (int64 h = 0; h < kv_heads; ++h)
        for (int64 j = 0; j < 1300; ++j) {
            if (lists.attends({0, 0, 0, 0}, j)) continue;
            std::fill_n(p.k.view().row(0, h, j), 32, NAN);
            std::fill_n(p.v.view().row(0, h, j), 32, INFINITY);
        }
    REQUIRE(same_bits(p.attend(heed::attention{heed::softpick{}, lists}).data, expected.data));
    for (int64 h = 0; h < kv_heads; ++h)  // keys of score 0, which softpick weighs by 0
        for (int64 j = 0; j < 1300; j += 2) {
            std::fill_n(p.k.view().row(0, h, j), 32, 0.f);
            std::fill_n(p.v.view().row(0, h, j), 32, NAN);
        }
    const tensor<float> selected = p.attend(heed::attention{heed::softpick{}, lists});
    REQUIRE(std::isfinite(selected.data[5]));
    REQUIRE(same_bits(selected.data, p.attend(heed::attention{heed::softpick{}, s.mask()}).data));
}
