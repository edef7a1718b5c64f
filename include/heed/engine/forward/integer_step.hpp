// SPDX-License-Identifier: MIT
// The tile step in integers: queries and weights are rounded to whole numbers, K and V multiplied as they are stored.
//
// Sums of products are exact and have no order; a row's step is a function of the row alone, that of its weights of the
// row and its tile. So is the partial result, whoever shares the block and wherever rows lie.
#pragma once

#include "byte_step.hpp"
#include "integer_pass.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Packs a row of queries as row r of a block.
template <class Job, class Q>
void pack_integer_query(const Job& job, const Q* row, const query_block& block, int r, const integer_memory& mem)
{
    using E = typename Job::key_element;
    const std::int64_t dim = job.kv.key_dim(), largest = scale_query(job, row, block.kv_head, mem);
    if constexpr (simd::multiplies_bytes)
        if (takes_bytes<Job>(block.count)) return spread_query(job, block, r, largest, mem);
    std::uint32_t* const pairs = mem.queries + r * mem.query_stride;
    mem.query_steps[r] = micro::pack_integers<E>(mem.row, dim, largest, pairs);
    if (micro::streams_integers(block.count))
        micro::spread_integers(pairs, micro::integer_pairs<E>(dim), mem.spread + r * vec<float>::lanes);
}

/// Packs the strip of keys from key j of the tile on.
template <class Tile>
HEED_INLINE void pack_integer_strip(const Tile& t, int j, const integer_memory& mem, micro::line_feed& ahead)
{
    using E = typename Tile::job_type::key_element;
    constexpr int lanes = vec<float>::lanes;
    const std::int64_t dim = round_up(t.key_rows().dim, 16);
    for (int lane = 0; lane < micro::key_strip<float>; lane += lanes) {
        if (t.keys - j - lane <= 0) {
            micro::pack_no_keys<E>(dim, mem.strip, lane);
            continue;
        }
        micro::pack_integer_keys<E>(register_of_keys(t, j + lane, dim, mem.copy), dim, mem.strip, lane, ahead);
    }
}

/// S of a tile of few rows, as floats: nothing is packed. What lies between its keys and a whole strip is 0.
template <class Tile>
void score_integers_streamed(const Tile& t, const integer_memory& mem)
{
    using E = typename Tile::job_type::key_element;
    constexpr int lanes = vec<float>::lanes, each = micro::mass_lanes;
    const std::int64_t dim = round_up(t.job.kv.key_dim(), 16), bytes = t.key_rows().bytes();
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / each * each; j < round_up(t.cover.highest, each); j += lanes) {
        ahead.owe(lanes * bytes);
        const auto k = register_of_keys(t, j, dim, mem.copy);
        for (const register_block& rows : t.cover)
            if (rows.attends(j / each * each, each))
                micro::integer_scores_streamed<E>(
                    rows.rows, {mem.spread + rows.first * lanes, mem.query_steps + rows.first}, k, dim,
                    mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// S of a tile, as floats.
template <class Tile>
void score_integers(const Tile& t, const integer_memory& mem)
{
    if constexpr (native_sizes::streams_integers)
        if (micro::streams_integers(t.block.count)) return score_integers_streamed(t, mem);
    using E = typename Tile::job_type::key_element;
    constexpr int strip = micro::key_strip<float>;
    const std::int64_t pairs = micro::integer_pairs<E>(t.job.kv.key_dim());
    const std::int64_t bytes = t.key_rows().bytes();
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / strip * strip; j < t.cover.highest; j += strip) {
        ahead.owe(strip * bytes);
        pack_integer_strip(t, j, mem, ahead);
        for (const register_block& rows : t.cover)
            if (rows.attends(j, strip))
                micro::integer_scores<E>(
                    rows.rows,
                    {mem.queries + rows.first * mem.query_stride, mem.query_stride, mem.query_steps + rows.first},
                    mem.strip, pairs, mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// Weights of two keys a word.
template <class E>
struct pair_words {
    static constexpr int keys_at_once = 2, depth = micro::streaming_depth;

    static int words_before(int key) { return key / 2; }
    static int most_vecs(std::int64_t rows) { return micro::integer_output_vecs<E>(rows); }
    static float quantise(const micro::scaled_weights& w, int n, std::int64_t largest, std::uint32_t* to)
    {
        return micro::quantise_weights(w, n, largest, to);
    }
    HEED_INLINE static void add(micro::block_shape shape, const std::uint32_t* weights, const value_rows<E>& v,
                                const micro::integer_sums& sums, micro::line_feed& ahead)
    {
        micro::integer_outputs<E>(shape, weights, {v.rows, v.channel, (v.keys + 1) / 2}, sums, ahead);
    }
};

/// The tile steps of one query block, in order: its packed queries, as block_steps are in floats.
template <class Job>
class integer_steps {
public:
    integer_steps(const Job& job, const query_block& block, const integer_memory& mem)
        : job_(job), block_(block), mem_(mem), bytes_(job, block, mem)
    {
        place_cursor<Job> places(job, block);
        for (int r = 0; r < block.count; ++r) pack_integer_query(job, job.row_of(job.q, places.next()), block, r, mem);
    }

    /// Where the step after the next one starts, or -1 where there is none.
    void announce(std::int64_t token) { next_ = token; }

    /// The partial result of the block and the keys [token, token + keys) of one tile. Returns false, with nothing
    /// written, where the mask lets no row attend any of them.
    template <class Next>
    bool step(std::int64_t token, int keys, const partial<float>& result, const Next&)
    {
        if constexpr (simd::multiplies_bytes)
            if (takes_bytes<Job>(block_.count)) return bytes_.step(token, keys, result, next_);
        const tile<Job> t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) return false;
        score_integers(t, mem_);
        weigh_tile(t, mem_.scores, result);
        integer_outputs_pass<tile<Job>, pair_words<typename Job::value_element>>(t, mem_, result.o).run();
        return true;
    }

private:
    const Job& job_;
    const query_block& block_;
    const integer_memory& mem_;
    byte_steps<Job> bytes_;
    std::int64_t next_ = -1;
};

}  // namespace kernel
HEED_END
