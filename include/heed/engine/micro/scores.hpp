// SPDX-License-Identifier: MIT
// S = Q K^T for a register block of query rows and one packed key strip: one lane a key, fma over channels in
// ascending order, so that a score's bits depend on its query and key alone.
#pragma once

#include "aligned_units.hpp"
#include "pack.hpp"

HEED_BEGIN
namespace micro {

/// `Width` registers of keys; `more` goes on with the sums of earlier units in s.
template <int Rows, int Width, class U, class Prefetch>
HEED_NOINLINE inline void scores_block(const U* q, const U* strip, std::int64_t units, bool more, sum_t<U>* s,
                                       Prefetch ahead)
{
    using T = sum_t<U>;
    constexpr int lanes = vec<T>::lanes;
    vec<T> acc[Rows][Width];
    load_block(acc, more, matrix<T>{s, score_stride});
    const auto unit = [&](int x) HEED_INLINE_LAMBDA {
        vec<U> b[Width];
        HEED_UNROLL
        for (int i = 0; i < Width; ++i) b[i] = in_register(load(strip + x * key_strip<T> + i * lanes));
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const lane_factor<U> a(q[r * query_stride<T> + x]);
            HEED_UNROLL
            for (int i = 0; i < Width; ++i) accumulate(acc[r][i], a, b[i]);
        }
    };
    std::int64_t u = 0;
    if constexpr (takes_aligned_units<U>)
        u = add_aligned_units<query_stride<T>, key_strip<T>>(acc, q, strip, units, [&] { ahead.next(); });
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
    store_block(acc, matrix<T>{s, score_stride});
}

/// A packed strip of keys: `units` units of each, and the lanes of the keys that are wanted.
template <class U>
struct packed_keys {
    const U* data;
    std::int64_t units;
    lane_range wanted;
};

/// s[r][j] (+)= q[r] . k[j] for `rows` <= register_rows rows and one strip of keys. Half a strip, if it has all that
/// are wanted, still keeps the multipliers of AVX-512 busy.
template <class U, class Prefetch>
HEED_INLINE void scores(int rows, const U* q, packed_keys<U> k, bool more, sum_t<U>* s, Prefetch ahead)
{
    constexpr int half = key_strip<sum_t<U>> / 2;
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (native_sizes::half_strips) {
            static_assert(half % mass_lanes == 0);
            if (k.wanted.end <= half || k.wanted.first >= half) {
                const int from = k.wanted.first >= half ? half : 0;
                return scores_block<n.value, register_vecs / 2>(q, k.data + from, k.units, more, s + from, ahead);
            }
        }
        scores_block<n.value, register_vecs>(q, k.data, k.units, more, s, ahead);
    });
}

}  // namespace micro
HEED_END
