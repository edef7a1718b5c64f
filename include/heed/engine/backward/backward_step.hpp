// SPDX-License-Identifier: MIT
// The backward step: what a block of query rows and a tile of keys add to each other's gradients. P and dS of the step,
// which lie in the cache, enter three more products,
//
//     dV += P^T dO        dK += dS^T (scale Q)        dQ += dS (scale K)
//
// of which register blocks that hold only zeros are left out. Each gradient is one chain of fma: over keys in ascending
// order for dQ, over query rows for dK and dV. So its bits do not depend on how rows and keys are cut into steps, as
// long as a row meets its keys, and a key its rows, in that order.
#pragma once

#include "../micro/outputs.hpp"
#include "recompute.hpp"

HEED_BEGIN
namespace kernel {

/// o[c] += p * scale * row[c].
template <class T, class E>
HEED_NOINLINE inline void add_row(T p, const E* row, T scale, std::int64_t dim, T* o)
{
    constexpr int lanes = vec<T>::lanes;
    for (std::int64_t c = 0; c < dim; c += lanes) {
        const int n = static_cast<int>(min_of(dim - c, lanes));
        store_n(o + c, fma(vec<T>(p), load_as_n<T>(row + c, n) * vec<T>(scale), load_n(o + c, n)), n);
    }
}

/// o[j] += sum_r p[r][j] scale row[r] for the keys of a tile: dV of P and dO, dK of dS and Q. Register blocks without
/// `part` hold only zeros.
template <class T, class E>
void add_transposed(const tile_cover& cover, const step_place& at, step_part part, const unsigned char* parts,
                    const T* p, const E* const* row, T scale, std::int64_t dim, T* panel, T* o, std::int64_t o_step)
{
    constexpr int step = micro::score_step, strip = micro::key_strip<T>, span = 3 * strip, lanes = vec<T>::lanes;
    if (!at.finite_rows) {
        for (int j = 0; j < at.count; ++j)
            for (int r = 0; r < at.block.count; ++r)
                if (p[r * step + j] != T(0)) add_row(p[r * step + j], row[r], scale, dim, o + j * o_step);
        return;
    }
    const int strips = (at.count + strip - 1) / strip;
    const auto has = [&](int g, int first_strip, int end_strip) {
        for (int x = first_strip; x < end_strip; ++x)
            if (parts[x * max_groups + g] & part) return true;
        return false;
    };
    for (int g_begin = 0, g_end; g_begin < cover.n_groups; g_begin = g_end) {
        const int first = cover.groups[g_begin].first;
        bool any = false;
        int rows = 0;
        for (g_end = g_begin; g_end < cover.n_groups && rows + cover.groups[g_end].rows <= micro::gradient_run<T>;
             ++g_end) {
            rows += cover.groups[g_end].rows;
            any = any || has(g_end, 0, strips);
        }
        if (!any) continue;
        micro::for_panels<T>(dim, [&](std::int64_t channel, std::int64_t channels, int width) {
            pack_panel([&](int x) { return row[first + x]; }, rows, channel, channels, width, scale, panel);
            for (int x = 0; x < strips; x += 3) {
                const int end_strip = x + 3 < strips ? x + 3 : strips, j = x * strip;
                const int keys = span < at.count - j ? span : at.count - j, blocks = groups_of(keys);
                for (int g = g_begin; g < g_end;) {
                    if (!has(g, x, end_strip)) {
                        ++g;
                        continue;
                    }
                    const int from = cover.groups[g].first;
                    int n = 0;
                    for (; g < g_end && has(g, x, end_strip); ++g) n += cover.groups[g].rows;
                    for (int k = 0, key = j; k < blocks; key += rows_of_group(keys, k++))
                        micro::outputs_transposed({rows_of_group(keys, k), width},
                                                  micro::weight_rows<T>{p + from * step + key, n},
                                                  panel + (from - first) * width * lanes,
                                                  micro::matrix<T>{o + key * o_step + channel, o_step});
                }
            }
        });
    }
}

/// dq[r] += sum_j ds[r][j] scale k[j].
template <class Job>
void add_dq(const Job& job, const step_place& at, const tile_cover& cover, const scratch_of<Job>& mem,
            std::int64_t o_step)
{
    using T = typename Job::T;
    constexpr int step = micro::score_step, strip = micro::key_strip<T>, run = micro::gradient_run<T>;
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t dim = job.kv.key_dim();
    if (!*mem.finite_keys) {
        for (int r = 0; r < at.block.count; ++r)
            for (int j = 0; j < at.count; ++j)
                if (mem.ds[r * step + j] != T(0))
                    add_row(mem.ds[r * step + j], job.kv.keys(at.block.batch, at.block.kv_head)(at.token + j).data,
                            job.scale, dim, mem.dq + r * o_step);
        return;
    }
    for (int j = 0; j < at.count; j += run) {
        const int keys = run < at.count - j ? run : at.count - j;
        int lo[max_groups], hi[max_groups];
        for (int g = 0; g < cover.n_groups; ++g) {
            lo[g] = keys, hi[g] = 0;
            for (int x = j; x < j + keys; x += strip) {
                if (!(mem.parts[x / strip * max_groups + g] & has_slopes)) continue;
                lo[g] = x - j < lo[g] ? x - j : lo[g];
                hi[g] = x - j + strip < keys ? x - j + strip : keys;
            }
        }
        const T* panels = mem.k_panels + j * o_step;
        micro::for_panels<T>(dim, [&](std::int64_t channel, std::int64_t, int width) {
            const T* panel = panels + channel * keys;
            micro::next_lines lines(keys, panel);
            lines.then({panel + keys * width * lanes, width * lanes, width * lanes, keys});
            for (int g = 0; g < cover.n_groups; ++g) {
                if (lo[g] >= hi[g]) continue;
                const row_group& rows = cover.groups[g];
                micro::outputs({rows.rows, width},
                               micro::weight_rows<T>{mem.ds + rows.first * step + j + lo[g], hi[g] - lo[g]},
                               micro::packed_panel<T>{panel + lo[g] * width * lanes}, true,
                               micro::matrix<T>{mem.dq + rows.first * o_step + channel, o_step}, lines.take());
            }
        });
    }
}

/// Adds what the block and the tile owe each other to mem.dq, dk and dv, and to the gradients of the score maps'
/// parameters.
template <class Job>
void backward_step(const Job& job, const step_place& at, const scratch_of<Job>& mem)
{
    using T = typename Job::T;
    constexpr int lanes = vec<T>::lanes, strip = micro::key_strip<T>;
    const row_block& block = at.block;
    const tile_cover cover = cover_tile(job, block, at.position_0, at.token, at.count, mem.bits);
    if (cover.kind == coverage::none) {
        if constexpr (Job::learns_scores) {
            for (int r = 0; r < block.count; ++r) {
                const score_place<vec<T>> place(place_of(job, block, at.position_0, block.first + r),
                                                job.first_key + at.token, at.count);
                write_scores<Job, T>(job, place, at.count, nullptr);
            }
        }
        return;
    }
    if constexpr (Job::learns_rows) micro::fill_zero(mem.sums, block.count * micro::mass_lanes);
    for (int j = 0; j < at.count; j += strip) recompute_strip(job, at, cover, j, mem);
    if constexpr (Job::learns_rows) {
        if (job.to.dslopes) {
            for (int r = 0; r < block.count; ++r) {
                vec<T> sums[micro::mass_lanes / lanes];
                for (int i = 0; i < micro::mass_lanes; i += lanes)
                    sums[i / lanes] = load(mem.sums + r * micro::mass_lanes + i);
                job.row_parameter[job.index_of(place_of(job, block, 0, block.first + r))] += sum_of_lanes(sums);
            }
        }
    }

    const std::int64_t q_dim = job.kv.key_dim(), v_dim = job.kv.value_dim();
    if (job.to.dv.data)
        add_transposed(cover, at, has_weights, mem.parts, mem.s, mem.dout_row, T(1), v_dim, mem.panel, mem.dv,
                       round_up(v_dim, lanes));
    if (job.to.dk.data)
        add_transposed(cover, at, has_slopes, mem.parts, mem.ds, mem.q_row, job.scale, q_dim, mem.panel, mem.dk,
                       round_up(q_dim, lanes));
    if (job.to.dq.data) add_dq(job, at, cover, mem, round_up(q_dim, lanes));
}

}  // namespace kernel
HEED_END
