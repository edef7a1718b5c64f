// SPDX-License-Identifier: MIT
// The exponential: every float from -104 to 0, and what surrounds them.
#include <heed/heed.hpp>

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace {

/// The error of `got` in units in the last place of T at `exact`.
template <class T>
double ulps(T got, long double exact)
{
    int exponent;
    std::frexp(exact, &exponent);
    exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
    return static_cast<double>(std::fabs(got - exact) * std::ldexp(1.0L, std::numeric_limits<T>::digits - exponent));
}

template <class T, class F>
std::vector<T> through_vectors(std::vector<T> x, F f)
{
    constexpr std::size_t lanes = heed::simd::vec<T>::lanes;
    x.resize((x.size() + lanes - 1) / lanes * lanes);
    for (std::size_t i = 0; i < x.size(); i += lanes) heed::simd::store(&x[i], f(heed::simd::load(&x[i])));
    return x;
}

struct worst_case {
    double ulps = 0;
    float at = 0;
    bool same = true;  // exp_neg_abs(s), exp_neg_abs(-s) and exp(s)
};

/// The floats whose bits are [first, last], compared with the double exponential of the C library.
worst_case worst_of(std::uint32_t first, std::uint32_t last)
{
    constexpr std::uint32_t lanes = heed::simd::vec<float>::lanes;
    worst_case worst;
    for (std::uint32_t x = first; x <= last; x += lanes) {
        float in[lanes], out[lanes], falling[lanes], mirrored[lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) in[i] = std::bit_cast<float>(std::min(x + i, last));
        heed::simd::store(out, heed::exp(heed::simd::load(in)));
        heed::simd::store(falling, heed::exp_neg_abs(heed::simd::load(in)));
        heed::simd::store(mirrored, heed::exp_neg_abs(-heed::simd::load(in)));
        worst.same =
            worst.same && std::memcmp(out, falling, sizeof(out)) == 0 && std::memcmp(out, mirrored, sizeof(out)) == 0;
        for (std::uint32_t i = 0; i < lanes; ++i) {
            const double exact = std::exp(static_cast<double>(in[i]));
            // The unit of float at `exact`: its exponent field, 23 binary digits down, and no less than 2^-149.
            const std::uint64_t field = std::bit_cast<std::uint64_t>(exact) >> 52;
            const double per_ulp =
                std::bit_cast<double>((2 * 1023 + 23 - std::max<std::uint64_t>(field, 1023 - 126)) << 52);
            const double error = std::fabs(static_cast<double>(out[i]) - exact) * per_ulp;
            if (!(error <= worst.ulps)) worst = {error, in[i], worst.same};
        }
    }
    return worst;
}

}  // namespace

TEST_CASE("e^s errs by at most 1 ulp for every float from -104 to 0, and e^-|s| has its bits", "[exhaustive]")
{
    const std::uint32_t first = std::bit_cast<std::uint32_t>(-0.0f), last = std::bit_cast<std::uint32_t>(-104.0f);
    const std::uint32_t n = std::max(1u, std::thread::hardware_concurrency()), parts = 4 * n;
    std::vector<worst_case> worst(parts);
    std::vector<std::thread> threads;
    for (std::uint32_t t = 0; t < n; ++t)
        threads.emplace_back([&, t] {
            for (std::uint32_t part = t; part < parts; part += n) {
                const auto at = [&](std::uint64_t i) {
                    return first + static_cast<std::uint32_t>(std::uint64_t{last - first} * i / parts);
                };
                worst[part] = worst_of(at(part), at(part + 1));
            }
        });
    for (std::thread& t : threads) t.join();
    worst_case all;
    bool same = true;
    for (const worst_case& w : worst) {
        same = same && w.same;
        if (!(w.ulps <= all.ulps)) all = w;
    }
    std::printf("exp: every float in [-104, 0], largest error %.4f ulp at %.9g\n", all.ulps,
                static_cast<double>(all.at));
    REQUIRE(all.ulps <= 1.0);
    REQUIRE(all.ulps > 0.5);  // or nothing was compared
    REQUIRE(same);
}

TEST_CASE("e^s and e^s - 1 err by a few ulp over the whole range, in float and double")
{
    const auto check = [](auto zero, double bound) {
        using T = decltype(zero);
        std::mt19937_64 random(1);
        std::vector<T> x;
        const T top = std::log(std::numeric_limits<T>::max());
        for (int i = 0; i < 200000; ++i) x.push_back(std::uniform_real_distribution<T>(-top - 60, top)(random));
        for (int i = 0; i < 200000; ++i) x.push_back(std::normal_distribution<T>(0, 1)(random));
        for (int i = 0; i < 200000; ++i)
            x.push_back(std::ldexp(std::normal_distribution<T>(0, 1)(random), -static_cast<int>(random() % 60)));
        const std::vector<T> e = through_vectors(x, [](auto v) { return heed::exp(v); });
        const std::vector<T> m = through_vectors(x, [](auto v) { return heed::expm1(v); });
        CHECK(through_vectors(x, [](auto v) { return heed::exp_neg_abs(v); }) ==
              through_vectors(x, [](auto v) { return heed::exp(-heed::abs(v)); }));
        const std::vector<T> p = through_vectors(x, [](auto v) { return heed::logistic(v); });
        double worst_e = 0, worst_m = 0, worst_p = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const long double s = x[i];
            worst_e = std::max(worst_e, ulps(e[i], std::exp(s)));
            worst_m = std::max(worst_m, ulps(m[i], std::expm1(s)));
            worst_p = std::max(worst_p, ulps(p[i], 1 / (1 + std::exp(-s))));
            worst_p = std::max(worst_p, ulps(heed::logistic(x[i]), 1 / (1 + std::exp(-s))));
        }
        CHECK(worst_p <= 2.5 * bound);  // of e^-|s|, of the sum, of the quotient
        CHECK(worst_e <= bound);
        CHECK(worst_m <= 2 * bound);
    };
    check(0.0f, 1.0);
    check(0.0, 1.0);
}

TEST_CASE("e^s is infinite above its range, zero below, and keeps NaN")
{
    const auto check = [](auto zero) {
        using T = decltype(zero);
        const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
        const T top = std::log(std::numeric_limits<T>::max());
        const std::vector<T> x{-inf,    -std::numeric_limits<T>::max(), -2 * top, T(0),
                               2 * top, std::numeric_limits<T>::max(),  inf,      nan};
        const std::vector<T> e = through_vectors(x, [](auto v) { return heed::exp(v); });
        const std::vector<T> m = through_vectors(x, [](auto v) { return heed::expm1(v); });
        const std::vector<T> p = through_vectors(x, [](auto v) { return heed::logistic(v); });
        const std::vector<T> falling = through_vectors(x, [](auto v) { return heed::exp_neg_abs(v); });
        const T expected[] = {0, 0, 0, 1, inf, inf, inf};
        for (std::size_t i = 0; i < 7; ++i) {
            CAPTURE(x[i]);
            CHECK(e[i] == expected[i]);
            CHECK(m[i] == expected[i] - 1);
            CHECK(falling[i] == (x[i] == 0 ? 1 : 0));
            CHECK(p[i] == (x[i] < 0 ? T(0) : x[i] > 0 ? T(1) : T(0.5)));
        }
        CHECK(std::isnan(p[7]));
        CHECK(std::isnan(falling[7]));
        CHECK(std::isnan(e[7]));
        CHECK(std::isnan(m[7]));
    };
    check(0.0f);
    check(0.0);
}
