// SPDX-License-Identifier: MIT
// Arithmetic of sizes, strides and positions, whose values callers choose freely. Two rules keep it within 64 bits:
// extents and positions are at most size_limit, so that a few of them can be added without a check; and products are
// computed as `checked`, which knows whether the product fits.
#pragma once

#include "config.hpp"

#include <cstdint>

HEED_BEGIN

/// No extent, position, offset or count of tokens is larger, in magnitude.
inline constexpr std::int64_t size_limit = std::int64_t{1} << 60;

namespace detail {

constexpr bool within_limit(std::int64_t n) { return -size_limit <= n && n <= size_limit; }

/// A whole number of 64 bits that knows whether it overflowed. What is computed from an overflowed number has
/// overflowed too.
class checked {
public:
    constexpr checked(std::int64_t number) : value_(number) {}

    /// Whether no sum or product on the way here overflowed.
    constexpr bool fits() const { return fits_; }
    /// The number, where it fits.
    constexpr std::int64_t value() const { return value_; }

    friend constexpr checked operator+(checked a, checked b)
    {
        const bool over = __builtin_add_overflow(a.value_, b.value_, &a.value_);
        a.fits_ = a.fits_ && b.fits_ && !over;
        return a;
    }
    friend constexpr checked operator*(checked a, checked b)
    {
        const bool over = __builtin_mul_overflow(a.value_, b.value_, &a.value_);
        a.fits_ = a.fits_ && b.fits_ && !over;
        return a;
    }
    /// Rounded towards 0; b > 0.
    friend constexpr checked operator/(checked a, checked b)
    {
        a.value_ /= b.value_;
        a.fits_ = a.fits_ && b.fits_;
        return a;
    }

private:
    std::int64_t value_;
    bool fits_ = true;
};

/// |n|, also where n is the smallest number.
constexpr std::uint64_t magnitude(std::int64_t n)
{
    const auto bits = static_cast<std::uint64_t>(n);
    return n < 0 ? 0 - bits : bits;
}

/// a * b modulo 2^64, for products that are checked elsewhere before anybody uses them.
constexpr std::int64_t wrapped_product(std::int64_t a, std::int64_t b)
{
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

}  // namespace detail
HEED_END
