// SPDX-License-Identifier: MIT
// Normalizers whose weights are functions of softmax's: a small share of a row's attention is none at all.
#pragma once

#include "../base/per_head.hpp"
#include "softmax.hpp"

HEED_BEGIN

/// Elastic softmax: softmax's weights p less an offset that fades with the position i of the query,
///
///     p_ij = max(a_ij + t_h / (i + 1), 0)          a_ij: softmax
///
/// t_h is a learned number a query head, usually negative. The verbs fail where there is not one for each.
struct elastic_softmax : detail::per_head {
    static constexpr auto threshold = share_of<softmax>{};

    using per_head::per_head;

    double row(const query_place& at) const
    {
        return static_cast<double>(numbers[at.head]) / static_cast<double>(at.position + 1);
    }
    double least_share(const query_place& at) const { return -row(at); }
    template <class Score>
    auto terms(Score s) const
    {
        return weight{max(s.share() + s.row(), 0)};
    }
    /// 0 at the kink.
    template <class Score>
    auto slopes(Score s) const
    {
        return weight{select(s.share() + s.row() > 0, decltype(s.share())(1), 0)};
    }
    status check(const problem& p) const { return check_count("elastic_softmax", "offsets", p); }
};

/// Clipped softmax (Bondarenko, Nagel and Blankevoort 2023, arXiv 2306.12929): softmax stretched to [gamma, zeta] and
/// cut off at 0 and 1, so that weights can be exactly 0 and 1 at finite scores,
///
///     p_ij = clip((zeta - gamma) a_ij + gamma, 0, 1)          gamma <= 0, zeta >= 1
///
/// The verbs fail where gamma or zeta is not so, or not finite.
struct clipped_softmax {
    static constexpr auto threshold = share_of<softmax>{};

    double gamma = -0.03, zeta = 1;  ///< what weights of 0 and of 1 are stretched to

    double least_share(const query_place&) const { return -gamma / (zeta - gamma); }
    template <class Score>
    auto terms(Score s) const
    {
        return weight{min(max(s.share() * (zeta - gamma) + gamma, 0), 1)};
    }
    /// 0 where weights are cut off, and at the kinks.
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = s.share() * (zeta - gamma) + gamma;
        using V = std::decay_t<decltype(x)>;
        return weight{select(x > 0, select(x < 1, V(1), 0), 0) * (zeta - gamma)};
    }
    status check(const problem&) const
    {
        if (gamma <= 0 && zeta >= 1 && libm::isfinite(gamma) && libm::isfinite(zeta)) return {};
        return status::error(errc::invalid_argument,
                             "clipped_softmax: gamma %g and zeta %g, must be at most 0 and at least 1", gamma, zeta);
    }
};

HEED_END
