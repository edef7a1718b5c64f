// SPDX-License-Identifier: MIT
// S = Q K^T for a register block of query rows and one packed key strip: one lane a key, fma over channels in
// ascending order, so that a score's bits depend on its query and key alone.
#pragma once

#include "pack.hpp"

HEED_BEGIN
namespace micro {

template <int Rows, class T>
HEED_NOINLINE inline void scores_block(const T* q, std::int64_t q_step, const T* strip, std::int64_t dim, int vecs, T* s)
{
    constexpr int lanes = vec<T>::lanes, width = block_vecs;
    for (int v = 0; v < vecs; v += width) {
        const T* k = strip + v * lanes;
        vec<T> acc[Rows][width];
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < width; ++i) acc[r][i] = vec<T>(0);
        }
        for (std::int64_t c = 0; c < dim; ++c) {
            vec<T> b[width];
            HEED_UNROLL
            for (int i = 0; i < width; ++i) b[i] = load(k + i * lanes);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const vec<T> a(q[r * q_step + c]);
                HEED_UNROLL
                for (int i = 0; i < width; ++i) acc[r][i] = fma(a, b[i], acc[r][i]);
            }
            k += key_strip;
        }
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < width; ++i) store(s + r * score_step + (v + i) * lanes, acc[r][i]);
        }
    }
}

/// s[r][j] = q[r] . k[j] for `rows` <= block_rows rows and one strip of key_strip keys.
template <class T>
HEED_INLINE void scores(int rows, const T* q, std::int64_t q_step, const T* strip, std::int64_t dim, T* s)
{
    constexpr int vecs = key_strip / vec<T>::lanes;
    switch (rows) {
    case 1: return scores_block<1>(q, q_step, strip, dim, vecs, s);
    case 2: return scores_block<2>(q, q_step, strip, dim, vecs, s);
    case 3: return scores_block<3>(q, q_step, strip, dim, vecs, s);
    case 4: return scores_block<4>(q, q_step, strip, dim, vecs, s);
    case 5: return scores_block<5>(q, q_step, strip, dim, vecs, s);
    default: return scores_block<6>(q, q_step, strip, dim, vecs, s);
    }
}

}  // namespace micro
HEED_END
