// SPDX-License-Identifier: MIT
// Half precision: storage. It widens to float exactly, and a float is rounded to it once, to nearest, ties to even,
// whatever MXCSR says of rounding and of subnormal numbers.
#pragma once

#include "contract.hpp"
#include "float_bits.hpp"

HEED_BEGIN

/// IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction.
struct f16 {
    std::uint16_t bits;  ///< sign, exponent and fraction, from the top down

    f16() = default;
    /// Rounded to nearest, ties to even; from 65520 on infinity; a NaN stays one.
    explicit f16(float number)
    {
        const std::uint32_t b = detail::bits_of(number), sign = (b >> 16) & 0x8000u, magnitude = b & 0x7fffffffu;
        std::uint32_t h;
        if (magnitude > 0x7f800000u) {
            h = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
        } else if (magnitude >= 0x477ff000u) {  // 65520 and above round to infinity
            h = 0x7c00u;
        } else if (magnitude < 0x38800000u) {  // below 2^-14: a whole number of 2^-24
            h = detail::rounded_shift(magnitude, 126);
        } else {
            h = (magnitude + 0xfffu + ((magnitude >> 13) & 1) - 0x38000000u) >> 13;
        }
        bits = static_cast<std::uint16_t>(sign | h);
    }
    /// Exact.
    operator float() const
    {
        const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, magnitude = bits & 0x7fffu;
        // A subnormal number goes by its fraction: as a float of that magnitude it would be subnormal too, or nothing.
        const std::uint32_t small =
            detail::bits_of(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
        const std::uint32_t normal = (magnitude << 13) + (112u << 23), infinite = normal + (112u << 23);
        return detail::float_of(sign | (magnitude < 0x0400u ? small : magnitude < 0x7c00u ? normal : infinite));
    }
};
template <>
struct element_traits<f16> : detail::tensor_element {};

HEED_END
