// SPDX-License-Identifier: MIT
// The list of what kernels ask of a machine, in plain C++. A file beside this one is an instruction set: it overrides
// what it does faster, with the same bits, and takes the rest from here. tests/unit/simd_arch.cpp compares each
// override with the function of this file, lane by lane.
//
// A function here that calls another calls the one of this file, not an override: with fma override accumulate, with
// store_n store, with load the load of four. An override whose parameters differ is no error; it is never called.
//
// What works on registers is found by their type R: a lane_array, a batch of xsimd, or a vector of the
// compiler. What makes registers of memory is told the machine A, and returns here an array of its lanes.
#pragma once

#include "../../../base/element.hpp"
#include "../../../base/libm.hpp"
#include "../machine.hpp"

#include <limits>

HEED_BEGIN
namespace simd::arch {

template <class T>
using bits_t = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
template <class T>
HEED_INLINE bits_t<T> to_bits(T x)
{
    bits_t<T> b;
    std::memcpy(&b, &x, sizeof(b));
    return b;
}
template <class T>
HEED_INLINE T from_bits(bits_t<T> b)
{
    T x;
    std::memcpy(&x, &b, sizeof(x));
    return x;
}
template <class T>
inline constexpr int fraction_bits = std::numeric_limits<T>::digits - 1;
template <class T>
inline constexpr int exponent_bias = std::numeric_limits<T>::max_exponent - 1;

// ---- arithmetic

/// a / b, rounded once.
template <class R>
HEED_INLINE R divide(R a, R b)
{
    return a / b;
}
/// a * b + c, rounded once: a call of the C library where the compiler was told of no instruction.
template <class R>
HEED_INLINE R fma(R a, R b, R c)
{
    return each_lane([](auto x, auto y, auto z) HEED_INLINE_LAMBDA { return libm::fma(x, y, z); }, a, b, c);
}
/// The larger; a NaN in the first argument is kept, and the first of equal ones.
template <class R>
HEED_INLINE R max(R a, R b)
{
    return each_lane([](auto one, auto other) HEED_INLINE_LAMBDA { return other > one ? other : one; }, a, b);
}
template <class R>
HEED_INLINE R min(R a, R b)
{
    return each_lane([](auto one, auto other) HEED_INLINE_LAMBDA { return other < one ? other : one; }, a, b);
}
/// The nearest whole number, ties to even.
template <class R>
HEED_INLINE R round(R a)
{
    return each_lane([](auto x) HEED_INLINE_LAMBDA { return libm::nearbyint(x); }, a);
}
/// 2^n for a whole n <= the largest exponent; exact down to the smallest subnormal, 0 below, NaN for NaN. Two factors,
/// since one exponent field does not reach the subnormals.
template <class R>
HEED_INLINE R power_of_two(R n)
{
    using T = lane_t<R>;
    constexpr T low = 2 * (1 - exponent_bias<T>), high = 2 * exponent_bias<T>;
    return each_lane(
        [](T x) HEED_INLINE_LAMBDA {
            const int k = static_cast<int>(x > low ? (x < high ? x : high) : low), half = k >> 1;
            const auto power = [](int e) {
                return from_bits<T>(static_cast<bits_t<T>>(e + exponent_bias<T>) << fraction_bits<T>);
            };
            return x == x ? power(half) * power(k - half) : x;
        },
        n);
}
/// The number whose exponent are the low bits of x, and whose fraction is 0.
template <class R>
HEED_INLINE R exponent_from_low_bits(R x)
{
    using T = lane_t<R>;
    return each_lane([](T a) HEED_INLINE_LAMBDA { return from_bits<T>(to_bits(a) << fraction_bits<T>); }, x);
}
/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for positive finite x, subnormal ones too. Bits
/// that are moved up by what sqrt 1/2 lacks of 1 carry into the exponent where the fraction would be too large.
template <class R>
HEED_INLINE R split_exponent(R x, R& exponent)
{
    using T = lane_t<R>;
    constexpr int lift = sizeof(T) == 4 ? 25 : 54;
    constexpr T lifted = sizeof(T) == 4 ? T(0x1p25) : T(0x1p54);
    constexpr bits_t<T> lacks = sizeof(T) == 4 ? 0x3f800000 - 0x3f3504f3 : 0x3ff0000000000000 - 0x3fe6a09e667f3bcc;
    const auto tiny = [](T a) { return a < std::numeric_limits<T>::min(); };
    const auto normal = [tiny](T a) { return to_bits(tiny(a) ? a * lifted : a); };
    const auto whole = [normal](T a) { return ((normal(a) + lacks) >> fraction_bits<T>)-bits_t<T>(exponent_bias<T>); };
    exponent = each_lane(
        [&](T a) HEED_INLINE_LAMBDA {
            return static_cast<T>(static_cast<std::make_signed_t<bits_t<T>>>(whole(a))) - (tiny(a) ? lift : 0);
        },
        x);
    return each_lane([&](T a) HEED_INLINE_LAMBDA { return from_bits<T>(normal(a) - (whole(a) << fraction_bits<T>)); },
                     x);
}

/// The largest lane, of a vector without NaN; and the sum of all lanes, upper half onto lower.
template <class R>
HEED_INLINE lane_t<R> largest(R v)
{
    auto x = as_lanes(v);
    for (int half = x.size / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) x.set(i, x[i + half] > x[i] ? x[i + half] : x[i]);
    return x[0];
}
template <class R>
HEED_INLINE lane_t<R> sum_by_halves(R v)
{
    auto x = as_lanes(v);
    for (int half = x.size / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) x.set(i, x[i] + x[i + half]);
    return x[0];
}

/// Lane i of yes where bit i is set, else of no.
template <class R>
HEED_INLINE R select_bits(std::uint32_t bits, R yes, R no)
{
    return make_lanes<R>([&](int i)
                             HEED_INLINE_LAMBDA { return (bits >> i) & 1 ? as_lanes(yes)[i] : as_lanes(no)[i]; });
}
/// Bit i is set where lane i is not 0, NaN included.
template <class R>
HEED_INLINE std::uint32_t nonzero_bits(R v)
{
    std::uint32_t bits = 0;
    for (int i = 0; i < as_lanes(v).size; ++i) bits |= std::uint32_t{as_lanes(v)[i] != 0} << i;
    return bits;
}

/// Bit i is set where lane i is not at most that of b, NaN included.
template <class R>
HEED_INLINE std::uint32_t above_bits(R a, R b)
{
    std::uint32_t bits = 0;
    for (int i = 0; i < as_lanes(a).size; ++i) bits |= std::uint32_t{!(as_lanes(a)[i] <= as_lanes(b)[i])} << i;
    return bits;
}
/// Stores the lanes whose bit is set, side by side; others may write whatever they like behind them, a register in all.
template <class T, class R>
HEED_INLINE void store_chosen(T* p, R v, std::uint32_t bits)
{
    T x[sizeof(R) / sizeof(T)];
    as_lanes(v).store_unaligned(x);
    for (; bits; bits &= bits - 1) *p++ = x[__builtin_ctz(bits)];
}
/// One half of the lanes, the lower or the upper, in double.
template <class D, class R>
HEED_INLINE D widened_half(R v, int half)
{
    const auto x = as_lanes(v);
    return make_lanes<D>([&](int i) HEED_INLINE_LAMBDA { return static_cast<double>(x[half * (x.size / 2) + i]); });
}

/// Lane i ^ By in lane i, for a power of two By below the number of lanes.
template <int By, class R>
HEED_INLINE R exchange(R v)
{
    return make_lanes<R>([&](int i) HEED_INLINE_LAMBDA { return as_lanes(v)[i ^ By]; });
}

/// acc += a * b, rounded once, in the register of acc.
template <class R>
HEED_INLINE void accumulate(R& acc, R a, R b)
{
    acc = arch::fma(a, b, acc);
}
/// Keeps a loaded vector in its register, where the compiler would rather load it again for every use.
template <class R>
HEED_INLINE R in_register(R v)
{
    return v;
}

// ---- elements: A::array<T> are the lanes of a register of T, A::words those of 32-bit words

/// What elements of E are computed in.
template <class E>
using number_t = std::conditional_t<std::is_same_v<E, double>, double, float>;

/// Elements as numbers, widened exactly; and the first n of them, 0 behind them, of which nothing is read.
template <class E, class A>
HEED_INLINE auto load(const E* p, A)
{
    using array = typename A::template array<number_t<E>>;
    return make_lanes<array>([&](int i) HEED_INLINE_LAMBDA { return static_cast<number_t<E>>(p[i]); });
}
template <class E, class A>
HEED_INLINE auto load_n(const E* p, int n, A)
{
    using array = typename A::template array<number_t<E>>;
    array to(0);
    for (int i = 0; i < n; ++i) to.set(i, static_cast<number_t<E>>(p[i]));
    return to;
}
/// p[i] in all lanes, of p at a multiple of 16 bytes.
template <class A>
HEED_INLINE auto repeat(const float* p, int i, A)
{
    return typename A::template array<float>(p[i]);
}
/// Four registers in a row.
template <class E, class R, class A>
HEED_INLINE void load(const E* p, R (&out)[4], A machine)
{
    for (int i = 0; i < 4; ++i) out[i] = as_register<R>(arch::load(p + i * as_lanes(out[i]).size, machine));
}
/// Whether a machine has an instruction for just that.
template <class A, class E>
inline constexpr bool loads_four = false;

/// Numbers as elements, rounded once to nearest, ties to even; a NaN stays one. The first n of them.
template <class E, class R>
HEED_INLINE void store_n(E* p, R v, int n)
{
    for (int i = 0; i < n; ++i) p[i] = static_cast<E>(as_lanes(v)[i]);
}
template <class E, class R>
HEED_INLINE void store(E* p, R v)
{
    arch::store_n(p, v, as_lanes(v).size);
}

/// An f16 in all lanes; and f16 that are `stride` bytes apart.
template <class A>
HEED_INLINE auto broadcast(const f16& x, A)
{
    return typename A::template array<float>(float(x));
}
template <class A>
HEED_INLINE auto gather(const f16* first, std::int64_t stride, A)
{
    return make_lanes<typename A::template array<float>>([&](int j) HEED_INLINE_LAMBDA {
        f16 x;
        std::memcpy(&x, reinterpret_cast<const char*>(first) + j * stride, sizeof(x));
        return float(x);
    });
}
/// Bytes as 32-bit words, without a sign.
template <class A>
HEED_INLINE auto load_bytes_as_words(const std::uint8_t* p, A)
{
    return as_register<typename A::words>(make_lanes<lane_array<std::uint32_t, sizeof(typename A::words) / 4>>(
        [&](int i) HEED_INLINE_LAMBDA { return std::uint32_t{p[i]}; }));
}

// ---- transposition

/// out[w] lane j = the w-th 32 bits of row j, of rows of 16 bytes that are `stride` bytes apart, one for each lane.
template <class W>
HEED_INLINE void transpose_words(const void* in, std::int64_t stride, W (&out)[4])
{
    for (int w = 0; w < 4; ++w) {
        std::uint32_t x[sizeof(W) / 4];
        for (std::size_t j = 0; j < sizeof(W) / 4; ++j)
            std::memcpy(&x[j], static_cast<const char*>(in) + static_cast<std::int64_t>(j) * stride + 4 * w, 4);
        std::memcpy(&out[w], x, sizeof(W));
    }
}
/// out[c] lane j = in[j * stride + c] for 2 channels c.
template <class R>
HEED_INLINE void transpose(const double* in, std::int64_t stride, R (&out)[2])
{
    for (int c = 0; c < 2; ++c) out[c] = make_lanes<R>([&](int j) HEED_INLINE_LAMBDA { return in[j * stride + c]; });
}
/// f of the 32 bits of each word, as numbers.
template <class A, class W, class F>
HEED_INLINE auto of_words(W w, F f)
{
    std::uint32_t x[sizeof(W) / 4];
    std::memcpy(x, &w, sizeof(W));
    return make_lanes<typename A::template array<float>>([&](int j) HEED_INLINE_LAMBDA { return f(x[j]); });
}
/// The i-th element of each word.
template <class E, class W, class A>
HEED_INLINE auto take(W w, int i, const E*, A)
{
    return of_words<A>(w, [i](std::uint32_t word) HEED_INLINE_LAMBDA {
        E x[4 / sizeof(E)];
        std::memcpy(x, &word, sizeof(word));
        return static_cast<float>(x[i]);
    });
}
/// The number at the place that the lower four bits of each word say, of a table of whole numbers of 8 bits, aligned to
/// 64 bytes.
template <class W, class A>
HEED_INLINE auto look_up(const float (&table)[16], W w, A)
{
    return of_words<A>(w, [&table](std::uint32_t word) HEED_INLINE_LAMBDA { return table[word & 15u]; });
}

// ---- pairs of bf16, for machines that multiply and add both at once

template <class A>
inline constexpr bool has_bf16_dots_of = false;
/// Whether it rounds to odd, and has bits of its own.
template <class A>
inline constexpr bool rounds_dots_to_odd = false;

/// What such an instruction takes for a subnormal number.
HEED_INLINE float flushed(float x) { return libm::fabs(x) < std::numeric_limits<float>::min() ? x * 0 : x; }

/// acc += a.first * b.first + a.second * b.second in each lane; subnormal numbers count as 0.
template <class R, class W>
HEED_INLINE void dot(R& acc, W a, W b)
{
    bf16_pair x[sizeof(W) / 4], y[sizeof(W) / 4];
    std::memcpy(x, &a, sizeof(W));
    std::memcpy(y, &b, sizeof(W));
    acc = make_lanes<R>([&](int j) HEED_INLINE_LAMBDA {
        const auto add = [](bf16 p, bf16 q, float sum) {
            return flushed(libm::fma(flushed(p), flushed(q), flushed(sum)));
        };
        return add(x[j].first, y[j].first, add(x[j].second, y[j].second, as_lanes(acc)[j]));
    });
}
/// Floats rounded to bf16, ties to even; subnormal ones become 0.
template <class R>
HEED_INLINE R rounded_to_bf16(R v)
{
    return each_lane([](float x) HEED_INLINE_LAMBDA { return float(bf16(flushed(x))); }, v);
}
template <class R>
HEED_INLINE void store_rounded(bf16* p, R v)
{
    arch::store(p, rounded_to_bf16(v));
}
template <class A>
HEED_INLINE auto broadcast(bf16_pair pair, A)
{
    std::uint32_t bits;
    std::memcpy(&bits, &pair, sizeof(bits));
    return as_register<typename A::words>(typename A::template array<std::uint32_t>(bits));
}
template <class A>
HEED_INLINE auto load(const bf16_pair* p, A)
{
    typename A::words w;
    std::memcpy(&w, p, sizeof(w));
    return w;
}
template <class W>
HEED_INLINE void store(bf16_pair* p, W w)
{
    std::memcpy(p, &w, sizeof(w));
}
/// {a[c], b[c]} for a register of channels c.
template <class A>
HEED_INLINE auto pair_rows(const bf16* a, const bf16* b, A machine)
{
    bf16_pair x[sizeof(typename A::words) / 4];
    for (bf16_pair& pair : x) pair = {*a++, *b++};
    return arch::load(x, machine);
}

}  // namespace simd::arch

HEED_END

#include "portable_bytes.hpp"
#include "portable_shorts.hpp"
