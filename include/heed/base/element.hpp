// SPDX-License-Identifier: MIT
// Element types. float and double are computed in as they are; bf16 and f16 are storage: they widen to float exactly,
// and a float is rounded to them once, to nearest, ties to even, whatever MXCSR says of rounding and of subnormal
// numbers (where there are dot products of bf16, compute<bf16> takes subnormal ones for 0, always). Keys and values may
// also be of eight bits and fewer: element/quantised.hpp.
#pragma once

#include "config.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

HEED_BEGIN
namespace detail {

inline std::uint32_t bits_of(float x)
{
    std::uint32_t b;
    std::memcpy(&b, &x, sizeof(b));
    return b;
}
inline float float_of(std::uint32_t b)
{
    float x;
    std::memcpy(&x, &b, sizeof(x));
    return x;
}

/// The float of this magnitude, below 2^24 units, as a whole number of units of 2^(exponent - 150), to nearest, ties to
/// even. In integers: a sum would follow the rounding mode that somebody has set.
inline std::uint32_t rounded_shift(std::uint32_t magnitude, std::uint32_t exponent)
{
    const std::uint32_t shift = exponent - (magnitude >> 23);  // a subnormal float is far below half a unit
    if (shift > 24) return 0;
    const std::uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
    return (fraction + (1u << (shift - 1)) - 1 + ((fraction >> shift) & 1)) >> shift;
}

}  // namespace detail

/// bfloat16: sign, 8 bits of exponent, 7 of fraction; the upper half of a float.
struct bf16 {
    std::uint16_t bits;

    bf16() = default;
    explicit bf16(float x)
    {
        const std::uint32_t b = detail::bits_of(x);
        const std::uint32_t rounded = b + 0x7fffu + ((b >> 16) & 1);
        bits = static_cast<std::uint16_t>((x != x ? b | 0x400000u : rounded) >> 16);  // a NaN stays one
    }
    operator float() const { return detail::float_of(std::uint32_t{bits} << 16); }
};

/// IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction.
struct f16 {
    std::uint16_t bits;

    f16() = default;
    explicit f16(float x)
    {
        const std::uint32_t b = detail::bits_of(x), sign = (b >> 16) & 0x8000u, magnitude = b & 0x7fffffffu;
        std::uint32_t h;
        if (magnitude > 0x7f800000u) {
            h = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
        } else if (magnitude >= 0x477ff000u) {  // 65520 and above round to infinity
            h = 0x7c00u;
        } else if (magnitude < 0x38800000u) {  // below 2^-14: a whole number of 2^-24
            h = detail::rounded_shift(magnitude, 126);
        } else {
            h = (magnitude + 0xfffu + ((magnitude >> 13) & 1) - 0x38000000u) >> 13;
        }
        bits = static_cast<std::uint16_t>(sign | h);
    }
    operator float() const
    {
        const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, magnitude = bits & 0x7fffu;
        // A subnormal number goes by its fraction: as a float of that magnitude it would be subnormal too, or nothing.
        const std::uint32_t small =
            detail::bits_of(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
        const std::uint32_t normal = (magnitude << 13) + (112u << 23), infinite = normal + (112u << 23);
        return detail::float_of(sign | (magnitude < 0x0400u ? small : magnitude < 0x7c00u ? normal : infinite));
    }
};

/// Two bf16 that are multiplied and added at once: neighbouring channels of q and k, neighbouring keys of p and v. The
/// unit of compute<bf16>, not an element of tensors.
struct alignas(4) bf16_pair {
    bf16 first, second;
};

/// How many elements a unit of the kernels holds, and what products of units are summed in.
template <class U>
inline constexpr int elements_of = 1;
template <>
inline constexpr int elements_of<bf16_pair> = 2;
template <class U>
using sum_t = std::conditional_t<std::is_same_v<U, bf16_pair>, float, U>;

/// Channels of a row that an element holds; more than one in a block.
template <class E>
inline constexpr std::int64_t channels_of = 1;

/// Elements of a row of `dim` channels.
template <class E>
constexpr std::int64_t elements_for(std::int64_t dim)
{
    return dim / channels_of<std::remove_const_t<E>>;
}

/// Whether tensors may be made of E.
template <class E>
inline constexpr bool is_element_v =
    std::is_same_v<E, float> || std::is_same_v<E, double> || std::is_same_v<E, bf16> || std::is_same_v<E, f16>;

/// Whether only caches are made of E: fewer bits than its numbers need, widened to float when they are read.
template <class E>
inline constexpr bool is_quantised_v = false;

namespace detail {
template <class E>
constexpr bool is_computed_in_double()
{
    static_assert(is_element_v<E>, "heed: tensors are made of float, double, heed::bf16 or heed::f16; words of 16 bits "
                                   "become one of them by heed::as<heed::bf16>(p)");
    return std::is_same_v<E, double>;
}
template <class E>
struct compute_type {
    using type = std::conditional_t<is_computed_in_double<E>(), double, float>;
};
}  // namespace detail

/// What tensors of E are computed in: float, or double for double.
template <class E>
using compute_t = typename detail::compute_type<std::remove_const_t<E>>::type;

/// The same memory, seen as an element type of this library: `as<bf16>(p)` of a std::uint16_t pointer, or of a pointer
/// to another library's type of that format.
template <class E, class Other>
auto as(Other* p)
{
    static_assert(sizeof(E) == sizeof(Other) && alignof(E) == alignof(Other) && std::is_trivially_copyable_v<Other>,
                  "heed: as<E>(p) takes a pointer to trivial elements of E's size");
    if constexpr (std::is_const_v<Other>) return reinterpret_cast<const E*>(p);
    else return reinterpret_cast<E*>(p);
}

HEED_END
