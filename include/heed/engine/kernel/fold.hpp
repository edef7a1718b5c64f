// SPDX-License-Identifier: MIT
// Folding partial results, and finishing them. Shifts are whole powers of two, so bringing two partials to a common
// shift is exact; only the additions round, and their order is that of the key tiles.
#pragma once

#include "../micro/units.hpp"
#include "shift.hpp"

HEED_BEGIN
namespace kernel {

/// {M, l, o} of a row, where they are kept.
template <class T>
struct partial_row {
    T& shift;
    T& mass;
    T* o;
};

/// {M, l, o} of the rows of a block.
template <class T>
struct partial {
    T* shift;            // [rows]
    T* mass;             // [rows]
    micro::matrix<T> o;  // [rows][whole registers of channels]

    partial_row<T> row(int r) const { return {shift[r], mass[r], o.row(r)}; }
    /// The same from row r on.
    partial from_row(int r) const { return {shift + r, mass + r, {o.row(r), o.stride}}; }
    template <class Carver>
    static partial carve(Carver& c, std::int64_t rows, std::int64_t o_stride)
    {
        T* shift = c.template take<T>(rows);
        T* mass = c.template take<T>(rows);
        return {shift, mass, {c.template take<T>(rows, o_stride), o_stride}};
    }
};

/// {M, l} += {M', l'}; returns what the outputs of both are multiplied by.
template <class T>
HEED_INLINE micro::fold_factors<T> fold_sums(T& shift, T& mass, T other_shift, T other_mass)
{
    T common = other_shift > shift ? other_shift : shift;
    if (other_shift != other_shift) common = other_shift;
    const T mine = power_of_two_scalar(shift - common), theirs = power_of_two_scalar(other_shift - common);
    shift = common;
    mass = libm::fma(other_mass, theirs, mass * mine);
    return {mine, theirs};
}

/// {M, l, o} += {M', l', o'} for one row of `dim` channels. A factor of 0 selects: outputs that it leaves out may be
/// Inf or NaN, from values that weigh nothing beside the other side's. Masses are multiplied all the same, for a NaN
/// among the scores poisons its row.
template <class T>
inline void fold_row(const partial_row<T>& into, const partial_row<T>& other, std::int64_t dim)
{
    const auto [mine, theirs] = fold_sums(into.shift, into.mass, other.shift, other.mass);
    T* const o = into.o;
    const T* const other_o = other.o;
    const vec<T> a(mine), b(theirs), zero(0);
    const bool keeps_mine = mine != 0, keeps_theirs = theirs != 0;
    const auto folded = [&](vec<T> own, vec<T> added) HEED_INLINE_LAMBDA {
        // + 0: a sum that underflowed to -0 is +0 however the keys were split
        return fma(keeps_theirs ? added : zero, b, (keeps_mine ? own : zero) * a) + zero;
    };
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(o + c, folded(load(o + c), load(other_o + c)));
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_n(o + c, folded(load_n(o + c, n), load_n(other_o + c, n)), n);
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
    row_denominator<T> d{shift, has_mass_v<Normalizer> && !has_order_v<Normalizer> ? mass : T(1), T(0), T(1)};
    if constexpr (has_log_offset_v<Normalizer>) {
        const T z = static_cast<T>(normalizer.log_offset(head));
        if (z > -libm::infinity<T>) {
            const T needed = shift_for<heed::shift::by_max>(z);
            d.shift = needed > shift ? needed : shift;
            d.rescale = power_of_two_scalar(shift - d.shift);
            T extra[vec<T>::lanes];
            store(extra, shifted_score<T>(vec<T>(z), vec<T>(d.shift), vec<T>(0)).exp());
            d.extra = extra[0];
            d.value = libm::fma(mass, d.rescale, d.extra);
        }
    }
    return d;
}

/// The natural log of a denominator; -inf where it is 0.
template <class T>
inline T log_of_denominator(const row_denominator<T>& den)
{
    constexpr double ln2 = 0.693147180559945309417;
    if (den.value == T(0)) return -libm::infinity<T>;
    return static_cast<T>(libm::log(static_cast<double>(den.value)) + static_cast<double>(den.shift) * ln2);
}

/// out = o / denominator for one row; exactly 0 where the denominator is 0. An extra mass beside which the row's sums
/// vanish selects them out, as in fold_row(). `lse`, where it is not null, is the natural log of the denominator.
template <class Normalizer, class T, class O>
HEED_NOINLINE inline void finish_row(const Normalizer& normalizer, std::int64_t head, const partial_row<T>& row, O* out,
                                     std::int64_t dim, T* lse)
{
    const row_denominator<T> den = denominator(normalizer, head, row.shift, row.mass);
    const T* const o = row.o;
    const bool empty = den.value == T(0), keeps = !empty && den.rescale != T(0);
    const vec<T> d(empty ? T(1) : den.value), a(den.rescale), zero(0);
    const auto finished = [&](vec<T> sum) HEED_INLINE_LAMBDA { return (keeps ? sum * a : zero) / d + zero; };
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store_as(out + c, finished(load(o + c)));
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_as_n(out + c, finished(load_n(o + c, n)), n);
    }
    if (lse) *lse = log_of_denominator(den);
}

}  // namespace kernel
HEED_END
