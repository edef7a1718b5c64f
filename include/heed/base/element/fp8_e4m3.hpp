// SPDX-License-Identifier: MIT
// fp8_e4m3, with scales beside it (kv/scaled.hpp) or without. (Where MXCSR says to round downwards, AVX2 registers and
// those of AVX-512 without VBMI hold -0 for its +0.)
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// OCP 8-bit floating point, E4M3: sign, 4 bits of exponent, 3 of fraction; up to 448, no infinity, one NaN.
struct fp8_e4m3 {
    std::uint8_t bits;  ///< sign, exponent and fraction, from the top down

    static constexpr float largest = 448;  ///< the largest finite number

    fp8_e4m3() = default;
    /// Rounded to nearest, ties to even; beyond 448, infinity included, 448.
    explicit fp8_e4m3(float number)
    {
        const std::uint32_t b = detail::bits_of(number), sign = (b >> 24) & 0x80u;
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
    /// Exact.
    operator float() const
    {
        const std::uint32_t sign = std::uint32_t{bits & 0x80u} << 24, magnitude = bits & 0x7fu;
        const std::uint32_t small = detail::bits_of(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-9f);
        const std::uint32_t normal = (magnitude << 20) + (120u << 23);
        return detail::float_of(sign | (magnitude < 0x08u ? small : magnitude < 0x7fu ? normal : 0x7fc00000u));
    }
};

template <>
struct element_traits<fp8_e4m3> : detail::small_float<fp8_e4m3> {};

HEED_END
