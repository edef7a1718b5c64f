// SPDX-License-Identifier: MIT
// A call of backward(), and what a query block and a key tile bring to every step that they take part in.
#pragma once

#include "../../gradients.hpp"
#include "../../options.hpp"
#include "../forward/tile_outputs.hpp"
#include "../simd/finite.hpp"
#include "slopes.hpp"

HEED_BEGIN
namespace kernel {

/// A call of backward().
template <class Def, class Kv, class Q, class O, class DO>
struct backward_job : job<Def, Kv, Q> {
    using T = typename job<Def, Kv, Q>::T;
    using query_element = Q;
    using dout_element = DO;
    static constexpr bool has_score_maps = Def::has_score_maps;
    static constexpr bool learns_rows = Def::template parameters<parameter::per_head> > 0;
    static constexpr bool has_order = has_order_v<typename Def::normalizer_type>;
    static constexpr bool learns_scores = Def::template parameters<parameter::per_score> > 0;

    view<const O> out;
    view<const DO> dout;
    row_statistics<T> stats;
    gradients<T> to;
    T* row_parameter;  // [B, Hq, Sq]: each row's part of the gradient of a per-head parameter
    T* newer_mass;     // [B, Hq, Sq]: of each row, the mass of the keys that it has met, where keys have an order,
    T* newer_products;  // [B, Hq, Sq]: and the sum of p dO . v over them

    bool wants_scores() const { return to.dq.data || to.dk.data || to.dbias.data || to.dslopes; }
};

/// The cut of a backward pass into tasks, and the workspace it needs. A pure function of the sizes.
struct backward_partition {
    std::int64_t batch = 0, query_heads = 0, kv_heads = 0, group = 1, rows = 0;  // rows: Sq * group of one kv head
    std::int64_t key_dim = 0, value_dim = 0, tokens = 0;
    std::int64_t block_rows = 0, blocks = 0, tiles = 0;  // of one kv head
    bool diagonal = false;
    bool fits = true;  // whether stages and workspace can be counted
    int workers = 1;
    std::size_t worker_bytes = 0, total_bytes = 0;

    std::int64_t heads() const { return batch * kv_heads; }
    /// The last stage sums what is learned for each query head.
    int stages() const { return 1 + static_cast<int>(diagonal ? max_of(blocks + tiles - 1, 0) : 1); }
    std::int64_t tasks(int stage) const
    {
        if (stage == stages() - 1) return query_heads;
        return diagonal ? heads() * steps(stage) : heads();
    }
    /// Steps of a diagonal, from the one of tile first_tile(diagonal) on.
    std::int64_t first_tile(int stage) const { return max_of(stage - (blocks - 1), 0); }
    std::int64_t steps(int stage) const { return min_of(stage, tiles - 1) - first_tile(stage) + 1; }
    double work() const
    {
        return 2.5 * static_cast<double>(heads()) * static_cast<double>(tokens) *
               static_cast<double>(key_dim + value_dim) * static_cast<double>(rows + 4);
    }
};

/// Of a query block: Q and dO, and what is known of its rows before any key.
template <class Job>
struct block_operands {
    using T = typename Job::T;
    using Q = typename Job::query_element;
    using dout_element = typename Job::dout_element;

    T *q, *dout;  // [parts][rows][query_stride]: scale * q, and dO
    std::int64_t part_stride;
    row_slopes<T>* slopes;          // [rows]
    const Q** q_row;                // [rows]
    const dout_element** dout_row;  // [rows]
    bool finite;                    // whether Q and dO hold neither NaN nor Inf

    template <class Carver>
    static block_operands carve(Carver& c, const backward_partition& p)
    {
        block_operands m;
        m.part_stride = p.block_rows * micro::query_stride<T>;
        m.q = c.template take<T>(micro::row_parts<T>(p.key_dim).count, m.part_stride);
        m.dout = c.template take<T>(micro::row_parts<T>(p.value_dim).count, m.part_stride);
        m.slopes = c.template take<row_slopes<T>>(p.block_rows);
        m.q_row = c.template take<const Q*>(p.block_rows);
        m.dout_row = c.template take<const dout_element*>(p.block_rows);
        m.finite = true;
        return m;
    }
    void load(const Job& job, const query_block& block)
    {
        using normalizer = typename Job::def_type::normalizer_type;
        const std::int64_t q_dim = job.kv.key_dim(), v_dim = job.kv.value_dim();
        finite = true;
        for (int r = 0; r < block.count; ++r) {
            const query_place p = place_of(job, block, 0, block.first + r);
            const Q* const query = q_row[r] = job.q.row(p.batch, p.head, p.row);
            const dout_element* const gradient = dout_row[r] = job.dout.row(p.batch, p.head, p.row);
            const std::int64_t i = job.index_of(p);
            micro::pack_query(query, q_dim, job.scale, q + r * micro::query_stride<T>, part_stride);
            micro::pack_query(gradient, v_dim, T(1), dout + r * micro::query_stride<T>, part_stride);
            finite = finite && micro::all_finite<T>(query, q_dim) && micro::all_finite<T>(gradient, v_dim);
            slopes[r] = slopes_of_row<normalizer>(
                denominator(job.def.normalizer(), p.head, job.stats.shift[i], job.stats.mass[i]),
                job.out.row(p.batch, p.head, p.row), gradient, v_dim);
        }
    }
};

/// panel[x][c] = scale * row(x)[channel + c] for x in [0, n), and 0 up to whole registers.
template <class T, class Row>
void pack_panel(Row row, int n, panel_channels channels, T scale, T* panel)
{
    constexpr int lanes = vec<T>::lanes;
    for (int x = 0; x < n; ++x, panel += channels.vecs * lanes) {
        const auto* from = row(x) + channels.first;
        std::int64_t c = 0;
        for (; c + lanes <= channels.count; c += lanes) store(panel + c, load_as<T>(from + c) * vec<T>(scale));
        if (c < channels.count)
            store(panel + c, load_as_n<T>(from + c, static_cast<int>(channels.count - c)) * vec<T>(scale));
    }
}

/// Of a key tile: K and V packed, as far as what is wanted needs them, for all blocks of rows.
template <class T>
struct tile_operands {
    T *k_strips, *v_strips;  // [strips][units][key_strip]
    T* k_panels;             // [runs][panels][keys][registers]: scale * k
    bool finite_keys;        // whether K holds neither NaN nor Inf

    template <class Carver>
    static tile_operands carve(Carver& c, const backward_partition& p)
    {
        tile_operands m;
        m.k_strips = c.template take<T>(micro::gradient_tile, p.key_dim);
        m.v_strips = c.template take<T>(micro::gradient_tile, p.value_dim);
        m.k_panels = c.template take<T>(micro::gradient_tile, round_up(p.key_dim, vec<T>::lanes));
        m.finite_keys = true;
        return m;
    }
    /// Packs the keys [token, token + n) of a head.
    template <class Job>
    void load(const Job& job, std::int64_t batch, std::int64_t kv_head, std::int64_t token, int n)
    {
        constexpr int strip = micro::key_strip<T>;
        const auto k = keys_of(job.kv, batch, kv_head);
        const auto v = values_of(job.kv, batch, kv_head);
        for (int j = 0; j < n; j += strip) {
            const int keys = strip < n - j ? strip : n - j;
            micro::pack_keys(matrix_of(k(token + j)), keys, 0, k.dim, k_strips + j * k.dim);
            if (job.wants_scores()) micro::pack_keys(matrix_of(v(token + j)), keys, 0, v.dim, v_strips + j * v.dim);
        }
        if (job.to.dq.data) load_panels(k, token, n, job.scale);
    }

private:
    template <class Source>
    void load_panels(const Source& source, std::int64_t token, int n, T scale)
    {
        constexpr int depth = micro::gradient_depth<T>;
        const auto row = [&](int j) { return source(token + j).data; };
        finite_keys = true;
        for (int j = 0; j < n; ++j) finite_keys = finite_keys && micro::all_finite<T>(row(j), source.dim);
        for (int j = 0; j < n; j += depth) {
            const int keys = depth < n - j ? depth : n - j;
            T* const panels = k_panels + j * round_up(source.dim, vec<T>::lanes);
            micro::for_panels<T>(source.dim, [&](std::int64_t channel, std::int64_t channels, int width) {
                pack_panel([&](int x) { return row(j + x); }, keys, {channel, channels, width}, scale,
                           panels + channel * keys);
            });
        }
    }
};

}  // namespace kernel
HEED_END
