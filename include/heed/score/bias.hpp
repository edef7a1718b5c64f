// SPDX-License-Identifier: MIT
// A table that is added to scores.
#pragma once

#include "../base/table.hpp"
#include "contract.hpp"

HEED_BEGIN

/// A bias [B, Hq, Sq, Skv] of float or double, added to the score in its units; -inf masks its key. An extent of 1 is
/// repeated along B, Hq and Sq. Columns are absolute key positions. The verbs fail where the table is of another
/// size. backward() learns it as gradients::dbias.
template <class T>
struct bias {
    view<const T> values;  ///< [B, Hq, Sq, Skv]

    /// From a table [B, Hq, Sq, Skv].
    explicit bias(view<const T> v) : values(detail::repeat_ones(v)) {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        return s + at.load(values.row(at.batch, at.head, at.row));
    }
    template <class V>
    V slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    status check(const problem& p) const { return detail::check_table("bias", values, p); }
};
template <class T>
bias(view<T>) -> bias<std::remove_const_t<T>>;

HEED_END
