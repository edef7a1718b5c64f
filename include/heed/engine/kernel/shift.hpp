// SPDX-License-Identifier: MIT
// The shift M of a row: a whole power of two that its terms are carried in, chosen by the rule of its normalizer.
#pragma once

#include "../simd/exp.hpp"
#include "job.hpp"

HEED_BEGIN
namespace kernel {

/// The shift of a row that attended nothing yet; far below that of any score.
template <class T>
inline constexpr T no_shift = -simd::exp_constants<T>::largest;

/// M for the largest score of a row: a whole number; NaN, which poisons the row, for +inf.
template <heed::shift Rule, class T>
HEED_INLINE T shift_for(T largest_score)
{
    using C = simd::exp_constants<T>;
    if constexpr (Rule == heed::shift::none) return T(0);
    if (largest_score == libm::infinity<T>) return libm::quiet_nan<T>;
    if (Rule == heed::shift::at_least_zero && !(largest_score > 0)) return T(0);
    const T t = libm::ceil(largest_score * C::log2_e);
    return t > C::largest ? C::largest : t < -C::largest ? -C::largest : t;
}

/// The shift of a row before its first score.
template <heed::shift Rule, class T>
inline constexpr T initial_shift = Rule == heed::shift::by_max ? no_shift<T> : T(0);

/// 2^n for a whole n <= 0.
template <class T>
inline T power_of_two_scalar(T n)
{
    if (n == 0) return T(1);  // the shift did not change
    if (n != n) return n;
    constexpr T low = 2 * std::numeric_limits<T>::min_exponent;
    return libm::ldexp(T(1), static_cast<int>(n < low ? low : n));
}

}  // namespace kernel
HEED_END
