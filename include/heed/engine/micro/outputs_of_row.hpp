// SPDX-License-Identifier: MIT
// O of one row from the list of its keys, tile after tile: the sum of a tile's keys and that of the tiles so far both
// stand in registers, and rows of V that have no weight are not read.
#pragma once

#include "outputs.hpp"

HEED_BEGIN
namespace micro {

/// Registers of channels that are taken at a time: two sums of each. A row has one weight for all channels of a key,
/// so that as many sums are needed as multiply-adds wait for each other.
inline constexpr int row_vecs = register_vecs == 4 ? 8 : 4;
/// Entries of the list ahead of which rows of V are asked for.
inline constexpr int row_ahead = 8;

/// The keys of a list: weights, rows of V, followed by row_ahead more of those, and where each of `tiles` tiles ends.
template <class T, class E>
struct weighed_rows {
    const T* weights;
    const E* const* rows;
    const int* ends;
    int tiles;
};

template <int Vecs, class T, class E>
HEED_NOINLINE inline void outputs_of_row_block(const weighed_rows<T, E>& of, std::int64_t channel, T* o)
{
    constexpr int lanes = vec<T>::lanes;
    const vec<T> zero(0);
    vec<T> sum[Vecs];
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) sum[i] = zero;
    for (int tile = 0, x = 0; tile < of.tiles; ++tile) {
        vec<T> acc[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) acc[i] = zero;
        for (const int end = of.ends[tile]; x < end; ++x) {
            const E* const row = of.rows[x];
            const E* const ahead = of.rows[x + row_ahead] + elements_for<E>(channel);
            for (int i = 0; i < elements_for<E>(Vecs * lanes); i += line_of<E>) __builtin_prefetch(ahead + i);
            const vec<T> w(of.weights[x]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[i], w, load_channels<T>(row, channel + i * lanes));
        }
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) sum[i] = tile == 0 ? acc[i] : sum[i] + acc[i] + zero;  // + 0 as in fold_row()
    }
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) store(o + channel + i * lanes, sum[i]);
}

/// o[c] = sum over tiles of sum over a tile's keys of w v[c], for `vecs` whole registers of channels.
template <class T, class E>
HEED_INLINE void outputs_of_row(const weighed_rows<T, E>& of, std::int64_t vecs, T* o)
{
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    const auto take = [&](auto n) HEED_INLINE_LAMBDA {
        for (; c + n.value <= vecs; c += n.value) outputs_of_row_block<n.value>(of, c * lanes, o);
    };
    take(std::integral_constant<int, row_vecs>{});
    take(std::integral_constant<int, row_vecs / 2>{});
    take(std::integral_constant<int, 1>{});
}

}  // namespace micro
HEED_END
