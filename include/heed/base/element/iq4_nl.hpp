// SPDX-License-Identifier: MIT
// iq4_nl: blocks of 32 channels of 4 bits, which are places in a table of levels that lie closer around 0; with the
// bytes of ggml.
//
// encode() writes the bytes of ggml's reference: levels nearest to x / d with the number of largest magnitude at -127,
// then the d of least squares, errors weighted by x^2. A number lies between the levels beside it, as it was divided
// first.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

namespace detail {
alignas(64) inline constexpr float iq4_nl_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                        1,    13,   25,  38,  53,  69,  89,  113};

/// The place of the level next to x; of two as near the larger.
inline int nearest_iq4_nl_level(float x)
{
    int at = 0;
    while (at < 15 && !(x < iq4_nl_levels[at + 1])) ++at;
    if (at == 15 || x <= iq4_nl_levels[0]) return at;
    return x - iq4_nl_levels[at] < iq4_nl_levels[at + 1] - x ? at : at + 1;
}
}  // namespace detail

/// 32 levels of the table (-127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113) and their scale: x_c = d
/// level(q_c). Byte i holds q_i below q_(i + 16).
struct iq4_nl {
    f16 d;               ///< scale
    std::uint8_t q[16];  ///< q_c, two in a byte

    /// x_c, for c in [0, 32).
    float operator[](int c) const { return float(d) * detail::iq4_nl_levels[detail::nibble_of(q, c)]; }
};
static_assert(sizeof(iq4_nl) == 18 && alignof(iq4_nl) == 2);

template <>
struct element_traits<iq4_nl> : detail::quantised_block<32> {
    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const iq4_nl& block, int at)
    {
        const auto q = Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16);
        return Lanes::look_up(detail::iq4_nl_levels, q) * Lanes::all(block.d);
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4];
        typename Lanes::floats d;

        columns() = default;
        HEED_INLINE columns(const iq4_nl* row, int, std::int64_t step_bytes, const columns&)
        {
            Lanes::transpose(row->q, step_bytes, q);
            d = Lanes::gather(&row->d, step_bytes);
        }
        HEED_INLINE auto operator[](int i) const
        {
            return Lanes::look_up(detail::iq4_nl_levels, q[i % 16 / 4] >> (4 * (i % 4 * 2 + i / 16))) * d;
        }
    };

    static void encode(const float* x, const detail::extremes& e, iq4_nl& block)
    {
        using detail::rounded_product;
        int q[32];
        for (int& place : q) place = 8;
        block.d = e.finite() ? f16(0.f) : detail::f16_nan();
        if (e.finite() && !(e.largest() < 1e-15f)) {
            float most = 0;  // the first of those of largest magnitude
            for (int c = 0; c < 32; ++c) most = libm::fabs(x[c]) > libm::fabs(most) ? x[c] : most;
            const float steps = 1 / (most / detail::iq4_nl_levels[0]);
            float products = 0, squares = 0;
            for (int c = 0; c < 32; ++c) {
                q[c] = detail::nearest_iq4_nl_level(rounded_product(steps, x[c]));
                const float level = detail::iq4_nl_levels[q[c]], weighted = rounded_product(x[c] * x[c], level);
                products += rounded_product(weighted, x[c]);
                squares += rounded_product(weighted, level);
            }
            block.d = f16(squares > 0 ? products / squares : 0.f);
            if (!(libm::fabs(float(block.d)) <= 65504.f)) block.d = detail::f16_nan();
        }
        for (int c = 0; c < 16; ++c) block.q[c] = static_cast<std::uint8_t>(q[c] | q[c + 16] << 4);
    }
};

HEED_END
