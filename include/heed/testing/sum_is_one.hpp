// SPDX-License-Identifier: MIT
// The check of a normalizer with a threshold: see testing.hpp.
#pragma once

#include "normalizer.hpp"

HEED_BEGIN
namespace detail {

/// Whether slope(x) is the derivative of w(x): at a kink anything between those of its sides.
template <class W, class Slope>
status check_slope(const char* of, double x, W w, Slope slope)
{
    const double h = 1e-6 * x, left = (w(x) - w(x - h)) / h, right = (w(x + h) - w(x)) / h;
    const double lower = left < right ? left : right, upper = left < right ? right : left, got = slope(x);
    const double tolerance = 1e-3 * (std::fabs(lower) + std::fabs(upper)) + 1e-6;
    if (lower - tolerance <= got && got <= upper + tolerance) return {};
    return status::error(errc::invalid_argument,
                         "check: slopes: at %s %g the weight's slope is %g, the differences of terms() beside it %g "
                         "and %g",
                         of, x, got, left, right);
}

/// What the search for a threshold relies on: w is 0 where it begins, 1 within its reach, and never falls.
template <class T, class Normalizer>
class sum_check {
public:
    explicit sum_check(const Normalizer& n) : n_(n) {}

    status run() const
    {
        constexpr T reach = static_cast<T>(Normalizer::threshold.reach);
        constexpr double degree = Normalizer::threshold.degree;
        if (weight(T(0)) != 0 || weight(T(-1)) != 0)
            return status::error(errc::invalid_argument,
                                 "check: terms: w(0) is %g and w(-1) is %g; below the threshold a weight is 0",
                                 weight(T(0)), weight(T(-1)));
        if (!(weight(reach) >= 1))
            return status::error(errc::invalid_argument,
                                 "check: sum_is_one: w(%g) is %.9g: the reach is where one key alone weighs 1",
                                 static_cast<double>(reach), weight(reach));
        const double of_nan = weight(std::numeric_limits<T>::quiet_NaN());
        if (of_nan == of_nan)
            return status::error(errc::invalid_argument, "check: terms: a score of NaN has weight %g, which hides it",
                                 of_nan);
        for (T y = reach / 4096, before = 0; y <= reach; before = y, y += reach / 4096) {
            if (weight(y) < weight(before))
                return status::error(errc::invalid_argument,
                                     "check: terms: w falls from %.9g to %.9g between %g and %g", weight(before),
                                     weight(y), static_cast<double>(before), static_cast<double>(y));
            const double twice = std::pow(2., degree) * weight(y);
            if (degree != 1 && !is_close(weight(2 * y), twice, 1e-5 * twice))
                return status::error(
                    errc::invalid_argument, "check: sum_is_one: w(%g) is %g and w(%g) is %g, which is no degree of %g",
                    static_cast<double>(y), weight(y), static_cast<double>(2 * y), weight(2 * y), degree);
        }
        return slopes();
    }

private:
    status slopes() const
    {
        if constexpr (has_slopes_v<Normalizer>)
            for (double y = Normalizer::threshold.reach / 64; y <= Normalizer::threshold.reach; y *= 1.3) {
                const status s = check_slope(
                    "score - threshold =", y,
                    [&](double x) { return double{n_.terms(score_above_threshold<double>(x)).value}; },
                    [&](double x) { return double{n_.slopes(score_above_threshold<double>(x)).value}; });
                if (!s) return s;
            }
        return {};
    }
    double weight(T y) const { return static_cast<double>(n_.terms(score_above_threshold<T>(y)).value); }

    const Normalizer& n_;
};

/// What a normalizer makes of shares of a row: that a weight of 0 stays one below its least share, and slopes.
template <class Normalizer>
class share_check {
public:
    share_check(const Normalizer& n, const query_place& at) : n_(n), at_(at)
    {
        if constexpr (has_row_number<Normalizer>::value) row_ = n.row(at);
    }

    status run() const
    {
        const status s = least_share();
        return s ? slopes() : s;
    }

private:
    double weight(double share) const
    {
        return double{as_ratio<double>(n_.terms(score_share<double>(share, row_))).weight};
    }
    /// That a weight of 0 stays one below the least share.
    status least_share() const
    {
        if constexpr (has_least_share<Normalizer>::value) {
            const double least = n_.least_share(at_);
            for (double share = least; 0 < share && share < 1; share = share < 1e-6 ? 0 : share / 2)
                if (const double w = weight(share * (1 - 1e-9)); w != 0)
                    return status::error(
                        errc::invalid_argument,
                        "check: least_share: a share of %g has weight %g, though %g is said to have none", share, w,
                        least);
        }
        return {};
    }
    status slopes() const
    {
        if constexpr (has_slopes_v<Normalizer>)
            for (double share = 1e-4; share < 1; share *= 1.7) {
                const status s = check_slope(
                    "share", share, [&](double x) { return weight(x); },
                    [&](double x) { return double{as_ratio<double>(n_.slopes(score_share<double>(x, row_))).weight}; });
                if (!s) return s;
            }
        return {};
    }

    const Normalizer& n_;
    query_place at_;
    double row_ = 0;
};

/// The check of a normalizer, by its kind.
template <class T, class Normalizer>
status check_normalizer(const Normalizer& n, const problem& p)
{
    constexpr auto kind = threshold_kind_v<Normalizer>;
    if constexpr (kind == threshold_kind::sum) {
        return sum_check<T, Normalizer>(n).run();
    } else if constexpr (kind == threshold_kind::share) {
        for (std::int64_t i = 0; i < p.queries; ++i)
            if (const status s = share_check<Normalizer>(n, {0, 0, i, p.total_keys - p.queries + i}).run(); !s)
                return s;
        return {};
    } else {
        return normalizer_check<T, Normalizer>(n, p).run();
    }
}

}  // namespace detail
HEED_END
