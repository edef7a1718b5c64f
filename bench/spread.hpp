// SPDX-License-Identifier: MIT
// A median and how far it can be trusted.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace bench {

struct spread {
    double median = 0, low = 0, high = 0;  // low, high: the quartiles
    std::size_t samples = 0;

    /// The distance of the quartiles, of the median.
    double relative() const { return median > 0 ? (high - low) / median : 0; }

    /// The standard error of the median, were the samples normal: 1.2533 s / sqrt(n), the quartiles being 1.349 s
    /// apart.
    double standard_error() const
    {
        return samples > 0 ? 1.2533 / 1.349 * (high - low) / std::sqrt(static_cast<double>(samples)) : 0;
    }
};

/// Quartiles by linear interpolation; all 0 of nothing.
inline spread spread_of(std::vector<double> x)
{
    if (x.empty()) return {};
    std::sort(x.begin(), x.end());
    const auto at = [&](double share) {
        const double place = share * static_cast<double>(x.size() - 1);
        const auto i = static_cast<std::size_t>(place);
        const double rest = place - static_cast<double>(i);
        return i + 1 < x.size() ? x[i] + rest * (x[i + 1] - x[i]) : x[i];
    };
    return {at(0.5), at(0.25), at(0.75), x.size()};
}

inline double median(const std::vector<double>& x) { return spread_of(x).median; }

/// The smallest of x that no less than a share of them do not exceed; 0 of nothing.
inline double nearest_rank(std::vector<double> x, double share)
{
    if (x.empty()) return 0;
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(x.size())));
    const auto place = x.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
    std::nth_element(x.begin(), place, x.end());
    return *place;
}

}  // namespace bench
