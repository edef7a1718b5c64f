// SPDX-License-Identifier: MIT
// Which token comes next.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <random>
#include <vector>

namespace llama2c {

/// The token of the largest logit at temperature 0, else one drawn with probability softmax(logits / temperature).
template <class Row>
int next_token(const Row& logits, double temperature, std::mt19937_64& random)
{
    Eigen::Index best;
    const float highest = logits.maxCoeff(&best);
    if (temperature == 0) return static_cast<int>(best);
    std::vector<double> p(static_cast<std::size_t>(logits.size()));
    for (std::size_t i = 0; i < p.size(); ++i)
        p[i] = std::exp((static_cast<double>(logits[static_cast<Eigen::Index>(i)]) - static_cast<double>(highest)) /
                        temperature);
    return std::discrete_distribution<int>(p.begin(), p.end())(random);
}

}  // namespace llama2c
