// SPDX-License-Identifier: MIT
// Numbers of eight bits in floating point, E4M3, by tables in registers: AVX-512 with VBMI.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace simd::arch {

/// The bytes of E4M3 magnitudes as bf16, subnormal numbers and NaN like all others.
struct e4m3_table {
    std::uint8_t upper[128] = {}, lower[128] = {};

    constexpr e4m3_table()
    {
        for (int m = 1; m < 128; ++m) {
            int exponent = m >> 3, fraction = m & 7;
            if (exponent == 0) {
                for (exponent = 1; fraction < 8; fraction *= 2) --exponent;
                fraction -= 8;
            }
            const int as_bf16 = m == 127 ? 0x7fc0 : (exponent + 120) << 7 | fraction << 4;
            upper[m] = static_cast<std::uint8_t>(as_bf16 >> 8);
            lower[m] = static_cast<std::uint8_t>(as_bf16 & 255);
        }
    }
};
alignas(64) inline constexpr e4m3_table e4m3_as_bf16;

/// The upper bytes of 64 numbers, and the lower ones.
HEED_INLINE __m512i look_up(const std::uint8_t (&table)[128], __m512i magnitudes)
{
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), magnitudes, _mm512_load_si512(table + 64));
}
HEED_INLINE __m512i upper_bytes(__m512i b)
{
    constexpr int or_and = 0xf8;  // a | (b & c)
    return _mm512_ternarylogic_epi32(look_up(e4m3_as_bf16.upper, b), b, _mm512_set1_epi8(-128), or_and);
}
HEED_INLINE __m512i lower_bytes(__m512i b) { return look_up(e4m3_as_bf16.lower, b); }

HEED_INLINE __m512 load(const fp8_e4m3* p, machine::avx512)
{
    const __m512i b = _mm512_castsi128_si512(load_bytes(p)), upper = upper_bytes(b), lower = lower_bytes(b);
    const __m512i first = _mm512_unpacklo_epi8(lower, upper), last = _mm512_unpackhi_epi8(lower, upper);
    return widen(_mm256_setr_m128i(_mm512_castsi512_si128(first), _mm512_castsi512_si128(last)),
                 static_cast<const bf16*>(nullptr));
}
/// Sixty-four numbers. What is unpacked from each 128-bit lane is brought there first.
HEED_INLINE void load(const fp8_e4m3* p, __m512 (&out)[4], machine::avx512)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i b = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(p)), zero = _mm512_setzero_si512();
    const __m512i upper = upper_bytes(b), lower = lower_bytes(b);
    const __m512i first = _mm512_unpacklo_epi8(lower, upper), last = _mm512_unpackhi_epi8(lower, upper);
    out[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, first));
    out[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, first));
    out[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, last));
    out[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, last));
}
template <>
inline constexpr bool loads_four<machine::avx512, fp8_e4m3> = true;

/// What does not depend on i is done once for all four, by a compiler that sees them together.
HEED_INLINE __m512 take(words w, int i, const fp8_e4m3*, machine::avx512)
{
    const __m512i upper = upper_bytes(w), lower = lower_bytes(w);
    const __m512 x = _mm512_castsi512_ps(_mm512_unpacklo_epi8(lower, upper));
    const __m512 y = _mm512_castsi512_ps(_mm512_unpackhi_epi8(lower, upper));
    const __m512 pairs = i < 2 ? _mm512_shuffle_ps(x, y, 0x88) : _mm512_shuffle_ps(x, y, 0xdd);
    return take(_mm512_castps_si512(pairs), i % 2, static_cast<const bf16*>(nullptr), machine::avx512{});
}

}  // namespace simd::arch
HEED_END
