// SPDX-License-Identifier: MIT
// The logarithm: every significand of four octaves around 1, the rest of the range, and what has no logarithm.
#include <heed/engine/simd/log.hpp>
#include <heed/heed.hpp>

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

namespace {

/// The error of `got` in units in the last place of T at `exact`.
template <class T, class Real>
double ulps(T got, Real exact)
{
    if (exact == 0) return got == 0 ? 0 : std::numeric_limits<double>::infinity();
    const int exponent = std::max(std::ilogb(exact) + 1, std::numeric_limits<T>::min_exponent);
    return static_cast<double>(std::fabs(got - exact) * std::ldexp(Real(1), std::numeric_limits<T>::digits - exponent));
}

/// ln of numbers, whose count is a multiple of a register's lanes.
template <class T>
std::vector<T> logs(const std::vector<T>& x)
{
    std::vector<T> y(x.size());
    for (std::size_t i = 0; i < x.size(); i += heed::simd::vec<T>::lanes)
        heed::simd::store(&y[i], heed::log(heed::simd::load(&x[i])));
    return y;
}

template <class T, class Real>
double worst_of(const std::vector<T>& x)
{
    const std::vector<T> y = logs(x);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double error = ulps(y[i], std::log(static_cast<Real>(x[i])));
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

}  // namespace

TEST_CASE("ln x errs by at most 1 ulp for every float from 1/4 to 4", "[exhaustive]")
{
    const std::uint32_t first = std::bit_cast<std::uint32_t>(0.25f), last = std::bit_cast<std::uint32_t>(4.f);
    constexpr std::uint32_t some = 1 << 16;
    double worst = 0;
    for (std::uint32_t b = first; b <= last; b += some) {
        std::vector<float> x(some);
        for (std::uint32_t i = 0; i < some; ++i) x[i] = std::bit_cast<float>(b + i);
        worst = std::max(worst, worst_of<float, double>(x));
    }
    std::printf("log: every float in [1/4, 4], largest error %.4f ulp\n", worst);
    REQUIRE(worst <= 1.0);
    REQUIRE(worst > 0.5);  // or nothing was compared
}

TEST_CASE("ln x errs by at most 1 ulp over the whole range, subnormal numbers and numbers near 1 too")
{
    const auto check = [](auto zero) {
        using T = decltype(zero);
        using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
        std::mt19937_64 random(1);
        const auto infinity = std::bit_cast<bits>(std::numeric_limits<T>::infinity());
        const auto normal = std::bit_cast<bits>(std::numeric_limits<T>::min());
        std::vector<T> x;
        for (int i = 0; i < 400000; ++i)
            x.push_back(std::bit_cast<T>(static_cast<bits>(1 + random() % (infinity - 1))));
        for (int i = 0; i < 100000; ++i) x.push_back(std::bit_cast<T>(static_cast<bits>(1 + random() % normal)));
        for (bits i = 0; i < 1024; ++i) x.push_back(std::bit_cast<T>(i + 1));  // the smallest
        for (bits i = 0; i < 1024; ++i) x.push_back(std::bit_cast<T>(infinity - 1 - i));
        for (int i = 0; i < 100000; ++i) x.push_back(1 + std::ldexp(T(1), -static_cast<int>(random() % 50)));
        for (int i = 0; i < 400000; ++i) x.push_back(std::uniform_real_distribution<T>(T(0.6), T(1.6))(random));
        const double worst = worst_of<T, long double>(x);
        std::printf("log: the whole range of %d bits, largest error %.4f ulp\n", int{8 * sizeof(T)}, worst);
        REQUIRE(worst <= 1.0);
    };
    check(0.f);
    check(0.);
}

TEST_CASE("ln of 1 is 0, of 0 -inf, of infinity infinite, and there is none of negative numbers")
{
    const auto check = [](auto zero) {
        using T = decltype(zero);
        const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
        const std::vector<T> y = logs<T>({1, 0, T(-0.), inf, nan, -1, -std::numeric_limits<T>::denorm_min(), -inf,  //
                                          1, 1, 1, 1, 1, 1, 1, 1});
        REQUIRE((y[0] == 0 && !std::signbit(y[0])));
        REQUIRE((y[1] == -inf && y[2] == -inf && y[3] == inf));
        for (std::size_t i = 4; i < 8; ++i) REQUIRE(std::isnan(y[i]));
    };
    check(0.f);
    check(0.);
}
