// SPDX-License-Identifier: MIT
// Every function of engine/simd/, and every one that an instruction set overrides, has the bits of arch/portable.hpp,
// lane by lane, for the numbers that are hard. NaN is NaN, whatever its bits. (Compiled with HEED_PORTABLE there is
// nothing to compare: simd.cpp says what portable.hpp does.)
#include "guarded.hpp"

#include <heed/engine/simd/bf16_pairs.hpp>
#include <heed/engine/simd/element_lanes.hpp>
#include <heed/engine/simd/exp.hpp>
#include <heed/engine/simd/log.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace {

using native = heed::simd::native_arch;
using portable = heed::simd::machine::portable<4 * heed::simd::vec<float>::lanes>;

// Where a machine multiplies and then adds, what is computed by fma has bits of its own.
constexpr bool rounds_once = native::rounds_once;

template <class T>
constexpr int lanes = heed::simd::vec<T>::lanes;
static_assert(heed::simd::vec<float, portable>::lanes == lanes<float> &&
              heed::simd::vec<double, portable>::lanes == lanes<double>);

template <class T>
bool same(T a, T b)
{
    return (a != a && b != b) || std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// How many lanes differ; says which is the first, and of what inputs.
template <class T, class A, class... In>
int differing(heed::simd::vec<T, A> got, heed::simd::vec<T, portable> expected, const In*... in)
{
    T x[lanes<T>], y[lanes<T>];
    heed::simd::store(x, got);
    heed::simd::store(y, expected);
    int count = 0;
    for (int i = 0; i < lanes<T>; ++i) {
        if (same(x[i], y[i])) continue;
        if (count++ == 0) {
            std::string text;
            ((text += " " + Catch::Detail::stringify(double(in[i]))), ...);
            UNSCOPED_INFO("lane " << i << " of" << text << ": " << x[i] << " instead of " << y[i]);
        }
    }
    return count;
}

/// Numbers that are hard, and some of all bit patterns; a multiple of all registers.
template <class T>
std::vector<T> numbers()
{
    using L = std::numeric_limits<T>;
    const T large = std::ldexp(T(1), L::digits - 1);
    std::vector<T> x;
    for (const T m : {T(0), L::denorm_min(), L::min() - L::denorm_min(), L::min(), L::epsilon(), T(0.5), T(1), T(1.5),
                      T(2.5), T(3), large - T(0.5), large, large + 1, L::max(), L::infinity()}) {
        x.push_back(m);
        x.push_back(-m);
    }
    x.push_back(L::quiet_NaN());
    x.push_back(-L::quiet_NaN());
    std::mt19937_64 random(1);
    for (int i = 0; i < 16; ++i) {  // of ordinary size
        x.push_back(static_cast<T>(std::ldexp(static_cast<double>(random()), -64)) * 200 - 100);
        const auto b = static_cast<heed::simd::arch::bits_t<T>>(random());
        x.push_back(heed::simd::arch::from_bits<T>(b));
    }
    return x;
}

/// f(a, b) for registers of all pairs of hard numbers; f(p, q, r) of some triples, in the same way.
template <class T, class F>
void for_pairs(F f)
{
    const std::vector<T> x = numbers<T>();
    static_assert(64 % lanes<T> == 0);
    REQUIRE(x.size() == 64);
    for (std::size_t shift = 0; shift < x.size(); ++shift)
        for (std::size_t i = 0; i < x.size(); i += lanes<T>) {
            T a[lanes<T>], b[lanes<T>];
            for (std::size_t j = 0; j < lanes<T>; ++j) a[j] = x[i + j], b[j] = x[(i + j + shift) % x.size()];
            f(a, b);
        }
}
template <class T, class F>
void for_triples(F f)
{
    const std::vector<T> x = numbers<T>();
    for (std::size_t shift = 0; shift < x.size(); ++shift)
        for_pairs<T>([&](const T* a, const T* b) {
            T c[lanes<T>];
            for (std::size_t j = 0; j < lanes<T>; ++j) c[j] = x[(shift + 5 * j) % x.size()];
            f(a, b, c);
        });
}

/// f(any machine, registers of the inputs) -> vec: the same of both.
template <class T, class F, class... In>
int compare(F f, const In*... in)
{
    return differing(f(heed::simd::load<native>(in)...), f(heed::simd::load<portable>(in)...), in...);
}

template <class F>
void of_one(F f)
{
    const auto with = [&](auto t) {
        using T = decltype(t);
        int wrong = 0;
        for_pairs<T>([&](const T* a, const T*) { wrong += compare<T>(f, a); });
        REQUIRE(wrong == 0);
    };
    with(0.f);
    with(0.);
}
template <class F>
void of_two(F f)
{
    const auto with = [&](auto t) {
        using T = decltype(t);
        int wrong = 0;
        for_pairs<T>([&](const T* a, const T* b) { wrong += compare<T>(f, a, b); });
        REQUIRE(wrong == 0);
    };
    with(0.f);
    with(0.);
}
template <class F>
void of_three(F f)
{
    const auto with = [&](auto t) {
        using T = decltype(t);
        int wrong = 0;
        for_triples<T>([&](const T* a, const T* b, const T* c) { wrong += compare<T>(f, a, b, c); });
        REQUIRE(wrong == 0);
    };
    with(0.f);
    with(0.);
}

/// 1 where a comparison holds, as a register.
template <class T, class A>
heed::simd::vec<T, A> outcome(heed::simd::lane_mask<T, A> m)
{
    return heed::select(m, heed::simd::vec<T, A>(1), heed::simd::vec<T, A>(0));
}

}  // namespace

TEST_CASE("arithmetic has the bits of the portable machine")
{
    of_two([](auto a, auto b) { return a + b; });
    of_two([](auto a, auto b) { return a - b; });
    of_two([](auto a, auto b) { return a * b; });
    of_two([](auto a, auto b) { return a / b; });
    of_two([](auto a, auto b) { return heed::max(a, b); });
    of_two([](auto a, auto b) { return heed::min(a, b); });
    of_two([](auto a, auto b) { return heed::copysign(a, b); });
    of_one([](auto a) { return -a; });
    of_one([](auto a) { return heed::abs(a); });
    of_one([](auto a) { return heed::simd::round(a); });
    of_one([](auto a) { return heed::simd::in_register(a); });
    if (rounds_once) {
        of_three([](auto a, auto b, auto c) { return heed::fma(a, b, c); });
        of_three([](auto a, auto b, auto c) {
            heed::simd::accumulate(c, a, b);
            return c;
        });
        of_three([]<class T, class A>(heed::simd::vec<T, A> a, heed::simd::vec<T, A> b, heed::simd::vec<T, A> c) {
            T of_first[lanes<T>];
            heed::simd::store(of_first, a);
            heed::simd::accumulate(c, heed::simd::lane_factor<T, A>(of_first[0]), b);
            return c;
        });
    }
}

TEST_CASE("a number of memory is repeated in all lanes")
{
    alignas(16) float x[16];
    for (int i = 0; i < 16; ++i) x[i] = static_cast<float>(i) - 0.5f;
    for (int i = 0; i < 16; ++i)
        REQUIRE(differing(heed::simd::repeat<native>(x, i), heed::simd::vec<float, portable>(x[i])) == 0);
}

TEST_CASE("comparisons, and what they select, are those of the portable machine")
{
    of_two([](auto a, auto b) { return outcome(a < b); });
    of_two([](auto a, auto b) { return outcome(a > b); });
    of_two([](auto a, auto b) { return outcome(a <= b); });
    of_two([](auto a, auto b) { return outcome(a >= b); });
    of_two([](auto a, auto b) { return outcome(a == b); });
    of_three([](auto a, auto b, auto c) { return outcome((a < b) & (b < c)); });
    of_three([](auto a, auto b, auto c) { return outcome((a < b) | (b < c)); });
    of_three([](auto a, auto b, auto c) { return heed::select(a < b, b, c); });
    of_two([](auto a, auto b) { return decltype(a)(heed::simd::all(a == b) ? 1 : 0); });
    of_one([](auto a) { return decltype(a)(heed::simd::all(a == a) ? 1 : 0); });
}

TEMPLATE_TEST_CASE("exponents are those of the portable machine", "", float, double)
{
    using T = TestType;
    using L = std::numeric_limits<T>;
    int wrong = 0;
    const auto power = [](auto n) { return heed::simd::power_of_two(n); };
    const auto in_range = [](auto n) { return heed::simd::power_of_two_unclamped(n); };
    T n[lanes<T>];
    for (int first = L::min_exponent - L::digits - 40; first + lanes<T> <= L::max_exponent; ++first) {
        for (int i = 0; i < lanes<T>; ++i) n[i] = static_cast<T>(first + i);
        wrong += compare<T>(power, n);
        if (first >= L::min_exponent - 1) wrong += compare<T>(in_range, n);
    }
    for (const T special : {L::quiet_NaN(), -L::infinity(), -L::max()}) {
        std::fill_n(n, lanes<T>, special);
        wrong += compare<T>(power, n);
    }
    REQUIRE(wrong == 0);

    std::mt19937_64 random(2);
    const auto split = [&](const T* x) {
        heed::simd::vec<T, native> e;
        heed::simd::vec<T, portable> expected;
        wrong += differing(heed::simd::split_exponent(heed::simd::load<native>(x), e),
                           heed::simd::split_exponent(heed::simd::load<portable>(x), expected), x);
        wrong += differing(e, expected, x);
    };
    for (int k = 0; k < 20000; ++k) {
        T x[lanes<T>];
        for (T& each : x) {  // all bits but the sign's, of what is positive and finite
            do {
                each = std::abs(heed::simd::arch::from_bits<T>(static_cast<heed::simd::arch::bits_t<T>>(random())));
            } while (!(each > 0 && each <= L::max()));
            if (k % 4 == 0) each = std::ldexp(std::sqrt(T(0.5)), k % 40 - 20);  // where the fraction turns
            if (k % 4 == 1) each = std::nextafter(std::ldexp(std::sqrt(T(0.5)), k % 40 - 20), T(random() % 2));
            if (k % 4 == 2) each = L::denorm_min() * static_cast<T>(1 + random() % 1000);
        }
        split(x);
    }
    REQUIRE(wrong == 0);
}

TEST_CASE("the exponential and the logarithm have the bits of the portable machine")
{
    if (!rounds_once) return;
    of_one([](auto a) { return heed::exp(a); });
    of_one([](auto a) { return heed::expm1(a); });
    of_one([](auto a) { return heed::exp_neg_abs(a); });
    of_one([](auto a) { return heed::logistic(a); });
    of_one([](auto a) { return heed::tanh(a); });
    of_one([](auto a) { return heed::log(a); });
}

TEMPLATE_TEST_CASE("bits of lanes and lanes of bits are those of the portable machine", "", float, double)
{
    using T = TestType;
    int wrong = 0;
    for (std::uint32_t k = 0; k < (1u << lanes<T>); ++k)
        wrong +=
            compare<T>([k](auto a) { return heed::simd::select_bits(k | 0xfff00000u, a, -a); }, numbers<T>().data());
    for_pairs<T>([&](const T* a, const T*) {
        wrong += heed::simd::nonzero_bits(heed::simd::load<native>(a)) !=
                 heed::simd::nonzero_bits(heed::simd::load<portable>(a));
    });
    REQUIRE(wrong == 0);
}

TEMPLATE_TEST_CASE("lanes are compared, chosen and widened as on the portable machine", "", float, double)
{
    using T = TestType;
    int wrong = 0;
    for_pairs<T>([&](const T* a, const T* b) {
        const auto x = heed::simd::load<native>(a), y = heed::simd::load<native>(b);
        const auto p = heed::simd::load<portable>(a), q = heed::simd::load<portable>(b);
        const std::uint32_t bits = heed::simd::above_bits(p, q);
        wrong += heed::simd::above_bits(x, y) != bits;
        T chosen[lanes<T>], expected[lanes<T>];
        heed::simd::store_chosen(chosen, x, bits);
        heed::simd::store_chosen(expected, p, bits);
        for (int i = 0; i < __builtin_popcount(bits); ++i) wrong += !same(chosen[i], expected[i]);
        if constexpr (sizeof(T) == sizeof(float))
            for (const int half : {0, 1}) {
                double got[lanes<double>];
                heed::simd::store(got, heed::simd::widened_half(x, half));
                for (int i = 0; i < lanes<double>; ++i)
                    wrong += !same(got[i], static_cast<double>(a[half * lanes<double> + i]));
            }
    });
    REQUIRE(wrong == 0);
}

TEST_CASE("lanes are exchanged as on the portable machine")
{
    const auto by = [](auto stride) {
        constexpr int differs = decltype(stride)::value;
        of_one([](auto a) {
            if constexpr (differs < decltype(a)::lanes) return heed::simd::exchange<differs>(a);
            else return a;
        });
    };
    by(std::integral_constant<int, 1>{});
    by(std::integral_constant<int, 2>{});
    by(std::integral_constant<int, 4>{});
    by(std::integral_constant<int, 8>{});
}

TEMPLATE_TEST_CASE("sums and the largest lane are those of the portable machine", "", float, double)
{
    using T = TestType;
    int wrong = 0;
    for_pairs<T>([&](const T* a, const T*) {
        wrong += !same(heed::simd::sum_by_halves(heed::simd::load<native>(a)),
                       heed::simd::sum_by_halves(heed::simd::load<portable>(a)));
        if (std::none_of(a, a + lanes<T>, [](T x) { return x != x; }))  // which zero it is nobody says
            wrong +=
                heed::simd::largest(heed::simd::load<native>(a)) != heed::simd::largest(heed::simd::load<portable>(a));
    });
    REQUIRE(wrong == 0);
}

namespace {

/// Registers of every element that `patterns` bit patterns give, loaded and stored as a whole and in part, at the end
/// of the memory that there is.
template <class T, class E>
void check_loads(const std::vector<E>& all)
{
    constexpr std::size_t n = lanes<T>;
    int wrong = 0;
    for (std::size_t i = 0; i + n <= all.size(); i += n) {
        const E* p = all.data() + i;
        wrong += differing(heed::simd::load_as<T, native>(p), heed::simd::load_as<T, portable>(p));
        for (int some = 0; some <= lanes<T>; ++some)
            wrong += differing(heed::simd::load_as_n<T, native>(p, some), heed::simd::load_as_n<T, portable>(p, some));
    }
    REQUIRE(wrong == 0);
    test::guarded memory(4096);
    for (int some = 0; some <= lanes<T>; ++some) {
        E* end = memory.place(std::vector<E>(all.begin(), all.begin() + some), -1);
        REQUIRE(differing(heed::simd::load_as_n<T, native>(end, some),
                          heed::simd::load_as_n<T, portable>(all.data(), some)) == 0);
    }
}
template <class E>
std::vector<E> every_pattern()
{
    std::vector<E> all(std::size_t{1} << (8 * sizeof(E)));
    for (std::size_t i = 0; i < all.size(); ++i) std::memcpy(&all[i], &i, sizeof(E));  // little-endian
    return all;
}

/// Floats that lie on, and next to, what rounds to the one or the other of two numbers.
template <class E>
void check_stores()
{
    int wrong = 0;
    const auto check = [&](const float* x) {
        for (int some = 0; some <= lanes<float>; ++some) {
            E got[lanes<float>], expected[lanes<float>];
            std::memset(got, 0x55, sizeof(got));
            std::memset(expected, 0x55, sizeof(expected));
            heed::simd::store_as_n(got, heed::simd::load<native>(x), some);
            heed::simd::store_as_n(expected, heed::simd::load<portable>(x), some);
            if (some == lanes<float>) heed::simd::store_as(got, heed::simd::load<native>(x));
            for (int i = 0; i < lanes<float>; ++i) wrong += !same(float(got[i]), float(expected[i]));
        }
    };
    std::vector<float> x;
    for (const E e : every_pattern<E>()) {
        const float value = e;
        E following = e;
        ++following.bits;
        const float half = value + (float(following) - value) / 2;
        for (const float y : {value, half})
            for (const int by : {-1, 0, 1})
                x.push_back(
                    heed::simd::arch::from_bits<float>(heed::simd::arch::to_bits(y) + static_cast<std::uint32_t>(by)));
    }
    for (const float y : numbers<float>()) x.push_back(y);
    for (std::size_t i = 0; i + lanes<float> <= x.size(); i += lanes<float>) check(x.data() + i);
    REQUIRE(wrong == 0);
}

}  // namespace

TEST_CASE("elements widen and narrow as on the portable machine, in part too, and nothing behind them is touched")
{
    check_loads<float>(numbers<float>());
    check_loads<double>(numbers<double>());
    check_loads<float>(every_pattern<heed::bf16>());
    check_loads<float>(every_pattern<heed::f16>());
    check_loads<float>(every_pattern<std::int8_t>());
    check_loads<float>(every_pattern<heed::fp8_e4m3>());
    check_loads<float>(every_pattern<heed::fp8_e5m2>());
    check_stores<heed::bf16>();
    check_stores<heed::f16>();
    test::guarded memory(4096);
    const auto stored_in_part = [&](auto t) {
        using T = decltype(t);
        const std::vector<T> x = numbers<T>();
        for (int some = 0; some <= lanes<T>; ++some) {
            T* end = memory.place<T>(some, -1);
            heed::simd::store_n(end, heed::simd::load<native>(x.data() + 3), some);
            REQUIRE(std::equal(end, end + some, x.data() + 3, same<T>));
            REQUIRE(memory.untouched_around(end, some));
        }
    };
    stored_in_part(0.f);
    stored_in_part(0.);
}

TEST_CASE("four registers of small numbers, and f16 in all lanes, are those of the portable machine")
{
    int wrong = 0;
    const auto four = [&](const auto& all) {
        for (std::size_t i = 0; i + 4 * lanes<float> <= all.size(); i += 4 * lanes<float>) {
            decltype(heed::simd::raw(heed::simd::vec<float>())) got[4];
            heed::simd::arch::load(all.data() + i, got, native{});
            for (std::size_t k = 0; k < 4; ++k)
                wrong += differing(heed::simd::native_vec<float, native>(got[k]),
                                   heed::simd::load_as<float, portable>(all.data() + i + k * lanes<float>));
        }
    };
    four(every_pattern<std::int8_t>());
    four(every_pattern<heed::fp8_e4m3>());
    four(every_pattern<heed::fp8_e5m2>());
    for (const heed::f16 x : every_pattern<heed::f16>())
        wrong += differing(heed::simd::native_vec<float, native>(heed::simd::arch::broadcast(x, native{})),
                           heed::simd::native_vec<float, portable>(heed::simd::arch::broadcast(x, portable{})));
    REQUIRE(wrong == 0);
}

namespace {

/// What elements' files are written in, of both machines.
using here = heed::simd::element_lanes<native>;
using there = heed::simd::element_lanes<portable>;

}  // namespace

TEST_CASE("bytes as words, and their halves, are those of the portable machine")
{
    int wrong = 0;
    const std::vector<std::uint8_t> all = every_pattern<std::uint8_t>();
    for (std::size_t i = 0; i + lanes<float> <= all.size(); i += lanes<float>) {
        const auto got = here::bytes(all.data() + i);
        const auto expected = there::bytes(all.data() + i);
        wrong += differing(here::whole_numbers(got), there::whole_numbers(expected));
        for (const bool upper : {false, true})
            wrong += differing(here::whole_numbers(here::halves(got, upper) - 8u),
                               there::whole_numbers(there::halves(expected, upper) - 8u));
    }
    REQUIRE(wrong == 0);
}

namespace {

/// Rows of 16 bytes that are `stride` bytes apart, transposed; f(words of the native machine, of the portable one).
template <class F>
void for_words(F f)
{
    std::mt19937_64 random(3);
    for (const std::int64_t step : {16, 18, 34, 99, -40}) {
        std::vector<std::uint8_t> bytes(static_cast<std::size_t>((lanes<float> - 1) * std::abs(step) + 16));
        for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random());
        const std::uint8_t* first = bytes.data() + (step < 0 ? (1 - lanes<float>)*step : 0);
        native::words got[4];
        portable::words expected[4];
        heed::simd::arch::transpose_words(first, step, got);
        heed::simd::arch::transpose_words(first, step, expected);
        for (int w = 0; w < 4; ++w) f(got[w], expected[w]);
    }
}
template <class E>
int taken()
{
    int wrong = 0;
    for_words([&](native::words w, portable::words expected) {
        for (int i = 0; i < 4 / static_cast<int>(sizeof(E)); ++i)
            wrong += differing(heed::simd::native_vec<float, native>(
                                   heed::simd::arch::take(w, i, static_cast<const E*>(nullptr), native{})),
                               heed::simd::native_vec<float, portable>(
                                   heed::simd::arch::take(expected, i, static_cast<const E*>(nullptr), portable{})));
    });
    return wrong;
}

}  // namespace

TEST_CASE("words are transposed and taken apart as on the portable machine")
{
    int wrong = 0;
    alignas(64) float table[16];
    for (int i = 0; i < 16; ++i) table[i] = static_cast<float>(i * i - 112);
    for_words([&](native::words w, portable::words expected) {
        wrong += std::memcmp(&w, &expected, sizeof(w)) != 0;
        here::words a;
        there::words b;
        std::memcpy(&a, &w, sizeof(a));
        std::memcpy(&b, &expected, sizeof(b));
        for (int i = 0; i < 8; ++i) {
            wrong += differing(here::signed_top<4>(a << (4 * i)), there::signed_top<4>(b << (4 * i)));
            wrong += differing(here::signed_top<5>(a << (4 * i)), there::signed_top<5>(b << (4 * i)));
            wrong += differing(here::look_up(table, a >> (4 * i)), there::look_up(table, b >> (4 * i)));
        }
    });
    REQUIRE(wrong == 0);
    CHECK(taken<float>() == 0);
    CHECK(taken<heed::bf16>() == 0);
    CHECK(taken<heed::f16>() == 0);
    CHECK(taken<heed::fp8_e4m3>() == 0);
    CHECK(taken<heed::fp8_e5m2>() == 0);
}

TEST_CASE("doubles are transposed, and scales gathered, as on the portable machine")
{
    const std::vector<double> x = numbers<double>();
    const std::vector<heed::f16> h = every_pattern<heed::f16>();
    for (const std::int64_t step : {2, 5, 7}) {
        decltype(heed::simd::raw(heed::simd::vec<double>())) got[2];
        portable::array<double> expected[2];
        heed::simd::arch::transpose(x.data(), step, got);
        heed::simd::arch::transpose(x.data(), step, expected);
        for (int c = 0; c < 2; ++c)
            REQUIRE(differing(heed::simd::native_vec<double, native>(got[c]),
                              heed::simd::native_vec<double, portable>(expected[c])) == 0);
        const heed::f16* first = h.data() + 1000 * step;
        REQUIRE(differing(heed::simd::native_vec<float, native>(heed::simd::arch::gather(first, 34 * step, native{})),
                          heed::simd::native_vec<float, portable>(
                              heed::simd::arch::gather(first, 34 * step, portable{}))) == 0);
    }
}

TEST_CASE("pairs of bf16 are multiplied and added as on the portable machine")
{
    if (!heed::simd::has_bf16_dots) return;
    int wrong = 0;
    std::mt19937_64 random(4);
    const auto pairs = [&](bool ordinary, heed::bf16_pair(&p)[lanes<float>]) {
        for (heed::bf16_pair& pair : p)
            for (heed::bf16* b : {&pair.first, &pair.second})
                b->bits = static_cast<std::uint16_t>(ordinary ? (random() & 0x8fff) | 0x3800 : random());
    };
    for (int k = 0; k < 20000; ++k) {
        heed::bf16_pair a[lanes<float>], b[lanes<float>];
        float sum[lanes<float>];
        pairs(k % 2 == 0, a);
        pairs(k % 2 == 0, b);
        for (float& each : sum) each = heed::simd::arch::from_bits<float>(static_cast<std::uint32_t>(random()));
        const auto of = [&](auto machine) {
            using A = decltype(machine);
            auto acc = heed::simd::load<A>(sum);
            heed::simd::accumulate(acc, heed::simd::load<A>(a), heed::simd::in_register(heed::simd::load<A>(b)));
            return acc;
        };
        if (!heed::simd::arch::rounds_dots_to_odd<native>) wrong += differing(of(native{}), of(portable{}), sum);
        const auto rounded = [](auto v) { return heed::simd::rounded_to_bf16(v); };
        wrong += compare<float>(rounded, sum);
        heed::bf16 got[lanes<float>], expected[lanes<float>];
        heed::simd::store_rounded(got, heed::simd::load<native>(sum));
        heed::simd::store_rounded(expected, heed::simd::load<portable>(sum));
        for (int i = 0; i < lanes<float>; ++i) wrong += !same(float(got[i]), float(expected[i]));
        heed::bf16_pair rows[lanes<float>], expected_rows[lanes<float>];
        heed::simd::store(rows, heed::simd::pair_rows<native>(got, expected + 0));
        heed::simd::store(expected_rows, heed::simd::pair_rows<portable>(got, expected + 0));
        wrong += std::memcmp(rows, expected_rows, sizeof(rows)) != 0;
        heed::simd::store(rows, heed::simd::vec<heed::bf16_pair, native>(a[0]));
        heed::simd::store(expected_rows, heed::simd::vec<heed::bf16_pair, portable>(a[0]));
        wrong += std::memcmp(rows, expected_rows, sizeof(rows)) != 0;
    }
    REQUIRE(wrong == 0);
}

namespace {

/// x rounded to odd: what is left of an inexact number ends in a 1.
float to_odd(double x)
{
    float f = static_cast<float>(x);
    if (static_cast<double>(f) == x) return f;
    if (std::fabs(static_cast<double>(f)) > std::fabs(x)) f = std::nextafter(f, 0.f);
    return heed::simd::arch::from_bits<float>(heed::simd::arch::to_bits(f) | 1);
}

}  // namespace

TEST_CASE("of ARM's pairs of bf16 the sum is rounded to odd, and so is what it is added to")
{
    if (!heed::simd::arch::rounds_dots_to_odd<native>) return;
    std::mt19937_64 random(5);
    int wrong = 0;
    for (int k = 0; k < 20000; ++k) {
        // so near to each other that sums are exact in double
        const auto number = [&] { return heed::bf16(std::ldexp(static_cast<float>(random() % 511) - 255, -8)); };
        heed::bf16_pair a[lanes<float>], b[lanes<float>];
        float sum[lanes<float>], by_one[lanes<float>], got[lanes<float>];
        for (int i = 0; i < lanes<float>; ++i) {
            a[i] = {number(), number()};
            b[i] = {number(), number()};
            sum[i] = std::ldexp(static_cast<float>(random() % (1 << 24)), -22);
        }
        auto acc = heed::simd::load<native>(sum), one = acc;
        const auto pairs = heed::simd::load<native>(b);
        heed::simd::accumulate(acc, heed::simd::load<native>(a), pairs);
        heed::simd::accumulate(one, heed::simd::lane_factor<heed::bf16_pair>(a[0]), pairs);
        heed::simd::store(got, acc);
        heed::simd::store(by_one, one);
        for (int i = 0; i < lanes<float>; ++i) {
            const auto expected = [&](heed::bf16_pair p) {
                const double first = double(float(p.first)) * double(float(b[i].first));
                const double second = double(float(p.second)) * double(float(b[i].second));
                return to_odd(double(sum[i]) + double(to_odd(first + second)));
            };
            wrong += got[i] != expected(a[i]);
            wrong += by_one[i] != expected(a[0]);
        }
    }
    REQUIRE(wrong == 0);
}

TEST_CASE("pairs of whole numbers are made, multiplied and added as on the portable machine")
{
    constexpr int words = lanes<float>;
    using stored = std::array<std::uint32_t, words>;
    const auto kept = [](auto w) {
        static_assert(sizeof(w) == sizeof(stored));
        stored s;
        std::memcpy(&s, &w, sizeof(s));
        return s;
    };
    std::mt19937_64 random(9);
    int wrong = 0;
    for (int k = 0; k < 20000; ++k) {
        stored a, b, sum;
        for (stored* x : {&a, &b, &sum})
            for (std::uint32_t& w : *x) w = static_cast<std::uint32_t>(random());
        if (k % 3 == 0) a.fill(0x80008000u);  // -32768 twice: both products and their sum leave 31 bits
        if (k % 6 == 0) b = a;
        std::int8_t bytes[2 * words];
        std::uint8_t nibbles[16];
        float whole[2 * words];
        std::uint8_t rows[17 * words];
        for (std::uint8_t& x : rows) x = static_cast<std::uint8_t>(random());
        for (std::int8_t& x : bytes) x = static_cast<std::int8_t>(random());
        for (std::uint8_t& x : nibbles) x = static_cast<std::uint8_t>(random());
        for (float& x : whole) x = static_cast<float>(static_cast<std::int16_t>(random()));
        const auto of = [&](auto machine) {
            using L = heed::simd::element_lanes<decltype(machine)>;
            std::vector<stored> all;
            auto acc = L::load_words(sum.data());
            L::dot(acc, L::load_words(a.data()), L::load_words(b.data()));
            all.push_back(kept(acc));
            L::dot(acc, L::shorts(bytes), b.data());
            all.push_back(kept(acc));
            all.push_back(kept(L::shorts(bytes)));
            const auto pairs_of = [](const auto& w) {
                typename L::word_register pairs;
                std::memcpy(&pairs, &w, sizeof(pairs));
                return pairs;
            };
            for (int at = 0; at < 32; at += 2 * words) all.push_back(kept(L::signed_nibbles(nibbles, at)));
            all.push_back(kept(L::narrow(heed::simd::load<decltype(machine)>(whole),
                                         heed::simd::load<decltype(machine)>(whole + words))));
            all.push_back(kept(L::all_words(a[0])));
            typename L::word_register two[2];
            L::interleave(L::shorts(bytes), L::template signed_fields<8>(L::shorts(bytes), 8), two);
            typename L::word_register sums[2] = {L::all_words(0), L::all_words(0)};
            for (int i = 0; i < 2; ++i) L::dot(sums[i], L::factor(a[0]), two[i]);
            L::restore_order(sums);
            all.push_back(kept(sums[0]));
            all.push_back(kept(sums[1]));
            typename L::words columns[4];
            L::transpose_pairs(rows, 17, columns);
            for (const auto& w : columns) {
                L::dot(acc, L::factor(b[0]), pairs_of(w));
                all.push_back(kept(acc));
            }
            return all;
        };
        wrong += of(native{}) != of(portable{});
    }
    REQUIRE(wrong == 0);
}
