// SPDX-License-Identifier: MIT
// q5_1: blocks of 32 channels of 5 bits between a lowest number and the largest, with the bytes of ggml. Rounding is as
// that of q4_1.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// 32 whole numbers of 5 bits without a sign, their scale and the lowest number: x_c = d q_c + m. Byte i of q holds the
/// lower four bits of q_i below those of q_(i + 16); bit c of `high`, from its first byte on, is the fifth bit of q_c.
struct q5_1 {
    f16 d, m;              ///< x_c = d q_c + m
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
        return float(d) * static_cast<float>(four | fifth << 4) + float(m);
    }
};
static_assert(sizeof(q5_1) == 24 && alignof(q5_1) == 2);

template <>
struct element_traits<q5_1> : detail::quantised_block<32> {
    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const q5_1& block, int at)
    {
        const auto four = Lanes::whole_numbers(Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16));
        const auto q = four + Lanes::select_bits(block.fifth_bits() >> at, 16, 0);
        return q * Lanes::all(block.d) + Lanes::all(block.m);
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4], fifth;
        typename Lanes::floats d, m;

        columns() = default;
        HEED_INLINE columns(const q5_1* row, int, std::int64_t step_bytes, const columns&)
        {
            typename Lanes::words from_high[4];  // and 12 of the 16 bytes behind it
            Lanes::transpose(row->high, step_bytes, from_high);
            fifth = from_high[0];
            Lanes::transpose(row->q, step_bytes, q);
            d = Lanes::gather(&row->d, step_bytes);
            m = Lanes::gather(&row->m, step_bytes);
        }
        HEED_INLINE auto operator[](int i) const
        {
            const auto four = q[i % 16 / 4] >> (4 * (i % 4 * 2 + i / 16)) & 15u;
            const auto sixteen = (i < 4 ? fifth << (4 - i) : fifth >> (i - 4)) & 16u;
            return Lanes::whole_numbers(four | sixteen) * d + m;
        }
    };

    static void encode(const float* x, const detail::extremes& e, q5_1& block)
    {
        const detail::steps_from_lowest steps(x, e, 31, block.d, block.m);
        std::uint32_t fifth = 0;
        for (int c = 0; c < 16; ++c) {
            const int low = steps[c], high = steps[c + 16];
            block.q[c] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
            fifth |= static_cast<std::uint32_t>(low >> 4 | high >> 4 << 16) << c;
        }
        for (int i = 0; i < 4; ++i) block.high[i] = static_cast<std::uint8_t>(fifth >> (8 * i));
    }
};

HEED_END
