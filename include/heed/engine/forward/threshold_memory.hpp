// SPDX-License-Identifier: MIT
// What a worker holds of rows whose weights depend on a threshold: the lists of their keys, of so many rows that
// those stay in the cache.
#pragma once

#include "row_list.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Whether a definition has a threshold that is to be found.
template <class Def>
inline constexpr bool finds_thresholds_v = (has_threshold_v<typename Def::normalizer_type> ||
                                            is_thresholded_v<Def>)&&!Def::knows_thresholds;

template <class Unit>
struct threshold_memory : forward_memory<Unit> {
    using U = Unit;
    using T = sum_t<U>;

    /// Rows of a block, and bytes of all its lists. (Zen 5: blocks of 96 rows with 4096 places each.)
    static constexpr std::int64_t most_rows = 96, list_bytes = std::int64_t{96} * 4096 * 8;
    static constexpr std::int64_t least_places = 3 * micro::key_tile;

    std::int64_t places = 0, longest = 0;  // of all rows, and of a row that none is taken from
    T* scores_of_lists;                    // [places]
    T* keys_of_lists;                      // [places]
    T* near;                               // [longest]: what a search looks at
    const void** values;                   // [longest]: rows of V
    int* ends;                             // [longest]: of tiles
    T* payloads;                           // [key_tile]
    T* copied;                             // [key_tile]: scores of a row
    row_list<T>* lists;                    // [rows]
    row_threshold<T>* thresholds;          // [rows]

    template <class Carver>
    static threshold_memory carve(Carver& c, const partition& p)
    {
        threshold_memory m;
        static_cast<forward_memory<U>&>(m) = forward_memory<U>::carve(c, p);
        const std::int64_t rows = max_of(p.block_rows(), 1), all = list_bytes / (2 * static_cast<int>(sizeof(T)));
        const std::int64_t whole = min_of(round_up(p.tokens, micro::mass_lanes), all) + row_list<T>::spare;
        const std::int64_t each = min_of(max_of(all / rows, least_places), whole);
        m.places = each * rows;
        m.longest = min_of(m.places, whole);
        m.scores_of_lists = c.template take<T>(m.places);
        m.keys_of_lists = c.template take<T>(m.places);
        m.near = c.template take<T>(m.longest + row_list<T>::spare);
        m.values = c.template take<const void*>(m.longest + row_list<T>::spare);
        m.ends = c.template take<int>(m.longest + row_list<T>::spare);
        m.payloads = c.template take<T>(micro::key_tile);
        m.copied = c.template take<T>(micro::key_tile + micro::mass_lanes);
        m.lists = c.template take<row_list<T>>(rows);
        m.thresholds = c.template take<row_threshold<T>>(rows);
        return m;
    }
    /// Places of a list where a block has `rows`.
    std::int64_t places_of(std::int64_t rows) const { return min_of(places / rows, longest); }
    /// Empty lists for them.
    void begin(int rows) const
    {
        for (int r = 0; r < rows; ++r) {
            lists[r] = row_list<T>();
            lists[r].scores = scores_of_lists + r * places_of(rows);
            lists[r].keys = keys_of_lists + r * places_of(rows);
            thresholds[r] = row_threshold<T>();
        }
    }
};

}  // namespace kernel
HEED_END
