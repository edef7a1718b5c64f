// SPDX-License-Identifier: MIT
// From lists to outputs, once thresholds are known: row by row, where few keys have a weight, or tile by tile, where
// the weights of all rows are spread over the tile as if its scores had been computed again. Both have the bits of the
// tile step.
#pragma once

#include "../micro/outputs_of_row.hpp"
#include "threshold_memory.hpp"

HEED_BEGIN
namespace kernel {

/// Turns the scores of a list into weights and forgets the keys of weight 0.
template <class N, class T>
HEED_NOINLINE inline void weigh_list(const N& normalizer, row_list<T>& list)
{
    using V = vec<T>;
    const V shift(normalizer.shift_of_row()), one = power_of_two(V(0) - shift);
    list.pad();
    int to = 0;
    for (int i = 0; i < list.count; i += V::lanes) {
        const V v = load(list.scores + i), key = load(list.keys + i);
        const auto t = normalizer.terms(shifted_score<T>(v, shift, one));
        V w;
        if constexpr (has_mass_v<N>) w = t.weight;
        else w = t.value;
        w = select(v == V(-libm::infinity<T>), V(0), w);
        const std::uint32_t bits = nonzero_bits(w);
        store_chosen(list.scores + to, w, bits);
        store_chosen(list.keys + to, key, bits);
        to += __builtin_popcount(bits);
    }
    list.count = to;
}

/// The sums of weights of a tile's keys, each in its lane, and those of the tiles so far.
template <class T>
class lane_masses {
public:
    HEED_INLINE void add(std::int64_t key, T weight) { lanes_[key % micro::mass_lanes] += weight; }
    /// The sum of a tile, which begins the next one.
    HEED_INLINE T take()
    {
        vec<T> sums[micro::mass_lanes / vec<T>::lanes];
        for (int i = 0; i < micro::mass_lanes; i += vec<T>::lanes) {
            sums[i / vec<T>::lanes] = load(lanes_ + i);
            store(lanes_ + i, vec<T>(0));
        }
        return sum_of_lanes<T>(sums);
    }

private:
    alignas(cache_line) T lanes_[micro::mass_lanes] = {};
};

/// {l, o} of a row from its weights. Whole registers of channels, of values without scales.
template <class Job, class T = typename Job::T>
void outputs_of_list(const Job& job, const query_block& block, const row_list<T>& list, const void** values, int* ends,
                     const partial_row<T>& row)
{
    using E = typename Job::value_element;
    const auto source = values_of(job.kv, block.batch, block.kv_head);
    const E** const at = reinterpret_cast<const E**>(values);
    rows<const E> segment{nullptr, 0, 0};
    lane_masses<T> masses;
    std::int64_t from = 0, tile_end = 0;  // of the segment, of the tile
    int tiles = 0;
    const auto end_tile = [&](int i) {
        const T mass = masses.take();
        if constexpr (has_mass_v<typename Job::def_type::normalizer_type>)
            row.mass = tiles == 0 ? mass : row.mass + mass;
        ends[tiles++] = i;
    };
    for (int i = 0; i < list.count; ++i) {
        const std::int64_t token = key_of_payload(list.keys[i]);
        if (token >= tile_end) {
            if (i > 0) end_tile(i);
            tile_end = round_up(token + 1, micro::key_tile);
        }
        if (token - from >= segment.count) segment = source(from = token);
        at[i] = segment.row(static_cast<int>(token - from));
        masses.add(token, list.scores[i]);
    }
    if (list.count > 0) end_tile(list.count);
    for (int i = 0; i < micro::row_ahead; ++i) at[list.count + i] = list.count > 0 ? at[list.count - 1] : nullptr;
    micro::outputs_of_row(micro::weighed_rows<T, E>{list.scores, at, ends, tiles}, job.kv.value_dim() / vec<T>::lanes,
                          row.o);
}

/// The weights of a row in a tile, spread from its list, and their sum; `next` is where in the list the tile begins.
/// (The sum takes all keys of the tile, register by register, since additions of single lanes would wait for each other
/// in memory; 0 changes no sum.)
template <class Tile, class T = typename Tile::T>
T spread_list(const Tile& t, const register_block& rows, const row_list<T>& list, int& next, T* weights)
{
    constexpr int lanes = vec<T>::lanes, vecs = micro::mass_lanes / lanes;
    if (rows.is_empty()) return T(0);
    micro::fill_zero(weights + rows.begin(), rows.end() - rows.begin());
    const std::int64_t end = t.token + t.keys;
    const int first = next;
    for (; next < list.count; ++next) {
        const std::int64_t token = key_of_payload(list.keys[next]);
        if (token >= end) break;
        weights[token - t.token] = list.scores[next];
    }
    if (next == first || !has_mass_v<typename Tile::job_type::def_type::normalizer_type>) return T(0);
    vec<T> sums[vecs];
    for (vec<T>& sum : sums) sum = vec<T>(0);
    for (int j = rows.begin(); j < rows.end(); j += micro::mass_lanes)
        for (int x = 0; x < vecs; ++x) sums[x] = sums[x] + load(weights + j + x * lanes);
    return sum_of_lanes<T>(sums);
}

}  // namespace kernel
HEED_END
