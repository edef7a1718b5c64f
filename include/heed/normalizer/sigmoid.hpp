// SPDX-License-Identifier: MIT
// Sigmoid attention: every key on its own.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Sigmoid attention (Ramapuram et al. 2024, arXiv 2409.04431): every key on its own, nothing to divide by.
///
///     p_ij = 1 / (1 + e^-(s_ij + b))            the usual bias is b = -log(number of keys)
///
/// Partial states of it add up without a mass. The verbs fail where the bias is not finite.
struct sigmoid {
    static constexpr auto shift = heed::shift::none;

    double bias = 0;  ///< b, added to every score

    template <class Score>
    auto terms(Score s) const
    {
        return weight{logistic(biased(s.value()))};
    }
    /// p (1 - p) = z / (1 + z)^2 for z = e^-|s + b|, which does not cancel where p is nearly 1.
    template <class Score>
    auto slopes(Score s) const
    {
        const auto z = exp_neg_abs(biased(s.value()));
        using V = std::decay_t<decltype(z)>;
        const V p = V(1) / (V(1) + z);
        return weight{z * p * p};
    }
    status check(const problem&) const
    {
        if (libm::isfinite(bias)) return {};
        return status::error(errc::invalid_argument, "sigmoid: bias %g is not finite", bias);
    }

private:
    template <class V>
    V biased(V s) const
    {
        return s + V(static_cast<typename lanes_of<V>::element>(bias));
    }
};

HEED_END
