// SPDX-License-Identifier: MIT
// AdamW (Loshchilov, Hutter 2019) on a range of parameters, and its learning rate over a run.
#pragma once

#include "parameters.hpp"

namespace twins {

/// Betas 0.9 and 0.95, epsilon 1e-8; one step, counted from 1.
class adamw {
public:
    adamw(int64 step, double rate, double decay)
        : rate_(static_cast<float>(rate)), decay_(static_cast<float>(rate * decay)),
          correct1_(static_cast<float>(1 / (1 - std::pow(0.9, static_cast<double>(step))))),
          correct2_(static_cast<float>(1 / (1 - std::pow(0.95, static_cast<double>(step)))))
    {}

    /// p -= rate (m^ / (sqrt(v^) + eps) + decay p), m and v the moving means of g and g^2. Decay where `decays`.
    void update(float* p, float* m, float* v, const float* g, int64 count, bool decays) const
    {
        const float shrink = decays ? 1 - decay_ : 1;
        for (int64 i = 0; i < count; ++i) {
            m[i] = 0.9f * m[i] + 0.1f * g[i];
            v[i] = 0.95f * v[i] + 0.05f * g[i] * g[i];
            p[i] = shrink * p[i] - rate_ * (m[i] * correct1_) / (std::sqrt(v[i] * correct2_) + 1e-8f);
        }
    }

private:
    float rate_, decay_, correct1_, correct2_;
};

/// Linear warm-up over the first steps, then a cosine from `peak` to a tenth of it at the last of `steps`, where it
/// stays. Counted from 1.
inline double learning_rate(int64 step, int64 warm_up, int64 steps, double peak)
{
    if (step <= warm_up) return peak * static_cast<double>(step) / static_cast<double>(warm_up);
    const int64 passed = std::min(step, steps) - warm_up;
    const double way = static_cast<double>(passed) / static_cast<double>(std::max<int64>(steps - warm_up, 1));
    return peak * (0.55 + 0.45 * std::cos(std::numbers::pi * way));
}

}  // namespace twins
