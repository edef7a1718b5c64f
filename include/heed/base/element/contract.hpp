// SPDX-License-Identifier: MIT
// What an element type owes. Its file in this folder defines the type and specialises element_traits; element.hpp lists
// the files. Nothing else names a quantised element, but a machine that converts one by instructions
// (engine/simd/arch).
//
// Tensors are made of float, double, bf16 and f16. Quantised elements are for caches alone. They widen to float
// exactly, so that attention over such a cache has the bits of attention over a float cache of the numbers it holds,
// whatever MXCSR says of rounding and of subnormal numbers.
//
// A quantised element is one number in a byte, which converts to float and explicitly from it, or a block of `channels`
// numbers with a scale `d` of its own, of which operator[] returns one. Its traits hold
//
//     one number                                 a block
//     load<Lanes>(p)                             load<Lanes>(block, at)
//     take<Lanes>(words, i)                      columns<Lanes>
//     scale_for(extremes), encode(x, scale)      encode(x, extremes, block)
//
// load() widens Lanes::count channels of a row. take() widens the i-th byte of each of the 32-bit words of several
// rows, and columns<Lanes> holds some channels of a block of each row: both have one lane a row, for keys. Lanes is the
// list of operations in engine/simd/element_lanes.hpp. encode() rounds floats.
#pragma once

#include "../config.hpp"

#include <cstdint>
#include <type_traits>

HEED_BEGIN

namespace detail {
struct no_element {
    static constexpr bool is_tensor = false;     ///< whether tensors may be made of it
    static constexpr bool is_quantised = false;  ///< whether caches alone may
    static constexpr std::int64_t channels = 1;  ///< of a row, in one element
    static constexpr bool takes_scales = false;  ///< whether append() writes it with scales beside it
    static constexpr bool needs_scales = false;  ///< whether it means nothing without them
    static constexpr bool holds_nan = true;      ///< whether NaN is one of its numbers
};
}  // namespace detail

/// What the library knows of an element type; of any other type, that it is none.
template <class E>
struct element_traits : detail::no_element {};

namespace detail {
struct tensor_element : no_element {
    static constexpr bool is_tensor = true;
};
template <class E>
struct quantised_number : no_element {
    static constexpr bool is_quantised = true, takes_scales = true;

    template <class Lanes>
    static HEED_INLINE auto load(const E* p)
    {
        return Lanes::load(p);
    }
    template <class Lanes>
    static HEED_INLINE auto take(typename Lanes::words w, int i)
    {
        return Lanes::template take<E>(w, i);
    }
};
template <std::int64_t Channels>
struct quantised_block : no_element {
    static constexpr bool is_quantised = true;
    static constexpr std::int64_t channels = Channels;
};
}  // namespace detail

template <>
struct element_traits<float> : detail::tensor_element {};
template <>
struct element_traits<double> : detail::tensor_element {};

/// Channels of a row that an element holds; more than one in a block.
template <class E>
inline constexpr std::int64_t channels_of = element_traits<E>::channels;

/// Elements of a row of `dim` channels.
template <class E>
constexpr std::int64_t elements_for(std::int64_t dim)
{
    return dim / channels_of<std::remove_const_t<E>>;
}

/// Whether tensors may be made of E.
template <class E>
inline constexpr bool is_element_v = element_traits<E>::is_tensor;

/// Whether only caches are made of E: fewer bits than its numbers need, widened to float when they are read.
template <class E>
inline constexpr bool is_quantised_v = element_traits<E>::is_quantised;

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

/// What a cache of E is read as: itself, or float.
template <class E>
using widened_t = std::conditional_t<is_quantised_v<E>, float, E>;

/// Channel c of a row.
template <class E>
widened_t<std::remove_const_t<E>> channel_of(E* row, std::int64_t c)
{
    constexpr std::int64_t block = channels_of<std::remove_const_t<E>>;
    if constexpr (block > 1) return row[c / block][static_cast<int>(c % block)];
    else return static_cast<widened_t<std::remove_const_t<E>>>(row[c]);
}

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
