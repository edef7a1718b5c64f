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

/// The denominator of a row, with M raised where the extra mass needs it.
template <class T>
struct row_denominator {
    T shift;    // M
    T value;    // c + sum u, in units of 2^M
    T extra;    // c in these units
    T rescale;  // what brings the row's sums to this M
};

template <class Normalizer, class T>
inline row_denominator<T> denominator(const Normalizer& normalizer, std::int64_t head, T shift, T mass)
{
    row_denominator<T> d{shift, has_mass_v<Normalizer> ? mass : T(1), T(0), T(1)};
    if constexpr (has_log_offset_v<Normalizer>) {
        const T z = static_cast<T>(normalizer.log_offset(head));
        if (z > -std::numeric_limits<T>::infinity()) {
            const T needed = shift_for<heed::shift::by_max>(z);
            d.shift = needed > shift ? needed : shift;
            d.rescale = power_of_two_scalar(shift - d.shift);
            T extra[vec<T>::lanes];
            store(extra, shifted_score<T>(vec<T>(z), vec<T>(d.shift), vec<T>(0)).exp());
            d.extra = extra[0];
            d.value = std::fma(mass, d.rescale, d.extra);
        }
    }
    return d;
}

/// The natural log of a denominator; -inf where it is 0.
template <class T>
inline T log_of_denominator(const row_denominator<T>& den)
{
    constexpr double ln2 = 0.693147180559945309417;
    if (den.value == T(0)) return -std::numeric_limits<T>::infinity();
    return static_cast<T>(std::log(static_cast<double>(den.value)) + static_cast<double>(den.shift) * ln2);
}

/// out = o / denominator for one row; exactly 0 where the denominator is 0. `lse`, where asked for, is the natural log
/// of the denominator.
template <class Normalizer, class T, class O>
HEED_NOINLINE inline void finish_row(const Normalizer& normalizer, std::int64_t head, T shift, T mass, const T* o,
                                     O* out, std::int64_t dim, T* lse)
{
    const row_denominator<T> den = denominator(normalizer, head, shift, mass);
    const bool empty = den.value == T(0);
    const vec<T> d(empty ? T(1) : den.value), a(empty ? T(0) : den.rescale), zero(0);
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store_as(out + c, empty ? zero : load(o + c) * a / d + zero);
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_as_n(out + c, empty ? zero : load_n(o + c, n) * a / d + zero, n);
    }
    if (lse) *lse = log_of_denominator(den);
}

}  // namespace kernel
HEED_END
