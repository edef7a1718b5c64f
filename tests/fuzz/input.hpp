// SPDX-License-Identifier: MIT
// What a harness draws its problem from: the fuzzer's bytes, and behind their end a stream that depends on all of them,
// so that a short input is a whole problem and a change of any byte another one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

namespace fuzz {

using int64 = std::int64_t;
using wide = __int128;

/// Ends the run with a sentence; libFuzzer keeps the input.
[[noreturn]] inline void finding(const std::string& what)
{
    std::fprintf(stderr, "finding: %s\n", what.c_str());
    std::abort();
}
inline void require(bool holds, const std::string& what)
{
    if (!holds) finding(what);
}

/// A number with all its digits.
inline std::string shown(double x)
{
    char text[40];
    std::snprintf(text, sizeof(text), "%.9g", x);
    return text;
}

class input {
public:
    input(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size)
    {
        for (const std::uint8_t* p = at_; p != end_; ++p) state_ = (state_ ^ *p) * 0x100000001b3u;
    }

    /// SplitMix64 over a hash of the input; takes no byte of it.
    std::uint64_t random()
    {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::uint8_t byte() { return at_ != end_ ? *at_++ : static_cast<std::uint8_t>(random()); }

    /// A whole number in [low, high]; of one byte where that is enough.
    int64 range(int64 low, int64 high)
    {
        const auto span = static_cast<std::uint64_t>(high - low) + 1;
        std::uint64_t x = byte();
        if (span > 256) x = x << 8 | byte();
        if (span > 65536) x = x << 48 | (random() >> 16);
        return low + static_cast<int64>(x % span);
    }
    bool one_in(int64 n) { return range(0, n - 1) == n - 1; }
    template <class T, std::size_t N>
    T one_of(const T (&choices)[N])
    {
        return choices[range(0, static_cast<int64>(N) - 1)];
    }

    /// Any 64 bits, most often near a power of two or near its negative.
    int64 hostile()
    {
        if (one_in(8)) return static_cast<int64>(random());
        const auto power = std::uint64_t{1} << range(0, 63);
        const auto x = power + static_cast<std::uint64_t>(range(-2, 2)) * (one_in(4) ? 512u : 1u);
        return static_cast<int64>(one_in(3) ? 0 - x : x);
    }

    /// In [0, 1), and about normal; of the stream.
    double uniform() { return std::ldexp(static_cast<double>(random() >> 11), -53); }
    double normal() { return (uniform() + uniform() + uniform() + uniform() - 2) * 1.7320508; }

    bool at_end() const { return at_ == end_; }
    std::string rest()
    {
        std::string text(at_, end_);
        at_ = end_;
        return text;
    }

private:
    const std::uint8_t *at_, *end_;
    std::uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace fuzz
