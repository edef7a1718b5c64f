// SPDX-License-Identifier: MIT
// Two ablations of the softpick paper (Zuhri, Fuadi, Aji 2025, arXiv 2504.20966), as normalizers of one's own:
//
//     relu_softmax      p_ij = max(e^s_ij - 1, 0) / sum_j max(e^s_ij - 1, 0)      softpick without |.| in its mass
//     rectified_only    p_ij = e^s_ij [s_ij >= 0] / sum_j e^s_ij [s_ij >= 0]      softmax over scores from 0 on
//
// A row without a positive (non-negative) score is a row of zeros in both.
#pragma once

#include <heed/heed.hpp>

namespace ablation {

struct relu_softmax {
    static constexpr auto shift = heed::shift::at_least_zero;

    template <class Score>
    auto terms(Score s) const
    {
        const auto t = heed::max(s.expm1(), 0);
        return heed::ratio{t, t};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto e = heed::select(s.value() > 0, s.exp(), 0);
        return heed::ratio{e, e};
    }
};

struct rectified_only {
    static constexpr auto shift = heed::shift::at_least_zero;

    template <class Score>
    auto terms(Score s) const
    {
        const auto e = heed::select(s.value() < 0, 0 * s.exp(), s.exp());  // a NaN stays one
        return heed::ratio{e, e};
    }
    /// The jump at 0 has no slope; to both sides of it the terms are their own.
    template <class Score>
    auto slopes(Score s) const
    {
        return terms(s);
    }
};

}  // namespace ablation
