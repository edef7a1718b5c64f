// SPDX-License-Identifier: MIT
// Attention with linear biases.
#pragma once

#include "../base/per_head.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Attention with linear biases (Press et al. 2022, arXiv 2108.12409): s -> s + slope_h * (key - query), in absolute
/// positions: 0 on the aligned diagonal, negative in the past for a positive slope. One slope a query head, in the
/// units of scores; the verbs fail where there are not Hq of them. backward() learns them as gradients::dslopes.
struct alibi : detail::per_head {
    using per_head::per_head;

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        using T = typename lanes_of<V>::element;
        return fma(V(static_cast<T>(numbers[at.head])), at.distances(), s);
    }
    template <class V>
    V slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    static constexpr auto parameter = heed::parameter::per_head;
    template <class V>
    V parameter_slope(V, const score_place<V>& at) const
    {
        return at.distances();
    }
    status check(const problem& p) const { return check_count("alibi", "slopes", p); }
};

HEED_END
