// SPDX-License-Identifier: MIT
// Normalizers with a threshold, of which a given share of the keys has a weight: scores of normal queries and keys are
// normal themselves, so that their spread decides.
#pragma once

#include "cases.hpp"

#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace bench {

/// The number that a share of normal numbers exceeds.
inline double exceeded_by(double share)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; ++i) {
        const double z = (low + high) / 2;
        (std::erfc(z / std::sqrt(2.)) / 2 >= share ? low : high) = z;
    }
    return low;
}
/// The mean of max(x - z, 0)^power of normal numbers x, for power 1 and 2.
inline double mean_above(double z, int power)
{
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.)),
                 share = std::erfc(z / std::sqrt(2.)) / 2;
    return power == 1 ? density - z * share : (1 + z * z) * share - z * density;
}

/// f(normalizer, scale) with those of a case.
template <class F>
auto with_thresholded(const bench_case& c, F f)
{
    const std::size_t end = c.normalizer.find_last_of('_');
    const std::string name = c.normalizer.substr(0, end);
    const double share = std::stod(c.normalizer.substr(end + 1)) / 100, z = exceeded_by(share);
    const auto keys = static_cast<double>(c.keys);
    const auto scale = [&](double spread) { return heed::scale{spread / std::sqrt(static_cast<double>(c.key_dim))}; };
    if (name == "entmax15") return f(heed::entmax15{}, scale(2 / std::sqrt(keys * mean_above(z, 2))));
    if (name == "sparsemax") return f(heed::sparsemax{}, scale(1 / (keys * mean_above(z, 1))));
    if (name == "top_k") return f(heed::top_k{std::max<std::int64_t>(std::llround(share * keys), 1)}, scale(1));
    // e^(z - 1/2) / n is the share of the score z, which the last row is to lose.
    static std::vector<float> offsets;
    offsets.assign(static_cast<std::size_t>(c.query_heads), static_cast<float>(-std::exp(z - 0.5)));
    return f(heed::elastic_softmax{offsets}, scale(1));
}

}  // namespace bench
