// SPDX-License-Identifier: MIT
// From floats to numbers of 8 and of 4 bits. With a scale that is chosen here every number is off by half of it at
// most, and the largest of them comes close to the format's end. Where a number is NaN or Inf, or too large for any
// scale, the scale is NaN, and so is all that it belongs to.
#pragma once

#include "../simd/finite.hpp"

#include <cmath>

HEED_BEGIN
namespace micro {

/// The largest x and the largest -x of a row, both at least 0.
struct extremes {
    float highest, lowest;

    float largest() const { return highest > lowest ? highest : lowest; }
};
inline extremes extremes_of(const float* x, std::int64_t n)
{
    constexpr int lanes = vec<float>::lanes;
    vec<float> high(0), low(0);
    for (std::int64_t c = 0; c < n; c += lanes) {
        const vec<float> v = c + lanes <= n ? load(x + c) : load_n(x + c, static_cast<int>(n - c));
        high = max(high, v);
        low = max(low, -v);
    }
    return {largest(high), largest(low)};
}

/// The whole number next to x / scale within [low, high]; 0 where all x are.
inline int quantum(float x, float scale, int low, int high)
{
    if (scale == 0) return 0;
    const float q = std::nearbyint(x / scale);
    return q < static_cast<float>(low) ? low : q > static_cast<float>(high) ? high : static_cast<int>(q);
}

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

/// Of a row with one scale, which is returned.
inline float quantise(const float* x, std::int64_t n, std::int8_t* q)
{
    float scale = std::numeric_limits<float>::quiet_NaN();
    if (all_finite<float>(x, n)) {
        const float most = extremes_of(x, n).largest();
        float wanted = most / 127;
        if (127 * wanted > std::numeric_limits<float>::max()) wanted = std::nextafter(wanted, 0.f);
        // In double: half of the smallest float is none.
        scale = scale_that_fits(wanted, [&](float s) { return double(most) <= 127.5 * double(s); });
    }
    for (std::int64_t c = 0; c < n; ++c)
        q[c] = static_cast<std::int8_t>(scale == scale ? quantum(x[c], scale, -127, 127) : 0);
    return scale;
}
inline float quantise(const float* x, std::int64_t n, fp8_e4m3* q)
{
    float scale = std::numeric_limits<float>::quiet_NaN();
    if (all_finite<float>(x, n)) {
        const float most = extremes_of(x, n).largest();
        scale = scale_that_fits(most / fp8_e4m3::largest, [&](float s) { return most <= fp8_e4m3::largest * s; });
    }
    for (std::int64_t c = 0; c < n; ++c) q[c] = fp8_e4m3(scale > 0 ? x[c] / scale : 0.f);
    return scale;
}

/// With scales that are given: scale(c). What is beyond the format's largest number becomes that.
template <class Scale>
void quantise_by(Scale scale, const float* x, std::int64_t n, std::int8_t* q)
{
    for (std::int64_t c = 0; c < n; ++c) q[c] = static_cast<std::int8_t>(quantum(x[c], scale(c), -127, 127));
}
template <class Scale>
void quantise_by(Scale scale, const float* x, std::int64_t n, fp8_e4m3* q)
{
    for (std::int64_t c = 0; c < n; ++c) q[c] = fp8_e4m3(x[c] / scale(c));
}

/// Blocks.
inline void quantise(const float* x, q8_0& block)
{
    block.d.bits = 0x7e00;
    if (all_finite<float>(x, 32)) {
        const float most = extremes_of(x, 32).largest();
        block.d = f16_that_fits(most / 127, [&](float d) { return most <= 127.5f * d; });
    }
    const float d = block.d;
    for (int c = 0; c < 32; ++c) block.q[c] = static_cast<std::int8_t>(d == d ? quantum(x[c], d, -127, 127) : 0);
}
/// q - 8 goes from -8 to 7: the sign of d gives the end with one more to the larger numbers.
inline void quantise(const float* x, q4_0& block)
{
    block.d.bits = 0x7e00;
    if (all_finite<float>(x, 32)) {
        const extremes e = extremes_of(x, 32);
        const bool negative = e.highest > e.lowest;
        const float most = e.largest(), other = negative ? e.lowest : e.highest;
        const auto fits = [&](float d) { return most <= 8.5f * d && other <= 7.5f * d; };
        block.d = f16_that_fits(most / 8 * 7.5f >= other ? most / 8 : other / 7.5f, fits);
        if (negative && block.d.bits != 0) block.d.bits ^= 0x8000;
    }
    const float d = block.d;
    const auto q = [&](int c) { return d == d ? quantum(x[c], d, -8, 7) + 8 : 8; };
    for (int c = 0; c < 16; ++c) block.q[c] = static_cast<std::uint8_t>(q(c) | q(c + 16) << 4);
}

}  // namespace micro
HEED_END
