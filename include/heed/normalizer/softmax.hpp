// SPDX-License-Identifier: MIT
// Softmax and its kin with an extra mass in the denominator:
//
//     p_ij = e^s_ij / (c_i + sum_j e^s_ij)
//
// softmax: c = 0. softmax1: c = n ("off by one", Miller 2023). softmax_sink: c = e^z_h, a learned logit for each
// query head, as in gpt-oss. A sink belongs to the row, not to a key: however the keys are split, it counts once.
#pragma once

#include "../base/per_head.hpp"
#include "contract.hpp"

HEED_BEGIN

/// p = e^s / sum e^s.
struct softmax {
    static constexpr auto shift = heed::shift::by_max;

    template <class Score>
    auto terms(Score s) const
    {
        const auto e = s.exp();
        return ratio{e, e};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return terms(s);
    }
};

/// p = e^s / (n + sum e^s), "off by one" (Miller 2023) for n = 1. The verbs fail where n is negative or not finite.
struct softmax1 : softmax {
    double n = 1;  ///< the extra mass

    /// `extra` is n.
    explicit softmax1(double extra = 1) : n(extra) {}

    double log_offset(std::int64_t) const { return libm::log(n); }
    status check(const problem&) const
    {
        if (n >= 0 && libm::isfinite(n)) return {};
        return status::error(errc::invalid_argument, "softmax1: n is %g, must be finite and not negative", n);
    }
};

/// p = e^s / (e^z_h + sum e^s) with one learned logit z a query head, in the units of scaled scores, as in gpt-oss;
/// -inf means no sink. The verbs fail where there are not Hq of them, or one is NaN or +inf.
struct softmax_sink : softmax, detail::per_head {
    using per_head::per_head;

    double log_offset(std::int64_t head) const { return static_cast<double>(numbers[head]); }
    status check(const problem& p) const
    {
        if (const status s = check_count("softmax_sink", "logits", p); !s) return s;
        for (std::int64_t h = 0; h < count; ++h)
            if (!(numbers[h] < libm::infinity<float>))
                return status::error(errc::invalid_argument, "softmax_sink: logit %lld is %g",
                                     static_cast<long long>(h), static_cast<double>(numbers[h]));
        return {};
    }
};

HEED_END
