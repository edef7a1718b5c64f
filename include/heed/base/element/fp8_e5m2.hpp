// SPDX-License-Identifier: MIT
// fp8_e5m2, with scales beside it (kv/scaled.hpp) or without.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// OCP 8-bit floating point, E5M2: sign, 5 bits of exponent, 2 of fraction; up to 57344, then infinity and NaN, as in
/// IEEE 754. It is the upper byte of an f16: half of the precision of fp8_e4m3, and 128 times its range.
struct fp8_e5m2 {
    std::uint8_t bits;  ///< sign, exponent and fraction, from the top down

    static constexpr float largest = 57344;  ///< the largest finite number

    fp8_e5m2() = default;
    /// Rounded to nearest, ties to even; beyond 57344, infinity included, 57344, as OCP calls saturating. So no float
    /// becomes an infinity, but one that is in a cache is read as such.
    explicit fp8_e5m2(float number)
    {
        const std::uint32_t b = detail::bits_of(number), sign = (b >> 24) & 0x80u;
        std::uint32_t magnitude = b & 0x7fffffffu;
        if (magnitude > 0x7f800000u) {
            bits = static_cast<std::uint8_t>(sign | 0x7fu);
            return;
        }
        if (magnitude > detail::bits_of(largest)) magnitude = detail::bits_of(largest);
        std::uint32_t code;
        if (magnitude < 0x38800000u) code = detail::rounded_shift(magnitude, 134);  // below 2^-14: units of 2^-16
        else code = (magnitude + 0xfffffu + ((magnitude >> 21) & 1) - 0x38000000u) >> 21;
        bits = static_cast<std::uint8_t>(sign | code);
    }
    /// Exact.
    operator float() const
    {
        f16 same;
        same.bits = static_cast<std::uint16_t>(bits << 8);
        return same;
    }
};

template <>
struct element_traits<fp8_e5m2> : detail::small_float<fp8_e5m2> {};

HEED_END
