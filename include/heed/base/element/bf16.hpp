// SPDX-License-Identifier: MIT
// bfloat16: storage. It widens to float exactly, and a float is rounded to it once, to nearest, ties to even, whatever
// MXCSR says of rounding and of subnormal numbers (where there are dot products of bf16, compute<bf16> takes subnormal
// ones for 0, always).
#pragma once

#include "contract.hpp"
#include "float_bits.hpp"

HEED_BEGIN

/// bfloat16: sign, 8 bits of exponent, 7 of fraction; the upper half of a float.
struct bf16 {
    std::uint16_t bits;  ///< the upper half of the float's

    bf16() = default;
    /// Rounded to nearest, ties to even; a NaN stays one.
    explicit bf16(float number)
    {
        const std::uint32_t b = detail::bits_of(number);
        const std::uint32_t rounded = b + 0x7fffu + ((b >> 16) & 1);
        bits = static_cast<std::uint16_t>((number != number ? b | 0x400000u : rounded) >> 16);  // a NaN stays one
    }
    operator float() const { return detail::float_of(std::uint32_t{bits} << 16); }  ///< exact
};
template <>
struct element_traits<bf16> : detail::tensor_element {};

/// Two bf16 that are multiplied and added at once: neighbouring channels of q and k, neighbouring keys of p and v. The
/// unit of compute<bf16>, not an element of tensors.
struct alignas(4) bf16_pair {
    bf16 first, second;  ///< at the lower address, at the higher
};

/// How many elements a unit of the kernels holds: two in a bf16_pair.
template <class U>
inline constexpr int elements_of = 1;
template <>
inline constexpr int elements_of<bf16_pair> = 2;
/// What products of units are summed in: float for pairs.
template <class U>
using sum_t = std::conditional_t<std::is_same_v<U, bf16_pair>, float, U>;

HEED_END
