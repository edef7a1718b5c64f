// SPDX-License-Identifier: MIT
// mxfp4: blocks of 32 channels in floating point, E2M1, and a power of two for all of them: the MX format of OCP, with
// the bytes of ggml.
//
// encode() writes the bytes of ggml's reference: the power of two by which the number of largest magnitude lies from 4
// to below 8, of which 6 is the largest that there is, and the nearest of the numbers. (The exponent is taken exactly;
// ggml's log2f() rounds some numbers just below a power of two up to it.) A power of two below 2^-126 is what MXCSR
// makes of subnormal numbers, and what is beyond float an infinity.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

namespace detail {
/// Twice the numbers of E2M1, by their bits.
alignas(64) inline constexpr float mxfp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/// The bits of half of the power of two that e says, 2^(e - 128), as floats; of 255, a NaN. Words or a vector of them.
template <class Words>
Words half_of_power(Words e)
{
    const Words is_normal = 0u - ((e + 254u) >> 8), is_nan = 0u - ((e + 1u) >> 8);
    return (((e - 1u) << 23) & is_normal) | (((e + 1u) << 21) & ~is_normal) | (is_nan & 0x7fc00000u);
}
}  // namespace detail

/// 32 numbers of 4 bits (0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives) and a power of two: x_c = 2^(e - 127) q_c; NaN
/// where e is 255. Byte i holds q_i below q_(i + 16).
struct mxfp4 {
    std::uint8_t e;      ///< exponent of the scale, 127 above it
    std::uint8_t q[16];  ///< q_c, two in a byte

    /// 2^(e - 128): what twice q_c is multiplied by.
    float half_scale() const { return detail::float_of(detail::half_of_power(std::uint32_t{e})); }
    /// x_c, for c in [0, 32).
    float operator[](int c) const { return half_scale() * detail::mxfp4_levels[detail::nibble_of(q, c)]; }
};
static_assert(sizeof(mxfp4) == 17 && alignof(mxfp4) == 1);

template <>
struct element_traits<mxfp4> : detail::quantised_block<32> {
    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const mxfp4& block, int at)
    {
        const auto q = Lanes::halves(Lanes::bytes(block.q + at % 16), at >= 16);
        return Lanes::look_up(detail::mxfp4_levels, q) * typename Lanes::floats(block.half_scale());
    }

    /// The 32 channels of a block of each row.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 32;
        typename Lanes::words q[4];
        typename Lanes::floats d;

        columns() = default;
        HEED_INLINE columns(const mxfp4* row, int, std::int64_t step_bytes, const columns&)
        {
            typename Lanes::words from_e[4];  // and 15 of the 16 bytes behind it
            Lanes::transpose(&row->e, step_bytes, from_e);
            d = Lanes::from_bits(detail::half_of_power(from_e[0] & 255u));
            Lanes::transpose(row->q, step_bytes, q);
        }
        HEED_INLINE auto operator[](int i) const
        {
            return Lanes::look_up(detail::mxfp4_levels, q[i % 16 / 4] >> (4 * (i % 4 * 2 + i / 16))) * d;
        }
    };

    static void encode(const float* x, const detail::extremes& extremes, mxfp4& block)
    {
        const float most = extremes.finite() ? extremes.largest() : 0;
        int exponent = 0;
        libm::frexp(most, &exponent);
        const int e = exponent - 1 - 2 + 127;
        block.e = static_cast<std::uint8_t>(!extremes.finite() ? 255 : most > 0 && e > 0 ? e : 0);
        const float d = extremes.finite() ? block.half_scale() : 0;
        for (int c = 0; c < 16; ++c)
            block.q[c] = static_cast<std::uint8_t>(nearest(x[c], d) | nearest(x[c + 16], d) << 4);
    }

private:
    /// The first of the nearest; 0 beside a scale of 0.
    static int nearest(float x, float d)
    {
        if (d == 0) return 0;
        int best = 0;
        for (int i = 1; i < 16; ++i)
            if (libm::fabs(detail::mxfp4_levels[i] * d - x) < libm::fabs(detail::mxfp4_levels[best] * d - x)) best = i;
        return best;
    }
};

HEED_END
