// SPDX-License-Identifier: MIT
// What scales of tokens beside a cache cost: one product a score and one a weight. A source without them compiles none
// of it.
#pragma once

#include "../kernel/tile.hpp"
#include "../workspace.hpp"

#include <algorithm>

HEED_BEGIN
namespace kernel {

/// factors[j] = the scale of token + j for j in [first, count), and 1 for what else there is up to key_tile: a ring has
/// lost the tokens before `first`.
template <class Rows, class T>
void gather_scales(const Rows& source, std::int64_t token, int first, int count, T* factors)
{
    for (int j = 0; j < first; ++j) factors[j] = T(1);
    for (int j = first; j < count;) {
        const auto segment = source(token + j);
        const int n = static_cast<int>(min_of(segment.count, count - j));
        if (segment.stride == 1) std::copy_n(segment.data, n, factors + j);
        else
            for (int i = 0; i < n; ++i) factors[j + i] = segment.data[i * segment.stride];
        j += n;
    }
    for (int j = count; j < micro::key_tile; ++j) factors[j] = T(1);
}

/// Prefetches the scales of the tile that starts at `token`, where they lie side by side.
template <class Rows>
HEED_INLINE void prefetch_scales(const Rows& source, std::int64_t token, std::int64_t end)
{
    if (token >= end) return;
    const auto segment = source(token);
    if (segment.stride == 1)
        micro::prefetch_row(segment.data, min_of(min_of(segment.count, end - token), micro::key_tile));
}

/// The scales of a tile's keys, where next ones are prefetched.
template <class Tile, class Rows, class T>
HEED_INLINE void gather_scales_of(const Tile& t, const Rows& source, T* factors)
{
    const int first = static_cast<int>(max_of(t.job.kv.held(t.block.batch).first - t.token, 0));
    gather_scales(source, t.token, first, t.keys, factors);
    prefetch_scales(source, t.token + micro::key_tile, t.job.kv.held(t.block.batch).end);
}

/// Replaces every register x of the rows of scores by f(x, scales of its keys).
template <class Tile, class Rows, class F, class T = typename Tile::T>
void with_scales(const Tile& t, const Rows& source, T* scores, F f)
{
    alignas(cache_line) T factors[micro::key_tile];
    gather_scales_of(t, source, factors);
    for (const register_block& rows : t.cover) {
        const int begin = rows.begin(), end = rows.end();
        for (int r = rows.first; r < rows.end_row(); ++r)
            for (int j = begin; j < end; j += vec<T>::lanes) {
                T* s = scores + r * micro::score_stride + j;
                store(s, f(load(s), load(factors + j)));
            }
    }
}

/// s_j *= k_scale_j.
template <class Tile, class T = typename Tile::T>
void scale_scores(const Tile& t, T* scores)
{
    using V = vec<T>;
    if constexpr (has_key_scales_v<typename Tile::job_type::kv_type>)
        with_scales(t, t.job.kv.key_scales(t.block.batch, t.kv_head), scores,
                    [](V s, V scale) HEED_INLINE_LAMBDA { return s * scale; });
}

/// w_j *= v_scale_j; a weight of 0 stays 0, whatever the scale is.
template <class Tile, class T = typename Tile::T>
void scale_weights(const Tile& t, T* weights)
{
    using V = vec<T>;
    if constexpr (has_value_scales_v<typename Tile::job_type::kv_type>)
        with_scales(t, t.job.kv.value_scales(t.block.batch, t.kv_head), weights,
                    [](V w, V scale) HEED_INLINE_LAMBDA { return select(w == V(0), V(0), w * scale); });
}

}  // namespace kernel
HEED_END
