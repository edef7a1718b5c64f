// SPDX-License-Identifier: MIT
// The weights of one row in plain loops: what terms() receives there, and thresholds by their definitions.
#pragma once

#include "normalizer/contract.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

HEED_BEGIN

/// A score seen from a natural shift m (terms carry e^-m): what terms() and slopes() receive in the reference.
template <class Real>
class reference_score {
public:
    reference_score(Real s, Real m) : s_(s), m_(m) {}
    Real value() const { return s_; }
    Real exp() const { return std::exp(s_ - m_); }
    Real one() const { return std::exp(-m_); }
    Real expm1() const { return s_ > 1 ? std::exp(s_ - m_) - std::exp(-m_) : std::exp(-m_) * std::expm1(s_); }

private:
    Real s_, m_;
};

/// The natural shift of a row of scores.
template <class Normalizer, class Real>
Real reference_shift(const Normalizer& normalizer, std::int64_t head, const std::vector<Real>& s)
{
    (void)normalizer;
    (void)head;
    constexpr Real lowest = -std::numeric_limits<Real>::infinity();
    if constexpr (shift_rule<Normalizer>() == heed::shift::none) return 0;
    Real m = shift_rule<Normalizer>() == heed::shift::at_least_zero ? 0 : lowest;
    for (const Real x : s) m = x > m ? x : m;
    if constexpr (has_log_offset_v<Normalizer>) m = max(m, static_cast<Real>(normalizer.log_offset(head)));
    return m == lowest ? 0 : m;
}

namespace detail {

/// The root by halves of an interval, for weights that sum to 1.
template <class Normalizer, class Real>
Real reference_root(const Normalizer& normalizer, const std::vector<Real>& s, Real highest)
{
    Real low = highest - static_cast<Real>(Normalizer::threshold.reach), high = highest;
    for (int halves = 0; halves < 200; ++halves) {
        const Real t = low + (high - low) / 2;
        Real sum = 0;
        for (const Real x : s)
            if (x > t) sum += normalizer.terms(score_above_threshold<Real>(x - t)).value;
        (sum >= 1 ? low : high) = t;
    }
    return low;
}

/// The weights p, the shift m and the denominator of a row of scores s, -inf where masked.
template <class Normalizer, class Real>
void weigh_by_threshold(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& s,
                        std::vector<Real>& p, Real& m, Real& den)
{
    constexpr auto kind = threshold_kind_v<Normalizer>;
    constexpr Real none = -std::numeric_limits<Real>::infinity();
    std::vector<Real> falling;
    for (const Real x : s)
        if (x > none) falling.push_back(x);
    std::sort(falling.begin(), falling.end(), std::greater<Real>());
    std::fill(p.begin(), p.end(), Real(0));
    m = den = 0;
    if (falling.empty()) return;
    if constexpr (kind == threshold_kind::sum) {
        const Real t = reference_root(normalizer, s, falling[0]);
        for (std::size_t j = 0; j < s.size(); ++j)
            den += p[j] = s[j] > t ? normalizer.terms(score_above_threshold<Real>(s[j] - t)).value : Real(0);
    } else if constexpr (kind == threshold_kind::rank) {
        m = reference_shift(normalizer, at.head, s);
        const auto k = static_cast<std::size_t>(std::max<std::int64_t>(normalizer.rank(at.head), 1));
        const Real t = falling[std::min(k, falling.size()) - 1];
        if constexpr (has_log_offset_v<Normalizer>)
            den = std::exp(static_cast<Real>(normalizer.log_offset(at.head)) - m);
        for (std::size_t j = 0; j < s.size(); ++j) {
            if (!(s[j] >= t)) continue;
            const auto terms = normalizer.terms(reference_score<Real>(s[j], m));
            if constexpr (has_mass_v<Normalizer>) {
                p[j] = terms.weight;
                den += terms.mass;
            } else {
                p[j] = terms.value;
            }
        }
        if constexpr (!has_mass_v<Normalizer>) den = 1;
    } else {
        using inner = typename std::remove_cv_t<decltype(Normalizer::threshold)>::inner;
        const Real of_inner = reference_shift(inner{}, at.head, s);
        Real l = 0, number = 0;
        if constexpr (has_log_offset_v<inner>) l = std::exp(static_cast<Real>(inner{}.log_offset(at.head)) - of_inner);
        if constexpr (has_row_number<Normalizer>::value) number = static_cast<Real>(normalizer.row(at));
        for (const Real x : s)
            if (x > none) l += inner{}.terms(reference_score<Real>(x, of_inner)).mass;
        for (std::size_t j = 0; j < s.size(); ++j) {
            if (s[j] == none) continue;
            const Real share = inner{}.terms(reference_score<Real>(s[j], of_inner)).weight / (l == 0 ? 1 : l);
            const auto terms = normalizer.terms(score_share<Real>(share, number));
            if constexpr (has_mass_v<Normalizer>) {
                p[j] = terms.weight;
                den += terms.mass;
            } else {
                p[j] = terms.value;
                den = 1;
            }
        }
    }
    for (Real& x : p) x = den == 0 ? 0 : x / den;
}

}  // namespace detail
HEED_END
