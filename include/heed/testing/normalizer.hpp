// SPDX-License-Identifier: MIT
// The check of a normalizer: see testing.hpp.
#pragma once

#include "calls.hpp"

#include <cmath>

HEED_BEGIN
namespace detail {

/// A score as terms() sees it, with given values of exp() and so on.
template <class V>
struct given_score {
    V of_value, of_exp, of_expm1, of_one;
    V value() const { return of_value; }
    V exp() const { return of_exp; }
    V expm1() const { return of_expm1; }
    V one() const { return of_one; }
};

/// Weight and mass of terms() or slopes(); a bare weight has no mass.
template <class V, class Terms>
ratio<V> as_ratio(const Terms& t)
{
    if constexpr (is_weight<Terms>::value) return {V(t.value), V(0)};
    else return {V(t.weight), V(t.mass)};
}

template <class T, class Normalizer>
class normalizer_check {
public:
    normalizer_check(const Normalizer& n, const problem& p) : n_(n), p_(p) {}

    status run()
    {
        status s = offsets();
        if (s) s = masked_and_poisoned();
        if (s) s = in_range();
        if (s) s = shifted();
        if constexpr (has_order_v<Normalizer>)
            if (s) s = leaves();
        if (s) s = lanes("terms", [this](const auto& score) { return n_.terms(score); });
        if constexpr (has_slopes_v<Normalizer>) {
            if (s) s = lanes("slopes", [this](const auto& score) { return n_.slopes(score); });
            if (s) s = slopes();
        }
        if constexpr (has_threshold_v<Normalizer>) return s;
        else return s ? policy_calls<T, Normalizer>(n_, p_).compare(false) : s;
    }

private:
    static constexpr bool shifts = shift_rule<Normalizer>() != heed::shift::none;
    static constexpr double infinity = std::numeric_limits<double>::infinity();

    template <class Score>
    ratio<double> terms(const Score& s) const
    {
        return as_ratio<double>(n_.terms(s));
    }

    status offsets() const
    {
        if constexpr (has_log_offset_v<Normalizer>)
            for (std::int64_t h = 0; h < p_.query_heads; ++h)
                if (const double c = n_.log_offset(h); !(c < infinity))
                    return status::error(
                        errc::invalid_argument,
                        "check: log_offset(%lld) is %g: the log of an extra mass is a number, or -inf for none",
                        static_cast<long long>(h), c);
        return {};
    }

    status masked_and_poisoned() const
    {
        const double w = terms(given_score<double>{-infinity, 0, -1, 1}).weight;
        if (w != 0)
            return status::error(errc::invalid_argument,
                                 "check: terms: a score of -inf has weight %g; it is masked, and weighs 0", w);
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        const ratio<double> t = terms(given_score<double>{nan, nan, nan, 1});
        if (t.weight == t.weight && t.mass == t.mass)
            return status::error(
                errc::invalid_argument,
                "check: terms: a score of NaN has weight %g and mass %g, which hides it; max(x, 0) keeps a NaN "
                "in x, select(x > 0, x, 0) does not",
                t.weight, t.mass);
        return {};
    }

    /// Terms of the largest and the smallest scores, at the shift that a row of such scores has.
    status in_range() const
    {
        constexpr auto rule = shift_rule<Normalizer>();
        constexpr double far = 1e4;
        const auto finite = [&](const given_score<double>& s, const char* advice) {
            const ratio<double> t = terms(s);
            if (std::isfinite(t.weight) && std::isfinite(t.mass)) return status{};
            return status::error(errc::invalid_argument,
                                 "check: shift: in a row whose largest score is %g the terms are %g and %g: %s",
                                 s.of_value, t.weight, t.mass, advice);
        };
        if constexpr (!shifts) {
            const char* const grows = "what grows as e^s takes shift::by_max or shift::at_least_zero, not shift::none";
            const status s = finite({far, infinity, infinity, 1}, grows);
            return s ? finite({-far, 0, -1, 1}, grows) : s;
        }
        const status s = finite({far, 1, 1, 0}, "what is a power of s takes shift::none, and what grows faster than e^s has no shift rule; e^s is s.exp(), not heed::exp(s.value())");
        if (!s) return s;
        if constexpr (rule == heed::shift::at_least_zero) return finite({-far, 0, -1, 1}, "they are not bounded");
        else return finite({-far, 1, -infinity, infinity}, "a constant in them takes shift::at_least_zero, not shift::by_max");
    }

    /// Terms seen from two shifts differ by the factor e^(m - m') once.
    status shifted() const
    {
        if constexpr (shifts) {
            constexpr double m = 3;
            for (double s = -9; s <= 9; s += 0.37) {
                const ratio<double> a = terms(reference_score<double>(s, 0)), b = terms(reference_score<double>(s, m));
                const double tolerance = 1e-10 * (1 + std::exp(s));
                const bool weights = is_close(a.weight, b.weight * std::exp(m), tolerance);
                if (weights && is_close(a.mass, b.mass * std::exp(m), tolerance)) continue;
                const double from = weights ? a.mass : a.weight, to = weights ? b.mass : b.weight;
                return status::error(
                    errc::invalid_argument,
                    "check: terms: at score %g a shift of e^-3 takes the %s from %g to %g, not %g: both are "
                    "multiples of s.exp(), s.expm1() and s.one(), or of none of them under shift::none",
                    s, weights ? "mass" : "weight", from, to, from * std::exp(-m));
            }
        }
        return {};
    }

    /// What e^-u leaves of the rest is at most all of it, or older keys would have more than there is.
    status leaves() const
    {
        for (double s = -30; s <= 30; s += 0.37)
            if (const double u = terms(reference_score<double>(s, 0)).mass; !(u >= 0))
                return status::error(errc::invalid_argument,
                                     "check: terms: the mass at score %g is %g: older keys have e^-u of what this one "
                                     "finds, and u is not negative",
                                     s, u);
        return {};
    }

    /// Whether f of a vector of scores equals f of each lane, given the same exp() and so on.
    template <class F>
    status lanes(const char* what, F f)
    {
        constexpr int n = simd::vec<T>::lanes;
        const auto lane = [](simd::vec<T> v) {
            std::vector<T> x(n);
            store(x.data(), v);
            return x;
        };
        for (int round = 0; round < 300; ++round) {
            std::vector<T> s = draw_.some<T>(n, round % 3 == 0 ? 1 : 12);
            if (round % 5 == 0) s[static_cast<std::size_t>(draw_.below(n))] = T(0);
            const simd::vec<T> m(shifts ? static_cast<T>(draw_.below(12)) : T(0)), v = simd::load(s.data());
            const simd::shifted_score<T> score(v, m, simd::power_of_two(simd::vec<T>(0) - m));
            const auto e = lane(score.exp()), e1 = lane(score.expm1()), one = lane(score.one());
            const ratio<simd::vec<T>> got = as_ratio<simd::vec<T>>(f(score));
            const auto w = lane(got.weight), u = lane(got.mass);
            for (std::size_t i = 0; i < n; ++i) {
                const ratio<T> x = as_ratio<T>(f(given_score<T>{s[i], e[i], e1[i], one[i]}));
                const T tolerance = 64 * std::numeric_limits<T>::epsilon();
                const bool weights = is_close(w[i], x.weight, tolerance * (std::fabs(x.weight) + e[i] + one[i]));
                if (weights && is_close(u[i], x.mass, tolerance * (std::fabs(x.mass) + e[i] + one[i]))) continue;
                return status::error(errc::invalid_argument,
                                     "check: %s: the %s of lane %d of a vector is %g at score %g, and %g by itself",
                                     what, weights ? "mass" : "weight", static_cast<int>(i),
                                     static_cast<double>(weights ? u[i] : w[i]), static_cast<double>(s[i]),
                                     static_cast<double>(weights ? x.mass : x.weight));
            }
        }
        return {};
    }

    status slopes() const
    {
        int smooth = 0;
        for (const double m : {0., 3.}) {
            if (m > 0 && !shifts) continue;
            for (double s = -9; s <= 9; s += 0.37) {
                const ratio<double> slope = as_ratio<double>(n_.slopes(reference_score<double>(s, m)));
                const auto judge = [&](const char* of, double has, auto part) {
                    const difference d([&](double x) { return part(terms(reference_score<double>(x, m))); }, s);
                    smooth += d.smooth;
                    if (!d.smooth || d.agrees(has)) return status{};
                    return status::error(
                        errc::invalid_argument,
                        "check: slopes: the slope of the %s at score %g is %g; by differences of terms() it is "
                        "%g",
                        of, s, has, d.slope);
                };
                status r = judge("weight", slope.weight, [](const ratio<double>& t) { return t.weight; });
                if (r) r = judge("mass", slope.mass, [](const ratio<double>& t) { return t.mass; });
                if (!r) return r;
            }
        }
        return smooth > 0 ? status{}
                          : status::error(errc::invalid_argument,
                                          "check: slopes: terms() is smooth nowhere, and has no derivative");
    }

    const Normalizer& n_;
    problem p_;
    drawn draw_;
};

}  // namespace detail
HEED_END
