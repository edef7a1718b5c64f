// SPDX-License-Identifier: MIT
// Listed keys have the bits of a mask in every verb: of packed queries, in what is observed, in gradients.
#include "gradients.hpp"
#include "selection.hpp"

#include <heed/backward.hpp>
#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

const std::vector<selection_shape> selections{
    {1, 1, true, 3}, {1, 4, false, 40}, {24, 2, true, 30}, {128, 30, true, 40}};

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

/// What is observed of rows, and the weights of one head.
template <class Def>
std::vector<float> seen(const Def& def, const problem<float>& p, int threads)
{
    heed::thread_pool pool(threads);
    const int64 keys = p.k.size.tokens, queries = p.q.size.tokens;
    const auto rows = static_cast<std::size_t>(p.q.size.batch * p.q.size.heads * queries);
    std::vector<float> shift(rows), mass(rows), numbers(3 * rows), map(static_cast<std::size_t>(queries * keys), -7);
    std::vector<int64> counts(2 * rows), top(3 * rows);
    const heed::row_statistics<float> stats{shift.data(), mass.data()};
    (void)p.attend(def, {.executor = pool, .stats = stats});
    std::vector<float> weights(3 * rows);
    heed::observations<float> wanted;
    wanted.max_score = numbers.data();
    wanted.entropy = numbers.data() + rows;
    wanted.total = numbers.data() + 2 * rows;
    wanted.attended = counts.data();
    wanted.zeros = counts.data() + rows;
    wanted.top_k = 3;
    wanted.top_keys = top.data();
    wanted.top_weights = weights.data();
    heed::or_throw(heed::observe(def, p.q.in(), p.k.in(), stats, wanted, {.executor = pool}));
    heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), stats, {1, 3, 0, queries}, map, {.executor = pool}));
    for (const std::vector<int64>* x : {&counts, &top})
        for (const int64 n : *x) numbers.push_back(static_cast<float>(n));
    for (const std::vector<float>* x : {&weights, &map}) numbers.insert(numbers.end(), x->begin(), x->end());
    return numbers;
}

}  // namespace

TEST_CASE("what is observed of listed keys is what is observed of a mask")
{
    std::uint64_t seed = 60;
    for (const int64 queries : {1, 5, 70})
        for (const selection_shape& s : selections) {
            CAPTURE(queries, s.block, s.rows, s.percent);
            const problem<float> p(2, 4, 2, queries, 1100, 24, 8, ++seed);
            const selection keys(p.q.size, 2, 1100, s, seed);
            const heed::window all{5000, heed::unbounded};
            const std::vector<float> expected = seen(heed::attention{heed::softpick{}, keys.mask(), all}, p, 1);
            for (const int threads : {1, 3})
                REQUIRE(same_bits(seen(heed::attention{heed::softpick{}, keys.lists(), all}, p, threads), expected));
        }
}

TEST_CASE("gradients over listed keys are those over a mask")
{
    std::uint64_t seed = 80;
    for (const int64 queries : {1, 5, 70})
        for (const selection_shape& s : selections) {
            CAPTURE(queries, s.block, s.rows, s.percent);
            seed += 2;
            const gradient_problem<float> p(problem<float>(2, 4, 2, queries, 1100, 24, 40, seed), seed + 1);
            const selection keys(p.q.size, 2, 1100, s, seed);
            const auto expected = p.backward(heed::attention{heed::softpick{}, keys.mask(), heed::causal{}});
            const heed::attention listed{heed::softpick{}, keys.lists(), heed::causal{}};
            for (const int threads : {1, 3}) {
                heed::thread_pool pool(threads);
                REQUIRE(p.backward(listed, p.forward(listed), {.executor = pool}) == expected);
            }
        }
}

TEST_CASE("listed keys of packed queries have the bits of a mask")
{
    const std::vector<int64> lengths{1203, 0, 513, 80}, bounds{0, 7, 10, 11, 51};
    std::uint64_t seed = 100;
    for (const selection_shape& s : selections) {
        CAPTURE(s.block, s.rows, s.percent);
        const problem<float> p(4, 4, 2, 40, 1203, 24, 40, ++seed);
        const tensor<float> q = normal<float>({1, 4, 51, 24}, seed);
        const selection keys(p.q.size, 2, 1203, s, seed);  // for the rows of the longest sequence
        const heed::dense_kv kv{p.k.in(), p.v.in(), list(lengths)};
        tensor<float> expected({1, 4, 51, 40}, -7), out(expected.size, -8);
        const heed::packed rows{q.in(), list(bounds)};
        heed::or_throw(heed::attend(heed::attention{keys.mask(), heed::causal{}}, rows, kv, expected.view()));
        for (const int threads : {1, 3}) {
            heed::thread_pool pool(threads);
            heed::or_throw(
                heed::attend(heed::attention{keys.lists(), heed::causal{}}, rows, kv, out.view(), {.executor = pool}));
            REQUIRE(same_bits(out.data, expected.data));
        }
    }
}
