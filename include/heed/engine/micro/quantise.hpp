// SPDX-License-Identifier: MIT
// From rows of floats to quantised elements: what the encoding in an element's file asks of a row, and its numbers one
// by one.
#pragma once

#include "../simd/finite.hpp"

HEED_BEGIN
namespace micro {

inline detail::extremes extremes_of(const float* x, std::int64_t n)
{
    constexpr float nan = libm::quiet_nan<float>;
    if (!all_finite<float>(x, n)) return {nan, nan};
    constexpr int lanes = vec<float>::lanes;
    vec<float> high(0), low(0);
    for (std::int64_t c = 0; c < n; c += lanes) {
        const vec<float> v = c + lanes <= n ? load(x + c) : load_n(x + c, static_cast<int>(n - c));
        high = max(high, v);
        low = max(low, -v);
    }
    return {largest(high), largest(low)};
}

/// Of a row with one scale, which is returned.
template <class E>
inline float quantise(const float* x, std::int64_t n, E* q)
{
    using traits = element_traits<E>;
    const detail::extremes e = extremes_of(x, n);
    const float scale = e.finite() ? traits::scale_for(e) : libm::quiet_nan<float>;
    for (std::int64_t c = 0; c < n; ++c) q[c] = scale > 0 ? traits::encode(x[c], scale) : traits::encode(0, 1);
    return scale;
}

/// With scales that are given, above 0: scale(c). What is beyond the format's largest number becomes that.
template <class E, class Scale>
void quantise_by(Scale scale, const float* x, std::int64_t n, E* q)
{
    for (std::int64_t c = 0; c < n; ++c) q[c] = element_traits<E>::encode(x[c], scale(c));
}

/// A block.
template <class E>
inline void quantise(const float* x, E& block)
{
    element_traits<E>::encode(x, extremes_of(x, channels_of<E>), block);
}

}  // namespace micro
HEED_END
