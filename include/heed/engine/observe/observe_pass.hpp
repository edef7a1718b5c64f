// SPDX-License-Identifier: MIT
// The weights themselves, tile by tile, and what is summed, counted and listed of them. {M, l} of every row are known,
// so that the scores of a tile become weights at once, without V and without a running maximum:
//
//     p = w(s) / den        den = c + sum_j u(s_ij), both in units of 2^M
//
// and every sum over keys is one more column of that pass: 16 virtual lanes a key tile and the fixed tree, then tiles
// from left to right, as the forward sums its mass. Bits depend on the row and the keys that it attends alone.
#pragma once

#include "../../observations.hpp"
#include "../forward/scales.hpp"
#include "../forward/weights.hpp"
#include "../simd/log.hpp"

HEED_BEGIN
namespace kernel {

/// A row's weights in one key tile: p[begin, end), 0 where a key is not attended.
template <class T>
struct row_weights {
    query_place at;
    std::int64_t key;  // position of p[0]
    const T* p;
    int begin, end;  // multiples of 16
    int attended;    // keys
    T highest;       // score; a NaN is none
};

/// Turns the scores of some keys into weights and returns how many keys are attended; with Drop, keys whose score is
/// -inf are not. Weights of pairs are rounded to bf16 before they are divided, as attend() multiplies them.
template <range Range, bool Drop, bool Pairs, class Normalizer, class T>
HEED_INLINE int divide(const Normalizer& normalizer, T* s, key_range keys, const row_denominator<T>& norm)
{
    using V = vec<T>;
    const V shift(norm.shift), one = power_of_two(V(0) - shift);
    const bool empty = norm.value == T(0);
    const V den(empty ? T(1) : norm.value);
    V dropped(0);
    for (int j = keys.begin; j < keys.end; j += V::lanes) {
        const V v = load(s + j);
        const auto t = normalizer.terms(shifted_score<T, native_arch, Range>(v, shift, one));
        V w;
        if constexpr (has_mass_v<Normalizer>) w = t.weight;
        else w = t.value;
        if constexpr (Pairs) w = rounded_to_bf16(w);
        V p = empty ? V(0) : w / den + V(0);
        if constexpr (Drop) {
            const auto drop = v == V(-libm::infinity<T>);
            p = select(drop, V(0), p);
            dropped = dropped + select(drop, V(1), V(0));
        }
        store(s + j, p);
    }
    return keys.end - keys.begin - static_cast<int>(sum_by_halves(dropped));
}

/// The weights of one row in a tile, from its dot products; see map_row.
template <bool Masked, class U, class Def, class T>
HEED_NOINLINE inline row_weights<T> weights_of_row(const score_row<Def, T>& row, key_range keys,
                                                   const row_denominator<T>& norm)
{
    constexpr bool may_drop = Masked || Def::has_score_maps, pairs = elements_of<U> == 2;
    const score_range<T> range = map_row<Masked, U>(row, keys);
    const T top = range.top();
    const auto& normalizer = normalizer_of(row);
    const int attended = is_near(range.bottom(), top, norm.shift)
                             ? divide<range::near, may_drop, pairs>(normalizer, row.s, keys, norm)
                             : divide<range::any, true, pairs>(normalizer, row.s, keys, norm);
    return {row.place, row.place.key_at(0), row.s, keys.begin, keys.end, attended, top};
}

/// The same where keys have an order: `newer` is the mass of the tiles behind this one, to which its own is added.
template <bool Masked, class U, class Def, class T>
HEED_NOINLINE inline row_weights<T> ordered_weights_of_row(const score_row<Def, T>& row, key_range keys, T& newer)
{
    using V = vec<T>;
    const score_range<T> range = map_row<Masked, U>(row, keys);
    const V nothing(-libm::infinity<T>), zero(0), left = remainder_of(newer);
    const bool ended = has_ended(newer);
    V dropped(0);
    for (int j = keys.begin; j < keys.end; j += V::lanes)
        dropped = dropped + select(load(row.s + j) == nothing, V(1), zero);
    const T mass = weigh_from_the_right<false>(normalizer_of(row), row.s, keys.begin, keys.end);
    for (int j = keys.begin; j < keys.end; j += V::lanes) {
        V w = load(row.s + j);
        if constexpr (elements_of<U> == 2) w = rounded_to_bf16(w);
        const V p = select(w == zero, zero, w * left);
        store(row.s + j, ended && newer == newer ? zero : p);
    }
    if (!ended) newer += mass;
    const int attended = keys.end - keys.begin - static_cast<int>(sum_by_halves(dropped));
    return {row.place, row.place.key_at(0), row.s, keys.begin, keys.end, attended, range.top()};
}

/// What was seen of a row so far.
template <class T>
struct row_sums {
    T highest = -libm::infinity<T>, total = 0, first = 0, distance = 0, entropy = 0;
    std::int64_t attended = 0, zeros = 0, small = 0;
};

/// A worker's memory.
template <class Unit>
struct observe_memory {
    using U = Unit;
    using T = sum_t<U>;

    scores_memory<U> scores;
    key_bits* bits;             // [rows]
    row_denominator<T>* norms;  // [rows]
    T* newer;                   // [rows]: the mass of the tiles behind one, where keys have an order
    row_sums<T>* sums;          // [rows]

    template <class Carver>
    static observe_memory carve(Carver& c, const partition& p)
    {
        observe_memory m;
        m.scores = scores_memory<U>::carve(c, p);
        m.bits = c.template take<key_bits>(p.cut.block_rows);
        m.norms = c.template take<row_denominator<T>>(p.cut.block_rows);
        m.newer = c.template take<T>(p.cut.block_rows);
        m.sums = c.template take<row_sums<T>>(p.cut.block_rows);
        return m;
    }
};

/// The tiles of a block of rows, whose scores become weights. `sharing` heads of the job read one head of its keys: 1
/// where the job's group says what is shared, or the group where a job of group 1 looks at single heads.
template <class Job>
class weights_pass {
    using T = typename Job::T;
    using U = typename Job::unit;

public:
    weights_pass(const Job& job, std::int64_t sharing, const row_statistics<T>& stats)
        : job_(job), sharing_(sharing), stats_(stats)
    {}

    std::int64_t index_of(const query_place& p) const { return job_.index_of(p); }
    query_place place(const query_block& block, int r) const { return place_of(job_, block, 0, block.first + r); }

    /// Calls take(r, row_weights) for every row r of the block and every tile of which the mask lets any row of its
    /// register block attend a key, tiles in ascending order or, where keys have an order, in descending. Rows of a
    /// block are at most the partition's.
    template <class Take>
    void operator()(const query_block& block, const observe_memory<U>& mem, Take take) const
    {
        prepare(block, mem);
        const std::int64_t end = job_.kv.held(block.batch).end;
        std::int64_t token, tiles = 0;
        if constexpr (has_order) {
            while (held_tile(job_.kv, block.batch, tiles) * micro::key_tile < end) ++tiles;
            while (tiles-- > 0) weigh(block, held_tile(job_.kv, block.batch, tiles) * micro::key_tile, mem, take);
            return;
        }
        for (std::int64_t i = 0; (token = held_tile(job_.kv, block.batch, i) * micro::key_tile) < end; ++i)
            weigh(block, token, mem, take);
    }

    /// The same for the key tile from `token` on and all `rows` rows of a kv head, blocks and rows in ascending order.
    template <class Take>
    void by_tile(query_block block, std::int64_t rows, std::int64_t token, const observe_memory<U>& mem,
                 Take take) const
    {
        if (!holds_tile(job_.kv, block.batch, token / micro::key_tile)) return;
        for (const int most = block.count; block.first < rows; block.first += most) {
            block.count = static_cast<int>(min_of(most, rows - block.first));
            prepare(block, mem);
            weigh(block, token, mem, take);
        }
    }

private:
    static constexpr bool has_order = has_order_v<typename Job::def_type::normalizer_type>;

    /// Packs a block's rows and finds their denominators.
    void prepare(const query_block& block, const observe_memory<U>& mem) const
    {
        for (int r = 0; r < block.count; ++r) {
            const query_place p = place(block, r);
            pack_query_of(job_, job_.row_of(job_.q, p), block.kv_head / sharing_, r, mem.scores);
            const std::int64_t i = index_of(p);
            mem.norms[r] = denominator(job_.def.normalizer(), p.head, stats_.shift[i], stats_.mass[i]);
            mem.newer[r] = T(0);
        }
    }
    template <class Take>
    void weigh(const query_block& block, std::int64_t token, const observe_memory<U>& mem, Take& take) const
    {
        const std::int64_t end = job_.kv.held(block.batch).end;
        tile<Job> t(job_, block, token, static_cast<int>(min_of(micro::key_tile, end - token)), mem.bits);
        if (t.is_unattended()) return;
        t.kv_head = block.kv_head / sharing_;
        score_packed(t, mem.scores, [](std::int64_t, int) { return micro::row_lines(); });
        scale_scores(t, mem.scores.scores);
        for (const register_block& rows : t.cover) {
            if (rows.is_empty()) continue;
            const key_range keys{rows.begin(), rows.end()};
            for (int r = rows.first; r < rows.end_row(); ++r) {
                const auto row = score_row_of<true>(t, t.job.def, r, mem.scores);
                if constexpr (has_order)
                    take(r, t.cover.masked ? ordered_weights_of_row<true, U>(row, keys, mem.newer[r])
                                           : ordered_weights_of_row<false, U>(row, keys, mem.newer[r]));
                else
                    take(r, t.cover.masked ? weights_of_row<true, U>(row, keys, mem.norms[r])
                                           : weights_of_row<false, U>(row, keys, mem.norms[r]));
            }
        }
    }

    Job job_;
    std::int64_t sharing_;
    row_statistics<T> stats_;
};

/// The column of f: sum = f(p, j, sum) over the row's keys of a tile, j being the place of lane 0.
template <class T, class F>
HEED_INLINE T column(const row_weights<T>& w, F f)
{
    constexpr int lanes = vec<T>::lanes, lane_vecs = micro::mass_lanes / lanes;
    vec<T> sums[lane_vecs];
    for (vec<T>& sum : sums) sum = vec<T>(0);
    for (int j = w.begin; j < w.end; j += micro::mass_lanes) {
        HEED_UNROLL
        for (int i = 0; i < lane_vecs; ++i) sums[i] = f(load(w.p + j + i * lanes), j + i * lanes, sums[i]);
    }
    return sum_of_lanes(sums);
}

/// Sorts a tile's weights into the k largest above 0 so far, by falling weight; of equal ones the smaller key is first,
/// whether tiles come in ascending order or, with FromTheRight, in descending.
template <bool FromTheRight, class T>
HEED_NOINLINE inline void list_largest(const row_weights<T>& w, std::int64_t k, std::int64_t* keys, T* weights)
{
    using V = vec<T>;
    T least = weights[k - 1];  // must be exceeded
    for (int j = w.begin; j < w.end; j += V::lanes) {
        const V p_of_lanes = load(w.p + j);
        const auto may_enter = FromTheRight ? (p_of_lanes >= V(least)) & (p_of_lanes > V(0)) : p_of_lanes > V(least);
        std::uint32_t larger = nonzero_bits(select(may_enter, V(1), V(0)));
        for (; larger; larger &= larger - 1) {
            const int x = j + __builtin_ctz(larger);
            const T p = w.p[x];
            const auto precedes = [&](std::int64_t i) {
                return p > weights[i] || (FromTheRight && p == weights[i] && w.key + x < keys[i]);
            };
            if (!precedes(k - 1)) continue;  // any more
            std::int64_t at = k - 1;
            for (; at > 0 && precedes(at - 1); --at) {
                keys[at] = keys[at - 1];
                weights[at] = weights[at - 1];
            }
            keys[at] = w.key + x;
            weights[at] = p;
            least = weights[k - 1];
        }
    }
}

/// Adds what is wanted of a row's weights in a tile. `index` is the row's place in [B, Hq, Sq].
template <bool FromTheRight, class T>
HEED_NOINLINE inline void add_columns(const observations<T>& wanted, std::int64_t index, const row_weights<T>& w,
                                      row_sums<T>& row)
{
    using V = vec<T>;
    const auto count_of = [](auto is, V sum) HEED_INLINE_LAMBDA { return sum + select(is, V(1), V(0)); };
    const int unattended = w.end - w.begin - w.attended;  // of weight 0 too
    row.highest = w.highest > row.highest ? w.highest : row.highest;
    row.attended += w.attended;
    row.total = row.total + column(w, [](V p, int, V sum) HEED_INLINE_LAMBDA { return sum + p; });
    if (w.key == 0 && w.begin == 0) row.first = w.p[0];
    if (wanted.entropy)
        row.entropy = row.entropy - column(w, [](V p, int, V sum) HEED_INLINE_LAMBDA {
                          return select(p == V(0), sum, fma(p, log(p), sum));
                      });
    if (wanted.mean_distance) {
        const V lane = lanes_of<V>::iota(0);
        const std::int64_t of_p0 = w.at.position - w.key;
        row.distance = row.distance + column(w, [&](V p, int j, V sum) HEED_INLINE_LAMBDA {
                           return fma(p, V(static_cast<T>(of_p0 - j)) - lane, sum);
                       });
    }
    if (wanted.zeros) {
        const auto zeros = [&](V p, int, V sum) HEED_INLINE_LAMBDA { return count_of(p == V(0), sum); };
        row.zeros += static_cast<std::int64_t>(column(w, zeros)) - unattended;
    }
    if (wanted.small) {
        const V limit(wanted.small_weight);
        const auto small = [&](V p, int, V sum) HEED_INLINE_LAMBDA { return count_of(abs(p) <= limit, sum); };
        row.small += static_cast<std::int64_t>(column(w, small)) - unattended;
    }
    if (wanted.top_k > 0)
        list_largest<FromTheRight>(w, wanted.top_k, wanted.top_keys + index * wanted.top_k,
                                   wanted.top_weights + index * wanted.top_k);
}

template <class T>
void begin_observation(const observations<T>& wanted, std::int64_t index, row_sums<T>& row)
{
    row = {};
    for (std::int64_t i = index * wanted.top_k; i < (index + 1) * wanted.top_k; ++i) {
        wanted.top_keys[i] = -1;
        wanted.top_weights[i] = T(0);
    }
}

template <class T>
void end_observation(const observations<T>& wanted, std::int64_t index, const row_sums<T>& row,
                     const row_denominator<T>& norm)
{
    const bool poisoned = row.total != row.total;
    const auto give = [index](const auto& to, auto value) {
        if (to) to[index] = value;
    };
    give(wanted.max_score, poisoned ? row.total : row.highest);
    if (wanted.lse) wanted.lse[index] = log_of_denominator(norm);
    give(wanted.entropy, row.entropy);
    give(wanted.total, row.total);
    give(wanted.first_token, poisoned ? row.total : row.first);
    // 0 / 0 is a NaN of either sign, which depends on the machine.
    give(wanted.mean_distance, row.total == T(0) ? libm::quiet_nan<T> : row.distance / row.total);
    give(wanted.attended, row.attended);
    give(wanted.zeros, row.zeros);
    give(wanted.small, row.small);
    for (std::int64_t i = index * wanted.top_k; poisoned && i < (index + 1) * wanted.top_k; ++i) {
        wanted.top_keys[i] = -1;
        wanted.top_weights[i] = row.total;
    }
}

}  // namespace kernel
HEED_END
