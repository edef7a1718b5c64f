// SPDX-License-Identifier: MIT
// Scores that fade by gates of the tokens between query and key.
#pragma once

#include "../base/table.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Forgetting attention (Lin et al. 2025, arXiv 2503.02130): each token t has a gate f_t in (0, 1], and a key's weight
/// is multiplied by those of all tokens after it,
///
///     s -> s + c_i - c_j          c_t = log f_0 + ... + log f_t
///
/// for a query at position i. `cumulative` is c, [B, Hq, 1, Skv] of the type that is computed in, float or double, in
/// units of scores; an extent of 1 is repeated along B and Hq. Columns are absolute positions; a query before the first
/// token or behind the last takes c there. Each sum is rounded to 2^-24 of itself, so that a score is off by 6e-5 where
/// the sums have come to -1000. The verbs fail where the table is of another size.
template <class T>
struct decay {
    view<const T> cumulative;  ///< c: [B, Hq, 1, Skv]

    /// From the sums c, [B, Hq, 1, Skv].
    explicit decay(view<const T> c) : cumulative(detail::repeat_ones(c)) {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        using E = typename lanes_of<V>::element;
        const T* const c = cumulative.row(at.batch, at.head, 0);
        const std::int64_t last = cumulative.size.dim - 1, own = at.position < last ? at.position : last;
        return s + (V(static_cast<E>(c[own < 0 ? 0 : own])) - at.load(c));
    }
    template <class V>
    V slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    status check(const problem& p) const
    {
        if (cumulative.size.tokens != 1)
            return status::error(errc::invalid_argument, "decay: %lld rows of sums, must be 1",
                                 static_cast<long long>(cumulative.size.tokens));
        return detail::check_table("decay", cumulative, p);
    }
};
template <class T>
decay(view<T>) -> decay<std::remove_const_t<T>>;

HEED_END
