// SPDX-License-Identifier: MIT
// O += P V for a register block of query rows and channels: one lane a channel, fma over keys in ascending order.
// A weight of exactly 0 contributes exactly nothing, so leaving its key out changes no bit.
#pragma once

#include "read_ahead.hpp"

HEED_BEGIN
namespace micro {

template <int Rows, int Vecs, class T, class E, class Ahead>
HEED_NOINLINE inline void outputs_block(const T* p, const E* v, std::int64_t v_step, int keys, T* o,
                                        std::int64_t o_step, Ahead&& reader)
{
    constexpr int lanes = vec<T>::lanes;
    std::decay_t<Ahead> ahead = reader;
    vec<T> acc[Rows][Vecs];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) acc[r][i] = load(o + r * o_step + i * lanes);
    }
    const auto key = [&](int x) HEED_INLINE_LAMBDA {
        vec<T> b[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) b[i] = in_register(load_as<T>(v + i * lanes));
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const vec<T> a(p[r * score_step + x]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
        v += v_step;
    };
    int j = 0;
    for (; j + ahead_every <= keys; j += ahead_every) {
        ahead.next(ahead_every * Vecs * lanes);
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) key(x);
        p += ahead_every;
    }
    for (; j < keys; ++j) {
        key(0);
        ++p;
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) store(o + r * o_step + i * lanes, acc[r][i]);
    }
    reader = ahead;  // goes on in the next panel
}

template <int Vecs, class T, class E, class Ahead>
HEED_INLINE void outputs_rows(int rows, const T* p, const E* v, std::int64_t v_step, int keys, T* o,
                              std::int64_t o_step, Ahead&& ahead)
{
    with_rows(rows,
              [&](auto n) HEED_INLINE_LAMBDA { outputs_block<n.value, Vecs>(p, v, v_step, keys, o, o_step, ahead); });
}

/// o[r][c] += sum_j p[r][j] v[j][c] for `rows` <= block_rows rows and `vecs` <= block_vecs registers of channels.
template <class T, class E, class Ahead>
HEED_INLINE void outputs(int rows, int vecs, const T* p, const E* v, std::int64_t v_step, int keys, T* o,
                         std::int64_t o_step, Ahead&& ahead)
{
    if constexpr (block_vecs == 4) {
        if (vecs == 4) return outputs_rows<4>(rows, p, v, v_step, keys, o, o_step, ahead);
        if (vecs == 3) return outputs_rows<3>(rows, p, v, v_step, keys, o, o_step, ahead);
    }
    if (vecs == 2) return outputs_rows<2>(rows, p, v, v_step, keys, o, o_step, ahead);
    return outputs_rows<1>(rows, p, v, v_step, keys, o, o_step, ahead);
}

template <int Rows, int Vecs, class T, class E>
HEED_NOINLINE inline void outputs_listed_block(const T* p, const E* v, std::int64_t v_step, const int* list, int n,
                                               T* o, std::int64_t o_step)
{
    constexpr int lanes = vec<T>::lanes;
    vec<T> acc[Rows][Vecs];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) acc[r][i] = load(o + r * o_step + i * lanes);
    }
    for (int x = 0; x < n; ++x) {
        const int j = list[x];
        const E* row = v + j * v_step;
        const E* ahead = v + list[x + listed_ahead] * v_step;
        vec<T> b[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) b[i] = in_register(load_as<T>(row + i * lanes));
        for (int i = 0; i < Vecs * lanes; i += line_of<E>) __builtin_prefetch(ahead + i);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const vec<T> a(p[r * score_step + j]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) store(o + r * o_step + i * lanes, acc[r][i]);
    }
}

/// The same over the keys list[0..n) alone, of which p and v start at 0; listed_ahead more places of the list exist.
template <class T, class E>
HEED_INLINE void outputs_listed(int rows, int vecs, const T* p, const E* v, std::int64_t v_step, const int* list, int n,
                                T* o, std::int64_t o_step)
{
    with_rows(rows, [&](auto r) HEED_INLINE_LAMBDA {
        if constexpr (block_vecs == 4) {
            if (vecs == 4) return outputs_listed_block<r.value, 4>(p, v, v_step, list, n, o, o_step);
            if (vecs == 3) return outputs_listed_block<r.value, 3>(p, v, v_step, list, n, o, o_step);
        }
        if (vecs == 2) return outputs_listed_block<r.value, 2>(p, v, v_step, list, n, o, o_step);
        return outputs_listed_block<r.value, 1>(p, v, v_step, list, n, o, o_step);
    });
}

/// o[c] += p v[c] for one row and one key, which a weight of 0 leaves out, whatever its V holds.
template <class T, class E>
HEED_NOINLINE inline void outputs_selected(T p, const E* v, std::int64_t dim, T* o)
{
    constexpr int lanes = vec<T>::lanes;
    if (p == T(0)) return;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(o + c, fma(vec<T>(p), load_as<T>(v + c), load(o + c)));
    if (c < dim) {
        const int n = static_cast<int>(dim - c);
        store_n(o + c, fma(vec<T>(p), load_as_n<T>(v + c, n), load_n(o + c, n)), n);
    }
}

}  // namespace micro
HEED_END
