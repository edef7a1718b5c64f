// SPDX-License-Identifier: MIT
// P and dS of a block of query rows and a tile of keys, from the rows' {M, l}: S = Q K^T, then P, and dP = dO V^T only
// where some slope is not 0, a strip of keys at a time.
#pragma once

#include "operands.hpp"

HEED_BEGIN
namespace kernel {

template <class T>
inline constexpr int strips_of_tile = micro::gradient_tile / micro::key_strip<T>;

/// P and dS of a tile, and what each strip of them is made of and with.
template <class T>
struct slopes_memory {
    T *p, *ds;             // [rows][score_stride]: scores, then P; dP, then dS
    T *a, *b, *raw;        // [rows][width_of]: the two parts of dS, and scores before their maps
    T* sums;               // [rows][mass_lanes]: of a per-head parameter's gradient
    unsigned char* flags;  // [strips][max_register_blocks]: strip_flag
    key_bits* bits;        // [rows]
    T *newer_mass, *newer_products;  // [rows]: sums of u and of p dO . v over newer keys, where keys have an order

    /// Keys of which parts are held at a time: those of a strip or, where keys have an order, of the tile.
    template <class Job>
    static constexpr int width_of = Job::has_order ? micro::score_stride : micro::key_strip<T>;

    template <class Job, class Carver>
    static slopes_memory carve(Carver& c, const backward_partition& p)
    {
        slopes_memory m;
        m.p = c.template take<T>(p.block_rows * micro::score_stride);
        m.ds = c.template take<T>(p.block_rows * micro::score_stride);
        m.a = c.template take<T>(p.block_rows * width_of<Job>);
        m.b = c.template take<T>(p.block_rows * width_of<Job>);
        m.raw = c.template take<T>(Job::has_score_maps ? p.block_rows * width_of<Job> : 0);
        m.sums = c.template take<T>(Job::learns_rows ? p.block_rows * micro::mass_lanes : 0);
        m.flags = c.template take<unsigned char>(strips_of_tile<T> * max_register_blocks);
        m.bits = c.template take<key_bits>(p.block_rows);
        m.newer_mass = c.template take<T>(Job::has_order ? p.block_rows : 0);
        m.newer_products = c.template take<T>(Job::has_order ? p.block_rows : 0);
        return m;
    }
    unsigned char* flags_of_strip(int j) const { return flags + j / micro::key_strip<T> * max_register_blocks; }
    /// Whether a register block has the flag in any of the strips [first, end).
    bool has(strip_flag flag, int block, int first, int end) const
    {
        for (int x = first; x < end; ++x)
            if (flags[x * max_register_blocks + block] & flag) return true;
        return false;
    }
};

/// s[r][j] = q[r] . k[j] for a packed strip of keys and the register blocks i for which wanted(i).
template <class T, class Wanted>
void strip_products(const tile_cover& cover, Wanted wanted, micro::packed_queries<T> q, const T* strip, T* s)
{
    constexpr int width = micro::key_strip<T>;
    const micro::row_parts<T> parts(q.dim);
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const std::int64_t channel = parts.begin(part), channels = parts.end(part) - channel;
        const T* here = strip + channel * width;
        micro::next_lines lines(channels, here);
        lines.then({here + channels * width, width, width, static_cast<int>(channels)});
        for (int i = 0; i < cover.count; ++i) {
            const register_block& rows = cover[i];
            if (!wanted(i)) continue;
            micro::scores(rows.rows, q.parts.row(part) + rows.first * micro::query_stride<T>,
                          micro::packed_keys<T>{here, channels, {0, width}}, part > 0,
                          s + rows.first * micro::score_stride, lines.take());
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

/// P and the two parts of dS of a register block, whose scores are in mem.p, for the strip from key j on; returns what
/// they are.
template <class Tile, class T = typename Tile::T>
HEED_INLINE unsigned weigh_strip_rows(const Tile& t, const register_block& rows, int j, const row_slopes<T>* slopes,
                                      const slopes_memory<T>& mem)
{
    constexpr int strip = micro::key_strip<T>, lanes = vec<T>::lanes;
    const int keys = strip < t.keys - j ? strip : t.keys - j;
    const std::uint64_t existing = ~std::uint64_t{0} >> (64 - keys);
    unsigned flags = no_flag;
    for (int r = rows.first; r < rows.end_row(); ++r) {
        T* const s = mem.p + r * micro::score_stride + j;
        if constexpr (Tile::job_type::has_score_maps)
            for (int i = 0; i < strip; i += lanes) store(mem.raw + r * strip + i, load(s + i));
        const slope_row<T> to{s, mem.a + r * strip, mem.b + r * strip};
        if (t.cover.masked || keys < strip)
            flags |= slope_keys<true>(t.job.def, t.strip_place(r, j, keys), slopes[r],
                                      t.cover.masked ? t.bits[r].word_from(j) & existing : existing, to);
        else flags |= slope_keys<false>(t.job.def, t.strip_place(r, j, keys), slopes[r], existing, to);
    }
    return flags;
}

/// P of the strip from key j on, and the two parts of dS; returns whether any row needs dO . v.
template <class Tile, class T = typename Tile::T>
HEED_INLINE bool weigh_strip(const Tile& t, int j, const row_slopes<T>* slopes, const slopes_memory<T>& mem)
{
    constexpr int strip = micro::key_strip<T>;
    unsigned char* const flags = mem.flags_of_strip(j);
    bool values = false;
    for (int i = 0; i < t.cover.count; ++i) {
        const register_block& rows = t.cover[i];
        flags[i] = no_flag;
        if (rows.attends(j, strip)) {
            flags[i] = static_cast<unsigned char>(weigh_strip_rows(t, rows, j, slopes, mem));
        } else {
            for (int r = rows.first; r < rows.end_row(); ++r)
                micro::fill_zero(mem.p + r * micro::score_stride + j, strip);
        }
        values = values || (flags[i] & needs_values);
    }
    return values;
}

/// dS of the strip from key j on, of its two parts and, where they are needed, dO . v in its place; and on from the
/// mapped scores to the scores.
template <class Tile, class T = typename Tile::T>
HEED_INLINE void combine_strip(const Tile& t, int j, const slopes_memory<T>& mem)
{
    using Job = typename Tile::job_type;
    constexpr int strip = micro::key_strip<T>;
    const int keys = strip < t.keys - j ? strip : t.keys - j;
    const unsigned char* const flags = mem.flags_of_strip(j);
    for (int i = 0; i < t.cover.count; ++i) {
        for (int r = t.cover[i].first; r < t.cover[i].end_row(); ++r) {
            T* const ds = mem.ds + r * micro::score_stride + j;
            if (!(flags[i] & has_slopes)) {
                micro::fill_zero(ds, strip);
                if constexpr (Job::learns_scores) write_scores<Job, T>(t.job, t.strip_place(r, j, keys), keys, nullptr);
                continue;
            }
            combine_slopes(mem.a + r * strip, mem.b + r * strip, ds, (flags[i] & needs_values) != 0);
            if constexpr (Job::has_score_maps)
                map_slopes(t.job, t.strip_place(r, j, keys), mem.raw + r * strip, ds, mem.sums + r * micro::mass_lanes);
        }
    }
}

/// P and dS of the strip that starts at key j of the tile.
template <class Tile, class Job = typename Tile::job_type, class T = typename Tile::T>
void recompute_strip(const Tile& t, int j, const block_operands<Job>& rows, const tile_operands<T>& keys,
                     const slopes_memory<T>& mem)
{
    constexpr int strip = micro::key_strip<T>;
    const std::int64_t q_dim = t.job.kv.key_dim(), v_dim = t.job.kv.value_dim();
    const auto attended = [&](int i) { return t.cover[i].attends(j, strip); };
    strip_products(t.cover, attended, micro::packed_queries<T>{{rows.q, rows.part_stride}, q_dim},
                   keys.k_strips + j * q_dim, mem.p + j);
    const bool values = weigh_strip(t, j, rows.slopes, mem);
    if (!t.job.wants_scores()) return;
    const unsigned char* const flags = mem.flags_of_strip(j);
    const auto wanted = [&](int i) { return flags[i] & needs_values; };
    if (values)
        strip_products(t.cover, wanted, micro::packed_queries<T>{{rows.dout, rows.part_stride}, v_dim},
                       keys.v_strips + j * v_dim, mem.ds + j);
    combine_strip(t, j, mem);
}

}  // namespace kernel
HEED_END
