// SPDX-License-Identifier: MIT
// Rounding floats to numbers times a scale: which scale a row or block needs, and the whole number of a float. With a
// scale that is chosen here every whole number is off by half of it at most, and the largest comes close to the
// format's end. Where a number is NaN or Inf, or too large for any scale, the scale is NaN, and so is all that it
// belongs to.
#pragma once

#include "../libm.hpp"
#include "f16.hpp"

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
    const float q = libm::nearbyint(x / scale);
    return q < static_cast<float>(low) ? low : q > static_cast<float>(high) ? high : static_cast<int>(q);
}

/// The scale by which numbers are rounded that are NaN whatever they are rounded to.
inline float zero_if_nan(float scale) { return scale == scale ? scale : 0; }

/// A scale `wanted`, or the next larger one that is not too small: fits(scale).
template <class Fits>
float scale_that_fits(float wanted, Fits fits)
{
    return fits(wanted) ? wanted : libm::nextafter(wanted, libm::infinity<float>);
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

/// The lowest and the highest of some numbers, of one at least.
struct number_range {
    float low, high;

    number_range(const float* numbers, int channels) : low(numbers[0]), high(numbers[0])
    {
        for (int c = 1; c < channels; ++c) {
            low = numbers[c] < low ? numbers[c] : low;
            high = numbers[c] > high ? numbers[c] : high;
        }
    }
};

/// A block of 32 numbers as whole steps [0, steps] from the lowest: as ggml's reference rounds them, with scale and
/// lowest number rounded to f16 behind that. Both are NaN where a number is not finite, or one of them is no f16.
class steps_from_lowest {
public:
    steps_from_lowest(const float* numbers, const extremes& extreme, int most, f16& step_of_block, f16& lowest_of_block)
        : x_(numbers), steps_(most)
    {
        step_of_block = lowest_of_block = f16_nan();
        if (!extreme.finite()) return;
        const number_range range(numbers, 32);
        lowest_ = range.low;
        const float d = (range.high - lowest_) / static_cast<float>(most);
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
    static bool f16_fits(float x) { return libm::fabs(float(f16(x))) <= 65504.f; }

    const float* x_;
    int steps_;
    float lowest_ = 0, each_ = 0;
};

/// Whole steps [0, most] around a zero point: x = (q - zero) scale, with scale = (highest - lowest) / most and
/// zero = -lowest / scale, which is not rounded to a whole number. What is read back is off by half a scale, and by the
/// roundings of float: up to 2^-22 of the largest number, which is more where numbers lie far from 0. Equal numbers are
/// kept as they are. The scale is NaN where a number is not finite, or is 2^127 or more.
struct scale_around_zero {
    float scale = libm::quiet_nan<float>, zero = 0;

    /// For numbers from `low` to `high`, or NaN.
    scale_around_zero(float low, float high, int most)
    {
        if (!(libm::fabs(low) < 0x1p127f && libm::fabs(high) < 0x1p127f)) return;
        scale = high > low ? (high - low) / static_cast<float>(most) : 1;
        if (scale < 0x1p-126f) scale = 0x1p-126f;  // a subnormal one is 0 where these are flushed
        zero = -low / scale;
    }
};

/// The step of x. In double: x / scale has more bits before the point than a float where numbers lie far from 0.
inline int step_around_zero(float x, double scale, double zero, int most)
{
    const double q = libm::nearbyint(static_cast<double>(x) / scale + zero);
    return q < 0 ? 0 : q > most ? most : static_cast<int>(q);
}

/// A block of numbers as such steps.
class steps_around_zero {
public:
    steps_around_zero(const float* numbers, int channels, const extremes& extreme, int most, float& scale_of_block,
                      float& zero_of_block)
        : x_(numbers), most_(most)
    {
        scale_of_block = libm::quiet_nan<float>;
        zero_of_block = 0;
        if (!(extreme.finite() && extreme.largest() < 0x1p127f)) return;
        const number_range range(numbers, channels);
        const scale_around_zero chosen(range.low, range.high, most);
        scale_of_block = chosen.scale;
        zero_of_block = chosen.zero;
        scale_ = static_cast<double>(chosen.scale);
        zero_ = static_cast<double>(chosen.zero);
    }
    int operator[](int c) const { return scale_ == 0 ? 0 : step_around_zero(x_[c], scale_, zero_, most_); }

private:
    const float* x_;
    int most_;
    double scale_ = 0, zero_ = 0;  // 0: the block is NaN
};

}  // namespace detail
HEED_END
