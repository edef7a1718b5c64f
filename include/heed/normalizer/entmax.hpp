// SPDX-License-Identifier: MIT
// Entmax: sparse weights that sum to 1, with a threshold below which they are exactly 0.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Sparsemax (Martins and Astudillo 2016, arXiv 1602.02068), the projection of a row of scores onto the simplex:
///
///     p_ij = max(s_ij - tau_i, 0)          sum_j p_ij = 1
struct sparsemax {
    static constexpr auto threshold = sum_is_one(1, 1);

    template <class Score>
    auto terms(Score s) const
    {
        return weight{max(s.value(), 0)};
    }
    /// 0 at the kink.
    template <class Score>
    auto slopes(Score s) const
    {
        return weight{select(s.value() > 0, decltype(s.value())(1), 0)};
    }
};

/// Entmax of alpha = 1.5 (Peters, Niculae and Martins 2019, arXiv 1905.05702):
///
///     p_ij = max((s_ij - tau_i) / 2, 0)^2          sum_j p_ij = 1
struct entmax15 {
    static constexpr auto threshold = sum_is_one(2, 2);

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = max(s.value() * 0.5, 0);
        return weight{x * x};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return weight{max(s.value() * 0.5, 0)};
    }
};

/// Entmax of alpha = 1 + 1/n, n from 1 to 8: 1 is sparsemax, 2 entmax15, 4 entmax of alpha 1.25.
///
///     p_ij = max((s_ij - tau_i) / n, 0)^n          sum_j p_ij = 1
template <int Power>
struct entmax {
    static_assert(Power >= 1 && Power <= 8, "heed: entmax<n> takes n from 1 to 8: alpha is 1 + 1/n");
    static constexpr auto threshold = sum_is_one(Power, Power);

    template <class Score>
    auto terms(Score s) const
    {
        return weight{power<Power>(max(s.value() * (1. / Power), 0))};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = s.value();
        using V = std::decay_t<decltype(x)>;
        if constexpr (Power == 1) return weight{select(x > 0, V(1), 0)};
        else return weight{power<Power - 1>(max(x * (1. / Power), 0))};
    }

private:
    template <int N, class V>
    static V power(V x)
    {
        if constexpr (N == 1) return x;
        else return power<N - 1>(x) * x;
    }
};

HEED_END
