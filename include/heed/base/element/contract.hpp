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
// Whole numbers of at most 8 bits times a scale say holds_integers, for products of integers (compute<std::int8_t>):
//
//     one number                                 a block
//     integers<Lanes>(p)                         integers<Lanes>(block, at)
//     integer_columns<Lanes>                     integer_columns<Lanes>, scales<Lanes>(block, stride)
//
// integers() takes 2 Lanes::count channels of a row as numbers of 16 bits, without their scale. integer_columns holds
// some channels of several rows: pair(i) are two channels of each row in a word, and first_of_pair(i) and the number of
// channels behind it, pair_apart, say which; scales() are those of a block of each row.
//
// For products of bytes they say how many bytes of a row are taken at once (0: as many as a register has), `fields`,
// how many numbers a byte holds, where those of channel c are: bytes(row, c), and their numbers without sign:
// field(words, f), `bias` more than they are. Field f of 16 bytes holds channels 16 f to 16 f + 15.
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
/// What there is to know of an element type.
struct no_element {
    static constexpr bool is_tensor = false;       ///< whether tensors may be made of it
    static constexpr bool is_quantised = false;    ///< whether caches alone may
    static constexpr std::int64_t channels = 1;    ///< of a row, in one element
    static constexpr bool takes_scales = false;    ///< whether append() writes it with scales beside it
    static constexpr bool needs_scales = false;    ///< whether it means nothing without them
    static constexpr bool holds_nan = true;        ///< whether NaN is one of its numbers
    static constexpr bool holds_integers = false;  ///< whether its numbers are whole ones of 8 bits times a scale
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
/// Whole numbers of a byte of several rows, 16 of each, as integer_columns.
template <class Lanes>
struct integer_bytes {
    static constexpr int channels = 16, pair_apart = 2;
    typename Lanes::words q[4];

    HEED_INLINE integer_bytes(const std::int8_t* row, std::int64_t stride) { Lanes::transpose_pairs(row, stride, q); }
    HEED_INLINE auto pair(int i) const { return Lanes::template signed_fields<8>(q[i / 2], 8 * (i % 2)); }
    static constexpr int first_of_pair(int i) { return i / 2 * 4 + i % 2; }
};
template <std::int64_t Channels>
struct quantised_block : no_element {
    static constexpr bool is_quantised = true;
    static constexpr std::int64_t channels = Channels;
};

/// Scale and zero point of a block of several rows, for its columns: one lane a row.
template <class Lanes>
struct scale_and_zero {
    typename Lanes::floats both[2];

    scale_and_zero() = default;
    /// Of the blocks at this step from `first`, which begin with them and have 8 bytes behind them. From another
    /// channel `at` of a block on they are those of the columns before.
    HEED_INLINE scale_and_zero(const float* first, int at, std::int64_t step_bytes, const scale_and_zero& before)
    {
        if (at == 0) Lanes::gather_two(first, step_bytes, both);
        else *this = before;
    }
    HEED_INLINE auto number(typename Lanes::words q) const { return (Lanes::whole_numbers(q) - both[1]) * both[0]; }
};

/// The four bits of channel c of 32, where byte i of a block holds channel i below channel i + 16, as in ggml.
constexpr int nibble_of(const std::uint8_t (&q)[16], int c) { return c < 16 ? q[c] & 15 : q[c - 16] >> 4; }
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
