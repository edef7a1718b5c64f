// SPDX-License-Identifier: MIT
// The tile step in integers where the machine multiplies quads of bytes: the bits of integer_step.hpp, whose place it
// takes.
#pragma once

#include "../micro/quad_outputs.hpp"
#include "../micro/quad_scores.hpp"
#include "integer_pass.hpp"
#include "register_of_keys.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Bytes of an operand of the definition's queries and weights.
template <class Job>
inline constexpr int quad_parts = micro::parts_of(Job::def_type::integer_bits);

/// Packs a row of queries as row r of a block.
template <class Job, class Q>
void pack_quad_query(const Job& job, const Q* row, const query_block& block, int r, const integer_memory& mem)
{
    const std::int64_t largest = scale_query(job, row, block.kv_head, mem);
    mem.query_steps[r] = micro::pack_quads(mem.row, job.kv.key_dim(), largest, mem.queries + r * mem.query_stride);
}

/// S of a tile, as floats.
template <class Tile>
void score_quads(const Tile& t, const integer_memory& mem)
{
    using Job = typename Tile::job_type;
    using E = typename Job::key_element;
    constexpr int strip = micro::key_strip<float>, lanes = vec<float>::lanes;
    const auto source = t.key_rows();
    const std::int64_t dim = round_up(source.dim, 16);
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / strip * strip; j < t.cover.highest; j += strip) {
        ahead.owe(strip * source.bytes());
        for (int lane = 0; lane < strip; lane += lanes) {
            if (j + lane < t.keys)
                micro::pack_quad_keys<E>(register_of_keys(t, j + lane, dim, mem.copy), dim, mem.strip, lane);
            else micro::pack_no_keys<E>(dim, mem.strip, lane);
        }
        for (const register_block& rows : t.cover)
            if (rows.attends(j, strip))
                micro::quad_scores<quad_parts<Job>, E>(
                    rows.rows,
                    {mem.queries + rows.first * mem.query_stride, mem.query_stride, mem.query_steps + rows.first},
                    mem.strip, micro::quads_of(dim), mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// Weights of four keys a word, in all their parts.
template <class Job>
struct quad_words {
    using E = typename Job::value_element;
    static constexpr int parts = quad_parts<Job>, keys_at_once = micro::mass_lanes;
    /// Keys whose rows of V stay in the L1 cache while their channels take turns.
    static constexpr int depth = 64;

    static int words_before(int key) { return key / 4 * parts; }
    static int most_vecs(std::int64_t) { return 2; }
    static float quantise(const micro::scaled_weights& w, int n, std::int64_t largest, std::uint32_t* to)
    {
        return micro::quantise_to_quads<parts>(w, n, largest, to);
    }
    HEED_INLINE static void add(micro::block_shape shape, const std::uint32_t* weights, const value_rows<E>& v,
                                const micro::integer_sums& sums, micro::line_feed& ahead)
    {
        constexpr int keys = micro::quad_keys<parts>;
        micro::quad_outputs<parts, E>(shape.rows, weights, {v.rows, v.channel, (v.keys + keys - 1) / keys}, sums,
                                      ahead);
    }
};

/// The tile steps of one query block, in order: what integer_steps are where pairs are multiplied.
template <class Job>
class quad_steps {
public:
    quad_steps(const Job& job, const query_block& block, const integer_memory& mem)
        : job_(job), block_(block), mem_(mem)
    {
        place_cursor<Job> places(job, block);
        for (int r = 0; r < block.count; ++r) pack_quad_query(job, job.row_of(job.q, places.next()), block, r, mem);
    }

    /// Each tile is taken by itself.
    void announce(std::int64_t) {}

    /// The partial result of the block and the keys [token, token + keys) of one tile. Returns false, with nothing
    /// written, where the mask lets no row attend any of them.
    template <class Next>
    bool step(std::int64_t token, int keys, const partial<float>& result, const Next&)
    {
        const tile<Job> t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) return false;
        score_quads(t, mem_);
        weigh_tile(t, mem_.scores, result);
        integer_outputs_pass<tile<Job>, quad_words<Job>>(t, mem_, result.o).run();
        return true;
    }

private:
    const Job& job_;
    const query_block& block_;
    const integer_memory& mem_;
};

}  // namespace kernel
HEED_END
