// SPDX-License-Identifier: MIT
// Products of quads: whole numbers of 16 bits are two bytes with a sign each, x = 256 upper + lower, and those of K and
// V are bytes as they are stored.
#pragma once

#include "../simd/quad_lanes.hpp"
#include "integer_operands.hpp"

HEED_BEGIN
namespace micro {

using simd::native_quads;
using quad_words = native_quads::words;

/// Quads of a row of K, and of a part of a row of queries.
constexpr std::int64_t quads_of(std::int64_t dim) { return round_up(dim, 16) / 4; }

/// The byte of channel c of a row, and which field of it that is.
template <class E>
HEED_INLINE const char* byte_of_channel(const E* row, std::int64_t c)
{
    using traits = element_traits<E>;
    const char* const bytes = static_cast<const char*>(traits::bytes(row, c));
    if constexpr (traits::bytes_at_once == 0) return bytes;
    else return bytes + c % traits::bytes_at_once;
}
template <class E>
HEED_INLINE int field_of_channel(std::int64_t c)
{
    using traits = element_traits<E>;
    if constexpr (traits::fields == 1) return 0;
    else return static_cast<int>(c / traits::bytes_at_once % traits::fields);
}

/// Four registers of numbers x as bytes of whole ones.
template <class F>
HEED_INLINE void bytes_of_numbers(F x, const integer_step& by, quad_words& upper, quad_words& lower)
{
    upper = lower = native_lanes::all_words(0);
    if (by.inverse == 0) return;
    vec<float> whole[4];
    HEED_UNROLL
    for (int i = 0; i < 4; ++i) whole[i] = simd::round(x(i) * vec<float>(by.inverse));
    native_quads::bytes::split(whole, upper, lower);
}

/// Packs a row of `dim` numbers, which has whole registers: quads of upper bytes, then as many of lower ones, 0 behind
/// them. Gives their step.
inline float pack_quads(const float* row, std::int64_t dim, std::int64_t largest_whole, std::uint32_t* to)
{
    constexpr int lanes = vec<float>::lanes;
    magnitude of;
    for (std::int64_t c = 0; c < dim; c += lanes) of.add(load(row + c));
    const integer_step by = of.step(largest_whole);
    const std::int64_t quads = quads_of(dim);
    for (std::int64_t q = 0; q < quads; q += lanes) {
        quad_words upper, lower;
        const auto x = [&](int i) HEED_INLINE_LAMBDA {
            const std::int64_t c = 4 * q + i * lanes;
            return c < dim ? load(row + c) : vec<float>(0);
        };
        bytes_of_numbers(x, by, upper, lower);
        native_lanes::store_words(to + q, upper);
        native_lanes::store_words(to + quads + q, lower);
    }
    return by.step;
}

}  // namespace micro
HEED_END
