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
    std::int64_t position_0;   // of query row 0
    std::int64_t token;        // the tile's first
    const std::uint16_t* key;  // [count]: within the tile
    const row_bits* rows;      // [count]
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
    HEED_INLINE bool is_run(int x, int n) const
    {
        return key[x] % n == 0 && x + n <= count && key[x + n - 1] == key[x] + n - 1;
    }
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

/// Listed keys of a tile, as many as a register has lanes or fewer.
struct few_keys {
    int first, count;
};

/// The terms of the scores v of some keys: masses go to the 16 lanes, weights are returned.
template <range Range, class Job, class V, class T = typename Job::T>
HEED_INLINE V terms_of(const listed_tile<Job>& t, few_keys keys, V v, V shift, V one, T* lane)
{
    using normalizer = typename std::decay_t<decltype(t.job.def)>::normalizer_type;
    const auto attended = [&](V term) HEED_INLINE_LAMBDA {  // a NaN stays
        return select(v == V(-libm::infinity<T>), V(0), term);
    };
    const auto terms = t.job.def.normalizer().terms(shifted_score<T, native_arch, Range>(v, shift, one));
    if constexpr (has_mass_v<normalizer>) {
        add_listed_masses(t, keys.first, keys.count, attended(terms.mass), lane);
        return attended(terms.weight);
    } else {
        return attended(terms.value);
    }
}

/// The sum of the 16 lanes of a mass, where there is one.
template <class Job, class T>
HEED_INLINE T mass_of(const listed_tile<Job>& t, const T* lane)
{
    constexpr int lanes = vec<T>::lanes;
    if constexpr (has_mass_v<typename std::decay_t<decltype(t.job.def)>::normalizer_type>) {
        vec<T> sums[micro::mass_lanes / lanes];
        HEED_UNROLL
        for (int i = 0; i < micro::mass_lanes / lanes; ++i) sums[i] = load(lane + i * lanes);
        return sum_of_lanes<T>(sums);
    }
    return T(0);
}

/// Scores of row r after score maps and mask, of some keys; widens the range by them.
template <class Job, class T = typename Job::T>
HEED_INLINE vec<T> map_and_mask(const listed_tile<Job>& t, const query_place& row, int r, few_keys keys, const T* s,
                                score_range<T>& range)
{
    using V = vec<T>;
    const int x = keys.first, n = keys.count;
    const V minus_infinity(-libm::infinity<T>);
    V v = n == V::lanes ? load(s + x) : load_n(s + x, n);
    if constexpr (std::decay_t<decltype(t.job.def)>::has_score_maps) v = map_listed(t, row, x, n, v);
    v = select_bits(t.attended(r, x, n), v, minus_infinity);
    range.highest = max(range.highest, v);
    range.lowest = select(v == minus_infinity, range.lowest, min(range.lowest, v));
    return v;
}

/// Turns the scores s of row r and a tile's keys into weights where they stand, adds masses to the row's 16
/// lanes, and returns M. What the lanes come to is asked for later: the sum would wait until single lanes are in
/// memory.
template <class Job, class T = typename Job::T>
HEED_NOINLINE inline T weigh_listed(const listed_tile<Job>& t, const query_place& row, int r, T* s, T* lane)
{
    using V = vec<T>;
    using normalizer = typename std::decay_t<decltype(t.job.def)>::normalizer_type;
    constexpr int lanes = V::lanes;
    const auto for_registers = [&](auto f) HEED_INLINE_LAMBDA {
        for (int x = 0; x < t.count; x += lanes) {
            const int n = lanes < t.count - x ? lanes : t.count - x;
            const V v = f(few_keys{x, n});
            if (n == lanes) store(s + x, v);
            else store_n(s + x, v, n);
        }
    };
    score_range<T> range;
    for_registers([&](few_keys k) HEED_INLINE_LAMBDA { return map_and_mask(t, row, r, k, s, range); });
    const T top = range.top(), shift = shift_for<normalizer::shift>(top);
    const V all(shift), one = power_of_two(V(0) - all);
    const auto weigh = [&](auto near) HEED_INLINE_LAMBDA {
        for_registers([&](few_keys k) HEED_INLINE_LAMBDA {
            const V v = k.count == lanes ? load(s + k.first) : load_n(s + k.first, k.count);
            return terms_of<near.value>(t, k, v, all, one, lane);
        });
    };
    if (is_near(range.bottom(), top, shift)) weigh(std::integral_constant<simd::range, simd::range::near>{});
    else weigh(std::integral_constant<simd::range, simd::range::any>{});
    return shift;
}

/// The same for a tile with no more keys than a register has lanes, as most have: weights go to `to`, a whole register.
template <class Job, class T = typename Job::T>
HEED_NOINLINE inline T weigh_few(const listed_tile<Job>& t, const query_place& row, int r, const T* s, T* to, T* lane)
{
    using V = vec<T>;
    using normalizer = typename std::decay_t<decltype(t.job.def)>::normalizer_type;
    score_range<T> range;
    const V v = map_and_mask(t, row, r, {0, t.count}, s, range);
    const T top = range.top(), shift = shift_for<normalizer::shift>(top);
    const V all(shift), one = power_of_two(V(0) - all);
    if (is_near(range.bottom(), top, shift)) store(to, terms_of<simd::range::near>(t, {0, t.count}, v, all, one, lane));
    else store(to, terms_of<simd::range::any>(t, {0, t.count}, v, all, one, lane));
    return shift;
}

}  // namespace kernel
HEED_END
