// SPDX-License-Identifier: MIT
// q4_1: blocks of 32 channels of 4 bits between a lowest number and the largest, with the bytes of ggml.
//
// A number is d q + m, rounded once to float: d q is exact, and the sum of two f16 is not always. encode() writes the
// bytes of ggml's reference, which rounds d and m to f16 behind the choice of q: a number is off by half of d, and by
// what that rounding moves, up to 2^-11 of the block's lowest number and of its width.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// 32 whole numbers of 4 bits without a sign, their scale and the lowest number: x_c = d q_c + m. Byte i holds q_i
/// below q_(i + 16).
struct q4_1 {
    f16 d, m;            ///< x_c = d q_c + m
    std::uint8_t q[16];  ///< q_c, two in a byte

    /// x_c, for c in [0, 32).
    float operator[](int c) const { return float(d) * static_cast<float>(detail::nibble_of(q, c)) + float(m); }
};
static_assert(sizeof(q4_1) == 20 && alignof(q4_1) == 2);

template <>
struct element_traits<q4_1> : detail::quantised_block<32> {
    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const q4_1& block, int at)
    {
        const auto q = Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16);
        return Lanes::whole_numbers(q) * Lanes::all(block.d) + Lanes::all(block.m);
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4];
        typename Lanes::floats d, m;

        columns() = default;
        HEED_INLINE columns(const q4_1* row, int, std::int64_t step_bytes, const columns&)
        {
            Lanes::transpose(row->q, step_bytes, q);
            d = Lanes::gather(&row->d, step_bytes);
            m = Lanes::gather(&row->m, step_bytes);
        }
        HEED_INLINE auto operator[](int i) const
        {
            return Lanes::whole_numbers(q[i % 16 / 4] >> (4 * (i % 4 * 2 + i / 16)) & 15u) * d + m;
        }
    };

    static void encode(const float* x, const detail::extremes& e, q4_1& block)
    {
        const detail::steps_from_lowest steps(x, e, 15, block.d, block.m);
        for (int c = 0; c < 16; ++c) block.q[c] = static_cast<std::uint8_t>(steps[c] | steps[c + 16] << 4);
    }
};

HEED_END
