// SPDX-License-Identifier: MIT
// Random numbers by counter: the n-th number of a stream is a function of the stream's key and n alone. So a batch is
// a function of (seed, step), whoever draws it and in whatever order, and nothing has to be saved to go on.
// The generator is SplitMix64 (Steele, Lea, Flood 2014).
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <numbers>

namespace twins {

class random_stream {
public:
    explicit random_stream(std::initializer_list<std::uint64_t> key)
    {
        for (const std::uint64_t k : key) state_ = mixed(state_ ^ k) + increment;
    }

    std::uint64_t bits() { return mixed(state_ += increment); }

    /// In [0, 1), a multiple of 2^-53.
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

    /// In [0, n), for n far below 2^53.
    std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(uniform() * static_cast<double>(n)); }

    /// Normal with mean 0 and deviation 1 (Box and Muller).
    double normal()
    {
        const double u = 1 - uniform(), angle = 2 * std::numbers::pi * uniform();
        return std::sqrt(-2 * std::log(u)) * std::cos(angle);
    }

private:
    static constexpr std::uint64_t increment = 0x9e3779b97f4a7c15u;

    static std::uint64_t mixed(std::uint64_t z)
    {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    std::uint64_t state_ = 0;
};

}  // namespace twins
