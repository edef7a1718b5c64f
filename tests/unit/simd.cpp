// SPDX-License-Identifier: MIT
// What kernels and policies rely on in engine/simd/, and packing in transpose.hpp, on whatever machine this is compiled
// for.
#include <heed/engine/micro/transpose.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace {

template <class T>
using V = heed::simd::vec<T>;

template <class T>
std::vector<T> lanes_of(V<T> v)
{
    std::vector<T> x(static_cast<std::size_t>(V<T>::lanes));
    heed::simd::store(x.data(), v);
    return x;
}

template <class T>
V<T> counted(T first, T step = 1)
{
    T x[V<T>::lanes];
    for (int i = 0; i < V<T>::lanes; ++i) x[i] = first + step * static_cast<T>(i);
    return heed::simd::load(x);
}

bool same(double a, double b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

}  // namespace

TEMPLATE_TEST_CASE("fma rounds once, or product and sum round one after the other", "", float, double)
{
    using T = TestType;
    const T e = std::numeric_limits<T>::epsilon(), a = 1 + 3 * e;
    const T expected = heed::simd::native_arch::rounds_once ? std::fma(a, a, T(-1)) : 6 * e;
    for (const T x : lanes_of(heed::fma(V<T>(a), V<T>(a), V<T>(-1)))) REQUIRE(x == expected);
    REQUIRE(std::fma(a, a, T(-1)) != 6 * e);
}

TEMPLATE_TEST_CASE("max and min keep a NaN of the first argument and no other", "", float, double)
{
    using T = TestType;
    const V<T> nan(std::numeric_limits<T>::quiet_NaN()), one(1), two(2);
    for (const T x : lanes_of(heed::max(nan, one))) REQUIRE(std::isnan(x));
    for (const T x : lanes_of(heed::min(nan, one))) REQUIRE(std::isnan(x));
    for (const T x : lanes_of(heed::max(one, nan))) REQUIRE(x == 1);
    for (const T x : lanes_of(heed::min(one, nan))) REQUIRE(x == 1);
    for (const T x : lanes_of(heed::max(one, two))) REQUIRE(x == 2);
    for (const T x : lanes_of(heed::min(one, two))) REQUIRE(x == 1);
}

TEMPLATE_TEST_CASE("abs, copysign, negation and division do what IEEE says, zeros included", "", float, double)
{
    using T = TestType;
    for (const T x : lanes_of(-V<T>(T(0)))) REQUIRE(same(x, -0.0));
    for (const T x : lanes_of(heed::abs(V<T>(T(-0.0))))) REQUIRE(same(x, 0.0));
    for (const T x : lanes_of(heed::copysign(V<T>(3), V<T>(T(-0.0))))) REQUIRE(x == -3);
    for (T d = 1; d < 200; d += 1)
        for (const T x : lanes_of(V<T>(1) / V<T>(d))) REQUIRE(x == 1 / d);
}

TEMPLATE_TEST_CASE("round takes the nearest whole number, ties to even", "", float, double)
{
    using T = TestType;
    for (T x = -4; x <= 4; x += T(0.125))
        for (const T got : lanes_of(heed::simd::round(V<T>(x)))) REQUIRE(got == std::nearbyint(x));
}

TEMPLATE_TEST_CASE("powers of two are exact down to the smallest subnormal, 0 below, NaN for NaN", "", float, double)
{
    using T = TestType;
    using L = std::numeric_limits<T>;
    const int low = L::min_exponent - L::digits, high = L::max_exponent - 1;  // 2^low is the smallest subnormal
    for (int n = low - 3; n <= high; ++n)
        for (const T x : lanes_of(heed::simd::power_of_two(V<T>(static_cast<T>(n)))))
            REQUIRE(same(x, std::ldexp(T(1), n)));
    for (const T x : lanes_of(heed::simd::power_of_two(V<T>(-L::max())))) REQUIRE(same(x, 0.0));
    for (const T x : lanes_of(heed::simd::power_of_two(V<T>(L::quiet_NaN())))) REQUIRE(std::isnan(x));
}

TEMPLATE_TEST_CASE("partial loads and stores touch their elements alone", "", float, double)
{
    using T = TestType;
    constexpr int lanes = V<T>::lanes;
    for (int n = 0; n < lanes; ++n) {
        const std::vector<T> in(static_cast<std::size_t>(n), T(5));  // sanitizers watch its end
        const auto x = lanes_of(heed::simd::load_n(in.data(), n));
        std::vector<T> out(static_cast<std::size_t>(lanes), T(9));
        heed::simd::store_n(out.data(), counted<T>(1), n);
        for (int i = 0; i < lanes; ++i) {
            REQUIRE(x[static_cast<std::size_t>(i)] == (i < n ? 5 : 0));
            REQUIRE(out[static_cast<std::size_t>(i)] == (i < n ? static_cast<T>(i + 1) : 9));
        }
    }
}

TEMPLATE_TEST_CASE("lanes are selected by masks and by bits", "", float, double)
{
    using T = TestType;
    const V<T> count = counted<T>(0);
    const auto by_mask = lanes_of(heed::select(count > V<T>(1) & count < V<T>(3), V<T>(7), V<T>(8)));
    for (std::uint32_t bits : {0u, 1u, 0x5u, 0xau, 0xffffffffu}) {
        const auto by_bits = lanes_of(heed::simd::select_bits(bits, V<T>(7), V<T>(8)));
        for (std::size_t i = 0; i < by_bits.size(); ++i) REQUIRE(by_bits[i] == ((bits >> i) & 1 ? 7 : 8));
    }
    for (std::size_t i = 0; i < by_mask.size(); ++i) REQUIRE(by_mask[i] == (i == 2 ? 7 : 8));
}

TEMPLATE_TEST_CASE("sums go by halves, and the largest lane is found wherever it is", "", float, double)
{
    using T = TestType;
    constexpr int lanes = V<T>::lanes;
    T x[lanes];
    for (int i = 0; i < lanes; ++i) x[i] = std::ldexp(T(1) + static_cast<T>(i) / 64, (i * 7) % 23);
    T expected[lanes];
    std::copy_n(x, lanes, expected);
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) expected[i] += expected[i + half];
    REQUIRE(heed::simd::sum_by_halves(heed::simd::load(x)) == expected[0]);
    for (int i = 0; i < lanes; ++i) {
        std::fill_n(x, lanes, T(-3));
        x[i] = -2;
        REQUIRE(heed::simd::largest(heed::simd::load(x)) == -2);
    }
}

namespace {

template <int By, class T>
void check_exchange()
{
    constexpr int lanes = V<T>::lanes;
    if constexpr (By < lanes) {
        T x[lanes], y[lanes];
        for (int i = 0; i < lanes; ++i) x[i] = static_cast<T>(i + 1);
        heed::simd::store(y, heed::simd::exchange<By>(heed::simd::load(x)));
        for (int i = 0; i < lanes; ++i) REQUIRE(y[i] == static_cast<T>((i ^ By) + 1));
    }
}

}  // namespace

TEMPLATE_TEST_CASE("lanes are exchanged with those whose number differs in one bit", "", float, double)
{
    check_exchange<1, TestType>();
    check_exchange<2, TestType>();
    check_exchange<4, TestType>();
    check_exchange<8, TestType>();
}

namespace {

/// Rows of E that are `stride` elements apart, of which each has another number, mod 97; not an element more than are
/// read.
template <class U, class E>
void check_transposition()
{
    using keys = heed::micro::transposed<U, E>;
    constexpr int rows = heed::simd::vec<U>::lanes, step = 3 * keys::channels + 5, first = keys::channels;
    std::vector<E> in(static_cast<std::size_t>((rows - 1) * step + first + keys::channels));
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = E(static_cast<float>(i % 97));
    const keys t(in.data(), first, step);
    for (int c = 0; c < keys::channels; ++c) {
        U lane[rows];
        heed::simd::store(lane, t[c / heed::elements_of<U>]);
        for (int i = 0; i < rows; ++i) {
            const E expected = in[static_cast<std::size_t>(i * step + first + c)];
            if constexpr (heed::elements_of<U> == 2)
                REQUIRE(float(c % 2 == 0 ? lane[i].first : lane[i].second) == float(expected));
            else REQUIRE(lane[i] == static_cast<U>(expected));
        }
    }
}
}  // namespace

TEST_CASE("a transposition puts one row in each lane")
{
    check_transposition<float, float>();
    check_transposition<double, double>();
    check_transposition<float, heed::bf16>();
    check_transposition<float, heed::f16>();
    check_transposition<float, std::int8_t>();
    check_transposition<float, heed::fp8_e4m3>();
    check_transposition<float, heed::fp8_e5m2>();
    const auto of_pairs = [](auto exist) {
        if constexpr (exist.value)
            check_transposition<std::conditional_t<exist.value, heed::bf16_pair, float>, heed::bf16>();
    };
    of_pairs(std::bool_constant<heed::simd::has_bf16_dots>{});
}
