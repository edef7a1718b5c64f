// SPDX-License-Identifier: MIT
// Normalizers whose weights are functions of softmax's: a small share of a row's attention is none at all.
#pragma once

#include "softmax.hpp"

HEED_BEGIN

/// Elastic softmax: softmax's weights p less an offset that fades with the position i of the query,
///
///     p_ij = max(a_ij + t_h / (i + 1), 0)          a_ij: softmax
///
/// t_h is a learned number a query head, usually negative. The verbs fail where there is not one for each.
struct elastic_softmax {
    static constexpr auto threshold = share_of<softmax>{};

    const float* offsets = nullptr;
    std::int64_t count = 0;

    elastic_softmax(const float* per_head, std::int64_t query_heads) : offsets(per_head), count(query_heads) {}
    /// A vector, array or span.
    template <class C, class E = detail::element_of_container<C>,
              class = std::enable_if_t<std::is_same_v<std::remove_const_t<E>, float>>>
    explicit elastic_softmax(C&& per_head)
        : elastic_softmax(per_head.data(), static_cast<std::int64_t>(per_head.size()))
    {}

    double row(const query_place& at) const
    {
        return static_cast<double>(offsets[at.head]) / static_cast<double>(at.position + 1);
    }
    double least_share(const query_place& at) const { return -row(at); }
    template <class Score>
    auto terms(Score s) const
    {
        return weight{max(s.share() + s.row(), 0)};
    }
    status check(const problem& p) const
    {
        if (count == p.query_heads && (count == 0 || offsets)) return {};
        return status::error(errc::invalid_argument, "elastic_softmax: %lld offsets for %lld query heads",
                             static_cast<long long>(count), static_cast<long long>(p.query_heads));
    }
};

/// Clipped softmax (Bondarenko, Nagel and Blankevoort 2023, arXiv 2306.12929): softmax stretched to [gamma, zeta] and
/// cut off at 0 and 1, so that weights can be exactly 0 and 1 at finite scores,
///
///     p_ij = clip((zeta - gamma) a_ij + gamma, 0, 1)          gamma <= 0, zeta >= 1
struct clipped_softmax {
    static constexpr auto threshold = share_of<softmax>{};

    double gamma = -0.03, zeta = 1;

    double least_share(const query_place&) const { return -gamma / (zeta - gamma); }
    template <class Score>
    auto terms(Score s) const
    {
        return weight{min(max(s.share() * (zeta - gamma) + gamma, 0), 1)};
    }
    status check(const problem&) const
    {
        if (gamma <= 0 && zeta >= 1 && libm::isfinite(gamma) && libm::isfinite(zeta)) return {};
        return status::error(errc::invalid_argument,
                             "clipped_softmax: gamma %g and zeta %g, must be at most 0 and at least 1", gamma, zeta);
    }
};

HEED_END
