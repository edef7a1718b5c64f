// SPDX-License-Identifier: MIT
// u4_block: a scale, a zero point and numbers of 4 bits without a sign, with the bytes of OpenVINO's u4 caches, as
// u8_block has those of its u8 caches.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// Whole numbers of 4 bits, their scale and the zero point: x_c = (q_c - zero) scale, rounded as in u8_block. Byte i
/// holds q_2i above q_(2i + 1).
template <int Channels>
struct u4_block {
    static_assert(Channels > 0 && Channels % 32 == 0, "heed: a u4_block has a multiple of 32 channels");
    float scale, zero;             ///< x_c = (q_c - zero) scale
    std::uint8_t q[Channels / 2];  ///< q_c, two in a byte

    /// x_c, for c in [0, Channels).
    float operator[](int c) const
    {
        const int four = c % 2 == 0 ? q[c / 2] >> 4 : q[c / 2] & 15;
        return (static_cast<float>(four) - zero) * scale;
    }
};

template <int Channels>
struct element_traits<u4_block<Channels>> : detail::quantised_block<Channels> {
    using block_type = u4_block<Channels>;
    static_assert(sizeof(block_type) == Channels / 2 + 8 && alignof(block_type) == 4);

    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const block_type& block, int at)
    {
        const auto q = Lanes::whole_numbers(Lanes::upper_halves_first(block.q + at / 2));
        return (q - Lanes::all(block.zero)) * Lanes::all(block.scale);
    }

    /// 32 channels of a block of each row, from the at-th on; `before` has those before them.
    template <class Lanes>
    struct columns : detail::scale_and_zero<Lanes> {
        static constexpr int channels = 32;
        typename Lanes::words q[4];

        columns() = default;
        HEED_INLINE columns(const block_type* row, int at, std::int64_t step_bytes, const columns& before)
            : detail::scale_and_zero<Lanes>(&row->scale, at, step_bytes, before)
        {
            Lanes::transpose(row->q + at / 2, step_bytes, q);
        }
        HEED_INLINE auto operator[](int i) const
        {
            return this->number(q[i / 8] >> (8 * (i % 8 / 2) + (i % 2 == 0 ? 4 : 0)) & 15u);
        }
    };

    static void encode(const float* x, const detail::extremes& e, block_type& block)
    {
        const detail::steps_around_zero steps(x, Channels, e, 15, block.scale, block.zero);
        for (int i = 0; i < Channels / 2; ++i)
            block.q[i] = static_cast<std::uint8_t>(steps[2 * i] << 4 | steps[2 * i + 1]);
    }
};

HEED_END
