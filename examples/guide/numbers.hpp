// SPDX-License-Identifier: MIT
// What the programs of the guide share: numbers to attend to, the same on every machine, and the comparison that most
// of them end with.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

/// `count` numbers in [-1, 1).
inline std::vector<float> numbers(std::int64_t count, std::uint32_t seed)
{
    std::vector<float> result(static_cast<std::size_t>(count));
    for (float& x : result) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
    }
    return result;
}

/// Whether `claim` holds, and a line that says so. A page returns 1 where one does not.
inline bool holds(const char* claim, bool true_or_not)
{
    std::printf("%-68s %s\n", claim, true_or_not ? "yes" : "NO");
    return true_or_not;
}

/// Whether two results have the same bits.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
