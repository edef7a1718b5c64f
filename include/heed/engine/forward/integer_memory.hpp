// SPDX-License-Identifier: MIT
// Products of integers: what a worker holds, and which lines a tile prefetches.
#pragma once

#include "../micro/byte_outputs.hpp"
#include "../micro/byte_scores.hpp"
#include "../micro/integer_outputs.hpp"
#include "../micro/integer_scores.hpp"
#include "../micro/integer_scores_streamed.hpp"
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
    std::uint32_t* spread;   // [pairs][register_rows][lanes]: the same of few rows, for registers of keys
    float* query_steps;      // [rows]
    std::int64_t query_stride;
    micro::integer_strip strip;
    scores_memory<float> scores;  // of which only the scores are used
    std::uint32_t* weights;       // [rows][integer_weight_stride]
    float* weight_steps;          // [rows], or [blocks of channels][rows]
    float* value_scales;          // [key_tile]
    std::uint32_t* sums;          // [rows][sums_stride]
    std::int64_t sums_stride;
    const void** value_rows;  // [key_tile + 3]
    micro::piece* pieces;     // [3 key_tile + 1]: what is prefetched
    char* copy;               // rows of K that lie apart or do not come out even, or last channels of rows of V
    key_bits* bits;           // [rows]
    partial<T> tile, sum;     // of this tile, and of the tiles so far

    // Products of bytes: queries of the register blocks of few rows, spread, and what their sums start with;
    // weights and scales of all blocks of channels; scores of the next tile.
    std::int16_t* whole_row = nullptr;      // [Dqk]
    std::uint32_t* byte_queries = nullptr;  // [register blocks][byte_query_stride]
    std::uint32_t* byte_starts = nullptr;   // [register blocks][byte_start_stride]
    std::int64_t byte_query_stride = 0, byte_start_stride = 0;
    std::uint32_t* byte_weights = nullptr;
    scores_memory<float> next_scores = {};  // of the next tile
    key_bits* next_bits = nullptr;          // [byte_rows<8>]
    float* key_factors = nullptr;           // [key_tile]
    float* block_scales = nullptr;          // [Dv / 32][key_tile]

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
        m.spread = c.template take<word>(micro::streams_integers(1) ? dim / 2 : 0, micro::spread_step);
        m.query_steps = c.template take<float>(rows);
        m.strip.pairs = c.template take<word>(dim / 2, micro::key_strip<float>);
        m.strip.scales = c.template take<float>(dim / 32, micro::key_strip<float>);
        m.scores = {};
        m.scores.scores = c.template take<float>(rows, micro::score_stride);
        m.weights = c.template take<word>(rows, micro::integer_weight_stride);
        const std::int64_t blocks = simd::multiplies_bytes ? ceil_div(p.value_dim, 32) : 0;
        m.weight_steps = c.template take<float>(rows + rows_of_bytes(p) * blocks);
        m.value_scales = c.template take<float>(micro::key_tile);
        m.sums_stride = round_up(p.value_dim, simd::multiplies_bytes ? 64 : integer_channels);
        m.sums = c.template take<word>(rows, m.sums_stride);
        m.value_rows = c.template take<const void*>(micro::key_tile + 3);
        m.pieces = c.template take<micro::piece>(3 * micro::key_tile + 1);
        m.copy = c.template take<char>(max_of(dim * lanes * 2, std::int64_t{micro::key_tile} * integer_channels));
        m.bits = c.template take<key_bits>(rows);
        m.carve_bytes(c, p);
        m.tile = partial<T>::carve(c, rows, p.o_stride);
        m.sum = partial<T>::carve(c, rows, p.o_stride);
        return m;
    }

private:
    static std::int64_t rows_of_bytes(const partition& p) { return min_of(p.cut.block_rows, micro::byte_rows<8>); }

    template <class Carver>
    void carve_bytes(Carver& c, const partition& p)
    {
        if constexpr (simd::multiplies_bytes) {
            constexpr int lanes = vec<float>::lanes;
            static_assert(micro::byte_rows<8> >= 2 * micro::byte_rows<16>);
            const std::int64_t rows = rows_of_bytes(p), register_blocks = ceil_div(rows, micro::register_rows),
                               rows_of_weights = min_of(2 * rows, micro::byte_rows<8>);  // two bytes each, or many
            const std::int64_t dim = round_up(p.key_dim, 64), blocks = ceil_div(p.value_dim, 32);
            byte_query_stride = dim / 4 * micro::register_rows * 2 * lanes;
            byte_start_stride = dim / 32 * micro::register_rows * lanes;
            whole_row = c.template take<std::int16_t>(dim + 2 * lanes);
            byte_queries = c.template take<std::uint32_t>(register_blocks, byte_query_stride);
            byte_starts = c.template take<std::uint32_t>(register_blocks, byte_start_stride);
            byte_weights = c.template take<std::uint32_t>(rows_of_weights * blocks, micro::byte_weight_stride);
            next_scores.scores = c.template take<float>(rows, micro::score_stride);
            next_bits = c.template take<key_bits>(rows);
            key_factors = c.template take<float>(micro::key_tile);
            block_scales = c.template take<float>(blocks, micro::key_tile);
        }
    }
};

/// How many rows of a source are prefetched ahead of their use: some bytes. Of blocks a tile: their scales go into the
/// weights, and are read of all rows of V before the first product. With 16 KB q8_0 took 0.96 to 1.18 times what
/// products of floats take, with a tile 0.80 to 0.96 times (Zen 3).
template <class Source>
HEED_INLINE std::int64_t rows_ahead(const Source& source)
{
    constexpr std::int64_t block = channels_of<typename Source::element>;
    if constexpr (native_sizes::streams_integers && block > 1) return micro::key_tile;
    return min_of(max_of(micro::key_lead / max_of(source.bytes(), 1), 1), micro::key_tile);
}

/// Lists what a phase prefetches: the rest of the rows that it uses itself, and the first rows of what is used next.
template <class Own, class Next>
HEED_NOINLINE const micro::piece* list_feed(const Own& own, token_span used, const Next& next, token_span then,
                                            micro::piece* list)
{
    micro::piece* last = list_pieces(own, used.first + rows_ahead(own), used.end, 1, list);
    last = list_pieces(next, then.first, min_of(then.first + rows_ahead(next), then.end), 1, last);
    *last = {0, 0};
    return list;
}

/// What scores of a tile prefetch: the rest of its K, then the first rows of its V.
template <class Tile>
HEED_INLINE micro::line_feed feed_of_scores(const Tile& t, micro::piece* list)
{
    const token_span all{t.token, t.token + t.keys};
    return micro::line_feed(list_feed(t.key_rows(), all, t.value_rows(), all, list));
}
/// What outputs prefetch: the rest of its V, then the first rows of the next tile's K.
template <class Tile>
HEED_INLINE micro::line_feed feed_of_outputs(const Tile& t, micro::piece* list)
{
    const auto k = t.key_rows();
    const std::int64_t end = t.token + t.keys;
    return micro::line_feed(list_feed(t.value_rows(), {t.token, end}, k, {end, k.end}, list));
}

}  // namespace kernel
HEED_END
