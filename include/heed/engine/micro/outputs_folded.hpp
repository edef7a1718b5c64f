// SPDX-License-Identifier: MIT
// O of the listed keys of a tile, folded into the sum so far while it stands in registers: a tile of a few keys would
// otherwise spend more on its partial result in memory than on its keys.
#pragma once

#include "outputs.hpp"

HEED_BEGIN
namespace micro {

template <int Rows, int Vecs, class T, class E>
HEED_NOINLINE inline void outputs_folded_block(const T* p, listed_values<E> v, std::int64_t channel,
                                               const fold_factors<T>* factors, matrix<T> sum)
{
    constexpr int lanes = vec<T>::lanes;
    vec<T> acc[Rows][Vecs];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) acc[r][i] = vec<T>(0);
    }
    for (int x = 0; x < v.count; ++x) {
        const E* const ahead = v.rows[x + listed_ahead] + elements_for<E>(channel);
        vec<T> b[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) b[i] = in_register(load_channels<T>(v.rows[x], channel + i * lanes));
        for (int i = 0; i < elements_for<E>(Vecs * lanes); i += line_of<E>) __builtin_prefetch(ahead + i);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const lane_factor<T> a(p[r * score_stride + x]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
    }
    const vec<T> zero(0);
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        T* const o = sum.row(r);
        const vec<T> mine(factors[r].mine), theirs(factors[r].theirs);
        const bool keeps_mine = factors[r].mine != 0, keeps_theirs = factors[r].theirs != 0;
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            const vec<T> own = keeps_mine ? load(o + i * lanes) : zero, added = keeps_theirs ? acc[r][i] : zero;
            store(o + i * lanes, fma(added, theirs, own * mine) + zero);  // + 0 as in fold_row()
        }
    }
}

/// sum[r][c] = sum[r][c] mine_r + theirs_r sum_x p[r][x] v[x][c] for the listed rows of V, from `channel` on.
template <class T, class E>
HEED_INLINE void outputs_folded(block_shape shape, const T* p, listed_values<E> v, std::int64_t channel,
                                const fold_factors<T>* factors, matrix<T> sum)
{
    with_rows(shape.rows, [&](auto r) HEED_INLINE_LAMBDA {
        with_vecs(shape.vecs, [&](auto w) HEED_INLINE_LAMBDA {
            outputs_folded_block<r.value, w.value>(p, v, channel, factors, sum);
        });
    });
}

}  // namespace micro
HEED_END
