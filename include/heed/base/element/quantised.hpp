// SPDX-License-Identifier: MIT
// Elements of quantised caches. They widen to float exactly, so that attention over such a cache has the bits of
// attention over a float cache of the numbers it holds, whatever MXCSR says of rounding and of subnormal numbers. (The
// one exception: where it rounds downwards, AVX2 registers and those of AVX-512 without VBMI hold -0 for fp8's +0.)
//
//     std::int8_t   with scales beside it: kv/scaled.hpp
//     fp8_e4m3      the same
//     q8_0, q4_0    blocks of 32 channels with a scale of their own; the bytes are those of ggml
//
// How floats become such elements is said in append.hpp.
#pragma once

#include "../element.hpp"

HEED_BEGIN

/// OCP 8-bit floating point, E4M3: sign, 4 bits of exponent, 3 of fraction; up to 448, no infinity, one NaN.
struct fp8_e4m3 {
    std::uint8_t bits;

    static constexpr float largest = 448;

    fp8_e4m3() = default;
    /// Rounded to nearest, ties to even; beyond 448, infinity included, 448.
    explicit fp8_e4m3(float x)
    {
        const std::uint32_t b = detail::bits_of(x), sign = (b >> 24) & 0x80u;
        std::uint32_t magnitude = b & 0x7fffffffu;
        if (magnitude > 0x7f800000u) {
            bits = static_cast<std::uint8_t>(sign | 0x7fu);
            return;
        }
        if (magnitude > detail::bits_of(largest)) magnitude = detail::bits_of(largest);
        std::uint32_t code;
        if (magnitude < 0x3c800000u) code = detail::rounded_shift(magnitude, 141);  // below 2^-6: units of 2^-9
        else code = (magnitude + 0x7ffffu + ((magnitude >> 20) & 1) - 0x3c000000u) >> 20;
        bits = static_cast<std::uint8_t>(sign | code);
    }
    operator float() const
    {
        const std::uint32_t sign = std::uint32_t{bits & 0x80u} << 24, magnitude = bits & 0x7fu;
        const std::uint32_t small = detail::bits_of(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-9f);
        const std::uint32_t normal = (magnitude << 20) + (120u << 23);
        return detail::float_of(sign | (magnitude < 0x08u ? small : magnitude < 0x7fu ? normal : 0x7fc00000u));
    }
};

/// 32 whole numbers of 8 bits and their scale: x_c = d q_c.
struct q8_0 {
    f16 d;
    std::int8_t q[32];

    float operator[](int c) const { return float(d) * static_cast<float>(q[c]); }
};

/// 32 whole numbers of 4 bits and their scale: x_c = d (q_c - 8). Byte i holds q_i below q_(i + 16).
struct q4_0 {
    f16 d;
    std::uint8_t q[16];

    float operator[](int c) const
    {
        const int both = q[c % 16];
        return float(d) * static_cast<float>((c < 16 ? both & 15 : both >> 4) - 8);
    }
};
static_assert(sizeof(q8_0) == 34 && sizeof(q4_0) == 18 && alignof(q8_0) == 2 && alignof(q4_0) == 2);

template <>
inline constexpr std::int64_t channels_of<q8_0> = 32;
template <>
inline constexpr std::int64_t channels_of<q4_0> = 32;

template <>
inline constexpr bool is_quantised_v<std::int8_t> = true;
template <>
inline constexpr bool is_quantised_v<fp8_e4m3> = true;
template <>
inline constexpr bool is_quantised_v<q8_0> = true;
template <>
inline constexpr bool is_quantised_v<q4_0> = true;

/// What a cache of E is read as: itself, or float.
template <class E>
using widened_t = std::conditional_t<is_quantised_v<E>, float, E>;

/// Channel c of a row.
template <class E>
widened_t<std::remove_const_t<E>> channel_of(E* row, std::int64_t c)
{
    constexpr std::int64_t block = channels_of<std::remove_const_t<E>>;
    if constexpr (block > 1) return row[c / block][static_cast<int>(c % block)];
    else return static_cast<widened_t<std::remove_const_t<E>>>(row[c]);
}

HEED_END
