// SPDX-License-Identifier: MIT
// Sigmoid attention (Ramapuram et al. 2024, arXiv 2409.04431): every key on its own, nothing to divide by.
//
//     p_ij = 1 / (1 + e^-(s_ij + b))            the usual bias is b = -log(number of keys)
#pragma once

#include "../normalizer.hpp"

HEED_BEGIN

struct sigmoid {
    static constexpr auto shift = heed::shift::none;

    double bias = 0;

    template <class Score>
    auto terms(Score s) const
    {
        return weight{logistic(s.value())};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto p = logistic(s.value());
        return weight{p * (1 - p)};
    }
    status check(const problem&) const
    {
        if (std::isfinite(bias)) return {};
        return status::error(errc::invalid_argument, "sigmoid: bias %g is not finite", bias);
    }

private:
    template <class V>
    V logistic(V s) const
    {
        using T = typename lanes_of<V>::element;
        const V x = s + V(static_cast<T>(bias)), e = exp(-abs(x));  // at most 1: small weights do not overflow to 0
        return select(x < V(0), e, V(1)) / (V(1) + e);
    }
};

HEED_END
