// SPDX-License-Identifier: MIT
// S = Q K^T for a register block of query rows and one packed key strip: one lane a key, fma over channels in
// ascending order, so that a score's bits depend on its query and key alone.
#pragma once

#include "pack.hpp"

HEED_BEGIN
namespace micro {

/// `Width` registers of keys; `more` goes on with the sums of earlier units in s.
template <int Rows, int Width, class U, class Ahead>
HEED_NOINLINE inline void scores_block(const U* q, const U* strip, std::int64_t units, bool more, sum_t<U>* s,
                                       Ahead ahead)
{
    using T = sum_t<U>;
    constexpr int lanes = vec<T>::lanes;
    vec<T> acc[Rows][Width];
    load_block(acc, more, s, score_step);
    const auto unit = [&](int x) HEED_INLINE_LAMBDA {
        vec<U> b[Width];
        HEED_UNROLL
        for (int i = 0; i < Width; ++i) b[i] = in_register(load(strip + x * key_strip<T> + i * lanes));
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const vec<U> a(q[r * query_step<T> + x]);
            HEED_UNROLL
            for (int i = 0; i < Width; ++i) accumulate(acc[r][i], a, b[i]);
        }
    };
    std::int64_t u = 0;
    for (; u + ahead_every <= units; u += ahead_every) {
        ahead.next();
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) unit(x);
        q += ahead_every;
        strip += ahead_every * key_strip<T>;
    }
    for (; u < units; ++u) {
        unit(0);
        ++q;
        strip += key_strip<T>;
    }
    store_block(acc, s, score_step);
}

/// s[r][j] (+)= q[r] . k[j] over `units` units, for `rows` <= block_rows rows and one strip of keys, of which [lo, hi)
/// are wanted. Half a strip, if it has them all, still keeps the multipliers of AVX-512 busy.
template <class U, class Ahead>
HEED_INLINE void scores(int rows, const U* q, const U* strip, std::int64_t units, bool more, sum_t<U>* s, int lo,
                        int hi, Ahead ahead)
{
    constexpr int half = key_strip<sum_t<U>> / 2;
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (avx512) {
            static_assert(half % mass_lanes == 0);
            if (hi <= half || lo >= half) {
                const int from = lo >= half ? half : 0;
                return scores_block<n.value, block_vecs / 2>(q, strip + from, units, more, s + from, ahead);
            }
        }
        scores_block<n.value, block_vecs>(q, strip, units, more, s, ahead);
    });
}

/// Keys whose scores are taken at a time where keys are not packed. Two registers of them: the sums of one would wait
/// for each other, channel after channel.
template <class T>
inline constexpr int unpacked_keys = 2 * vec<T>::lanes;

/// Adds the products of one unit, whose keys are collected one by one.
template <int Rows, class U, class E, class T>
HEED_INLINE void add_odd_unit(const U* q, const E* k, std::int64_t step, std::int64_t channel, std::int64_t dim,
                              vec<T> (&acc)[Rows])
{
    constexpr int lanes = vec<T>::lanes;
    U lane[lanes];
    for (int j = 0; j < lanes; ++j) lane[j] = unit_of<U>(k + j * step, channel, dim);
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) accumulate(acc[r], vec<U>(q[r * query_step<T>]), load(lane));
}

/// The same over all channels for Vecs registers of keys, transposed in registers: each is a group of rows of `panel`.
/// Parts of the queries are part_step apart.
template <int Rows, int Vecs, class U, class Panel, class Ahead>
HEED_NOINLINE inline void scores_unpacked_block(const U* q, std::int64_t part_step, Panel panel, std::int64_t dim,
                                                sum_t<U>* s, Ahead& reader)
{
    using T = sum_t<U>;
    using E = typename Panel::element;
    constexpr int lanes = vec<T>::lanes;
    Ahead ahead = reader;
    vec<T> acc[Vecs][Rows];
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) acc[i][r] = vec<T>(0);
    }
    const row_parts<T> parts(ceil_div(dim, elements_of<U>));
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const U* a = q + part * part_step;
        std::int64_t c = parts.begin(part) * elements_of<U>;
        const std::int64_t end = min_of(parts.end(part) * elements_of<U>, dim);
        if constexpr (is_quantised_v<E>) {
            using keys = transposed_keys<T, E>;
            for (; c + keys::channels <= end; c += keys::channels, a += keys::channels) {
                ahead.next(Vecs * lanes * keys::channels);
                keys k[Vecs];
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) k[i] = keys(panel.template group<lanes>(i), c, panel.row_step);
                HEED_UNROLL
                for (int first = 0; first < keys::channels; first += keys::together) {
                    HEED_UNROLL
                    for (int i = 0; i < Vecs; ++i) k[i].turn_to(first);
                    // A word of each register in turn: the sums of one would wait for each other.
                    HEED_UNROLL
                    for (int w = 0; w < keys::together; w += 4) {
                        HEED_UNROLL
                        for (int i = 0; i < Vecs; ++i) {
                            HEED_UNROLL
                            for (int u = w; u < w + 4; ++u) {
                                const vec<T> b = in_register(k[i][u]);
                                HEED_UNROLL
                                for (int r = 0; r < Rows; ++r)
                                    accumulate(acc[i][r], vec<T>(a[r * query_step<T> + first + u]), b);
                            }
                            __asm__ volatile("" ::: "memory");  // as below
                        }
                    }
                }
            }
        } else {
            constexpr int some = transposed_channels<E>, units = transposed_units<U, E>;
            for (; c + some <= end; c += some, a += units) {
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) {
                    if (!two_distances) ahead.next(lanes * some);
                    else if (i == 0) ahead.next(Vecs * lanes * some);
                    vec<U> t[units];
                    transpose_units<U>(panel.template group<lanes>(i) + c, panel.row_step, t);
                    HEED_UNROLL
                    for (int u = 0; u < units; ++u) {
                        HEED_UNROLL
                        for (int r = 0; r < Rows; ++r) accumulate(acc[i][r], vec<U>(a[r * query_step<T> + u]), t[u]);
                    }
                    __asm__ volatile("" ::: "memory");  // or gcc keeps all q of one i for the next, and spills the sums
                }
            }
        }
        for (; c < end; c += elements_of<U>, ++a) {
            // An i that is no constant keeps all sums in memory. Floats, which wait for memory anyway, come 2 to 4 %
            // faster so; narrower elements 8 % slower (Zen 5).
            if constexpr (std::is_same_v<E, T>) {
                for (int i = 0; i < Vecs; ++i)
                    add_odd_unit(a, panel.template group<lanes>(i), panel.row_step, c, dim, acc[i]);
            } else {
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i)
                    add_odd_unit(a, panel.template group<lanes>(i), panel.row_step, c, dim, acc[i]);
            }
        }
    }
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) store(s + r * score_step + i * lanes, acc[i][r]);
    }
    reader = ahead;
}

/// s[r][j] = q[r] . k[j] for unpacked_keys keys: where few query rows share them, packing would cost more than it
/// saves.
template <class U, class Panel, class Ahead>
HEED_INLINE void scores_unpacked(int rows, const U* q, std::int64_t part_step, Panel panel, std::int64_t dim,
                                 sum_t<U>* s, Ahead& ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (n.value <= block_vecs * 2) {
            scores_unpacked_block<n.value, 2>(q, part_step, panel, dim, s, ahead);
        } else {  // too few registers
            constexpr int lanes = vec<U>::lanes;
            for (int i = 0; i < 2; ++i)
                scores_unpacked_block<n.value, 1>(q, part_step, panel.template from<lanes>(i), dim, s + i * lanes,
                                                  ahead);
        }
    });
}

}  // namespace micro
HEED_END
