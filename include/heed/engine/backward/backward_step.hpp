// SPDX-License-Identifier: MIT
// The backward step: the contribution of one query block and key tile to each other's gradients. P and dS of the step,
// which lie in the cache, enter three more products,
//
//     dV += P^T dO        dK += dS^T (scale Q)        dQ += dS (scale K)
//
// of which register blocks that hold only zeros are left out. Each gradient is one chain of fma: over keys in ascending
// order for dQ, over query rows for dK and dV. So its bits do not depend on how rows and keys are cut into steps, as
// long as a row meets its keys, and a key its rows, in that order. Where keys have an order, a row meets the newest
// tile first.
#pragma once

#include "recompute_in_order.hpp"

HEED_BEGIN
namespace kernel {

/// A worker's memory of the backward pass.
template <class Job>
struct backward_memory {
    using T = typename Job::T;

    block_operands<Job> rows;
    tile_operands<T> keys;
    slopes_memory<T> slopes;
    T* panel;                     // [gradient_depth][register_vecs * lanes]: of Q or dO
    micro::matrix<T> dq, dk, dv;  // [rows or keys][whole registers of channels]

    template <class Carver>
    static backward_memory carve(Carver& c, const backward_partition& p)
    {
        constexpr int lanes = vec<T>::lanes;
        const std::int64_t q_stride = round_up(p.key_dim, lanes), v_stride = round_up(p.value_dim, lanes);
        backward_memory m;
        m.rows = block_operands<Job>::carve(c, p);
        m.keys = tile_operands<T>::carve(c, p);
        m.slopes = slopes_memory<T>::template carve<Job>(c, p);
        m.panel = c.template take<T>(micro::gradient_depth<T> * micro::register_vecs * lanes);
        m.dq = {c.template take<T>(p.block_rows, q_stride), q_stride};
        m.dk = {c.template take<T>(micro::gradient_tile, q_stride), q_stride};
        m.dv = {c.template take<T>(micro::gradient_tile, v_stride), v_stride};
        return m;
    }
};

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

/// The rows of Q or dO that enter a gradient of keys, times weights[r][j], P or dS: the rows of the register blocks
/// that have a flag.
template <class T, class E>
struct weighted_rows {
    strip_flag flag;
    const T* weights;      // [rows][score_stride]
    const E* const* rows;  // [rows]
    T scale;               // of rows
    std::int64_t dim;
};

/// add_transposed() by selection: a weight of 0 takes nothing from a row that is not finite.
template <class Tile, class T, class E>
void add_transposed_selected(const Tile& t, const weighted_rows<T, E>& of, micro::matrix<T> o)
{
    for (int j = 0; j < t.keys; ++j)
        for (int r = 0; r < t.block.count; ++r)
            if (const T p = of.weights[r * micro::score_stride + j]; p != T(0))
                add_row(p, of.rows[r], of.scale, of.dim, o.row(j));
}

/// Register blocks [first, end) of a query block.
struct block_span {
    int first, end;
};

/// f(blocks) for each run of the register blocks that has(i).
template <class Has, class F>
HEED_INLINE void for_runs(block_span all, Has has, F f)
{
    for (int i = all.first; i < all.end;) {
        if (!has(i)) {
            ++i;
            continue;
        }
        const int first = i;
        while (i < all.end && has(i)) ++i;
        f(block_span{first, i});
    }
}

/// The next register blocks from `first` on whose rows fit a panel.
template <class T>
block_span panel_from(const tile_cover& cover, int first)
{
    int end = first + 1;
    while (end < cover.count && cover[end].end_row() - cover[first].first <= micro::gradient_depth<T>) ++end;
    return {first, end};
}

/// o[j] += sum_r weights[r][j] scale rows[r] for the keys of a tile: dV of P and dO, dK of dS and Q.
template <class Tile, class T, class E>
void add_transposed(const Tile& t, const weighted_rows<T, E>& of, const slopes_memory<T>& mem, T* panel,
                    micro::matrix<T> o)
{
    constexpr int stride = micro::score_stride, strip = micro::key_strip<T>, span = 3 * strip, lanes = vec<T>::lanes;
    const int strips = (t.keys + strip - 1) / strip;
    for (block_span in{0, 0}; in.end < t.cover.count;) {
        in = panel_from<T>(t.cover, in.end);
        const int first = t.cover[in.first].first, rows = t.cover[in.end - 1].end_row() - first;
        bool any = false;
        for (int i = in.first; i < in.end; ++i) any = any || mem.has(of.flag, i, 0, strips);
        if (!any) continue;
        micro::for_panels<T>(of.dim, [&](std::int64_t channel, std::int64_t channels, int width) {
            pack_panel([&](int x) { return of.rows[first + x]; }, rows, {channel, channels, width}, of.scale, panel);
            for (int j = 0; j < t.keys; j += span) {
                const int keys = span < t.keys - j ? span : t.keys - j, x = j / strip;
                const auto has = [&](int i) { return mem.has(of.flag, i, x, x + 3 < strips ? x + 3 : strips); };
                for_runs(in, has, [&](block_span run) {
                    const int from = t.cover[run.first].first, n = t.cover[run.end - 1].end_row() - from;
                    for (int k = 0, key = j; k < register_blocks_of(keys); key += rows_of_register_block(keys, k++))
                        micro::outputs_transposed({rows_of_register_block(keys, k), width},
                                                  micro::weight_rows<T>{of.weights + from * stride + key, n},
                                                  static_cast<const T*>(panel) + (from - first) * width * lanes,
                                                  o.at(key, channel));
                });
            }
        });
    }
}

/// add_dq() by selection: a slope of 0 takes nothing from a key that is not finite.
template <class Tile, class T = typename Tile::T>
void add_dq_selected(const Tile& t, const T* ds, micro::matrix<T> dq)
{
    const auto source = t.key_rows();
    for (int r = 0; r < t.block.count; ++r)
        for (int j = 0; j < t.keys; ++j)
            if (const T slope = ds[r * micro::score_stride + j]; slope != T(0))
                add_row(slope, source(t.token + j).data, t.job.scale, source.dim, dq.row(r));
}

/// The keys of [j, j + keys) between the first and the last strip in which a register block has slopes, from j on.
template <class T>
micro::lane_range sloped_keys(const slopes_memory<T>& mem, int block, int j, int keys)
{
    constexpr int strip = micro::key_strip<T>;
    micro::lane_range sloped{keys, 0};
    for (int x = j; x < j + keys; x += strip) {
        if (!mem.has(has_slopes, block, x / strip, x / strip + 1)) continue;
        sloped.first = x - j < sloped.first ? x - j : sloped.first;
        sloped.end = x - j + strip < keys ? x - j + strip : keys;
    }
    return sloped;
}

/// dq[r] += sum_j ds[r][j] scale k[j].
template <class Tile, class T = typename Tile::T>
void add_dq(const Tile& t, const slopes_memory<T>& mem, const T* k_panels, micro::matrix<T> dq)
{
    constexpr int stride = micro::score_stride, depth = micro::gradient_depth<T>, lanes = vec<T>::lanes;
    for (int j = 0; j < t.keys; j += depth) {
        const int keys = depth < t.keys - j ? depth : t.keys - j;
        micro::lane_range sloped[max_register_blocks];
        for (int i = 0; i < t.cover.count; ++i) sloped[i] = sloped_keys(mem, i, j, keys);
        const T* const panels = k_panels + j * dq.stride;
        micro::for_panels<T>(t.job.kv.key_dim(), [&](std::int64_t channel, std::int64_t, int width) {
            const T* panel = panels + channel * keys;
            micro::next_lines lines(keys, panel);
            lines.then({panel + keys * width * lanes, width * lanes, width * lanes, keys});
            for (int i = 0; i < t.cover.count; ++i) {
                const register_block& rows = t.cover[i];
                const int lo = sloped[i].first, hi = sloped[i].end;
                if (lo >= hi) continue;
                micro::outputs(
                    {rows.rows, width}, micro::weight_rows<T>{mem.ds + rows.first * stride + j + lo, hi - lo},
                    micro::packed_panel<T>{panel + lo * width * lanes}, true, dq.at(rows.first, channel), lines.take());
            }
        });
    }
}

/// Zeros of dbias where the mask lets no row attend any key of the tile.
template <class Tile>
void write_no_scores(const Tile& t)
{
    using Job = typename Tile::job_type;
    for (int r = 0; r < t.block.count; ++r) write_scores<Job, typename Tile::T>(t.job, t.place(r), t.keys, nullptr);
}

/// Adds the tile's part of the gradient of a per-head parameter to each row's.
template <class Tile, class T = typename Tile::T>
void add_row_parameters(const Tile& t, const T* sums_of_rows)
{
    constexpr int lanes = vec<T>::lanes;
    for (int r = 0; r < t.block.count; ++r) {
        vec<T> sums[micro::mass_lanes / lanes];
        for (int i = 0; i < micro::mass_lanes; i += lanes)
            sums[i / lanes] = load(sums_of_rows + r * micro::mass_lanes + i);
        t.job.row_parameter[t.job.index_of(place_of(t.job, t.block, 0, t.block.first + r))] += sum_of_lanes(sums);
    }
}

/// Accumulates the contribution of a query block and a key tile, which mem.rows and mem.keys hold, into mem.dq, dk and
/// dv, and into the gradients of the score maps' parameters.
template <class Tile, class Job = typename Tile::job_type>
void backward_step(const Tile& t, const backward_memory<Job>& mem)
{
    using T = typename Job::T;
    const slopes_memory<T>& slopes = mem.slopes;
    const auto& to = t.job.to;
    if (t.is_unattended()) {
        if constexpr (Job::learns_scores) write_no_scores(t);
        return;
    }
    if constexpr (Job::learns_rows) micro::fill_zero(slopes.sums, t.block.count * micro::mass_lanes);
    if constexpr (Job::has_order) recompute_in_order(t, mem.rows, mem.keys, slopes);
    else
        for (int j = 0; j < t.keys; j += micro::key_strip<T>) recompute_strip(t, j, mem.rows, mem.keys, slopes);
    if constexpr (Job::learns_rows)
        if (to.dslopes) add_row_parameters(t, slopes.sums);

    const auto add = [&](const auto& of, micro::matrix<T> o) {
        if (mem.rows.finite) add_transposed(t, of, slopes, mem.panel, o);
        else add_transposed_selected(t, of, o);
    };
    using dout_rows = weighted_rows<T, typename Job::dout_element>;
    using query_rows = weighted_rows<T, typename Job::query_element>;
    if (to.dv.data) add(dout_rows{has_weights, slopes.p, mem.rows.dout_row, T(1), t.job.kv.value_dim()}, mem.dv);
    if (to.dk.data) add(query_rows{has_slopes, slopes.ds, mem.rows.q_row, t.job.scale, t.job.kv.key_dim()}, mem.dk);
    if (to.dq.data) {
        if (mem.keys.finite_keys) add_dq(t, slopes, static_cast<const T*>(mem.keys.k_panels), mem.dq);
        else add_dq_selected(t, static_cast<const T*>(slopes.ds), mem.dq);
    }
}

}  // namespace kernel
HEED_END
