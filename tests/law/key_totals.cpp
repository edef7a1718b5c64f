// SPDX-License-Identifier: MIT
// Sums of weights by key have the same bits whatever the threads and the batch, and of listed keys those of a mask.
#include "pages.hpp"
#include "selection.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

constexpr int64 queries = 210, keys = 1203;

/// The sums of sequence `b` of a problem, or of all for -1.
template <class Def>
std::vector<float> totals_of(const Def& def, const problem<float>& p, int64 b, int threads)
{
    heed::thread_pool pool(threads);
    const auto q = b < 0 ? p.q.in() : sequence(p.q, b, queries), k = b < 0 ? p.k.in() : sequence(p.k, b, keys),
               v = b < 0 ? p.v.in() : sequence(p.v, b, keys);
    const auto rows = static_cast<std::size_t>(q.size.batch * q.size.heads * queries);
    std::vector<float> shift(rows), mass(rows), totals(static_cast<std::size_t>(k.size.batch * k.size.heads * keys));
    tensor<float> out({q.size.batch, q.size.heads, queries, v.size.dim});
    const heed::row_statistics<float> stats{shift.data(), mass.data()};
    heed::or_throw(heed::attend(def, q, k, v, out.view(), {.executor = pool, .stats = stats}));
    heed::or_throw(heed::key_totals(def, q, k, stats, totals, {.executor = pool}));
    return totals;
}

}  // namespace

TEST_CASE("no bit of the sums of weights by key depends on threads or the batch")
{
    const problem<float> p(3, 6, 2, queries, keys, 24, 8, 5, 0.5);
    const heed::attention def{heed::softpick{}, heed::causal{} & heed::window{900}};
    const std::vector<float> whole = totals_of(def, p, -1, 1);
    for (const int threads : {2, 3, 8}) REQUIRE(same_bits(totals_of(def, p, -1, threads), whole));
    for (int64 b = 0; b < 3; ++b)  // threads cut one sequence into blocks of other rows than three
        for (const int threads : {1, 8}) {
            const std::vector<float> alone = totals_of(def, p, b, threads);
            REQUIRE(std::memcmp(alone.data(), &whole[static_cast<std::size_t>(b * 2 * keys)],
                                alone.size() * sizeof(float)) == 0);
        }
}

TEST_CASE("the sums of weights by key of listed keys are those of the same keys as a mask")
{
    const problem<float> p(2, 6, 2, queries, keys, 24, 8, 6);
    for (const selection_shape& s :
         std::vector<selection_shape>{{1, 1, true, 3}, {1, 7, false, 40}, {16, 5, true, 20}, {128, 1000, true, 30}}) {
        CAPTURE(s.block, s.rows, s.percent);
        const selection lists(p.q.size, 2, keys, s, 7);
        const std::vector<float> expected = totals_of(heed::attention{lists.mask()}, p, -1, 1);
        for (const int threads : {1, 3})
            REQUIRE(same_bits(totals_of(heed::attention{lists.lists()}, p, -1, threads), expected));
    }
}
