// SPDX-License-Identifier: MIT
// Softpick: a rectified softmax, whose heads may attend to nothing.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Softpick (Zuhri, Fuadi, Aji 2025, arXiv 2504.20966): rectified, not sum-to-one, so that a head may attend to
/// nothing.
///
///     p_ij = max(e^s_ij - 1, 0) / (eps + sum_j |e^s_ij - 1|)
///
/// e^s - 1 is evaluated without cancellation, so weights of small scores keep full relative accuracy, and a score that
/// is not positive has weight exactly 0. A row without a positive score is a legal row of zeros; it also has zero
/// gradient. The verbs fail where eps is negative or not finite.
struct softpick {
    static constexpr auto shift = heed::shift::at_least_zero;

    double eps = 0;  ///< in units of e^s; the published kernels add theirs after a shift by the row maximum

    template <class Score>
    auto terms(Score s) const
    {
        const auto t = s.expm1();
        return ratio{max(t, 0), abs(t)};
    }
    /// At the kink s = 0 the slope is 0.
    template <class Score>
    auto slopes(Score s) const
    {
        const auto e = s.exp();
        const auto v = s.value();
        return ratio{select(v > 0, e, 0), select(v > 0, e, select(v < 0, -e, 0))};
    }
    double log_offset(std::int64_t) const { return libm::log(eps); }
    status check(const problem&) const
    {
        if (eps >= 0 && libm::isfinite(eps)) return {};
        return status::error(errc::invalid_argument, "softpick: eps is %g, must be finite and not negative", eps);
    }
};

HEED_END
