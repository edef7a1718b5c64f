// SPDX-License-Identifier: MIT
// q4_0: blocks of 32 channels of 4 bits, with the bytes of ggml.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// 32 whole numbers of 4 bits and their scale: x_c = d (q_c - 8). Byte i holds q_i below q_(i + 16).
struct q4_0 {
    f16 d;               ///< scale
    std::uint8_t q[16];  ///< q_c, two in a byte

    /// x_c, for c in [0, 32).
    float operator[](int c) const { return float(d) * static_cast<float>(detail::nibble_of(q, c) - 8); }
};
static_assert(sizeof(q4_0) == 18 && alignof(q4_0) == 2);

template <>
struct element_traits<q4_0> : detail::quantised_block<32> {
    static constexpr bool holds_integers = true;

    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const q4_0& block, int at)
    {
        const auto q = Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16);
        return Lanes::whole_numbers(q - 8u) * Lanes::all(block.d);
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4];  // as q - 8 in four bits of two's complement
        typename Lanes::floats d;

        columns() = default;
        HEED_INLINE columns(const q4_0* row, int, std::int64_t step_bytes, const columns&)
        {
            Lanes::transpose(row->q, step_bytes, q);
            d = Lanes::gather(&row->d, step_bytes);
            HEED_UNROLL
            for (auto& w : q) w = w ^ 0x88888888u;
        }
        HEED_INLINE auto operator[](int i) const
        {
            return Lanes::template signed_top<4>(q[i % 16 / 4] << (28 - 4 * (i % 4 * 2 + i / 16))) * d;
        }
    };

    template <class Lanes>
    static HEED_INLINE auto integers(const q4_0& block, int at)
    {
        return Lanes::signed_nibbles(block.q, at);
    }
    /// The 32 channels of a block of each row: q - 8 as four bits of two's complement.
    template <class Lanes>
    struct integer_columns {
        static constexpr int channels = 32, pair_apart = 2;
        typename Lanes::words q[4];

        HEED_INLINE integer_columns(const q4_0* row, int, std::int64_t stride)
        {
            Lanes::transpose_pairs(row->q, stride, q);
            HEED_UNROLL
            for (auto& w : q) w = w ^ 0x88888888u;
        }
        HEED_INLINE auto pair(int i) const { return Lanes::template signed_fields<4>(q[i / 4], 4 * (i % 4)); }
        static constexpr int first_of_pair(int i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * 16; }
    };
    template <class Lanes>
    static HEED_INLINE auto scales(const q4_0* block, std::int64_t stride)
    {
        return Lanes::gather(&block->d, stride);
    }

    /// The bytes of a block, and their halves as numbers without sign: 8 more.
    static constexpr int bytes_at_once = 16, fields = 2, bias = 8;
    static HEED_INLINE const void* bytes(const q4_0* row, std::int64_t c) { return row[c / 32].q; }
    template <class Words>
    static HEED_INLINE Words field(Words w, int f)
    {
        return f == 0 ? w & 0x0f0f0f0fu : w >> 4 & 0x0f0f0f0fu;
    }

    static void encode(const float* x, const detail::extremes& e, q4_0& block)
    {
        block.d = detail::scale_to_longer_end(e, 8);
        const float d = detail::zero_if_nan(block.d);
        const auto q = [&](int c) { return detail::whole_number(x[c], d, -8, 7) + 8; };
        for (int c = 0; c < 16; ++c) block.q[c] = static_cast<std::uint8_t>(q(c) | q(c + 16) << 4);
    }
};

HEED_END
