// SPDX-License-Identifier: MIT
// std::int8_t as an element: whole numbers, with scales beside them (kv/scaled.hpp).
#pragma once

#include "contract.hpp"
#include "rounding.hpp"

HEED_BEGIN

template <>
struct element_traits<std::int8_t> : detail::quantised_number<std::int8_t> {
    static constexpr bool needs_scales = true, holds_nan = false, holds_integers = true;

    /// The i-th byte of each word.
    template <class Lanes>
    static HEED_INLINE auto take(typename Lanes::words w, int i)
    {
        return Lanes::template signed_top<8>(w << (24 - 8 * i));
    }

    template <class Lanes>
    static HEED_INLINE auto integers(const std::int8_t* p)
    {
        return Lanes::shorts(p);
    }
    template <class Lanes>
    struct integer_columns : detail::integer_bytes<Lanes> {
        HEED_INLINE integer_columns(const std::int8_t* row, int, std::int64_t stride)
            : detail::integer_bytes<Lanes>(row, stride)
        {}
    };

    /// The bytes from channel c on, and as numbers without sign: 128 more.
    static constexpr int bytes_at_once = 0, fields = 1, bias = 128;
    static HEED_INLINE const void* bytes(const std::int8_t* row, std::int64_t c) { return row + c; }
    template <class Words>
    static HEED_INLINE Words field(Words w, int)
    {
        return w ^ 0x80808080u;
    }

    /// -128 is not used: its negative is none.
    static float scale_for(const detail::extremes& e)
    {
        const float most = e.largest();
        float wanted = most / 127;
        if (127 * wanted > std::numeric_limits<float>::max()) wanted = libm::nextafter(wanted, 0.f);
        // In double: half of the smallest float is none.
        return detail::scale_that_fits(wanted, [&](float s) { return double(most) <= 127.5 * double(s); });
    }
    /// What is beyond 127 scales becomes that.
    static std::int8_t encode(float x, float scale)
    {
        return static_cast<std::int8_t>(detail::whole_number(x, scale, -127, 127));
    }
};

HEED_END
