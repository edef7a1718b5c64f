// SPDX-License-Identifier: MIT
// Numbers from a command line, checked.
#pragma once

#include "input_error.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace llama2c {

inline int64 whole_number(const std::string& option, const std::string& text, int64 low, int64 high)
{
    std::size_t used = 0;
    int64 value = 0;
    try {
        value = std::stoll(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value < low || value > high)
        throw input_error(option + " " + text + ": a whole number from " + std::to_string(low) + " to " +
                          std::to_string(high));
    return value;
}

inline double number(const std::string& option, const std::string& text, double low, double high)
{
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || *end || !(value >= low && value <= high)) {
        char range[64];
        std::snprintf(range, sizeof(range), "%g to %g", low, high);
        throw input_error(option + " " + text + ": a number from " + range);
    }
    return value;
}

}  // namespace llama2c
