// SPDX-License-Identifier: MIT
// The bits of a float, and its rounding to formats of fewer bits, in integers: sums of floats would follow the rounding
// mode that somebody has set.
#pragma once

#include "../config.hpp"

#include <cstdint>
#include <cstring>

HEED_BEGIN
namespace detail {

inline std::uint32_t bits_of(float x)
{
    std::uint32_t b;
    std::memcpy(&b, &x, sizeof(b));
    return b;
}
inline float float_of(std::uint32_t b)
{
    float x;
    std::memcpy(&x, &b, sizeof(x));
    return x;
}

/// The float of this magnitude, below 2^24 units, as a whole number of units of 2^(exponent - 150), to nearest, ties to
/// even.
inline std::uint32_t rounded_shift(std::uint32_t magnitude, std::uint32_t exponent)
{
    const std::uint32_t shift = exponent - (magnitude >> 23);  // a subnormal float is far below half a unit
    if (shift > 24) return 0;
    const std::uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    return (fraction + (1u << (shift - 1)) - 1 + ((fraction >> shift) & 1)) >> shift;
}

}  // namespace detail
HEED_END
