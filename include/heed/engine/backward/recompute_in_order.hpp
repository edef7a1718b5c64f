// SPDX-License-Identifier: MIT
// P and dS of a block of query rows and a tile of keys where keys have an order, from the newest key to the oldest:
//
//     p_j = w(s_j) e^-U_j        U_j = sum_{k > j} u(s_k)        g_j = dO . v_j
//     ds_j = w'(s_j) e^-U_j g_j - u'(s_j) sum_{k < j} p_k g_k    sum_{k < j} p_k g_k = D - sum_{k > j} p_k g_k - p_j
//     g_j
//
// A row carries U and the sum of p g from tile to tile. All strips of a tile are scored before any is weighed.
#pragma once

#include "../forward/weights.hpp"
#include "recompute.hpp"

HEED_BEGIN
namespace kernel {

/// Of one row of a tile: p holds scores before, and b is the slope u' of keys that found something left; `raw` receives
/// the scores before their maps, where there are any.
template <class T>
struct ordered_row {
    T *p, *a, *b, *raw;
};

/// The keys of sixteen from key j of a tile of `keys` keys on that a row attends.
template <class Tile>
HEED_INLINE std::uint32_t attended_sixteen(const Tile& t, int r, int j)
{
    const std::uint32_t existing = t.keys - j >= micro::mass_lanes ? all_sixteen
                                   : t.keys > j                    ? (1u << (t.keys - j)) - 1u
                                                                   : 0u;
    return t.cover.masked ? t.bits[r].sixteen(j) & existing : existing;
}

/// P, w' e^-U and u' of keys [begin, end) of row r, multiples of 16; `newer` is the mass of the keys behind them, and
/// grows by theirs. Returns what they are.
template <class Tile, class T = typename Tile::T>
unsigned weigh_row_in_order(const Tile& t, int r, int begin, int end, T& newer, const ordered_row<T>& to)
{
    using V = vec<T>;
    using Def = typename Tile::job_type::def_type;
    constexpr int lanes = V::lanes;
    const V nothing(-libm::infinity<T>), zero(0);
    V sum(newer);
    auto no_weight = zero == zero, no_slope = no_weight;
    for (int from = end - micro::mass_lanes; from >= begin; from -= micro::mass_lanes) {
        const std::uint32_t attended = attended_sixteen(t, r, from);
        V weight[lane_vecs<T>], mass[lane_vecs<T>], behind[lane_vecs<T>], slope[lane_vecs<T>], fall[lane_vecs<T>];
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            const int j = from + i * lanes;
            V s = load(to.p + j);
            if constexpr (Def::has_score_maps) {
                store(to.raw + j, s);
                s = t.job.def.map_score(s, t.strip_place(r, j, t.keys - j));
            }
            s = select_bits(attended >> (i * lanes), s, nothing);
            const shifted_score<T> score(s, zero, V(1));
            const auto terms = t.job.def.normalizer().terms(score);
            const auto slopes = t.job.def.normalizer().slopes(score);
            const auto dropped = [&](V x) HEED_INLINE_LAMBDA { return select(s == nothing, zero, x); };
            weight[i] = dropped(V(terms.weight));
            mass[i] = dropped(V(terms.mass));
            slope[i] = dropped(V(slopes.weight));
            fall[i] = dropped(V(slopes.mass));
        }
        sum_behind<T>(mass, behind);
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            const int j = from + i * lanes;
            const V left = exp_neg_abs(sum + behind[i]);
            const V p = select(weight[i] == zero, zero, weight[i] * left);
            const V a = select(slope[i] == zero, zero, slope[i] * left);
            const V b = select(left == zero, zero, fall[i]);
            store(to.p + j, p);
            store(to.a + j, a);
            store(to.b + j, b);
            no_weight = no_weight & (p == zero);
            no_slope = no_slope & (a == zero) & (b == zero);
        }
        sum = sum + mass[0];
    }
    T all[lanes];
    store(all, sum);
    newer = all[0];
    return (simd::all(no_weight) ? no_flag : has_weights | needs_values) |
           (simd::all(no_slope) ? no_flag : has_slopes | needs_values);
}

/// ds of keys [begin, end) of a row in place of g; `newer` is the sum of p g over the keys behind them, and d that of
/// all keys.
template <class T>
void combine_in_order(int begin, int end, T d, T& newer, const ordered_row<T>& of, T* ds)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes;
    const V zero(0), all(d);
    V sum(newer);
    for (int from = end - micro::mass_lanes; from >= begin; from -= micro::mass_lanes) {
        V taken[lane_vecs<T>], own[lane_vecs<T>], behind[lane_vecs<T>];
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            const int j = from + i * lanes;
            const V p = load(of.p + j);
            // A weight of 0 takes nothing from V. A product that is added is not added by a multiply-add.
            own[i] = taken[i] = in_register(select(p == zero, zero, p * load(ds + j)));
        }
        sum_behind<T>(taken, behind);
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            const int j = from + i * lanes;
            const V a = load(of.a + j), b = load(of.b + j), older = all - (sum + behind[i]) - own[i];
            const V mine = select(a == zero, zero, a * load(ds + j));
            store(ds + j, select(b == zero, mine, fma(zero - b, older, mine)));
        }
        sum = sum + taken[0];
    }
    T last[lanes];
    store(last, sum);
    newer = last[0];
}

/// The keys of the strips of which a register block attends any, whole sixteens.
template <class T>
HEED_INLINE key_range attended_strips(const register_block& rows, int keys)
{
    constexpr int each = micro::key_strip<T> < micro::mass_lanes ? micro::mass_lanes : micro::key_strip<T>;
    if (rows.is_empty()) return {0, 0};
    const int end = static_cast<int>(round_up(rows.hi < keys ? rows.hi : keys, each));
    return {rows.lo / each * each, end};
}

/// dS of the strips of a tile from dP: of each row in order, and on from the mapped scores to the scores.
template <class Tile, class Job = typename Tile::job_type, class T = typename Tile::T>
void combine_tile_in_order(const Tile& t, const block_operands<Job>& rows, const slopes_memory<T>& mem)
{
    constexpr int strip = micro::key_strip<T>, stride = micro::score_stride;
    for (int i = 0; i < t.cover.count; ++i) {
        const register_block& block = t.cover[i];
        const key_range keys = attended_strips<T>(block, t.keys);
        const bool any = mem.has(has_slopes, i, 0, (t.keys + strip - 1) / strip);
        for (int r = block.first; r < block.end_row(); ++r) {
            T* const ds = mem.ds + r * stride;
            if (any)
                combine_in_order(keys.begin, keys.end, rows.slopes[r].d, mem.newer_products[r],
                                 ordered_row<T>{mem.p + r * stride, mem.a + r * stride, mem.b + r * stride, nullptr},
                                 ds);
            for (int j = 0; j < t.keys; j += strip) {
                const int n = strip < t.keys - j ? strip : t.keys - j;
                if (!mem.has(has_slopes, i, j / strip, j / strip + 1)) {
                    micro::fill_zero(ds + j, strip);
                    if constexpr (Job::learns_scores) write_scores<Job, T>(t.job, t.strip_place(r, j, n), n, nullptr);
                } else if constexpr (Job::has_score_maps) {
                    map_slopes(t.job, t.strip_place(r, j, n), mem.raw + r * stride + j, ds + j,
                               mem.sums + r * micro::mass_lanes);
                }
            }
        }
    }
}

/// P and dS of a tile.
template <class Tile, class Job = typename Tile::job_type, class T = typename Tile::T>
void recompute_in_order(const Tile& t, const block_operands<Job>& rows, const tile_operands<Job>& keys,
                        const slopes_memory<T>& mem)
{
    constexpr int strip = micro::key_strip<T>, stride = micro::score_stride;
    const std::int64_t q_dim = t.job.kv.key_dim(), v_dim = t.job.kv.value_dim();
    unsigned of_block[max_register_blocks];
    for (int j = 0; j < t.keys; j += strip)
        strip_products(
            t.cover, [&](int i) { return t.cover[i].attends(j, strip); },
            micro::packed_queries<T>{{rows.q, rows.part_stride}, q_dim}, keys.k_strips + j * q_dim, mem.p + j);
    for (int i = 0; i < t.cover.count; ++i) {
        const register_block& block = t.cover[i];
        const key_range attended = attended_strips<T>(block, t.keys);
        of_block[i] = no_flag;
        for (int r = block.first; r < block.end_row(); ++r) {
            const ordered_row<T> row{mem.p + r * stride, mem.a + r * stride, mem.b + r * stride, mem.raw + r * stride};
            of_block[i] |= weigh_row_in_order(t, r, attended.begin, attended.end, mem.newer_mass[r], row);
            micro::fill_zero(row.p, attended.begin);
            for (int j = attended.end; j < t.keys; j += strip) micro::fill_zero(row.p + j, strip);
        }
    }
    for (int j = 0; j < t.keys; j += strip)
        for (int i = 0; i < t.cover.count; ++i)
            mem.flags_of_strip(j)[i] =
                static_cast<unsigned char>(t.cover[i].attends(j, strip) ? of_block[i] : unsigned{no_flag});
    if (!t.job.wants_scores()) return;
    for (int j = 0; j < t.keys; j += strip) {
        const unsigned char* const flags = mem.flags_of_strip(j);
        strip_products(
            t.cover, [&](int i) { return flags[i] & needs_values; },
            micro::packed_queries<T>{{rows.dout, rows.part_stride}, v_dim}, keys.v_strips + j * v_dim, mem.ds + j);
    }
    combine_tile_in_order(t, rows, mem);
}

}  // namespace kernel
HEED_END
