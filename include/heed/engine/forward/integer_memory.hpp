// SPDX-License-Identifier: MIT
// Products of integers: what a worker holds, and which lines a tile prefetches.
#pragma once

#include "../micro/integer_outputs.hpp"
#include "../micro/integer_scores.hpp"
#include "tile_scores.hpp"

HEED_BEGIN
namespace kernel {

/// Channels of V that are taken from rows at a time.
inline constexpr int integer_channels = 2 * vec<float>::lanes;

/// A worker's memory of a forward pass in integers. Scores and weights are floats, as ever.
struct integer_memory {
    using U = float;
    using T = float;

    float* row;              // [Dqk]: queries before they are rounded
    std::uint32_t* queries;  // [rows][query_stride]
    float* query_steps;      // [rows]
    std::int64_t query_stride;
    micro::integer_strip strip;
    scores_memory<float> scores;  // of which only the scores are used
    std::uint32_t* weights;       // [rows][integer_weight_stride]
    float* weight_steps;          // [rows]
    float* value_scales;          // [key_tile]
    std::uint32_t* sums;          // [rows][sums_stride]
    std::int64_t sums_stride;
    const void** value_rows;  // [key_tile + 1]
    char* copy;               // rows of K that lie apart or do not come out even, or last channels of rows of V
    key_bits* bits;           // [rows]
    partial<T> tile, sum;     // of this tile, and of the tiles so far

    template <class Carver>
    static integer_memory carve(Carver& c, const partition& p)
    {
        using word = std::uint32_t;
        constexpr int lanes = vec<float>::lanes;
        const std::int64_t rows = p.cut.block_rows, dim = round_up(p.key_dim, 32);
        integer_memory m;
        m.row = c.template take<float>(dim);
        m.query_stride = dim / 2 + 16;
        m.queries = c.template take<word>(rows, m.query_stride);
        m.query_steps = c.template take<float>(rows);
        m.strip.pairs = c.template take<word>(dim / 2, micro::key_strip<float>);
        m.strip.scales = c.template take<float>(dim / 32, micro::key_strip<float>);
        m.scores = {};
        m.scores.scores = c.template take<float>(rows, micro::score_stride);
        m.weights = c.template take<word>(rows, micro::integer_weight_stride);
        m.weight_steps = c.template take<float>(rows);
        m.value_scales = c.template take<float>(micro::key_tile);
        m.sums_stride = round_up(p.value_dim, integer_channels);
        m.sums = c.template take<word>(rows, m.sums_stride);
        m.value_rows = c.template take<const void*>(micro::key_tile + 1);
        m.copy = c.template take<char>(max_of(dim * lanes * 2, std::int64_t{micro::key_tile} * integer_channels));
        m.bits = c.template take<key_bits>(rows);
        m.tile = partial<T>::carve(c, rows, p.o_stride);
        m.sum = partial<T>::carve(c, rows, p.o_stride);
        return m;
    }
};

/// Memory that is prefetched: rows [first, end) of a source, without what lies between them.
template <class Source>
struct rows_to_fetch {
    Source source;
    std::int64_t first, end;

    HEED_INLINE bool next(micro::piece& to)
    {
        if (first >= end) return false;
        const auto segment = source(first);
        const std::int64_t rows = segment.stride == source.elements() ? min_of(segment.count, end - first) : 1;
        const auto at = micro::address_of(segment.data);
        to = {at, at + static_cast<std::uintptr_t>(rows * source.bytes())};
        first += rows;
        return true;
    }
};

/// Some rows, then some of another source, then one line again and again.
template <class First, class Then>
struct two_fetches {
    rows_to_fetch<First> first;
    rows_to_fetch<Then> then;
    const void* idle;

    HEED_INLINE micro::piece operator()()
    {
        micro::piece to;
        if (first.next(to) || then.next(to)) return to;
        const auto at = micro::address_of(static_cast<const char*>(idle));
        return {at, at + 1};
    }
};

/// Rows of a source in as many bytes as lines are prefetched ahead of their use.
template <class Source>
HEED_INLINE std::int64_t rows_ahead(const Source& source)
{
    return max_of(micro::key_lead / max_of(source.bytes(), 1), 1);
}

/// What scores of a tile prefetch: the rest of its K, then the first rows of its V.
template <class Tile>
HEED_INLINE auto feed_of_scores(const Tile& t, const void* idle)
{
    const auto k = t.key_rows();
    const auto v = t.value_rows();
    const std::int64_t end = t.token + t.keys;
    const two_fetches<std::decay_t<decltype(k)>, std::decay_t<decltype(v)>> next{
        {k, t.token + rows_ahead(k), end}, {v, t.token, min_of(t.token + rows_ahead(v), end)}, idle};
    return micro::line_feed<std::decay_t<decltype(next)>>(next);
}
/// What outputs prefetch: the rest of its V, then the first rows of the next tile's K.
template <class Tile>
HEED_INLINE auto feed_of_outputs(const Tile& t, const void* idle)
{
    const auto k = t.key_rows();
    const auto v = t.value_rows();
    const std::int64_t end = t.token + t.keys;
    const two_fetches<std::decay_t<decltype(v)>, std::decay_t<decltype(k)>> next{
        {v, t.token + rows_ahead(v), end}, {k, end, min_of(end + rows_ahead(k), k.end)}, idle};
    return micro::line_feed<std::decay_t<decltype(next)>>(next);
}

}  // namespace kernel
HEED_END
