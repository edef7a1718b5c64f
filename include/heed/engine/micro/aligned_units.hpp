// SPDX-License-Identifier: MIT
// The steps of a register block on machines that repeat a number in all lanes for less where it lies in aligned memory:
// the same sums in the same order, eight at a time.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

/// Whether a block of units U takes such steps.
template <class U>
inline constexpr bool takes_aligned_units = native_arch::repeats_aligned&& std::is_same_v<U, float>;

/// Adds a[r * Stride + x] b[x] to the sums of row r for as many x < units as fill groups of ahead_every, and moves a
/// and b behind them; returns their number. a is at a multiple of 16 bytes, Stride a multiple of four numbers; b[x] are
/// registers in a row, Step numbers from one x to the next. before() runs before each group.
template <int Stride, int Step, int Rows, int Vecs, class Before>
HEED_INLINE int add_aligned_units(vec<float> (&acc)[Rows][Vecs], const float*& a, const float*& b, std::int64_t units,
                                  Before before)
{
    static_assert(Stride % 4 == 0);
    constexpr int lanes = vec<float>::lanes;
    int done = 0;
    for (; done + ahead_every <= units; done += ahead_every, a += ahead_every, b += ahead_every * Step) {
        before();
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) {
            vec<float> v[Vecs];
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) v[i] = in_register(load(b + x * Step + i * lanes));
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const vec<float> repeated = repeat(a, r * Stride + x);
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], repeated, v[i]);
            }
        }
    }
    return done;
}

}  // namespace micro
HEED_END
