// SPDX-License-Identifier: MIT
// What the programs' own checks share: the guide's numbers, and the verdict on a result beside plain loops in double.
#pragma once

#include "../../examples/guide/numbers.hpp"

#include <cmath>
#include <cstddef>

/// Whether `got` is `expected` but for the rounding of floats; NaN never is.
inline bool agrees(const char* name, const std::vector<float>& got, const std::vector<double>& expected)
{
    bool good = got.size() == expected.size();
    double worst = 0;
    for (std::size_t i = 0; good && i < got.size(); ++i) {
        const double off = std::abs(static_cast<double>(got[i]) - expected[i]);
        good = off <= 1e-5 * (1 + std::abs(expected[i]));
        if (off > worst) worst = off;
    }
    std::printf("%s: %s, %g off\n", name, good ? "agrees" : "differs", worst);
    return good;
}
