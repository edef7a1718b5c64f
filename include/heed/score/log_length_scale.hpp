// SPDX-License-Identifier: MIT
// Scores that grow with the logarithm of the number of keys.
#pragma once

#include "../base/view.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Scores times the logarithm of the number of keys up to the query's position, so that attention in long rows stays as
/// sharp as in short ones:
///
///     s -> max(factor_h log n + offset, least) s          n = position + 1
///
/// Scalable softmax (Nakanishi 2025, arXiv 2501.19399) learns the factors and has an offset of 0, or a learned one;
/// with softpick{} it is scalable softpick (Zuhri et al. 2025, arXiv 2504.20966). LogN scaling, as in Qwen, has the
/// factor 1 / log(length in training) and a least of 1. One factor a query head; the verbs fail where there are not Hq
/// of them. backward() learns them as gradients::dslopes. A key that a map before this one masked stays masked.
struct log_length_scale {
    const float* factors = nullptr;  // one a query head
    std::int64_t count = 0;
    double offset = 0;
    double least = -libm::infinity<double>;

    log_length_scale(const float* per_head, std::int64_t query_heads) : factors(per_head), count(query_heads) {}
    /// A vector, array or span.
    template <class C, class E = detail::element_of_container<C>,
              class = std::enable_if_t<std::is_same_v<std::remove_const_t<E>, float>>>
    explicit log_length_scale(C&& per_head)
        : log_length_scale(per_head.data(), static_cast<std::int64_t>(per_head.size()))
    {}
    template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
    explicit log_length_scale(C&&)
    {
        detail::refuse_temporary<C>();
    }

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        using T = typename lanes_of<V>::element;
        return select(s == V(-libm::infinity<T>), s, s * slope(s, at));
    }
    template <class V>
    V slope(V, const score_place<V>& at) const
    {
        return max(unlimited<V>(at), V(limit<V>()));
    }
    static constexpr auto parameter = heed::parameter::per_head;
    template <class V>
    V parameter_slope(V s, const score_place<V>& at) const
    {
        return select(unlimited<V>(at) > V(limit<V>()), s * log_length<V>(at), V(0));
    }
    status check(const problem& p) const
    {
        if (count != p.query_heads || (count != 0 && !factors))
            return status::error(errc::invalid_argument, "log_length_scale: %lld factors for %lld query heads",
                                 static_cast<long long>(count), static_cast<long long>(p.query_heads));
        if (libm::isfinite(offset) && least < libm::infinity<double>) return {};
        return status::error(errc::invalid_argument,
                             "log_length_scale: offset %g and least %g, must be finite and below infinity", offset,
                             least);
    }

private:
    template <class V>
    static V log_length(const query_place& at)
    {
        using T = typename lanes_of<V>::element;
        return log(V(static_cast<T>(at.position < 0 ? 0 : at.position)) + V(1));
    }
    template <class V>
    V unlimited(const query_place& at) const
    {
        using T = typename lanes_of<V>::element;
        return fma(V(static_cast<T>(factors[at.head])), log_length<V>(at), V(static_cast<T>(offset)));
    }
    template <class V>
    auto limit() const
    {
        return static_cast<typename lanes_of<V>::element>(least);
    }
};

HEED_END
