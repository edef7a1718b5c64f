// SPDX-License-Identifier: MIT
// Attention with linear biases.
#pragma once

#include "../base/view.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Attention with linear biases (Press et al. 2022, arXiv 2108.12409): s -> s + slope_h * (key - query), in absolute
/// positions: 0 on the aligned diagonal, negative in the past for a positive slope. One slope a query head, in the
/// units of scores; the verbs fail where there are not Hq of them. backward() learns them as gradients::dslopes.
struct alibi {
    const float* slopes = nullptr;  // one a query head
    std::int64_t count = 0;

    alibi(const float* per_head, std::int64_t query_heads) : slopes(per_head), count(query_heads) {}
    /// A vector, array or span.
    template <class C, class E = detail::element_of_container<C>,
              class = std::enable_if_t<std::is_same_v<std::remove_const_t<E>, float>>>
    explicit alibi(C&& per_head) : alibi(per_head.data(), static_cast<std::int64_t>(per_head.size()))
    {}
    template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
    explicit alibi(C&&)
    {
        detail::refuse_temporary<C>();
    }

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        using T = typename lanes_of<V>::element;
        return fma(V(static_cast<T>(slopes[at.head])), at.distances(), s);
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
    status check(const problem& p) const
    {
        if (count == p.query_heads && (count == 0 || slopes)) return {};
        return status::error(errc::invalid_argument, "alibi: %lld slopes for %lld query heads",
                             static_cast<long long>(count), static_cast<long long>(p.query_heads));
    }
};

HEED_END
