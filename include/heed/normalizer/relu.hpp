// SPDX-License-Identifier: MIT
// ReLU attention: powers of positive scores.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// ReLU attention divided by the number of attended keys (Wortsman et al. 2023, arXiv 2309.08586), n = Power from 1 to
/// 8:
///
///     p_ij = max(s_ij, 0)^n / (number of attended keys)
///
/// A score that is not positive has weight exactly 0. Powers overflow where s^n does: there is no shift.
template <int Power = 1>
struct relu {
    static_assert(Power >= 1 && Power <= 8, "heed: relu<n> takes n from 1 to 8");
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        return ratio{power<Power>(max(s.value(), 0)), s.one()};
    }
    /// 0 at the kink of n = 1; NaN stays NaN.
    template <class Score>
    auto slopes(Score s) const
    {
        const auto v = s.value();
        using V = std::decay_t<decltype(v)>;
        if constexpr (Power == 1) return ratio{select(v > 0, V(1), select(v == v, V(0), v)), V(0)};
        else return ratio{V(Power) * power<Power - 1>(max(v, 0)), V(0)};
    }

private:
    template <int N, class V>
    static V power(V x)
    {
        if constexpr (N == 0) return V(1);
        else if constexpr (N == 1) return x;
        else return power<N - 1>(x) * x;
    }
};

HEED_END
