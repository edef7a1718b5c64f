// SPDX-License-Identifier: MIT
// S = Q K^T for a register block of query rows and one packed key strip: one lane a key, fma over channels in
// ascending order, so that a score's bits depend on its query and key alone.
#pragma once

#include "pack.hpp"

HEED_BEGIN
namespace micro {

template <int Rows, class T, class Ahead>
HEED_NOINLINE inline void scores_block(const T* q, std::int64_t q_step, const T* strip, std::int64_t dim, int vecs,
                                       T* s, Ahead ahead)
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
            for (int i = 0; i < width; ++i) b[i] = in_register(load(k + i * lanes));
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const vec<T> a(q[r * q_step + c]);
                HEED_UNROLL
                for (int i = 0; i < width; ++i) acc[r][i] = fma(a, b[i], acc[r][i]);
            }
            k += key_strip;
            ahead.next();
        }
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < width; ++i) store(s + r * score_step + (v + i) * lanes, acc[r][i]);
        }
    }
}

/// s[r][j] = q[r] . k[j] for `rows` <= block_rows rows and one strip of key_strip keys.
template <class T, class Ahead>
HEED_INLINE void scores(int rows, const T* q, std::int64_t q_step, const T* strip, std::int64_t dim, T* s, Ahead ahead)
{
    constexpr int vecs = key_strip / vec<T>::lanes;
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { scores_block<n.value>(q, q_step, strip, dim, vecs, s, ahead); });
}

/// The same for the vec<T>::lanes keys whose rows start at k, transposed in registers: where few query rows share
/// them, packing a strip would cost more than it saves.
template <int Rows, class T, class E>
HEED_NOINLINE inline void scores_unpacked_block(const T* q, std::int64_t q_step, const E* k, std::int64_t k_step,
                                                std::int64_t dim, T* s)
{
    constexpr int lanes = vec<T>::lanes, some = transposed_channels<E>;
    vec<T> acc[Rows];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) acc[r] = vec<T>(0);
    stream_ahead<E> ahead(k, k_step, dim);
    std::int64_t c = 0;
    for (; c + some <= dim; c += some) {
        ahead.next(k, lanes * some);
        vec<T> t[some];
        transpose<T>(k + c, k_step, t);
        HEED_UNROLL
        for (int x = 0; x < some; ++x) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) acc[r] = fma(vec<T>(q[r * q_step + c + x]), t[x], acc[r]);
        }
    }
    for (; c < dim; ++c) {
        T lane[lanes];
        for (int j = 0; j < lanes; ++j) lane[j] = static_cast<T>(k[j * k_step + c]);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) acc[r] = fma(vec<T>(q[r * q_step + c]), load(lane), acc[r]);
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) store(s + r * score_step, acc[r]);
}

template <class T, class E>
HEED_INLINE void scores_unpacked(int rows, const T* q, std::int64_t q_step, const E* k, std::int64_t k_step,
                                 std::int64_t dim, T* s)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { scores_unpacked_block<n.value>(q, q_step, k, k_step, dim, s); });
}

}  // namespace micro
HEED_END
