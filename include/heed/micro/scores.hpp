// SPDX-License-Identifier: MIT
// S = Q K^T for a register block of query rows and one packed key strip: one lane a key, fma over channels in
// ascending order, so that a score's bits depend on its query and key alone.
#pragma once

#include "pack.hpp"

HEED_BEGIN
namespace micro {

/// `more` goes on with the sums of earlier channels in s.
template <int Rows, class T, class Ahead>
HEED_NOINLINE inline void scores_block(const T* q, std::int64_t q_step, const T* strip, std::int64_t channels, bool more, T* s, Ahead ahead)
{
    constexpr int lanes = vec<T>::lanes, width = block_vecs;
    vec<T> acc[Rows][width];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < width; ++i) acc[r][i] = more ? load(s + r * score_step + i * lanes) : vec<T>(0);
    }
    const auto channel = [&](int x) HEED_INLINE_LAMBDA {
        vec<T> b[width];
        HEED_UNROLL
        for (int i = 0; i < width; ++i) b[i] = in_register(load(strip + x * key_strip<T> + i * lanes));
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const vec<T> a(q[r * q_step + x]);
            HEED_UNROLL
            for (int i = 0; i < width; ++i) accumulate(acc[r][i], a, b[i]);
        }
    };
    std::int64_t c = 0;
    for (; c + ahead_every <= channels; c += ahead_every) {
        ahead.next();
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) channel(x);
        q += ahead_every;
        strip += ahead_every * key_strip<T>;
    }
    for (; c < channels; ++c) {
        channel(0);
        ++q;
        strip += key_strip<T>;
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < width; ++i) store(s + r * score_step + i * lanes, acc[r][i]);
    }
}

/// s[r][j] (+)= q[r] . k[j] over `channels` channels, for `rows` <= block_rows rows and one strip of keys.
template <class T, class Ahead>
HEED_INLINE void scores(int rows, const T* q, std::int64_t q_step, const T* strip, std::int64_t channels, bool more,
                        T* s, Ahead ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { scores_block<n.value>(q, q_step, strip, channels, more, s, ahead); });
}

/// Keys whose scores are taken at a time where keys are not packed. Two registers of them: the sums of one would wait for
/// each other, channel after channel.
template <class T>
inline constexpr int unpacked_keys = 2 * vec<T>::lanes;

/// The same over all channels for Vecs registers of keys whose rows start at k, transposed in registers.
template <int Rows, int Vecs, class T, class E, class Ahead>
HEED_NOINLINE inline void scores_unpacked_block(const T* q, std::int64_t q_step, const E* k, std::int64_t k_step,
                                                std::int64_t dim, T* s, Ahead& reader)
{
    constexpr int lanes = vec<T>::lanes, some = transposed_channels<E>;
    Ahead ahead = reader;
    vec<T> acc[Vecs][Rows];
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) acc[i][r] = vec<T>(0);
    }
    std::int64_t c = 0;
    for (; c + some <= dim; c += some) {
        ahead.next(Vecs * lanes * some);
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            vec<T> t[some];
            transpose<T>(k + i * lanes * k_step + c, k_step, t);
            HEED_UNROLL
            for (int x = 0; x < some; ++x) {
                HEED_UNROLL
                for (int r = 0; r < Rows; ++r) accumulate(acc[i][r], vec<T>(q[r * q_step + c + x]), t[x]);
            }
            __asm__ volatile("" ::: "memory");
        }
    }
    for (; c < dim; ++c) {
        for (int i = 0; i < Vecs; ++i) {
            T lane[lanes];
            for (int j = 0; j < lanes; ++j) lane[j] = static_cast<T>(k[(i * lanes + j) * k_step + c]);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) accumulate(acc[i][r], vec<T>(q[r * q_step + c]), load(lane));
        }
    }
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) store(s + r * score_step + i * lanes, acc[i][r]);
    }
    reader = ahead;
}

/// s[r][j] = q[r] . k[j] for unpacked_keys keys: where few query rows share them, packing would cost more than it saves.
template <class T, class E, class Ahead>
HEED_INLINE void scores_unpacked(int rows, const T* q, std::int64_t q_step, const E* k, std::int64_t k_step,
                                 std::int64_t dim, T* s, Ahead& ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (n.value <= block_vecs * 2) {
            scores_unpacked_block<n.value, 2>(q, q_step, k, k_step, dim, s, ahead);
        } else {  // too few registers
            constexpr int lanes = vec<T>::lanes;
            for (int i = 0; i < 2; ++i)
                scores_unpacked_block<n.value, 1>(q, q_step, k + i * lanes * k_step, k_step, dim, s + i * lanes, ahead);
        }
    });
}

}  // namespace micro
HEED_END
