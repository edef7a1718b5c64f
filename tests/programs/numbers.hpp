// SPDX-License-Identifier: MIT
// What the programs' own checks share: numbers to attend on, and the verdict on a result beside plain loops in double.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

/// `count` numbers in [-1, 1), the same on every machine.
inline std::vector<float> numbers(std::size_t count, unsigned seed)
{
    std::vector<float> result(count);
    for (float& x : result) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
    }
    return result;
}

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
