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
/// are wanted: half a strip, if it has them all.
template <class U, class Ahead>
HEED_INLINE void scores(int rows, const U* q, const U* strip, std::int64_t units, bool more, sum_t<U>* s, int lo,
                        int hi, Ahead ahead)
{
    constexpr int half = key_strip<sum_t<U>> / 2;
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (native_arch::half_strips) {
            static_assert(half % mass_lanes == 0);
            if (hi <= half || lo >= half) {
                const int from = lo >= half ? half : 0;
                return scores_block<n.value, block_vecs / 2>(q, strip + from, units, more, s + from, ahead);
            }
        }
        scores_block<n.value, block_vecs>(q, strip, units, more, s, ahead);
    });
}

/// Registers of keys whose scores are taken at a time where keys are not packed: the sums of one would wait for each
/// other, channel after channel.
inline constexpr int unpacked_vecs = 2;

/// Whether the next ones are transposed there while these are multiplied. Floats wait for memory anyway, and like its
/// lines in another order.
template <class E>
inline constexpr bool overlaps_transposition = native_arch::overlaps_transposition && !std::is_floating_point_v<E>;

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

/// Adds the products of N registers of keys, whose sums are acc[first] and the next ones.
template <int Rows, int N, class U, class Keys, class T, int Vecs>
HEED_INLINE void add_keys(const U* q, const Keys* k, vec<T> (&acc)[Vecs][Rows], int first = 0)
{
    // Registers of keys share the broadcasts of a query; or a few units of one are taken, then of the other.
    constexpr int turn = native_arch::shares_broadcasts || N == 1 ? 1 : 4;
    HEED_UNROLL
    for (int u = 0; u < Keys::units; u += turn) {
        if constexpr (turn == 1) {
            vec<U> b[N];
            HEED_UNROLL
            for (int i = 0; i < N; ++i) b[i] = in_register(k[i][u]);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const vec<U> a(q[r * query_step<T> + u]);
                HEED_UNROLL
                for (int i = 0; i < N; ++i) accumulate(acc[first + i][r], a, b[i]);
            }
        } else {
            HEED_UNROLL
            for (int i = 0; i < N; ++i) {
                HEED_UNROLL
                for (int x = u; x < u + turn; ++x) {
                    const vec<U> b = in_register(k[i][x]);
                    HEED_UNROLL
                    for (int r = 0; r < Rows; ++r) accumulate(acc[first + i][r], vec<U>(q[r * query_step<T> + x]), b);
                }
                __asm__ volatile("" ::: "memory");  // as below
            }
        }
    }
    __asm__ volatile("" ::: "memory");  // or gcc keeps all q for the next keys, and spills the sums
}

/// The same over all channels for `groups` registers of keys, Vecs at a time: groups of rows of `panel` from the
/// first-th on. Parts of the queries are part_step apart.
template <int Rows, int Vecs, class U, class Panel, class Ahead>
HEED_NOINLINE inline void scores_unpacked_block(const U* q, std::int64_t part_step, Panel panel, int first, int groups,
                                                std::int64_t dim, sum_t<U>* s, Ahead& reader)
{
    using T = sum_t<U>;
    using E = typename Panel::element;
    using keys = transposed<U, E>;
    constexpr int lanes = vec<T>::lanes, each = elements_of<U>;
    constexpr bool overlaps = overlaps_transposition<E>;
    Ahead ahead = reader;
    const row_parts<T> parts(ceil_div(dim, each));
    const auto end_of = [&](std::int64_t part) { return min_of(parts.end(part) * each, dim); };
    const auto rows_of_group = [&](int g) HEED_INLINE_LAMBDA { return panel.template group<lanes>(first + g); };
    keys next[Vecs] = {};
    const E* rows[Vecs] = {};
    // Where `next` was taken; at first, at the end of the groups before these.
    int next_group = -Vecs;
    std::int64_t next_part = parts.count - 1, next_channel = 0, stop = 0;
    const auto take_next = [&]() HEED_INLINE_LAMBDA {
        for (next_channel += keys::channels; next_channel + keys::channels > stop;) {
            if (++next_part == parts.count) {
                next_part = 0;
                next_group += Vecs;
                if (next_group + Vecs > groups) return;
                for (int i = 0; i < Vecs; ++i) rows[i] = rows_of_group(next_group + i);
            }
            next_channel = parts.begin(next_part) * each;
            stop = end_of(next_part);
        }
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            ahead.next(lanes * keys::channels);
            next[i] = keys(rows[i], next_channel, panel.row_step, next[i]);
        }
    };
    if constexpr (overlaps) take_next();
    for (int g = 0; g + Vecs <= groups; g += Vecs, s += Vecs * lanes) {
        vec<T> acc[Vecs][Rows];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) acc[i][r] = vec<T>(0);
        }
        for (std::int64_t part = 0; part < parts.count; ++part) {
            const U* a = q + part * part_step;
            std::int64_t c = parts.begin(part) * each;
            const std::int64_t end = end_of(part);
            for (; c + keys::channels <= end; c += keys::channels, a += keys::units) {
                if constexpr (overlaps) {
                    keys now[Vecs];
                    HEED_UNROLL
                    for (int i = 0; i < Vecs; ++i) now[i] = next[i];
                    take_next();
                    add_keys<Rows, Vecs>(a, now, acc);
                } else {
                    constexpr int together = is_quantised_v<E> ? Vecs : 1;
                    HEED_UNROLL
                    for (int i = 0; i < Vecs; i += together) {
                        if (!two_distances) ahead.next(together * lanes * keys::channels);
                        else if (i == 0) ahead.next(Vecs * lanes * keys::channels);
                        HEED_UNROLL
                        for (int x = i; x < i + together; ++x)
                            next[x] = keys(rows_of_group(g + x), c, panel.row_step, next[x]);
                        add_keys<Rows, together>(a, next + i, acc, i);
                    }
                }
            }
            for (; c < end; c += each, ++a) {
                // An i that is no constant keeps all sums in memory. Floats, which wait for memory anyway, come 2 to 4
                // % faster so; narrower elements 8 % slower (Zen 5).
                if constexpr (std::is_same_v<E, T>) {
                    for (int i = 0; i < Vecs; ++i)
                        add_odd_unit(a, rows_of_group(g + i), panel.row_step, c, dim, acc[i]);
                } else {
                    HEED_UNROLL
                    for (int i = 0; i < Vecs; ++i)
                        add_odd_unit(a, rows_of_group(g + i), panel.row_step, c, dim, acc[i]);
                }
            }
        }
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) store(s + r * score_step + i * lanes, acc[i][r]);
        }
    }
    reader = ahead;
}

/// s[r][j] = q[r] . k[j] for `groups` registers of keys: where few query rows share them, packing would cost more than
/// it saves.
template <class U, class Panel, class Ahead>
HEED_INLINE void scores_unpacked(int rows, int groups, const U* q, std::int64_t part_step, Panel panel,
                                 std::int64_t dim, sum_t<U>* s, Ahead& ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        int done = 0;
        if constexpr (n.value <= native_arch::most_rows_of_two) {
            done = groups / unpacked_vecs * unpacked_vecs;
            if (done > 0) scores_unpacked_block<n.value, unpacked_vecs>(q, part_step, panel, 0, done, dim, s, ahead);
        }
        if (done < groups)
            scores_unpacked_block<n.value, 1>(q, part_step, panel, done, groups - done, dim, s + done * vec<U>::lanes,
                                              ahead);
    });
}

}  // namespace micro
HEED_END
