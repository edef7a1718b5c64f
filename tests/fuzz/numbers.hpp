// SPDX-License-Identifier: MIT
// Numbers of every element type, written and read here without the library's conversions; and what problems are filled
// with.
#pragma once

#include "input.hpp"

#include <heed/heed.hpp>

#include <cstring>

namespace fuzz {

/// Sign, exponent and fraction of a small float as a number.
inline double small_float(unsigned bits, int exponent_bits, int fraction_bits, int bias, bool has_infinity,
                          bool has_nan = true)
{
    const unsigned fraction = bits & ((1u << fraction_bits) - 1);
    const unsigned exponent = bits >> fraction_bits & ((1u << exponent_bits) - 1);
    const double sign = bits >> (exponent_bits + fraction_bits) & 1 ? -1 : 1;
    if (has_nan && exponent == (1u << exponent_bits) - 1) {
        if (has_infinity) return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
        if (fraction == (1u << fraction_bits) - 1) return std::nan("");
    }
    const double digits = fraction + (exponent ? std::ldexp(1., fraction_bits) : 0.);
    return sign * std::ldexp(digits, (exponent ? static_cast<int>(exponent) : 1) - bias - fraction_bits);
}

inline double number(float x) { return static_cast<double>(x); }
inline double number(double x) { return x; }
inline double number(heed::bf16 x) { return small_float(x.bits, 8, 7, 127, true); }
inline double number(heed::f16 x) { return small_float(x.bits, 5, 10, 15, true); }
inline double number(heed::fp8_e4m3 x) { return small_float(x.bits, 4, 3, 7, false); }
inline double number(heed::fp8_e5m2 x) { return small_float(x.bits, 5, 2, 15, true); }
inline double number(std::int8_t x) { return x; }

/// To float.
inline double rounded(double x) { return static_cast<double>(static_cast<float>(x)); }

/// Channel c of a row.
template <class E>
double channel(const E* row, int64 c)
{
    if constexpr (std::is_same_v<E, heed::q8_0>) {
        return number(row[c / 32].d) * row[c / 32].q[c % 32];
    } else if constexpr (std::is_same_v<E, heed::q4_0>) {
        const int pair = row[c / 32].q[c % 16];
        return number(row[c / 32].d) * ((c % 32 < 16 ? pair & 15 : pair >> 4) - 8);
    } else if constexpr (std::is_same_v<E, heed::q5_0>) {
        const int pair = row[c / 32].q[c % 16], fifth = row[c / 32].high[c % 32 / 8] >> c % 8 & 1;
        return number(row[c / 32].d) * ((c % 32 < 16 ? pair & 15 : pair >> 4) + 16 * fifth - 16);
    } else if constexpr (std::is_same_v<E, heed::q4_1>) {
        const int pair = row[c / 32].q[c % 16];
        return rounded(number(row[c / 32].d) * (c % 32 < 16 ? pair & 15 : pair >> 4) + number(row[c / 32].m));
    } else if constexpr (std::is_same_v<E, heed::q5_1>) {
        const int pair = row[c / 32].q[c % 16], fifth = row[c / 32].high[c % 32 / 8] >> c % 8 & 1;
        return rounded(number(row[c / 32].d) * ((c % 32 < 16 ? pair & 15 : pair >> 4) + 16 * fifth) +
                       number(row[c / 32].m));
    } else if constexpr (std::is_same_v<E, heed::iq4_nl>) {
        constexpr int levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
        const int pair = row[c / 32].q[c % 16];
        return number(row[c / 32].d) * levels[c % 32 < 16 ? pair & 15 : pair >> 4];
    } else if constexpr (std::is_same_v<E, heed::mxfp4>) {
        const int pair = row[c / 32].q[c % 16], code = c % 32 < 16 ? pair & 15 : pair >> 4, e = row[c / 32].e;
        if (e == 255) return std::nan("");
        return rounded(std::ldexp(small_float(static_cast<unsigned>(code), 2, 1, 1, false, false), e - 127));
    } else {
        return number(row[c]);
    }
}

/// The same of blocks with a zero point.
inline double with_zero_point(int q, float zero, float by) { return rounded(rounded(q - number(zero)) * number(by)); }
template <int Group>
double channel(const heed::u8_block<Group>* row, int64 c)
{
    const heed::u8_block<Group>& block = row[c / Group];
    return with_zero_point(block.q[c % Group], block.zero, block.scale);
}
template <int Group>
double channel(const heed::u4_block<Group>* row, int64 c)
{
    const heed::u4_block<Group>& block = row[c / Group];
    const int pair = block.q[c % Group / 2];
    return with_zero_point(c % 2 == 0 ? pair >> 4 : pair & 15, block.zero, block.scale);
}

/// The nearest below in size, or an infinity.
template <class E>
E element_of(double x)
{
    if constexpr (std::is_same_v<E, double>) {
        return x;
    } else if constexpr (std::is_same_v<E, float>) {
        return static_cast<float>(x);
    } else if constexpr (std::is_same_v<E, heed::bf16>) {
        const auto f = static_cast<float>(x);
        std::uint32_t b;
        std::memcpy(&b, &f, sizeof(b));
        heed::bf16 e;
        e.bits = static_cast<std::uint16_t>(x == x ? b >> 16 : 0x7fc0u);
        return e;
    } else {
        static_assert(std::is_same_v<E, heed::f16>);
        heed::f16 e;
        const unsigned sign = std::signbit(x) ? 0x8000u : 0;
        if (x != x) e.bits = 0x7e00u;
        else if (std::fabs(x) >= 65520) e.bits = static_cast<std::uint16_t>(sign | 0x7c00u);
        else {
            int exponent = 0;
            std::frexp(x, &exponent);
            exponent = x == 0 || exponent < -13 ? -13 : exponent;  // 2^(exponent - 1) is the leading digit's
            const auto digits = static_cast<unsigned>(std::ldexp(std::fabs(x), 11 - exponent));
            e.bits = static_cast<std::uint16_t>(sign | ((static_cast<unsigned>(exponent + 13) << 10) + digits));
        }
        return e;
    }
}

/// What a tensor is filled with.
struct family {
    double spread = 1, offset = 0;
    bool whole = false;  // small whole numbers, whose sums are exact

    static family drawn(input& in)
    {
        constexpr double spreads[] = {1, 1, 1, 3, 8, 0.1, 1e-2, 1e-4, 0, 30};
        family f;
        f.whole = in.one_in(5);
        f.spread = in.one_of(spreads);
        f.offset = in.one_in(12) ? 5 : 0;
        return f;
    }
    double draw(input& in) const
    {
        const double x = spread * in.normal();
        return whole ? std::nearbyint(x) : x + offset;
    }
};

/// NaN, Inf, extremes.
inline double special(input& in)
{
    constexpr double inf = std::numeric_limits<double>::infinity();
    const double choices[] = {std::nan(""), inf, -inf, -0., 1e-40, -1e-42, 1e30, -1e30, 3e38, 1e-30, 88, -89};
    return in.one_of(choices);
}

template <class T>
inline constexpr double unit_of = 0x1p-24;
template <>
inline constexpr double unit_of<double> = 0x1p-53;
template <>
inline constexpr double unit_of<heed::bf16> = 0x1p-8;
template <>
inline constexpr double unit_of<heed::f16> = 0x1p-11;

/// The smallest step between numbers, and a size beyond which results may overflow.
template <class T>
inline constexpr double smallest_step = 0x1p-149;
template <>
inline constexpr double smallest_step<double> = 0x1p-1074;
template <>
inline constexpr double smallest_step<heed::bf16> = 0x1p-133;
template <>
inline constexpr double smallest_step<heed::f16> = 0x1p-24;
template <class T>
inline constexpr double overflow = 1e37;
template <>
inline constexpr double overflow<heed::f16> = 6e4;
template <>
inline constexpr double overflow<double> = 1e300;

}  // namespace fuzz
