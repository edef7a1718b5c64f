// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

struct isa_problem {
    std::int64_t queries, keys, key_dim, value_dim;
};

/// The bytes of what heed makes of these numbers, for several definitions, in float and double.
std::vector<unsigned char> attend_0(const isa_problem&, const std::vector<double>& numbers);
std::vector<unsigned char> attend_1(const isa_problem&, const std::vector<double>& numbers);
std::vector<unsigned char> attend_2(const isa_problem&, const std::vector<double>& numbers);
std::vector<unsigned char> attend_3(const isa_problem&, const std::vector<double>& numbers);
