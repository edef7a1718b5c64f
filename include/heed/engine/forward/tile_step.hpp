// SPDX-License-Identifier: MIT
// The tile step: the partial result {M, l, o} of a block of query rows and one key tile.
//
// It is a pure function of each row and of the tile's attended keys: nothing here depends on how many rows share the
// block, and everything that is computed in parts (strips, register blocks, runs of keys) keeps the order of every
// operation. Prefill, decode and split decode are walks over this one step.
#pragma once

#include "../kernel/cover.hpp"
#include "../simd/finite.hpp"
#include "scales.hpp"
#include "tile_outputs.hpp"
#include "tile_scores.hpp"
#include "weights.hpp"

HEED_BEGIN
namespace kernel {

template <class T>
HEED_INLINE void flush_subnormals(T* o, std::int64_t padded)
{
    for (std::int64_t c = 0; c < padded; c += vec<T>::lanes) {
        const vec<T> x = load(o + c);
        store(o + c, select(abs(x) < vec<T>(std::numeric_limits<T>::min()), vec<T>(0), x));
    }
}

/// The scores of all rows become weights, their shifts and masses those of the result.
template <bool Masked, class Job, class U, class T>
HEED_INLINE void weigh_rows(const Job& job, const row_block& block, std::int64_t position_0, std::int64_t token,
                            int count, const row_group* groups, int n_groups, const scratch<U>& mem,
                            const partial<T>& result)
{
    const auto row_of = [&](int r) HEED_INLINE_LAMBDA {
        return score_row_of<Job::def_type::has_score_maps>(job, block, position_0, r, token, count, mem);
    };
    score_range<T> range;
    bool mapped = false;
    for (int g = 0; g < n_groups; ++g) {
        const int begin = groups[g].begin(), end = groups[g].end(), behind = groups[g].first + groups[g].rows;
        const bool goes_on = g + 1 < n_groups && groups[g + 1].begin() == begin && groups[g + 1].end() == end;
        auto row = row_of(groups[g].first);
        for (int r = groups[g].first; r < behind; ++r) {
            if (!mapped) range = map_row<Masked, U>(row, begin, end);
            const auto next = row_of(r + 1);
            mapped = weigh_row<Masked, U>(row, r + 1 < behind || goes_on ? &next : nullptr, begin, end, range,
                                          result.shift[r], result.mass[r]);
            row = next;
        }
    }
}

/// The partial result of `block` and the keys [token, token + count) of one tile. Returns false, with nothing
/// written, where the mask lets no row attend any of them. `next` is what is read after it.
template <class Job, class U = typename Job::unit, class T = typename Job::T>
bool tile_step(const Job& job, const row_block& block, std::int64_t token, int count, const scratch<U>& mem,
               const partial<T>& result, std::int64_t o_step, const next_reads& next)
{
    const std::int64_t position_0 = job.position_of_row_0(block.batch);
    const tile_cover cover = cover_tile(job, block, position_0, token, count, mem.bits);
    if (cover.kind == coverage::none) return false;
    const row_group* groups = cover.groups;
    const int n_groups = cover.n_groups, lowest = cover.lowest, highest = cover.highest;

    const bool streaming = block.count <= micro::streaming_rows;
    far_ahead far(job.kv, block, token, *mem.sparse);
    if (streaming) score_streamed(job, block, groups, n_groups, token, count, lowest, highest, mem, far);
    else
        score_packed(job, block, groups, n_groups, token, count, lowest, highest, mem,
                     [&](std::int64_t from, int n) HEED_INLINE_LAMBDA {
                         return lines_of(values_of(job.kv, block), from, n, 0,
                                         micro::first_panel<T>(job.kv.value_dim()));
                     });

    scale_scores(job, block, groups, n_groups, token, count, mem);

    if (cover.masked) weigh_rows<true>(job, block, position_0, token, count, groups, n_groups, mem, result);
    else weigh_rows<false>(job, block, position_0, token, count, groups, n_groups, mem, result);

    scale_weights(job, block, groups, n_groups, token, count, mem);
    if (streaming) take_few(job, block, groups, n_groups, token, count, lowest, highest, mem, result.o, o_step, far);
    else take_many(job, block, groups, n_groups, token, lowest, highest, mem, result.o, o_step, next);

    // A NaN or Inf in V may have met a weight of 0: find out from the outputs, and leave such keys out where it did.
    constexpr int each = elements_of<U>;
    for (int g = 0; g < n_groups; ++g) {
        for (int r = groups[g].first; r < groups[g].first + groups[g].rows; ++r) {
            T* o = result.o + r * o_step;
            if (!micro::all_finite<T>(o, o_step)) {
                micro::fill_zero(o, o_step);
                for (int j = groups[g].lo / each * each; j < groups[g].hi; j += each) {
                    const int keys = each < count - j ? each : count - j;
                    const auto v = together(values_of(job.kv, block), token + j, keys, keys, mem.copy);
                    micro::outputs_selected(mem.weights(r)[j / each], matrix_of(v), keys, job.kv.value_dim(), o);
                }
            }
            // A dot product of pairs flushes subnormal sums, but only where it is taken.
            if constexpr (each == 2) flush_subnormals(o, o_step);
        }
    }
    return true;
}

}  // namespace kernel
HEED_END
