// SPDX-License-Identifier: MIT
// codes: whole numbers without a sign, 8 bits or 4 each, whose scales and zero points lie elsewhere
// (kv/scaled.hpp): the K of caches that are quantised by channel, as KIVI and OpenVINO keep it.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// 32 channels of a row as whole numbers [0, 2^Bits). Of 4 bits byte i holds q_2i above q_(2i + 1), as in u4_block.
template <int Bits>
struct codes {
    static_assert(Bits == 8 || Bits == 4, "heed: codes have 8 bits or 4");
    static constexpr int most = (1 << Bits) - 1;  ///< the largest number
    std::uint8_t q[4 * Bits];                     ///< one number a byte, or two

    float operator[](int c) const { return static_cast<float>(code(c)); }  ///< x_c, for c in [0, 32)
    /// q_c.
    int code(int c) const
    {
        if constexpr (Bits == 8) return q[c];
        else return q[c / 2] >> (c % 2 == 0 ? 4 : 0) & 15;
    }
    /// q_c becomes `to`, in [0, most].
    void set(int c, int to)
    {
        std::uint8_t& byte = q[c * Bits / 8];
        if constexpr (Bits == 8) byte = static_cast<std::uint8_t>(to);
        else byte = static_cast<std::uint8_t>(c % 2 == 0 ? (byte & 15) | to << 4 : (byte & 0xf0) | to);
    }
};

template <int Bits>
struct element_traits<codes<Bits>> : detail::quantised_block<32> {
    static constexpr bool needs_scales = true;

    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const codes<Bits>& block, int at)
    {
        if constexpr (Bits == 8) return Lanes::whole_numbers(Lanes::bytes(block.q + at));
        else return Lanes::whole_numbers(Lanes::upper_halves_first(block.q + at / 2));
    }

    /// 16 bytes of each row, from channel `at` of a block on.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 128 / Bits;
        typename Lanes::words q[4];

        columns() = default;
        HEED_INLINE columns(const codes<Bits>* row, int at, std::int64_t step_bytes, const columns&)
        {
            Lanes::transpose(row->q + at * Bits / 8, step_bytes, q);
        }
        HEED_INLINE auto operator[](int i) const
        {
            if constexpr (Bits == 8) return Lanes::whole_numbers(q[i / 4] >> (8 * (i % 4)) & 255u);
            else return Lanes::whole_numbers(q[i / 8] >> ((i % 2 == 0 ? 4 : 0) + 8 * (i % 8 / 2)) & 15u);
        }
    };
};

namespace detail {
template <class E>
inline constexpr bool is_codes_v = false;
template <int Bits>
inline constexpr bool is_codes_v<codes<Bits>> = true;
}  // namespace detail

HEED_END
