// SPDX-License-Identifier: MIT
// Stick-breaking attention: each key breaks its share off what newer keys left of the stick.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Stick-breaking attention (Tan et al. 2024, arXiv 2410.17980), which needs no positions: of keys alike the newest is
/// attended.
///
///     p_ij = sigma(s_ij) prod_{k > j} (1 - sigma(s_ik))          sigma(s) = 1 / (1 + e^-s)
///
/// over the keys k that the row attends. The mass of a row is U = sum_j ln(1 + e^s_ij); its weights sum to 1 - e^-U.
/// A score of +inf takes all that is left. sigma is 1 / (1 + z), or z / (1 + z), with z = e^-|s|: the exponential that
/// ln(1 + e^s) is made of as well.
struct stick_breaking {
    static constexpr auto order = heed::order::from_the_right;

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = s.value(), z = exp_neg_abs(x);
        using V = std::decay_t<decltype(z)>;
        const V p = V(1) / (V(1) + z);
        return ratio{select(x > 0, p, z * p), softplus(x)};
    }
    /// sigma (1 - sigma) = z / (1 + z)^2 for z = e^-|s|, which does not cancel where sigma is nearly 1.
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = s.value(), z = exp_neg_abs(x);
        using V = std::decay_t<decltype(z)>;
        const V p = V(1) / (V(1) + z);
        return ratio{z * p * p, select(x > 0, p, z * p)};
    }
};

HEED_END
