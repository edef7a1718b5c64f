// SPDX-License-Identifier: MIT
// Normalizers with a threshold, of which a given share of the keys has a weight: scores of normal queries and keys are
// normal themselves, so that their spread decides.
#include "attending.hpp"
#include "case_mask.hpp"

#include <algorithm>
#include <cmath>

namespace bench {

namespace {

/// The number that a share of normal numbers exceeds.
double exceeded_by(double share)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; ++i) {
        const double z = (low + high) / 2;
        (std::erfc(z / std::sqrt(2.)) / 2 >= share ? low : high) = z;
    }
    return low;
}
/// The mean of max(x - z, 0)^power of normal numbers x, for power 1 and 2.
double mean_above(double z, int power)
{
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.)),
                 share = std::erfc(z / std::sqrt(2.)) / 2;
    return power == 1 ? density - z * share : (1 + z * z) * share - z * density;
}

template <class Normalizer>
contestant with_spread(const bench_case& c, const Normalizer& normalizer, double spread)
{
    const heed::scale scale{spread / std::sqrt(static_cast<double>(c.key_dim))};
    return attending_in<float>(c, heed::attention{normalizer, scale, case_mask(c)});
}

}  // namespace

contestant make_thresholded(const bench_case& c)
{
    const std::size_t end = c.normalizer.find_last_of('_');
    const std::string name = c.normalizer.substr(0, end);
    const double share = std::stod(c.normalizer.substr(end + 1)) / 100, z = exceeded_by(share);
    const auto keys = static_cast<double>(c.keys);
    if (name == "entmax15") return with_spread(c, heed::entmax15{}, 2 / std::sqrt(keys * mean_above(z, 2)));
    if (name == "sparsemax") return with_spread(c, heed::sparsemax{}, 1 / (keys * mean_above(z, 1)));
    if (name == "top_k") return with_spread(c, heed::top_k{std::max<std::int64_t>(std::llround(share * keys), 1)}, 1);
    // e^(z - 1/2) / n is the share of the score z, which the last row is to lose.
    static std::vector<float> offsets;
    offsets.assign(static_cast<std::size_t>(c.query_heads), static_cast<float>(-std::exp(z - 0.5)));
    return with_spread(c, heed::elastic_softmax{offsets}, 1);
}

}  // namespace bench
