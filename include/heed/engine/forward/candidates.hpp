// SPDX-License-Identifier: MIT
// Rows whose keys come in parts: of each row the scores that may still have a weight, as a state has them. Scores of
// several parts bound the threshold better than each part's own, so that few are left however many keys there are.
#pragma once

#include "../../partial_result.hpp"
#include "row_finder.hpp"

#include <algorithm>

HEED_BEGIN
namespace kernel {

/// Copies scores to where a search may write, some at a time: f(scores, keys) receives each piece, and a register of
/// -inf behind it.
template <class T, class F>
void in_pieces(const T* scores, std::int64_t n, F f)
{
    constexpr int piece = 512, lanes = vec<T>::lanes;
    alignas(cache_line) T copy[piece + lanes];
    for (std::int64_t i = 0; i < n; i += piece) {
        const int count = static_cast<int>(min_of(n - i, piece));
        std::copy_n(scores + i, count, copy);
        store(copy + count, vec<T>(-libm::infinity<T>));
        f(copy, key_range{0, count});
    }
}

/// What is known of a row, and where its scores stand.
template <class T>
struct candidate_row {
    row_candidates<T>* at;
    T* scores;
    std::int64_t places;
};

/// Adds those of other keys: of all that are there, those stay which may have a weight beside the others.
template <class N, class T>
void fold_candidates(const row_finder<N, T>& find, const candidate_row<T>& into, const row_candidates<T>& other,
                     const T* scores)
{
    row_candidates<T>& row = *into.at;
    if (row.overflows() || other.overflows()) {
        row.count = row_candidates<T>::too_many;
        return;
    }
    if (other.count == 0) return;
    row.highest = other.highest > row.highest ? other.highest : row.highest;
    row.bound = other.bound > row.bound ? other.bound : row.bound;
    row.bound = find.bound_by_passes(row.highest, row.bound, [&](auto f) {
        in_pieces(static_cast<const T*>(into.scores), row.count, f);
        in_pieces(scores, other.count, f);
    });
    const auto stays = [&](T s) { return !(s <= row.bound); };  // a NaN does
    row.count = std::remove_if(into.scores, into.scores + row.count, [&](T s) { return !stays(s); }) - into.scores;
    for (std::int64_t i = 0; i < other.count; ++i) {
        if (!stays(scores[i])) continue;
        if (row.count == into.places) {
            row.count = row_candidates<T>::too_many;
            return;
        }
        into.scores[row.count++] = scores[i];
    }
}

/// The threshold of a row whose keys are all there.
template <class N, class T>
row_threshold<T> threshold_of_candidates(const row_finder<N, T>& find, const row_candidates<T>& row, const T* scores)
{
    if (row.count == 0) return {};
    return without_signs_of_zeros(find.find_by_passes(row.highest, [&](auto f) { in_pieces(scores, row.count, f); }));
}

/// Where a pass leaves lists in place of outputs.
template <class T>
struct to_candidates {
    static constexpr bool continues = false;

    row_candidates<T>* rows;  // [B, Hq, Sq]
    T* scores;                // [B, Hq, Sq, places]
    std::int64_t places;

    candidate_row<T> row(std::int64_t i) const { return {rows + i, scores + i * places, places}; }
    void overflow(std::int64_t i) const { rows[i].count = row_candidates<T>::too_many; }
    template <class N>
    void fold(const N& policy, const query_place& at, std::int64_t i, const row_list<T>& list) const
    {
        const row_candidates<T> of_list{list.highest, list.floor, list.count};
        fold_candidates(row_finder<N, T>(policy, at), row(i), of_list, static_cast<const T*>(list.scores));
    }
};

template <class Sink>
inline constexpr bool leaves_lists_v = false;
template <class T>
inline constexpr bool leaves_lists_v<to_candidates<T>> = true;

}  // namespace kernel
HEED_END
