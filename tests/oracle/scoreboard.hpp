// SPDX-License-Identifier: MIT
// The largest K of each normalizer and element type, as the gates find and print it.
#pragma once

#include <catch2/catch.hpp>

#include <iostream>
#include <map>
#include <string>
#include <type_traits>

namespace oracle {

template <class T>
const char* name_of()
{
    return std::is_same_v<T, float> ? "float" : std::is_same_v<T, double> ? "double" : "bf16";
}

class scoreboard {
public:
    /// Checks that a verdict passes the gate, and keeps the largest K.
    template <class Verdict>
    void note(const std::string& normalizer, const std::string& family, const Verdict& v)
    {
        INFO(normalizer << ", " << family << ": " << v.text());
        CHECK(v.k <= Verdict::passing);
        record& best = largest_[normalizer];
        if (v.k > best.k) best = {v.k, family};
        passing_ = Verdict::passing;
    }
    void print(const char* what) const
    {
        std::cout << what << ": the largest K of each normalizer (gate: " << passing_ << ")\n";
        for (const auto& [normalizer, best] : largest_)
            std::cout << "  " << normalizer << ": " << best.k << " (" << best.where << ")\n";
    }

private:
    struct record {
        double k = 0;
        std::string where = "nowhere";
    };
    std::map<std::string, record> largest_;
    double passing_ = 0;
};

}  // namespace oracle
