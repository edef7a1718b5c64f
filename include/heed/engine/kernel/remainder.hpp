// SPDX-License-Identifier: MIT
// What newer keys leave to older ones, of a normalizer with an order: e^-U, where U is the sum of their masses. Partial
// results {0, U, o} are folded from the newest key tile to the oldest, and o' of an older one is multiplied by what is
// left. U only grows, and sums of it are monotone: a row that has ended in some of its tiles has ended in all of them.
#pragma once

#include "fold.hpp"

HEED_BEGIN
namespace kernel {

/// Whether nothing is left behind keys of that mass, as e^-U underflows; or is not a number, and older keys change
/// nothing.
template <class T>
HEED_INLINE bool has_ended(T mass)
{
    return !(mass < -simd::exp_constants<T>::underflow);
}
/// The same of n rows, each.
template <class T>
bool have_ended(const T* masses, int n)
{
    for (int r = 0; r < n; ++r)
        if (!has_ended(masses[r])) return false;
    return true;
}

/// e^-U in all lanes.
template <class T>
HEED_INLINE vec<T> remainder_of(T mass)
{
    return exp_neg_abs(vec<T>(mass));
}

/// {U, o} of a row += e^-U {.., o'} of older keys, for `dim` channels; nothing where the row has ended.
template <class T>
inline void fold_older_row(const partial_row<T>& into, const partial_row<T>& older, std::int64_t dim)
{
    if (has_ended(into.mass)) return;
    const vec<T> left = remainder_of(into.mass), zero(0);
    into.mass += older.mass;
    const auto folded = [&](vec<T> own, vec<T> added) HEED_INLINE_LAMBDA {
        return fma(added, left, own) + zero;  // -0 becomes +0 however the keys were split
    };
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(into.o + c, folded(load(into.o + c), load(older.o + c)));
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_n(into.o + c, folded(load_n(into.o + c, n), load_n(older.o + c, n)), n);
    }
}

}  // namespace kernel
HEED_END
