// SPDX-License-Identifier: MIT
// Sink rate, sparsity, dead heads, kurtosis and massive activations: cases known by hand, and plain formulas.
#include "tensors.hpp"

#include <heed/measure/activations.hpp>
#include <heed/measure/heads.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace test;

TEST_CASE("the sink rate is the share of heads whose mean weight on the first token exceeds epsilon")
{
    // Four heads of two rows: means 0.25, 0.3, 0.5, 0.
    const double first[] = {0.25, 0.25, /**/ 0.5, 0.1, /**/ 1, 0, /**/ 0, 0};
    REQUIRE(heed::sink_rate(first, 4, 2, 0.2) == 0.75);
    REQUIRE(heed::sink_rate(first, 4, 2, 0.25) == 0.5);  // more than epsilon
    REQUIRE(heed::sink_rate(first, 4, 2, 0.4) == 0.25);
    REQUIRE(heed::sink_rate(first, 8, 1, 0.2) == 0.5);  // rows count as heads of their own
    REQUIRE(heed::sink_rate(first, 0, 2, 0.2) == 0);
    REQUIRE(heed::sink_rate(first, 4, 0, 0.2) == 0);
}

TEST_CASE("beside it stands the share of the weight that there is")
{
    // The second head gives little, but all of it to the first token; the third has no weight.
    const float first[] = {0.1f, 0.1f, /**/ 0.01f, 0, /**/ 0, 0}, total[] = {1, 1, /**/ 0.01f, 0, /**/ 0, 0};
    REQUIRE(heed::sink_rate(first, 3, 2, 0.2) == 0);
    REQUIRE(heed::sink_rate(first, total, 3, 2, 0.2) == Approx(1. / 3));
    REQUIRE(heed::sink_rate(first, total, 3, 2, 0.05) == Approx(2. / 3));
    REQUIRE(heed::sink_rate(first, total, 0, 2, 0.05) == 0);
}

TEST_CASE("sparsity is a share of the attended places, not of the square")
{
    const int64 zeros[] = {0, 1, 2, 0}, attended[] = {1, 2, 3, 0};
    REQUIRE(heed::sparsity(zeros, attended, 4) == 0.5);
    REQUIRE(heed::sparsity(zeros, attended, 1) == 0);
    REQUIRE(heed::sparsity(zeros + 3, attended + 3, 1) == 0);
}

TEST_CASE("a head is dead that is silent for 95 % of the tokens")
{
    tensor<float> out({2, 4, 50, 3}, 1.f);
    const auto silence = [&](int64 head, int64 tokens_of_100, float level) {
        for (int64 t = 0; t < tokens_of_100; ++t)
            std::fill_n(out.view().row(t % 2, head, t / 2), 3, t % 3 ? level : -level);
    };
    silence(1, 94, 0);
    silence(2, 95, 9e-7f);
    silence(3, 100, 2e-6f);
    REQUIRE(heed::silent_tokens(out.view(), 0) == 0);
    REQUIRE(heed::silent_tokens(out.view(), 1) == 94);
    REQUIRE(heed::silent_tokens(out.view(), 2) == 95);
    REQUIRE(heed::silent_tokens(out.view(), 3) == 0);
    REQUIRE(heed::dead_heads(out.view()) == 1);
    REQUIRE(heed::dead_heads(out.view(), 1e-2) == 2);
    REQUIRE(heed::dead_heads(out.view(), 1e-2, 0.94) == 3);
    out.view().row(1, 2, 0)[2] = std::numeric_limits<float>::quiet_NaN();  // it was silent
    REQUIRE(heed::silent_tokens(out.view(), 2) == 94);
    REQUIRE(heed::dead_heads(heed::bhsd<const float>(nullptr, {0, 4, 50, 3})) == 0);
}

namespace {

template <class E>
heed::moments moments_of(const std::vector<E>& x)
{
    heed::moments m;
    m.add(x.data(), static_cast<int64>(x.size()));
    return m;
}

}  // namespace

TEST_CASE("kurtosis is m4 / m2^2 of the population")
{
    REQUIRE(moments_of<double>({-1, 1, -1, 1}).kurtosis() == 1);
    REQUIRE(moments_of<float>({0, 0, 0, 4}).kurtosis() == Approx(21. / 9));  // mean 1: (3 + 81) / 4 over (12 / 4)^2
    for (const double undefined :
         {moments_of<float>({2, 2, 2}).kurtosis(), heed::moments{}.kurtosis(), heed::moments{}.variance()})
        REQUIRE((std::isnan(undefined) && !std::signbit(undefined)));  // 0 / 0 would be negative on x86
    const heed::moments m = moments_of(normal<heed::bf16>({1, 1, 1, 200000}, 1, 3).data);
    REQUIRE(m.kurtosis() == Approx(3).epsilon(0.02));  // 5 standard deviations of it: sqrt(24 / n) each
    REQUIRE(m.variance() == Approx(9).epsilon(0.02));
    REQUIRE((m.count() == 200000 && m.lowest() < -11 && m.highest() > 11));
}

TEST_CASE("pooled moments do not depend on how numbers come, and hold far from 0 and with outliers")
{
    std::vector<double> x = normal<double>({1, 1, 1, 50001}, 2).data;
    for (std::size_t i = 0; i < x.size(); i += 5000) x[i] *= 300;  // massive activations
    for (double& v : x) v += 1e6;
    long double mean = 0, m2 = 0, m4 = 0;
    for (const double v : x) mean += v;
    mean /= static_cast<long double>(x.size());
    for (const double v : x) {
        const long double d = v - mean;
        m2 += d * d;
        m4 += d * d * d * d;
    }
    const auto exact = static_cast<double>(m4 / m2 / m2 * static_cast<long double>(x.size()));
    REQUIRE(exact > 1000);
    REQUIRE(moments_of(x).kurtosis() == Approx(exact).epsilon(1e-12));
    heed::moments pieces, other;
    for (std::size_t at = 0; at < x.size();) {
        const std::size_t n = std::min(x.size() - at, at * at % 997);  // 0 too
        (at % 2 ? pieces : other).add(x.data() + at, static_cast<int64>(n));
        at += std::max<std::size_t>(n, 1);
        if (n == 0) pieces.add(x.data() + at - 1, 1);
    }
    pieces.join(other);
    pieces.join(heed::moments{});
    REQUIRE(pieces.count() == int64{50001});
    REQUIRE(pieces.kurtosis() == Approx(exact).epsilon(1e-12));
    REQUIRE(pieces.mean() == Approx(static_cast<double>(mean)).epsilon(1e-15));
    REQUIRE(pieces.highest() == *std::max_element(x.begin(), x.end()));
    REQUIRE(pieces.lowest() == *std::min_element(x.begin(), x.end()));
}

TEMPLATE_TEST_CASE("the n-th magnitude is that of sorted magnitudes", "", float, double, heed::bf16, heed::f16)
{
    using T = heed::compute_t<TestType>;
    std::vector<TestType> x = normal<TestType>({1, 1, 1, 1001}, 3).data;
    x[7] = TestType(T(0));
    x[8] = TestType(-std::numeric_limits<T>::infinity());
    std::vector<T> sorted;
    for (const TestType v : x) sorted.push_back(std::fabs(static_cast<T>(v)));
    std::sort(sorted.begin(), sorted.end());
    for (const int64 rank : {0, 1, 250, 500, 999, 1000})
        REQUIRE(static_cast<T>(heed::nth_magnitude(x.data(), 1001, rank)) == sorted[static_cast<std::size_t>(rank)]);
}

TEST_CASE("massive activations are above 100 and a thousand times the median magnitude")
{
    std::vector<float> x(1000, 0.1f);
    std::fill_n(x.begin(), 300, -0.05f);
    x[3] = 100;      // not above
    x[4] = -100.5f;  // massive
    x[500] = 2000;
    auto found = heed::find_massive(x.data(), 1000);
    REQUIRE((found.count == 2 && found.largest == 2000 && found.median == double{0.1f}));
    x[4] = -99.5f;
    REQUIRE(heed::find_massive(x.data(), 1000).count == 1);
    std::fill_n(x.begin() + 600, 400, 1.f);
    std::fill_n(x.begin() + 5, 101, 1.f);  // the median is 1 now
    found = heed::find_massive(x.data(), 1000);
    REQUIRE((found.median == 1 && found.count == 1));
    x[500] = 900;
    REQUIRE(heed::find_massive(x.data(), 1000).count == 0);
    REQUIRE(heed::find_massive(x.data(), 1000, 100, 800).count == 1);
    REQUIRE(heed::find_massive(x.data(), 1000, 50, 90).count == 3);
    x[0] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(std::isnan(heed::find_massive(x.data(), 1000).largest));
    REQUIRE(heed::find_massive(x.data(), 0).count == 0);
    const float four[] = {3, -1, 4, -2};
    REQUIRE(heed::find_massive(four, 4).median == 2);  // the lower one of the middle
}
