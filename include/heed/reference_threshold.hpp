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
    reference_score(Real s, Real m) : s_(s), m_(m) {}  ///< score and shift
    Real value() const { return s_; }                  ///< s
    Real exp() const { return std::exp(s_ - m_); }     ///< e^(s - m)
    Real one() const { return std::exp(-m_); }         ///< e^-m
    /// e^(s - m) - e^-m.
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

/// The scores of a row's keys, the largest first.
template <class Real>
std::vector<Real> falling_scores(const std::vector<Real>& s)
{
    std::vector<Real> falling;
    for (const Real x : s)
        if (x > -std::numeric_limits<Real>::infinity()) falling.push_back(x);
    std::sort(falling.begin(), falling.end(), std::greater<Real>());
    return falling;
}
/// The score of the rank that a normalizer asks for, or the least.
template <class Normalizer, class Real>
Real reference_ranked(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& falling)
{
    const auto k = static_cast<std::size_t>(std::max<std::int64_t>(normalizer.rank(at.head), 1));
    return falling[std::min(k, falling.size()) - 1];
}
/// The inner normalizer of a share, and its row.
template <class Normalizer, class Real>
struct reference_inner {
    using inner = typename std::remove_cv_t<decltype(Normalizer::threshold)>::inner;
    Real m, l = 0, number = 0;

    reference_inner(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& s)
        : m(reference_shift(inner{}, at.head, s))
    {
        if constexpr (has_log_offset_v<inner>) l = std::exp(static_cast<Real>(inner{}.log_offset(at.head)) - m);
        if constexpr (has_row_number<Normalizer>::value) number = static_cast<Real>(normalizer.row(at));
        for (const Real x : s)
            if (x > -std::numeric_limits<Real>::infinity()) l += inner{}.terms(score(x)).mass;
    }
    reference_score<Real> score(Real s) const { return {s, m}; }
    score_share<Real> share(Real s) const { return {inner{}.terms(score(s)).weight / (l == 0 ? 1 : l), number}; }
};

/// The weight of a key, undivided; its mass is added to den, which is 1 where nothing is divided by.
template <class Normalizer, class Terms, class Real>
Real weight_of(const Terms& terms, Real& den)
{
    if constexpr (has_mass_v<Normalizer>) {
        den += terms.mass;
        return terms.weight;
    } else {
        den = 1;
        return terms.value;
    }
}

/// The weights of scores that are at least the k-th largest, undivided; m is their shift.
template <class Normalizer, class Real>
void weigh_ranked(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& s,
                  std::vector<Real>& p, Real& m, Real& den)
{
    m = reference_shift(normalizer, at.head, s);
    const Real t = reference_ranked(normalizer, at, falling_scores(s));
    if constexpr (has_log_offset_v<Normalizer>) den = std::exp(static_cast<Real>(normalizer.log_offset(at.head)) - m);
    for (std::size_t j = 0; j < s.size(); ++j)
        if (s[j] >= t) p[j] = weight_of<Normalizer>(normalizer.terms(reference_score<Real>(s[j], m)), den);
}

/// The weights p, the shift m and the denominator of a row of scores s, -inf where masked.
template <class Normalizer, class Real>
void weigh_by_threshold(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& s,
                        std::vector<Real>& p, Real& m, Real& den)
{
    constexpr auto kind = threshold_kind_v<Normalizer>;
    const std::vector<Real> falling = falling_scores(s);
    std::fill(p.begin(), p.end(), Real(0));
    m = den = 0;
    if (falling.empty()) return;
    if constexpr (kind == threshold_kind::sum) {
        const Real t = reference_root(normalizer, s, falling[0]);
        for (std::size_t j = 0; j < s.size(); ++j)
            den += p[j] = s[j] > t ? normalizer.terms(score_above_threshold<Real>(s[j] - t)).value : Real(0);
    } else if constexpr (kind == threshold_kind::rank) {
        weigh_ranked(normalizer, at, s, p, m, den);
    } else {
        const reference_inner<Normalizer, Real> row(normalizer, at, s);
        for (std::size_t j = 0; j < s.size(); ++j)
            if (s[j] > -std::numeric_limits<Real>::infinity())
                p[j] = weight_of<Normalizer>(normalizer.terms(row.share(s[j])), den);
    }
    for (Real& x : p) x = den == 0 ? 0 : x / den;
}

/// What a gradient asks of the keys of a row: ds_j = weight_j dp_j - mass_j D, with D = sum_j in_d_j dp_j.
template <class Real>
struct reference_slopes {
    std::vector<Real> weight, mass, in_d;

    explicit reference_slopes(std::size_t keys) : weight(keys), mass(keys), in_d(keys) {}
    void set(std::size_t j, Real w, Real u, Real part_of_d)
    {
        weight[j] = w;
        mass[j] = u;
        in_d[j] = part_of_d;
    }
};

/// Of weights that sum to 1: w' and w', D = sum_j w'_j dp_j / sum_j w'_j, so that the sum stays 1.
template <class Normalizer, class Real>
void slopes_of_sum(const Normalizer& normalizer, const std::vector<Real>& s, Real threshold, Real den,
                   reference_slopes<Real>& slopes)
{
    Real sum = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
        if (!(s[j] > threshold)) continue;
        const Real u = normalizer.slopes(score_above_threshold<Real>(s[j] - threshold)).value;
        slopes.set(j, u / den, u / den, u);
        sum += u;
    }
    for (Real& x : slopes.in_d) x = sum == 0 ? 0 : x / sum;
}
/// Of a share a = e / l: w'(a) e' / l and u' / l of the inner e and u, D = sum_j w'(a_j) a_j dp_j.
template <class Normalizer, class Real>
void slopes_of_share(const Normalizer& normalizer, const query_place& at, const std::vector<Real>& s,
                     reference_slopes<Real>& slopes)
{
    using row_type = reference_inner<Normalizer, Real>;
    const row_type row(normalizer, at, s);
    for (std::size_t j = 0; j < s.size(); ++j) {
        if (row.l == 0 || !(s[j] > -std::numeric_limits<Real>::infinity())) continue;
        const auto u = typename row_type::inner{}.slopes(row.score(s[j]));
        const Real slope = normalizer.slopes(row.share(s[j])).value;
        slopes.set(j, slope * u.weight / row.l, u.mass / row.l, slope * row.share(s[j]).share());
    }
}

/// The slopes of a row of scores s, whose weights are p and denominator den; of a rank those of the normalizer, for
/// ranks stay, D = sum_j p_j dp_j.
template <class Normalizer, class Real>
reference_slopes<Real> slopes_by_threshold(const Normalizer& normalizer, const query_place& at,
                                           const std::vector<Real>& s, const std::vector<Real>& p, Real m, Real den)
{
    constexpr auto kind = threshold_kind_v<Normalizer>;
    reference_slopes<Real> slopes(s.size());
    const std::vector<Real> falling = falling_scores(s);
    if (falling.empty() || den == 0) return slopes;
    if constexpr (kind == threshold_kind::sum) {
        slopes_of_sum(normalizer, s, reference_root(normalizer, s, falling[0]), den, slopes);
    } else if constexpr (kind == threshold_kind::share) {
        slopes_of_share(normalizer, at, s, slopes);
    } else {
        const Real t = reference_ranked(normalizer, at, falling);
        for (std::size_t j = 0; j < s.size(); ++j) {
            if (!(s[j] >= t)) continue;
            const auto u = normalizer.slopes(reference_score<Real>(s[j], m));
            if constexpr (has_mass_v<Normalizer>) slopes.set(j, u.weight / den, u.mass / den, p[j]);
            else slopes.set(j, u.value, 0, 0);
        }
    }
    return slopes;
}

}  // namespace detail
HEED_END
