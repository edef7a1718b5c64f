// SPDX-License-Identifier: MIT
// From scores to weights where the keys of a tile stand side by side, as a list has them, and not where their tile has
// them. The bits are those of weights.hpp: what a lane computes does not depend on its neighbours, and masses add to
// the lane of their key's position, in the order of keys.
#pragma once

#include "../kernel/listed_keys.hpp"
#include "scales.hpp"
#include "weights.hpp"

HEED_BEGIN
namespace kernel {

/// The listed keys of a tile.
template <class Job>
struct listed_tile {
    const Job& job;
    const query_block& block;
    std::int64_t position_0;  // of query row 0
    std::int64_t token;       // the tile's first
    const std::uint16_t* key;  // [count]: within the tile
    const row_bits* rows;     // [count]
    int count;
    bool masked;

    /// Bit i is set where row r attends the i-th of n keys from key x on; no bit behind them.
    HEED_INLINE std::uint32_t attended(int r, int x, int n) const
    {
        if (!masked) return (1u << n) - 1;
        std::uint32_t bits = 0;
        for (int i = 0; i < n; ++i) bits |= (std::uint32_t{rows[x + i]} >> r & 1u) << i;
        return bits;
    }
    /// Whether n keys from key x on follow each other from a multiple of n on.
    HEED_INLINE bool is_run(int x, int n) const { return key[x] % n == 0 && x + n <= count && key[x + n - 1] == key[x] + n - 1; }
    /// Where the keys from a multiple of a register's lanes on stand, that key j of the tile is among.
    template <class V>
    HEED_INLINE score_place<V> place(const query_place& row, int j) const
    {
        const std::int64_t held = job.kv.held(block.batch).end - token;
        const int keys = static_cast<int>(min_of(micro::key_tile, held)), from = j / V::lanes * V::lanes;
        return {row, job.first_key + token + from, keys - from};
    }
};

/// The score maps of the n <= lanes keys from key x on. A map sees a register of keys that follow each other, so keys
/// that do not are mapped one by one.
template <class Job, class V>
HEED_INLINE V map_listed(const listed_tile<Job>& t, const query_place& row, int x, int n, V s)
{
    using T = typename Job::T;
    constexpr int lanes = V::lanes;
    if (t.is_run(x, lanes)) return t.job.def.map_score(s, t.template place<V>(row, t.key[x]));
    T score[lanes], mapped[lanes];
    store(score, s);
    for (int i = 0; i < n; ++i) {
        const int j = t.key[x + i];
        store(mapped, t.job.def.map_score(V(score[i]), t.template place<V>(row, j)));
        score[i] = mapped[j % lanes];
    }
    return load(score);
}

/// Adds n <= lanes masses to the 16 lanes of their keys.
template <class Job, class V, class T = typename Job::T>
HEED_INLINE void add_listed_masses(const listed_tile<Job>& t, int x, int n, V mass, T* lane)
{
    if (t.is_run(x, V::lanes)) {
        T* const at = lane + t.key[x] % micro::mass_lanes;
        store(at, load(at) + mass);
        return;
    }
    T each[V::lanes];
    store(each, mass);
    for (int i = 0; i < n; ++i) lane[t.key[x + i] % micro::mass_lanes] += each[i];
}

/// Turns the mapped scores s of a tile's keys into weights and returns l.
template <range Range, class Job, class T = typename Job::T>
HEED_INLINE T weigh_mapped(const listed_tile<Job>& t, T* s, T shift)
{
    using V = vec<T>;
    using normalizer = typename std::decay_t<decltype(t.job.def)>::normalizer_type;
    constexpr int lanes = V::lanes;
    const auto& policy = t.job.def.normalizer();
    const V all(shift), one = power_of_two(V(0) - all);
    alignas(cache_line) T lane[micro::mass_lanes] = {};
    for (int x = 0; x < t.count; x += lanes) {
        const int n = lanes < t.count - x ? lanes : t.count - x;
        const V v = n == lanes ? load(s + x) : load_n(s + x, n);
        const auto attended = [&](V term) HEED_INLINE_LAMBDA {  // a NaN stays
            return select(v == V(-std::numeric_limits<T>::infinity()), V(0), term);
        };
        const auto terms = policy.terms(shifted_score<T, native_arch, Range>(v, all, one));
        V weight;
        if constexpr (has_mass_v<normalizer>) {
            weight = attended(terms.weight);
            add_listed_masses(t, x, n, attended(terms.mass), lane);
        } else {
            weight = attended(terms.value);
        }
        if (n == lanes) store(s + x, weight);
        else store_n(s + x, weight, n);
    }
    if constexpr (has_mass_v<normalizer>) {
        V sums[micro::mass_lanes / lanes];
        HEED_UNROLL
        for (int i = 0; i < micro::mass_lanes / lanes; ++i) sums[i] = load(lane + i * lanes);
        return sum_of_lanes<T>(sums);
    }
    return T(0);
}

/// Turns the scores s of row r and a tile's keys into weights, and gives its M and l.
template <class Job, class T = typename Job::T>
HEED_NOINLINE inline void weigh_listed(const listed_tile<Job>& t, const query_place& row, int r, T* s, T& shift, T& mass)
{
    using V = vec<T>;
    using def = std::decay_t<decltype(t.job.def)>;
    using normalizer = typename def::normalizer_type;
    constexpr int lanes = V::lanes;
    const V minus_infinity(-std::numeric_limits<T>::infinity());
    score_range<T> range;
    for (int x = 0; x < t.count; x += lanes) {
        const int n = lanes < t.count - x ? lanes : t.count - x;
        V v = n == lanes ? load(s + x) : load_n(s + x, n);
        if constexpr (def::has_score_maps) v = map_listed(t, row, x, n, v);
        v = select_bits(t.attended(r, x, n), v, minus_infinity);
        if (n == lanes) store(s + x, v);
        else store_n(s + x, v, n);
        range.highest = max(range.highest, v);
        range.lowest = select(v == minus_infinity, range.lowest, min(range.lowest, v));
    }
    const T top = range.top();
    shift = shift_for<normalizer::shift>(top);
    mass = is_near(range.bottom(), top, shift) ? weigh_mapped<simd::range::near>(t, s, shift)
                                               : weigh_mapped<simd::range::any>(t, s, shift);
}

}  // namespace kernel
HEED_END
