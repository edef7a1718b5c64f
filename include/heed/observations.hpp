// SPDX-License-Identifier: MIT
// Statistics of the weights p_ij of a row of attention, a few numbers a row: which of them are wanted, and where they
// go.
#pragma once

#include "base/view.hpp"

HEED_BEGIN

/// Each is null (not wanted) or one number for each [B, Hq, Sq], dense: a pointer, or a container, whose size is
/// checked; T is float, or double for double tensors. Sums run over the keys j that row i attends, where i and j are
/// absolute positions; a key that is masked, or whose score is -inf, is not attended. Weights are computed in T: a
/// weight that underflows there is 0, as it is for attend().
///
/// For a row that attends no key, max_score and lse are -inf (with extra mass, lse is its log), mean_distance is NaN,
/// and the rest is 0. For a row that attend() makes NaN, all but the counts is NaN, and lse is attend()'s.
template <class T>
struct observations {
    number_view<T> max_score = {};    ///< max_j s_ij, after the score maps
    number_view<T> lse = {};          ///< ln(c + sum_j u(s_ij)), natural: the bits of attend()'s
    number_view<T> entropy = {};      ///< -sum_j p_ij ln p_ij in nats, 0 ln 0 = 0; not normalised to a sum of 1
    number_view<T> total = {};        ///< sum_j p_ij
    number_view<T> first_token = {};  ///< p_i0, the weight of key 0; 0 where it is not attended
    /// sum_j p_ij (i - j) / sum_j p_ij in tokens, positive into the past; NaN for a row whose weights are all 0
    number_view<T> mean_distance = {};

    number_view<std::int64_t> attended = {};  ///< the number of keys that are attended
    number_view<std::int64_t> zeros = {};     ///< the number of attended keys with a weight of exactly 0
    number_view<std::int64_t> small = {};     ///< the number of attended keys with |p_ij| <= small_weight
    T small_weight = T(1e-5);                 ///< the limit of `small`

    std::int64_t top_k = 0;  ///< how many of the largest weights are listed
    /// [B, Hq, Sq, top_k]: keys by falling weight, equal weights by rising key; -1 where no further key has a weight
    /// above 0
    number_view<std::int64_t> top_keys = {};
    number_view<T> top_weights = {};  ///< [B, Hq, Sq, top_k]: their weights, 0 beside a key of -1
};

/// Rows of one query head whose weights attention_map() writes.
struct map_part {
    std::int64_t batch = 0;      ///< index of the sequence
    std::int64_t head = 0;       ///< query head
    std::int64_t first_row = 0;  ///< as query_place::row
    std::int64_t rows = 0;       ///< how many
};

HEED_END
