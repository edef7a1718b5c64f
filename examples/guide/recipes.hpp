// SPDX-License-Identifier: MIT
// Published normalizers that heed has no name for, as policies of one's own; normalizers.md is the table of them all.
// Take the ones you need. Each is checked by heed::check() and against its formula in tests/clients/recipes.cpp.
#pragma once

#include <heed/heed.hpp>

#include <cmath>

namespace recipe {

/// A masked score is -inf, and weighs 0: weights that do not vanish there have to say so.
constexpr float masked = -1e30f;

// --- weight over sum: terms() gives weight and mass, slopes() their derivatives -------------------------------------

/// ReLU softmax (an ablation of softpick, Zuhri et al. 2025, arXiv 2504.20966): softpick without |.| in its mass. A row
/// without a positive score is a row of zeros.
///
///     p_ij = max(e^s_ij - 1, 0) / sum_j max(e^s_ij - 1, 0)
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

/// Rectified-only softmax (the same paper): softmax over the scores from 0 on.
///
///     p_ij = e^s_ij [s_ij >= 0] / sum_j e^s_ij [s_ij >= 0]
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

/// Sigmoids that share a row out.
///
///     p_ij = sigmoid(s_ij) / sum_j sigmoid(s_ij)
struct normalized_sigmoid {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        const auto w = heed::logistic(s.value());
        return heed::ratio{w, w};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto d = heed::logistic(s.value()) * heed::logistic(-s.value());
        return heed::ratio{d, d};
    }
};

/// Softplus attention, LSSA (Gao et al. 2025, arXiv 2501.13428); it wants log_length_scale before it.
///
///     p_ij = log(1 + e^s_ij) / sum_j log(1 + e^s_ij)
struct softplus_share {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        const auto w = heed::softplus(s.value());
        return heed::ratio{w, w};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto d = heed::logistic(s.value());
        return heed::ratio{d, d};
    }
};

/// Taylor softmax of the second order (de Brebisson and Vincent 2015, arXiv 1511.05042): never 0, and flat in its tails.
///
///     p_ij = (1 + s + s^2 / 2) / sum_j (1 + s + s^2 / 2)
struct taylor_softmax {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = s.value() + 1, w = heed::fma(x, x, 1) * 0.5f;
        const auto kept = heed::select(x < masked, 0 * s.one(), w);
        return heed::ratio{kept, kept};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = s.value() + 1, kept = heed::select(x < masked, 0 * s.one(), x);
        return heed::ratio{kept, kept};
    }
};

/// Polynomial attention of the third power (Saratchandran et al. 2024, arXiv 2410.18613), whose weights may be negative,
/// over the number of keys n.
///
///     p_ij = s_ij^3 / n
struct cubic {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = s.value();
        return heed::ratio{heed::select(x < masked, 0 * s.one(), x * x * x), s.one()};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = s.value();
        return heed::ratio{heed::select(x < masked, 0 * s.one(), 3 * x * x), 0 * s.one()};
    }
};

/// ReLA (Zhang, Titov and Sennrich 2021, arXiv 2104.07012): no denominator; an RMS norm of the outputs follows.
///
///     p_ij = max(s_ij, 0)
struct rela {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        return heed::weight{heed::relu<1>{}.terms(s).weight};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return heed::weight{heed::relu<1>{}.slopes(s).weight};
    }
};

// --- a threshold first: terms() sees what is above it, or a share -----------------------------------------------------

/// Entmax with alpha = 1.25 (Peters, Niculae and Martins 2019, arXiv 1905.05702), as heed::entmax<4> is.
///
///     p_ij = max((s_ij - tau_i) / 4, 0)^4          tau_i: sum_j p_ij = 1
struct entmax125 {
    static constexpr auto threshold = heed::sum_is_one(4, 4);

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = heed::max(s.value() * 0.25, 0), square = x * x;
        return heed::weight{square * square};
    }
};

/// Re-weighted softplus attention, LSSAR (Gao et al. 2025, arXiv 2501.13428): shares above the average, to a power.
///
///     p_ij = f_ij / sum_j f_ij          f = max(n a_ij - 1, 0)^3, a: softplus_share, n: keys up to the query
struct softplus_reweighted {
    static constexpr auto threshold = heed::share_of<softplus_share>{};

    double row(const heed::query_place& at) const { return static_cast<double>(at.position + 1); }
    double least_share(const heed::query_place& at) const { return 1 / row(at); }
    template <class Score>
    auto terms(Score s) const
    {
        const auto x = heed::max(s.share() * s.row() - 1, 0), f = x * x * x;
        return heed::ratio{f, f};
    }
};

// --- scores that are moved first: map() and its slope -----------------------------------------------------------------

/// The bias of T5 (Raffel et al. 2020, arXiv 1910.10683): one number for each bucket of distances into the past, buckets
/// that double in width from half of them on. `table` is [Hq][buckets].
inline auto t5_bias(const float* table, int buckets, int farthest)
{
    const auto bucket = [=](std::int64_t past) {
        const int exact = buckets / 2;
        if (past < exact) return past < 0 ? 0 : static_cast<int>(past);
        const double octaves = std::log(static_cast<double>(past) / exact) / std::log(static_cast<double>(farthest) / exact);
        const int b = exact + static_cast<int>(octaves * (buckets - exact));
        return b < buckets - 1 ? b : buckets - 1;
    };
    return heed::map_score(
        [=](auto s, const auto& at) {
            return s + at.gather([&](std::int64_t key) { return table[at.head * buckets + bucket(at.position - key)]; });
        },
        [](auto s, const auto&) { return decltype(s)(1); });
}

/// The threshold of threshold differential attention (arXiv 2601.12145), for relu<n>: a row of n keys keeps the scores
/// that would be rare among n normal ones.
///
///     s_ij - sqrt(2 log((i + 1) / kappa))
inline auto rare_scores(double kappa)
{
    return heed::map_score(
        [=](auto s, const auto& at) {
            const double ratio = static_cast<double>(at.position + 1) / kappa;
            using V = decltype(s);
            return s - V(static_cast<typename heed::lanes_of<V>::element>(ratio > 1 ? std::sqrt(2 * std::log(ratio)) : 0.));
        },
        [](auto s, const auto&) { return decltype(s)(1); });
}

}  // namespace recipe
