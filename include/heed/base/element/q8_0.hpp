// SPDX-License-Identifier: MIT
// q8_0: blocks of 32 channels of 8 bits, with the bytes of ggml.
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

/// 32 whole numbers of 8 bits and their scale: x_c = d q_c.
struct q8_0 {
    f16 d;              ///< scale
    std::int8_t q[32];  ///< q_c

    /// x_c, for c in [0, 32).
    float operator[](int c) const { return float(d) * static_cast<float>(q[c]); }
};
static_assert(sizeof(q8_0) == 34 && alignof(q8_0) == 2);

template <>
struct element_traits<q8_0> : detail::quantised_block<32> {
    static constexpr bool holds_integers = true;

    /// The channels from the at-th on.
    template <class Lanes>
    static HEED_INLINE auto load(const q8_0& block, int at)
    {
        return Lanes::load(block.q + at) * Lanes::all(block.d);
    }

    /// 16 channels of a block of each row, from the at-th on; `before` has those before them.
    template <class Lanes>
    struct columns {
        static constexpr int channels = 16;
        typename Lanes::words q[4];
        typename Lanes::floats d;

        columns() = default;
        HEED_INLINE columns(const q8_0* row, int at, std::int64_t step_bytes, const columns& before)
        {
            Lanes::transpose(row->q + at, step_bytes, q);
            if (at == 0) d = Lanes::gather(&row->d, step_bytes);
            else d = before.d;
        }
        HEED_INLINE auto operator[](int i) const
        {
            return Lanes::template signed_top<8>(q[i / 4] << (24 - 8 * (i % 4))) * d;
        }
    };

    template <class Lanes>
    static HEED_INLINE auto integers(const q8_0& block, int at)
    {
        return Lanes::shorts(block.q + at);
    }
    template <class Lanes>
    struct integer_columns : detail::integer_bytes<Lanes> {
        HEED_INLINE integer_columns(const q8_0* row, int at, std::int64_t stride)
            : detail::integer_bytes<Lanes>(row->q + at, stride)
        {}
    };
    template <class Lanes>
    static HEED_INLINE auto scales(const q8_0* block, std::int64_t stride)
    {
        return Lanes::gather(&block->d, stride);
    }

    /// The bytes of a block, and as numbers without sign: 128 more.
    static constexpr int bytes_at_once = 32, fields = 1, bias = 128;
    static HEED_INLINE const void* bytes(const q8_0* row, std::int64_t c) { return row[c / 32].q; }
    template <class Words>
    static HEED_INLINE Words field(Words w, int)
    {
        return w ^ 0x80808080u;
    }

    static void encode(const float* x, const detail::extremes& e, q8_0& block)
    {
        block.d = detail::f16_nan();
        if (e.finite()) {
            const float most = e.largest();
            block.d = detail::f16_that_fits(most / 127, [&](float d) { return most <= 127.5f * d; });
        }
        const float d = detail::zero_if_nan(block.d);
        for (int c = 0; c < 32; ++c) block.q[c] = static_cast<std::int8_t>(detail::whole_number(x[c], d, -127, 127));
    }
};

HEED_END
