// SPDX-License-Identifier: MIT
// Scores that grow with the logarithm of the number of keys.
#pragma once

#include "../base/per_head.hpp"
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
struct log_length_scale : detail::per_head {
    double offset = 0;                       ///< added to factor_h log n
    double least = -libm::infinity<double>;  ///< what a score is multiplied by at least

    using per_head::per_head;

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
        if (const status s = check_count("log_length_scale", "factors", p); !s) return s;
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
        return fma(V(static_cast<T>(numbers[at.head])), log_length<V>(at), V(static_cast<T>(offset)));
    }
    template <class V>
    auto limit() const
    {
        return static_cast<typename lanes_of<V>::element>(least);
    }
};

HEED_END
