// SPDX-License-Identifier: MIT
// Soft capping of scores.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Soft capping, as in Gemma 2: s -> cap * tanh(s / cap). Written before any bias it caps what q and k say alone; masks
/// come after it in any case. The verbs fail where the cap is not from 1e-30 to 1e30.
struct softcap {
    double cap;  ///< the bound of |s|

    template <class V>
    V map(V s, const score_place<V>&) const
    {
        using T = typename lanes_of<V>::element;
        const V c(static_cast<T>(cap));
        return c * tanh(s / c);
    }
    /// 1 - tanh^2(s / cap) = 4 z / (1 + z)^2 for z = e^-2|s / cap|, which does not cancel near the cap.
    template <class V>
    V slope(V s, const score_place<V>&) const
    {
        using T = typename lanes_of<V>::element;
        const V z = exp_neg_abs(s / V(static_cast<T>(cap)) * V(2)), half = V(1) + z;
        return V(4) * z / (half * half);
    }
    status check(const problem&) const
    {
        if (cap >= 1e-30 && cap <= 1e30) return {};  // a float holds it and its reciprocal
        return status::error(errc::invalid_argument, "softcap: cap is %g, must be positive, from 1e-30 to 1e30", cap);
    }
};

HEED_END
