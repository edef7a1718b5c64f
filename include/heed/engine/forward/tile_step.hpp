// SPDX-License-Identifier: MIT
// The tile step: the partial result {M, l, o} of a block of query rows and one key tile.
//
// It is a pure function of each row and of the tile's attended keys: nothing here depends on how many rows share the
// block, and everything that is computed in parts (strips, register blocks, runs of keys) keeps the order of every
// operation. Prefill, decode and split decode are passes over this one step.
#pragma once

#include "../simd/finite.hpp"
#include "scales.hpp"
#include "streamed_outputs.hpp"
#include "tile_outputs.hpp"
#include "tile_scores.hpp"
#include "weights.hpp"

HEED_BEGIN
namespace kernel {

/// A worker's memory of the forward pass.
template <class Unit>
struct forward_memory {
    using U = Unit;
    using T = sum_t<U>;

    scores_memory<U> scores;
    outputs_memory<U> outputs;
    key_bits* bits;        // [rows]
    partial<T> tile, sum;  // of this tile, and of the tiles so far

    template <class Carver>
    static forward_memory carve(Carver& c, const partition& p)
    {
        forward_memory m;
        m.scores = scores_memory<U>::carve(c, p);
        m.outputs = outputs_memory<U>::carve(c);
        m.bits = c.template take<key_bits>(p.block_rows());
        m.tile = partial<T>::carve(c, p.block_rows(), p.o_stride);
        m.sum = partial<T>::carve(c, p.block_rows(), p.o_stride);
        return m;
    }
};

/// Scores become weights: scales of keys, score maps, mask, shift, terms, scales of values.
template <class Tile, class U, class T = sum_t<U>>
HEED_INLINE void weigh_tile(const Tile& t, const scores_memory<U>& mem, const partial<T>& result)
{
    scale_scores(t, mem.scores);
    weigh_rows(t, mem, result);
    scale_weights(t, mem.scores);
}

template <class T>
HEED_INLINE void flush_subnormals(T* o, std::int64_t padded)
{
    for (std::int64_t c = 0; c < padded; c += vec<T>::lanes) {
        const vec<T> x = load(o + c);
        store(o + c, select(abs(x) < vec<T>(std::numeric_limits<T>::min()), vec<T>(0), x));
    }
}

/// The outputs of row r, of keys [lo, hi), once more: a key of weight 0 is left out, whatever its V holds.
template <class Tile, class U, class T = sum_t<U>>
void select_outputs(const Tile& t, const register_block& rows, int r, const scores_memory<U>& p, T* o)
{
    constexpr int each = elements_of<U>;
    for (int j = rows.lo / each * each; j < rows.hi; j += each) {
        const int keys = each < t.keys - j ? each : t.keys - j;
        const auto v = together(t.value_rows(), t.token + j, keys, keys, p.copy);
        micro::outputs_selected(p.weights(r)[j / each], matrix_of(v), keys, t.job.kv.value_dim(), o);
    }
}

/// A NaN or Inf in V may have met a weight of 0: finds out from the outputs, and leaves such keys out where it did.
template <class Tile, class U, class T = sum_t<U>>
HEED_INLINE void repair_outputs(const Tile& t, const scores_memory<U>& p, micro::matrix<T> outputs)
{
    for (const register_block& rows : t.cover) {
        for (int r = rows.first; r < rows.end_row(); ++r) {
            T* const o = outputs.row(r);
            if (!micro::all_finite<T>(o, outputs.stride)) {
                micro::fill_zero(o, outputs.stride);
                select_outputs(t, rows, r, p, o);
            }
            // A dot product of pairs flushes subnormal sums, but only where it is taken.
            if constexpr (elements_of<U> == 2) flush_subnormals(o, outputs.stride);
        }
    }
}

/// Packs the query rows of a block.
template <class Job, class U>
HEED_INLINE void pack_queries(const Job& job, const query_block& block, const scores_memory<U>& mem)
{
    // Rows of one head were prefetched while the block before was at work: doing so again costs 1 % of a 128 x 128
    // problem.
    const int lead = job.group > 1 ? micro::l1_rows : 0;
    place_cursor<Job> places(job, block), ahead(job, block);
    for (int r = -lead; r < block.count; ++r) {
        if (lead > 0 && r + lead < block.count) micro::prefetch_row(job.row_of(job.q, ahead.next()), job.kv.key_dim());
        if (r >= 0) pack_query_of(job, job.row_of(job.q, places.next()), block.kv_head, r, mem);
    }
}

/// The tile steps of one query block, in order: its packed queries, and what a tile says of the next one.
template <class Job>
class block_steps {
    using U = typename Job::unit;
    using T = typename Job::T;

public:
    block_steps(const Job& job, const query_block& block, const forward_memory<U>& mem)
        : job_(job), block_(block), mem_(mem)
    {
        pack_queries(job, block, mem.scores);
    }

    /// The partial result of the block and the keys [token, token + keys) of one tile. Returns false, with nothing
    /// written, where the mask lets no row attend any of them. `next` is what is read after it.
    bool step(std::int64_t token, int keys, const partial<T>& result, const next_reads& next)
    {
        const tile<Job> t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) return false;
        const scores_memory<U>& scores = mem_.scores;
        const bool streams = block_.count <= micro::streaming_rows;
        decode_prefetch<tile<Job>> prefetch(t, sparse_, next.behind);
        if (streams) score_streamed(t, scores, prefetch);
        else
            score_packed(t, scores, [&](std::int64_t from, int n) HEED_INLINE_LAMBDA {
                return lines_of(t.value_rows(), from, n, 0, micro::first_panel<T>(job_.kv.value_dim()));
            });
        weigh_tile(t, scores, result);
        if (streams) outputs_streamed(t, scores, mem_.outputs, result.o, prefetch, sparse_);
        else outputs_packed(t, scores, mem_.outputs, result.o, next);
        repair_outputs(t, scores, result.o);
        return true;
    }

private:
    const Job& job_;
    const query_block& block_;
    const forward_memory<U>& mem_;
    bool sparse_ = false;  // whether few keys of the last tile had a weight
};

}  // namespace kernel
HEED_END
