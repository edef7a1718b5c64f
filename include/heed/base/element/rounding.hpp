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

/// A floating-point number of one byte, the largest of which is E::largest: with a scale for a row, the row's largest
/// number becomes that.
template <class E>
struct small_float : quantised_number<E> {
    static float scale_for(const extremes& e)
    {
        const float most = e.largest();
        return scale_that_fits(most / E::largest, [&](float s) { return most <= E::largest * s; });
    }
    static E encode(float x, float scale) { return E(x / scale); }
};

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

/// a * b, rounded, which no compiler fuses with a sum that it goes into.
inline float rounded_product(float a, float b)
{
    const volatile float p = a * b;
    return p;
}

/// A block of 32 numbers as whole steps [0, steps] from the lowest: as ggml's reference rounds them, with scale and
/// lowest number rounded to f16 behind that. Both are NaN where a number is not finite, or one of them is no f16.
class steps_from_lowest {
public:
    steps_from_lowest(const float* numbers, const extremes& extreme, int most, f16& step_of_block, f16& lowest_of_block)
        : x_(numbers), steps_(most)
    {
        step_of_block = lowest_of_block = f16_nan();
        if (!extreme.finite()) return;
        float high = lowest_ = numbers[0];
        for (int c = 1; c < 32; ++c) {
            lowest_ = numbers[c] < lowest_ ? numbers[c] : lowest_;
            high = numbers[c] > high ? numbers[c] : high;
        }
        const float d = (high - lowest_) / static_cast<float>(most);
        if (!(f16_fits(d) && f16_fits(lowest_))) return;
        step_of_block = f16(d), lowest_of_block = f16(lowest_);
        each_ = d >= 0x1p-126f ? 1 / d : 0;  // one that is subnormal has no inverse, and is 0 as f16
    }
    int operator[](int c) const
    {
        if (each_ == 0) return 0;
        const int q = static_cast<int>(rounded_product(x_[c] - lowest_, each_) + 0.5f);
        return q < steps_ ? q : steps_;
    }

private:
    static bool f16_fits(float x) { return std::fabs(float(f16(x))) <= 65504.f; }

    const float* x_;
    int steps_;
    float lowest_ = 0, each_ = 0;
};

}  // namespace detail
HEED_END
