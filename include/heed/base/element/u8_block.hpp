// SPDX-License-Identifier: MIT
// u8_block: a scale, a zero point and numbers of 8 bits without a sign, with the bytes of OpenVINO's u8 caches: a row
// of its pages is one block where scales are of tokens and heads, and a block for each group of channels where they are
// of groups (openvino, src/plugins/intel_cpu/src/nodes/kernels/scaled_attn/attn_quant.cpp).
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// Whole numbers of 8 bits, their scale and the zero point: x_c = (q_c - zero) scale, where difference and product are
/// each rounded to float. A zero point need not be whole. `Channels` is the size of a group, or the head size.
template <int Channels>
struct u8_block {
    static_assert(Channels > 0 && Channels % 32 == 0, "heed: a u8_block has a multiple of 32 channels");
    float scale, zero;         ///< x_c = (q_c - zero) scale
    std::uint8_t q[Channels];  ///< q_c

    /// x_c, for c in [0, Channels).
    float operator[](int c) const { return (static_cast<float>(q[c]) - zero) * scale; }
};

template <int Channels>
struct element_traits<u8_block<Channels>> : detail::quantised_block<Channels> {
    using block_type = u8_block<Channels>;
    static_assert(sizeof(block_type) == Channels + 8 && alignof(block_type) == 4);

    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const block_type& block, int at)
    {
        const auto q = Lanes::whole_numbers(Lanes::bytes(block.q + at));
        return (q - Lanes::all(block.zero)) * Lanes::all(block.scale);
    }

    /// 16 channels of a block of each row, from the at-th on; `before` has those before them.
    template <class Lanes>
    struct columns : detail::scale_and_zero<Lanes> {
        static constexpr int channels = 16;
        typename Lanes::words q[4];

        columns() = default;
        HEED_INLINE columns(const block_type* row, int at, std::int64_t step_bytes, const columns& before)
            : detail::scale_and_zero<Lanes>(&row->scale, at, step_bytes, before)
        {
            Lanes::transpose(row->q + at, step_bytes, q);
        }
        HEED_INLINE auto operator[](int i) const { return this->number(q[i / 4] >> (8 * (i % 4)) & 255u); }
    };

    static void encode(const float* x, const detail::extremes& e, block_type& block)
    {
        const detail::steps_around_zero steps(x, Channels, e, 255, block.scale, block.zero);
        for (int c = 0; c < Channels; ++c) block.q[c] = static_cast<std::uint8_t>(steps[c]);
    }
};

HEED_END
