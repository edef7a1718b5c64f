// SPDX-License-Identifier: MIT
// Sums of weights by key: values that are known by hand, what rounding does not take, and what is refused.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>
#include <heed/top_keys.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <string>

using namespace test;

namespace {

/// What attend() leaves of a call, and the sums by key from it.
template <class Def, class T>
std::vector<T> totals_of(const Def& def, const heed::view<const T>& q, const heed::view<const T>& k)
{
    const auto rows = static_cast<std::size_t>(q.size.batch * q.size.heads * q.size.tokens);
    std::vector<T> shift(rows), mass(rows);
    std::vector<T> totals(static_cast<std::size_t>(k.size.batch * k.size.heads * k.size.tokens), T(-7));
    tensor<T> out(q.size);
    const heed::row_statistics<T> stats{shift.data(), mass.data()};
    heed::or_throw(heed::attend(def, q, k, k, out.view(), {.stats = stats}));
    heed::or_throw(heed::key_totals(def, q, k, stats, totals));
    return totals;
}

heed::view<const float> one_channel(const std::vector<float>& x, int64 heads)
{
    return heed::bhsd(x.data(), {1, heads, static_cast<int64>(x.size()) / heads, 1});
}

}  // namespace

TEMPLATE_TEST_CASE("a key has the weights of all rows and heads of its group that attend it", "", float, double)
{
    // sigmoid(0) is a half; key j of 600 is attended by the rows from j - 590 on, of 10, in three heads
    const tensor<TestType> q({2, 6, 10, 3}), k({2, 2, 600, 3});
    const auto totals = totals_of(heed::attention{heed::sigmoid{}, heed::causal{}}, q.in(), k.in());
    for (std::size_t i = 0; i < totals.size(); ++i) {
        const auto key = static_cast<int64>(i) % 600;
        REQUIRE(totals[i] == TestType(1.5) * static_cast<TestType>(key <= 590 ? 10 : 600 - key));
    }
}

TEST_CASE("a key that no row attends has 0, whether it is masked, infinitely low or not listed")
{
    const std::vector<float> q{0, 0}, k(1100);
    const std::vector<int64> offsets{0, 2};
    const std::vector<std::int32_t> entries{3, 1030};
    std::vector<float> low(2200);
    low[3] = low[1103] = -INFINITY;
    const auto totals_under = [&](const auto& def) { return totals_of(def, one_channel(q, 1), one_channel(k, 1)); };
    const auto listed = totals_under(heed::attention{heed::selected_keys{offsets, entries}});
    const auto biased = totals_under(
        heed::attention{heed::selected_keys{offsets, entries},
                        heed::bias<float>{heed::bhsd(static_cast<const float*>(low.data()), {1, 1, 2, 1100})}});
    const auto none = totals_under(heed::attention{heed::prefix{0}});
    for (std::size_t j = 0; j < 1100; ++j) {
        REQUIRE(listed[j] == (j == 3 || j == 1030 ? 1.f : 0.f));
        REQUIRE(biased[j] == (j == 1030 ? 2.f : 0.f));
        REQUIRE((none[j] == 0 && !std::signbit(none[j])));
    }
    const tensor<float> no_rows({1, 4, 0, 1}), no_heads({1, 0, 2, 1});
    const std::vector<float> zeros(1100);
    REQUIRE(totals_of(heed::softmax{}, no_rows.in(), one_channel(k, 2)) == zeros);
    REQUIRE(totals_of(heed::softmax{}, no_heads.in(), one_channel(k, 2)) == zeros);
}

TEST_CASE("small weights are not lost beside large ones, and an infinite sum stays what it is")
{
    std::vector<float> q(1001, 1.f);  // relu of one key weighs what the score is
    q[0] = 0x1p24f;
    const std::vector<float> k{1};
    REQUIRE(totals_of(heed::relu<1>{}, one_channel(q, 1), one_channel(k, 1))[0] == 0x1p24f + 1000);
    q[0] = 1, q[700] = 0x1p24f;
    REQUIRE(totals_of(heed::relu<1>{}, one_channel(q, 1), one_channel(k, 1))[0] == 0x1p24f + 1000);
    q[600] = INFINITY;
    REQUIRE(totals_of(heed::relu<1>{}, one_channel(q, 1), one_channel(k, 1))[0] == INFINITY);
}

TEST_CASE("a row that is NaN makes the keys NaN that it attends, and no others")
{
    std::vector<float> q(9, 0.5f);
    q[4] = NAN;  // attends the keys up to 1028 + 4 - 4
    const std::vector<float> k(1033, 1.f);
    const auto totals =
        totals_of(heed::attention{heed::softmax{}, heed::causal{}}, one_channel(q, 1), one_channel(k, 1));
    for (std::size_t j = 0; j < totals.size(); ++j) REQUIRE(std::isnan(totals[j]) == (j <= 1028));
}

TEST_CASE("the keys that are kept by their sums are those that weigh most")
{
    std::vector<float> q{1, 2, 4, 8}, k(700);
    for (const std::size_t j : {5u, 600u, 333u}) k[j] = 1;
    const auto totals = totals_of(heed::softmax{}, one_channel(q, 2), one_channel(k, 1));
    std::vector<int64> offsets(2), entries(4);
    heed::or_throw(
        heed::top_keys(heed::bhsd(totals.data(), {1, 1, 1, 700}), {4, 0, 1}, offsets.data(), 2, entries.data(), 4));
    REQUIRE(entries == std::vector<int64>{5, 333, 600, 699});
}

TEST_CASE("key_totals says what is wrong, and writes nothing then")
{
    const problem<float> p(1, 4, 2, 3, 40, 8, 8);
    const heed::attention def{heed::softmax{}};
    std::vector<float> shift(12), mass(12), out(80, -7.f), few(79, -7.f);
    const heed::row_statistics<float> stats{shift.data(), mass.data()};
    const auto says = [&](const heed::row_statistics<float>& given, heed::number_view<float> to) {
        return std::string(heed::key_totals(def, p.q.in(), p.k.in(), given, to).message());
    };
    CHECK(says(stats, few) == "key_totals: out has 79 numbers, must be 80");
    CHECK(says(stats, nullptr) == "key_totals: out is null, must be 1 x 2 x 40");
    CHECK(says({nullptr, mass.data()}, out) ==
          "key_totals: stats.shift is null; attend() fills it for 12 rows through options.stats");
    const auto two = [&](int64 keys) {
        return heed::strided<const float>(p.k.data.data(), {1, 2, keys, 8}, {0, 0, 0});
    };
    const float one = 0;
    const auto far = heed::strided(&one, {1, 2, int64{1} << 60, 1}, {0, 0, 0}),
               few_rows = heed::strided(&one, {1, 4, 3, 1}, {0, 0, 0});
    CHECK(std::string(heed::key_totals(def, few_rows, far, stats, out).message()) ==
          "key_totals: out: 1 x 2 heads x 1152921504606846976 keys: beyond 64 bits");
    const heed::observe_plan plan(def, p.q.in(), p.k.in());
    CHECK(std::string(plan.key_totals(p.q.in(), p.k.in(), stats, out, {}).message()) ==
          "key_totals: workspace of 0 bytes at null, needs " + std::to_string(plan.workspace_bytes()));
    CHECK(std::string(plan.key_totals(p.q.in(), two(39), stats, out, {}).message()) ==
          "key_totals: k is [1, 2, 39, 8], must be [1, 2, 40, 8]");
    REQUIRE(std::all_of(out.begin(), out.end(), [](float x) { return x == -7; }));
    REQUIRE(std::all_of(few.begin(), few.end(), [](float x) { return x == -7; }));
    REQUIRE(says(stats, out) == "ok");
}
