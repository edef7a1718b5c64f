// SPDX-License-Identifier: MIT
// Folding partial results, and finishing them. Shifts are whole powers of two, so bringing two partials to a common
// shift is exact; only the additions round, and their order is that of the key tiles.
#pragma once

#include "weigh.hpp"

HEED_BEGIN
namespace kernel {

/// 2^n for a whole n <= 0.
template <class T>
inline T power_of_two_scalar(T n)
{
    if (n == 0) return T(1);  // the shift did not change
    if (n != n) return n;
    constexpr T low = 2 * std::numeric_limits<T>::min_exponent;
    return std::ldexp(T(1), static_cast<int>(n < low ? low : n));
}

/// {M, l, o} += {M', l', o'} for one row of `dim` channels.
template <class T>
inline void fold_row(T& shift, T& mass, T* o, T other_shift, T other_mass, const T* other_o, std::int64_t dim)
{
    T common = other_shift > shift ? other_shift : shift;
    if (other_shift != other_shift) common = other_shift;
    const T mine = power_of_two_scalar(shift - common), theirs = power_of_two_scalar(other_shift - common);
    shift = common;
    mass = std::fma(other_mass, theirs, mass * mine);
    const vec<T> a(mine), b(theirs), zero(0);  // + 0: a sum that underflowed to -0 is +0 however the keys were split
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(o + c, fma(load(other_o + c), b, load(o + c) * a) + zero);
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_n(o + c, fma(load_n(other_o + c, n), b, load_n(o + c, n) * a) + zero, n);
    }
}

/// The denominator of a row, 2^-M (c + sum u), with M raised where the extra mass needs it.
template <class Normalizer, class T>
inline T denominator(const Normalizer& normalizer, std::int64_t head, T& shift, T mass, T& rescale)
{
    rescale = T(1);
    if constexpr (!has_mass_v<Normalizer>) {
        return T(1);
    } else {
        if constexpr (has_log_offset_v<Normalizer>) {
            const T z = static_cast<T>(normalizer.log_offset(head));
            if (z > -std::numeric_limits<T>::infinity()) {
                const T needed = shift_for<heed::shift::by_max>(z), common = needed > shift ? needed : shift;
                rescale = power_of_two_scalar(shift - common);
                shift = common;
                T extra[vec<T>::lanes];
                store(extra, shifted_score<T>(vec<T>(z), vec<T>(shift), vec<T>(0)).exp());
                mass = std::fma(mass, rescale, extra[0]);
            }
        }
        return mass;
    }
}

/// The natural log of a denominator in units of 2^M; -inf where it is 0.
template <class T>
inline T log_of_denominator(T den, T shift)
{
    constexpr double ln2 = 0.693147180559945309417;
    if (den == T(0)) return -std::numeric_limits<T>::infinity();
    return static_cast<T>(std::log(static_cast<double>(den)) + static_cast<double>(shift) * ln2);
}

/// out = o / denominator for one row; exactly 0 where the denominator is 0. `lse`, where asked for, is the natural log
/// of the denominator.
template <class Normalizer, class T, class O>
HEED_NOINLINE inline void finish_row(const Normalizer& normalizer, std::int64_t head, T shift, T mass, const T* o,
                                     O* out, std::int64_t dim, T* lse)
{
    T rescale;
    const T den = denominator(normalizer, head, shift, mass, rescale);
    const bool empty = den == T(0);
    const vec<T> d(empty ? T(1) : den), a(empty ? T(0) : rescale), zero(0);
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store_as(out + c, empty ? zero : load(o + c) * a / d + zero);
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_as_n(out + c, empty ? zero : load_n(o + c, n) * a / d + zero, n);
    }
    if (lse) *lse = log_of_denominator(den, shift);
}

}  // namespace kernel
HEED_END
