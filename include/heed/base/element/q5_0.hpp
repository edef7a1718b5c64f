// SPDX-License-Identifier: MIT
// q5_0: blocks of 32 channels of 5 bits, with the bytes of ggml.
//
// The scale is chosen as that of q4_0, so that every number is off by half of it at most. ggml takes 1/16 of the number
// of largest magnitude, whatever the other end of the block needs; there it is off by up to a whole scale. (Root mean
// square error of normal numbers: 0.0426 and 0.0427.)
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// 32 whole numbers of 5 bits and their scale: x_c = d (q_c - 16). Byte i of q holds the lower four bits of q_i below
/// those of q_(i + 16); bit c of `high`, from its first byte on, is the fifth bit of q_c.
struct q5_0 {
    f16 d;                 ///< scale
    std::uint8_t high[4];  ///< the fifth bit of each q_c
    std::uint8_t q[16];    ///< the lower four, two numbers in a byte

    /// Bit c is the fifth bit of q_c.
    std::uint32_t fifth_bits() const
    {
        return high[0] | std::uint32_t{high[1]} << 8 | std::uint32_t{high[2]} << 16 | std::uint32_t{high[3]} << 24;
    }
    /// x_c, for c in [0, 32).
    float operator[](int c) const
    {
        const int four = detail::nibble_of(q, c), fifth = (fifth_bits() >> c) & 1;
        return float(d) * static_cast<float>((four | fifth << 4) - 16);
    }
};
static_assert(sizeof(q5_0) == 22 && alignof(q5_0) == 2);

template <>
struct element_traits<q5_0> : detail::quantised_block<32> {
    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const q5_0& block, int at)
    {
        const auto four = Lanes::whole_numbers(Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16));
        return (four + Lanes::select_bits(block.fifth_bits() >> at, 0, -16)) * Lanes::all(block.d);
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4], not_fifth;  // q - 16 in two's complement: not its fifth bit, and the others
        typename Lanes::floats d;

        columns() = default;
        HEED_INLINE columns(const q5_0* row, int, std::int64_t step_bytes, const columns&)
        {
            typename Lanes::words from_high[4];  // and 12 of the 16 bytes behind it
            Lanes::transpose(row->high, step_bytes, from_high);
            not_fifth = ~from_high[0];
            Lanes::transpose(row->q, step_bytes, q);
            d = Lanes::gather(&row->d, step_bytes);
        }
        HEED_INLINE auto operator[](int i) const
        {
            const int nibble = i % 4 * 2 + i / 16;  // of a word
            const auto w = q[i % 16 / 4];
            const auto four = (nibble < 7 ? w << (27 - 4 * nibble) : w >> 1) & 0x78000000u;
            return Lanes::template signed_top<5>(four | (not_fifth << (31 - i) & 0x80000000u)) * d;
        }
    };

    static void encode(const float* x, const detail::extremes& e, q5_0& block)
    {
        block.d = detail::scale_to_longer_end(e, 16);
        const float d = detail::zero_if_nan(block.d);
        const auto q = [&](int c) { return detail::whole_number(x[c], d, -16, 15) + 16; };
        std::uint32_t fifth = 0;
        for (int c = 0; c < 16; ++c) {
            const int low = q(c), high = q(c + 16);
            block.q[c] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
            fifth |= static_cast<std::uint32_t>(low >> 4) << c | static_cast<std::uint32_t>(high >> 4) << (c + 16);
        }
        for (int i = 0; i < 4; ++i) block.high[i] = static_cast<std::uint8_t>(fifth >> (8 * i));
    }
};

HEED_END
