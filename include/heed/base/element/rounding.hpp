// SPDX-License-Identifier: MIT
// Rounding floats to numbers times a scale: which scale a row or block needs, and the whole number of a float. With a
// scale that is chosen here every whole number is off by half of it at most, and the largest comes close to the
// format's end. Where a number is NaN or Inf, or too large for any scale, the scale is NaN, and so is all that it
// belongs to.
#pragma once

#include "f16.hpp"

#include <cmath>
#include <limits>

HEED_BEGIN
namespace detail {

/// The largest x and the largest -x of a row, both at least 0; NaN where not all of its numbers are finite.
struct extremes {
    float highest, lowest;

    bool finite() const { return highest == highest; }
    float largest() const { return highest > lowest ? highest : lowest; }
};

/// The whole number next to x / scale within [low, high]; 0 where the scale is.
inline int whole_number(float x, float scale, int low, int high)
{
    if (scale == 0) return 0;
    const float q = std::nearbyint(x / scale);
    return q < static_cast<float>(low) ? low : q > static_cast<float>(high) ? high : static_cast<int>(q);
}

/// The scale by which numbers are rounded that are NaN whatever they are rounded to.
inline float zero_if_nan(float scale) { return scale == scale ? scale : 0; }

/// A scale `wanted`, or the next larger one that is not too small: fits(scale).
template <class Fits>
float scale_that_fits(float wanted, Fits fits)
{
    return fits(wanted) ? wanted : std::nextafter(wanted, std::numeric_limits<float>::infinity());
}
/// The same for a magnitude that is kept in an f16.
template <class Fits>
f16 f16_that_fits(float wanted, Fits fits)
{
    f16 d(wanted < 65504.f ? wanted : 65504.f);
    if (!fits(float(d))) ++d.bits;
    if (!(float(d) <= 65504.f)) d.bits = 0x7e00;
    return d;
}
inline f16 f16_nan()
{
    f16 d;
    d.bits = 0x7e00;
    return d;
}

/// The scale of a block of numbers from -steps to steps - 1: its sign gives the end with one more to the larger ones.
inline f16 scale_to_longer_end(const extremes& e, float steps)
{
    if (!e.finite()) return f16_nan();
    const bool negative = e.highest > e.lowest;
    const float most = e.largest(), other = negative ? e.lowest : e.highest;
    const auto fits = [&](float d) { return most <= (steps + 0.5f) * d && other <= (steps - 0.5f) * d; };
    f16 d = f16_that_fits(most / steps * (steps - 0.5f) >= other ? most / steps : other / (steps - 0.5f), fits);
    if (negative && d.bits != 0) d.bits ^= 0x8000;
    return d;
}

}  // namespace detail
HEED_END
