// SPDX-License-Identifier: MIT
// P and dS of a block of query rows and a tile of keys, from the rows' {M, l}: S = Q K^T, then P, and dP = dO V^T only
// where some slope is not 0, a strip of keys at a time.
#pragma once

#include "../../gradients.hpp"
#include "../../options.hpp"
#include "../forward/tile_scores.hpp"
#include "../kernel/cover.hpp"
#include "../simd/finite.hpp"
#include "slopes.hpp"

HEED_BEGIN
namespace kernel {

/// A call of backward().
template <class Def, class Kv, class Q, class O, class DO>
struct backward_job : job<Def, Kv, Q> {
    using T = typename job<Def, Kv, Q>::T;
    using dout_element = DO;
    static constexpr bool has_score_maps = Def::has_score_maps;
    static constexpr bool learns_rows = Def::template parameters<parameter::per_head> > 0;
    static constexpr bool learns_scores = Def::template parameters<parameter::per_score> > 0;

    view<const O> out;
    view<const DO> dout;
    row_statistics<T> stats;
    gradients<T> to;
    T* row_parameter;  // [B, Hq, Sq]: each row's part of the gradient of a per-head parameter

    bool wants_scores() const { return to.dq.data || to.dk.data || to.dbias.data || to.dslopes; }
};

/// Per-worker memory.
template <class T, class Q, class DO>
struct backward_scratch {
    T *q, *dout;  // [parts][rows][query_step]: scale * q, and dO
    std::int64_t part_step;
    T *k_strips, *v_strips;  // [strips][units][key_strip]: of the tile
    T* k_panels;             // [runs][panels][keys][registers]: scale * k
    T* panel;                // [gradient_run][block_vecs * lanes]: of Q or dO
    T *s, *ds;               // [rows][score_step]: scores, then P; dP, then dS
    T *a, *b, *raw;          // [rows][key_strip]
    T *dq, *dk, *dv;         // [rows or keys][whole registers of channels]
    T* sums;                 // [rows][mass_lanes]: of a per-head parameter's gradient
    row_slopes<T>* row;      // [rows]
    const Q** q_row;         // [rows]
    const DO** dout_row;     // [rows]
    key_bits* bits;          // [rows]
    unsigned char* parts;    // [strips][max_groups]: step_part
    bool* finite_keys;       // whether K of the tile holds neither NaN nor Inf
};

template <class Job>
using scratch_of = backward_scratch<typename Job::T, std::remove_const_t<std::remove_pointer_t<decltype(Job::q.data)>>,
                                    typename Job::dout_element>;

/// The part of a head that a step is about.
struct step_place {
    row_block block;
    std::int64_t position_0;  // of query row 0
    std::int64_t token;       // first key of the tile
    int count;                // of its keys
    bool finite_rows;         // whether Q and dO of the block hold neither NaN nor Inf
};

template <class T>
inline constexpr int strips_of_tile = micro::gradient_tile / micro::key_strip<T>;

/// Packs the queries and dO of a block, and takes what is known of its rows before any key.
template <class Job>
bool begin_block(const Job& job, const row_block& block, const scratch_of<Job>& mem)
{
    using T = typename Job::T;
    bool finite = true;
    for (int r = 0; r < block.count; ++r) {
        const query_place p = place_of(job, block, 0, block.first + r);
        const auto* q = mem.q_row[r] = job.q.row(p.batch, p.head, p.row);
        const auto* dout = mem.dout_row[r] = job.dout.row(p.batch, p.head, p.row);
        const std::int64_t i = job.index_of(p), q_dim = job.kv.key_dim(), v_dim = job.kv.value_dim();
        micro::pack_query(q, q_dim, job.scale, mem.q + r * micro::query_step<T>, mem.part_step);
        micro::pack_query(dout, v_dim, T(1), mem.dout + r * micro::query_step<T>, mem.part_step);
        finite = finite && micro::all_finite<T>(q, q_dim) && micro::all_finite<T>(dout, v_dim);
        mem.row[r] = slopes_of_row(job.def.normalizer(), p.head, job.stats.shift[i], job.stats.mass[i],
                                   job.out.row(p.batch, p.head, p.row), dout, v_dim);
    }
    return finite;
}

/// panel[x][c] = scale * row(x)[channel + c] for x in [0, n), and 0 up to `vecs` whole registers.
template <class T, class Row>
void pack_panel(Row row, int n, std::int64_t channel, std::int64_t channels, int vecs, T scale, T* panel)
{
    constexpr int lanes = vec<T>::lanes;
    for (int x = 0; x < n; ++x, panel += vecs * lanes) {
        const auto* from = row(x) + channel;
        std::int64_t c = 0;
        for (; c + lanes <= channels; c += lanes) store(panel + c, load_as<T>(from + c) * vec<T>(scale));
        if (c < channels) store(panel + c, load_as_n<T>(from + c, static_cast<int>(channels - c)) * vec<T>(scale));
    }
}

/// Packs K and V of the tile [token, token + count), as far as what is wanted needs them: for all blocks of rows.
template <class Job>
void begin_tile(const Job& job, std::int64_t batch, std::int64_t kv_head, std::int64_t token, int count,
                const scratch_of<Job>& mem)
{
    using T = typename Job::T;
    constexpr int strip = micro::key_strip<T>, run = micro::gradient_run<T>, lanes = vec<T>::lanes;
    const std::int64_t q_dim = job.kv.key_dim(), v_dim = job.kv.value_dim();
    for (int j = 0; j < count; j += strip) {
        const int keys = strip < count - j ? strip : count - j;
        const auto k = job.kv.keys(batch, kv_head)(token + j);
        const auto v = job.kv.values(batch, kv_head)(token + j);
        micro::pack_keys(matrix_of(k), keys, 0, q_dim, mem.k_strips + j * q_dim);
        if (job.wants_scores()) micro::pack_keys(matrix_of(v), keys, 0, v_dim, mem.v_strips + j * v_dim);
    }
    if (!job.to.dq.data) return;
    const auto row = [&](int j) { return job.kv.keys(batch, kv_head)(token + j).data; };
    *mem.finite_keys = true;
    for (int j = 0; j < count; ++j) *mem.finite_keys = *mem.finite_keys && micro::all_finite<T>(row(j), q_dim);
    for (int j = 0; j < count; j += run) {
        const int keys = run < count - j ? run : count - j;
        T* panels = mem.k_panels + j * round_up(q_dim, lanes);
        micro::for_panels<T>(q_dim, [&](std::int64_t channel, std::int64_t channels, int width) {
            pack_panel([&](int x) { return row(j + x); }, keys, channel, channels, width, job.scale,
                       panels + channel * keys);
        });
    }
}

/// s[r][j] = q[r] . k[j] for a packed strip of keys and the register blocks for which wanted(g).
template <class T, class Wanted>
void strip_products(const T* strip, std::int64_t dim, const tile_cover& cover, Wanted wanted, const T* q,
                    std::int64_t part_step, T* s)
{
    constexpr int width = micro::key_strip<T>;
    const micro::row_parts<T> parts(dim);
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const std::int64_t channel = parts.begin(part), channels = parts.end(part) - channel;
        const T* here = strip + channel * width;
        micro::next_lines lines(channels, here);
        lines.then({here + channels * width, width, width, static_cast<int>(channels)});
        for (int g = 0; g < cover.n_groups; ++g) {
            const row_group& rows = cover.groups[g];
            if (!wanted(g)) continue;
            micro::scores(rows.rows, q + part * part_step + rows.first * micro::query_step<T>,
                          micro::packed_keys<T>{here, channels, {0, width}}, part > 0,
                          s + rows.first * micro::score_step, lines.take());
        }
    }
}

/// Writes dbias for up to `n` of the keys behind `place`, where it is wanted; zeros without `g`.
template <class Job, class T>
void write_scores(const Job& job, const score_place<vec<T>>& place, int n, const T* g)
{
    if (!job.to.dbias.data) return;
    T* to = job.to.dbias.row(place.batch, place.head, place.row) + place.key_at(0);
    for (int i = 0; i < n; ++i) to[i] = g ? g[i] : T(0);
}

/// Takes ds from the mapped scores back to the scores themselves, a strip of keys from `place` on, and hands out the
/// gradients of the maps' own parameters on the way.
template <class Job, class T>
void map_slopes(const Job& job, score_place<vec<T>> place, const T* raw, T* ds, T* sums)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes;
    const auto first = place;
    T of_scores[micro::key_strip<T>];
    for (int j = 0; j < micro::key_strip<T>; j += lanes) {
        const auto learn = [&](auto kind, V g) HEED_INLINE_LAMBDA {
            if constexpr (kind.value == parameter::per_score) store(of_scores + j, g);
            if constexpr (kind.value == parameter::per_head) {
                T* sum = sums + place.key_at(0) % micro::mass_lanes;
                store(sum, load(sum) + g);
            }
        };
        store(ds + j, job.def.map_score_back(load(raw + j), place, load(ds + j), learn));
        place.advance(lanes);
    }
    if constexpr (Job::learns_scores) write_scores(job, first, static_cast<int>(first.valid), of_scores);
}

/// P and dS of the strip that starts at key j of the tile.
template <class Job>
void recompute_strip(const Job& job, const step_place& at, const tile_cover& cover, int j, const scratch_of<Job>& mem)
{
    using T = typename Job::T;
    using Def = std::decay_t<decltype(job.def)>;
    constexpr int strip = micro::key_strip<T>, lanes = vec<T>::lanes, step = micro::score_step;
    const std::int64_t q_dim = job.kv.key_dim(), v_dim = job.kv.value_dim();
    const int keys = strip < at.count - j ? strip : at.count - j;
    const std::uint64_t existing = ~std::uint64_t{0} >> (64 - keys);
    unsigned char* parts = mem.parts + j / strip * max_groups;
    const auto attended = [&](int g) { return attends(cover.groups[g], j, strip); };
    const auto place_in_strip = [&](int r) {
        return score_place<vec<T>>(place_of(job, at.block, at.position_0, at.block.first + r),
                                   job.first_key + at.token + j, keys);
    };

    strip_products(mem.k_strips + j * q_dim, q_dim, cover, attended, mem.q, mem.part_step, mem.s + j);
    bool values = false;
    for (int g = 0; g < cover.n_groups; ++g) {
        const row_group& rows = cover.groups[g];
        unsigned part = no_part;
        for (int r = rows.first; r < rows.first + rows.rows; ++r) {
            T* s = mem.s + r * step + j;
            if (!attended(g)) {
                micro::fill_zero(s, strip);
                continue;
            }
            if constexpr (Def::has_score_maps)
                for (int i = 0; i < strip; i += lanes) store(mem.raw + r * strip + i, load(s + i));
            const slope_row<T> to{s, mem.a + r * strip, mem.b + r * strip};
            if (cover.masked || keys < strip)
                part |= slope_keys<true>(job.def, place_in_strip(r), mem.row[r],
                                         cover.masked ? mem.bits[r].word_from(j) & existing : existing, to);
            else part |= slope_keys<false>(job.def, place_in_strip(r), mem.row[r], existing, to);
        }
        parts[g] = static_cast<unsigned char>(part);
        values = values || (part & needs_values);
    }
    if (!job.wants_scores()) return;

    if (values)
        strip_products(
            mem.v_strips + j * v_dim, v_dim, cover, [&](int g) { return parts[g] & needs_values; }, mem.dout,
            mem.part_step, mem.ds + j);
    for (int g = 0; g < cover.n_groups; ++g) {
        const row_group& rows = cover.groups[g];
        for (int r = rows.first; r < rows.first + rows.rows; ++r) {
            T* ds = mem.ds + r * step + j;
            if (!(parts[g] & has_slopes)) {
                micro::fill_zero(ds, strip);
                if constexpr (Job::learns_scores) write_scores<Job, T>(job, place_in_strip(r), keys, nullptr);
                continue;
            }
            combine_slopes(mem.a + r * strip, mem.b + r * strip, ds, (parts[g] & needs_values) != 0);
            if constexpr (Def::has_score_maps)
                map_slopes(job, place_in_strip(r), mem.raw + r * strip, ds, mem.sums + r * micro::mass_lanes);
        }
    }
}

}  // namespace kernel
HEED_END
