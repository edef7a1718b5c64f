// SPDX-License-Identifier: MIT
// The backward step: what a block of query rows and a tile of keys add to each other's gradients.
//
// Weights are computed again from {M, l}, a strip of keys at a time: S = Q K^T, then P, and dP = dO V^T only where some
// slope is not 0. P and dS of the step stay in the cache for three more products,
//
//     dV += P^T dO        dK += dS^T (scale Q)        dQ += dS (scale K)
//
// of which register blocks that hold only zeros are left out. Each gradient is one chain of fma: over keys in ascending
// order for dQ, over query rows for dK and dV. So its bits do not depend on how rows and keys are cut into steps, as
// long as a row meets its keys, and a key its rows, in that order.
#pragma once

#include "../gradients.hpp"
#include "../micro/outputs.hpp"
#include "../options.hpp"
#include "cover.hpp"
#include "keys.hpp"
#include "slope.hpp"

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
    std::int64_t index_of(const query_place& p) const
    {
        return (p.batch * this->q.size.heads + p.head) * this->q.size.tokens + p.row;
    }
};

/// What a register block of rows has of a strip of keys.
enum step_part : unsigned char { no_part = 0, has_weights = 1, has_slopes = 2, needs_values = 4 };

/// Per-worker memory.
template <class T, class Q, class DO>
struct backward_scratch {
    T *q, *dout;  // [parts][rows][query_step]: scale * q, and dO
    std::int64_t part_step;
    T* strip;              // [strip_units][key_strip]
    T *s, *ds;             // [rows][score_step]: scores, then P; dP, then dS
    T *a, *b, *raw;        // [rows][key_strip]
    T* panel;              // [value_run][block_vecs * lanes]
    T *dq, *dk, *dv;       // [rows or keys][whole registers of channels]
    T* sums;               // [rows][mass_lanes]: of a per-head parameter's gradient
    row_slopes<T>* row;    // [rows]
    const Q** q_row;       // [rows]
    const DO** dout_row;   // [rows]
    key_bits* bits;        // [rows]
    unsigned char* parts;  // [strips][max_groups]: step_part
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
        finite = finite && all_finite<T>(q, q_dim) && all_finite<T>(dout, v_dim);
        mem.row[r] = slopes_of_row(job.def.normalizer(), p.head, job.stats.shift[i], job.stats.mass[i],
                                   job.out.row(p.batch, p.head, p.row), dout, v_dim);
    }
    return finite;
}

/// s[r][j] = q[r] . k[j] for a strip of `keys` keys and the register blocks for which wanted(g).
template <class T, class E, class Wanted>
void strip_products(rows<E> k, std::int64_t dim, int keys, const tile_cover& cover, Wanted wanted, const T* q,
                    std::int64_t part_step, T* packed, T* s)
{
    const micro::row_parts<T> parts(dim);
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const std::int64_t channel = parts.begin(part), channels = parts.end(part) - channel;
        micro::pack_keys(k.data + channel, k.step, keys, channels, packed);
        for (int g = 0; g < cover.n_groups; ++g)
            if (wanted(g))
                micro::scores(cover.groups[g].rows, q + part * part_step + cover.groups[g].first * micro::query_step<T>,
                              packed, channels, part > 0, s + cover.groups[g].first * micro::score_step,
                              micro::next_ahead<E>(k.data));
    }
}

template <class T>
HEED_INLINE void fill_zero(T* p, int from, int to)
{
    for (int j = from; j < to; ++j) p[j] = T(0);
}

/// Writes dbias for up to `n` of the keys behind `place`, where it is wanted; zeros without `g`.
template <class Job, class T>
void write_scores(const Job& job, const score_place<vec<T>>& place, int n, const T* g)
{
    if (!job.to.dbias.data) return;
    T* to = job.to.dbias.row(place.batch, place.head, place.row) + place.key;
    for (int i = 0; i < n; ++i) to[i] = g ? g[i] : T(0);
}

/// Takes ds from the mapped scores back to the scores themselves, `n` keys from `place` on, and hands out the gradients
/// of the maps' own parameters on the way.
template <class Job, class T>
void map_slopes(const Job& job, score_place<vec<T>> place, const T* raw, T* ds, int n, T* sums)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes;
    const auto first = place;
    T of_scores[micro::key_strip<T>];
    for (int j = 0; j < n; j += lanes) {
        const auto learn = [&](auto kind, V g) HEED_INLINE_LAMBDA {
            if constexpr (kind.value == parameter::per_score) store(of_scores + j, g);
            if constexpr (kind.value == parameter::per_head) {
                T* sum = sums + place.key % micro::mass_lanes;
                store(sum, load(sum) + g);
            }
        };
        store(ds + j, job.def.map_score_back(load(raw + j), place, load(ds + j), learn));
        place.key += lanes;
        place.valid -= lanes;
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
    const int keys = strip < at.count - j ? strip : at.count - j, n = static_cast<int>(round_up(keys, lanes));
    unsigned char* parts = mem.parts + j / strip * max_groups;
    const auto attended = [&](int g) { return attends(cover.groups[g], j, strip); };
    const auto place_in_strip = [&](int r) {
        score_place<vec<T>> place;
        static_cast<query_place&>(place) = place_of(job, at.block, at.position_0, at.block.first + r);
        place.key = job.first_key + at.token + j;
        place.valid = keys;
        return place;
    };

    strip_products(job.kv.keys(at.block.batch, at.block.kv_head, at.token + j), job.kv.key_dim(), keys, cover, attended,
                   mem.q, mem.part_step, mem.strip, mem.s + j);
    bool values = false;
    for (int g = 0; g < cover.n_groups; ++g) {
        const row_group& rows = cover.groups[g];
        parts[g] = no_part;
        for (int r = rows.first; r < rows.first + rows.rows; ++r) {
            T* s = mem.s + r * step + j;
            if (!attended(g)) {
                fill_zero(s, 0, strip);
                continue;
            }
            if constexpr (Def::has_score_maps)
                for (int i = 0; i < n; i += lanes) store(mem.raw + r * strip + i, load(s + i));
            slope_row<T> to{s, mem.a + r * strip, mem.b + r * strip};
            if (cover.masked) slope_keys<true>(job.def, place_in_strip(r), mem.row[r], mem.bits[r].word_from(j), n, to);
            else slope_keys<false>(job.def, place_in_strip(r), mem.row[r], 0, n, to);
            fill_zero(s, n, strip);
            parts[g] =
                static_cast<unsigned char>(parts[g] | (to.weighted ? has_weights : 0) |
                                           (to.sloped ? has_slopes | needs_values : 0) | (to.massive ? has_slopes : 0));
        }
        values = values || (parts[g] & needs_values);
    }
    if (!job.wants_scores()) return;

    if (values)
        strip_products(
            job.kv.values(at.block.batch, at.block.kv_head, at.token + j), job.kv.value_dim(), keys, cover,
            [&](int g) { return parts[g] & needs_values; }, mem.dout, mem.part_step, mem.strip, mem.ds + j);
    for (int g = 0; g < cover.n_groups; ++g) {
        const row_group& rows = cover.groups[g];
        for (int r = rows.first; r < rows.first + rows.rows; ++r) {
            T* ds = mem.ds + r * step + j;
            if (!(parts[g] & has_slopes)) {
                fill_zero(ds, 0, strip);
                if constexpr (Job::learns_scores) write_scores<Job, T>(job, place_in_strip(r), keys, nullptr);
                continue;
            }
            combine_slopes(mem.a + r * strip, mem.b + r * strip, ds, n, (parts[g] & needs_values) != 0);
            if constexpr (Def::has_score_maps)
                map_slopes(job, place_in_strip(r), mem.raw + r * strip, ds, n, mem.sums + r * micro::mass_lanes);
            fill_zero(ds, n, strip);
        }
    }
}

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

/// f(first channel, channels, registers) for panels of nearly equal width.
template <class T, class F>
void for_panels(std::int64_t dim, F f)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t vecs = ceil_div(dim, lanes), panels = ceil_div(vecs, micro::block_vecs);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
        const std::int64_t first = vecs * panel / panels, width = vecs * (panel + 1) / panels - first;
        f(first * lanes, min_of(width * lanes, dim - first * lanes), static_cast<int>(width));
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
        for (g_end = g_begin; g_end < cover.n_groups && rows + cover.groups[g_end].rows <= micro::value_run<T>;
             ++g_end) {
            rows += cover.groups[g_end].rows;
            any = any || has(g_end, 0, strips);
        }
        if (!any) continue;
        for_panels<T>(dim, [&](std::int64_t channel, std::int64_t channels, int width) {
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
                        micro::outputs_transposed(rows_of_group(keys, k), width, p + from * step + key,
                                                  panel + (from - first) * width * lanes, n, o + key * o_step + channel,
                                                  o_step);
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
    using E = typename Job::key_element;
    constexpr int step = micro::score_step, strip = micro::key_strip<T>, run = micro::value_run<T>;
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t dim = job.kv.key_dim();
    const auto row = [&](int j) { return job.kv.keys(at.block.batch, at.block.kv_head, at.token + j).data; };
    bool finite = true;
    for (int j = 0; j < at.count && finite; ++j) finite = all_finite<T>(row(j), dim);
    if (!finite) {
        for (int r = 0; r < at.block.count; ++r)
            for (int j = 0; j < at.count; ++j)
                if (mem.ds[r * step + j] != T(0))
                    add_row(mem.ds[r * step + j], row(j), job.scale, dim, mem.dq + r * o_step);
        return;
    }
    for (int j = 0; j < at.count; j += run) {
        const int keys = run < at.count - j ? run : at.count - j;
        int lo[max_groups], hi[max_groups], lowest = keys, highest = 0;
        for (int g = 0; g < cover.n_groups; ++g) {
            lo[g] = keys, hi[g] = 0;
            for (int x = j / strip; x * strip < j + keys; ++x) {
                if (!(mem.parts[x * max_groups + g] & has_slopes)) continue;
                const int begin = x * strip - j, end = begin + strip < keys ? begin + strip : keys;
                lo[g] = begin < lo[g] ? begin : lo[g];
                hi[g] = end;
            }
            lowest = lo[g] < lowest ? lo[g] : lowest;
            highest = hi[g] > highest ? hi[g] : highest;
        }
        if (lowest >= highest) continue;
        for_panels<T>(dim, [&](std::int64_t channel, std::int64_t channels, int width) {
            pack_panel([&](int x) { return row(j + lowest + x); }, highest - lowest, channel, channels, width,
                       job.scale, mem.panel);
            for (int g = 0; g < cover.n_groups; ++g) {
                if (lo[g] >= hi[g]) continue;
                const row_group& rows = cover.groups[g];
                micro::outputs(rows.rows, width, mem.ds + rows.first * step + j + lo[g],
                               mem.panel + (lo[g] - lowest) * width * lanes, micro::packed{}, hi[g] - lo[g],
                               mem.dq + rows.first * o_step + channel, o_step, micro::next_ahead<E>(row(j)));
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
                score_place<vec<T>> place;
                static_cast<query_place&>(place) = place_of(job, block, at.position_0, block.first + r);
                place.key = job.first_key + at.token;
                write_scores<Job, T>(job, place, at.count, nullptr);
            }
        }
        return;
    }
    if constexpr (Job::learns_rows) fill_zero(mem.sums, 0, block.count * micro::mass_lanes);
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
