// SPDX-License-Identifier: MIT
// Numbers of eight bits in floating point, E4M3, by integers: AVX-512 without VBMI.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace simd::arch {

/// The E4M3 numbers in the upper bytes of 32-bit lanes whose other bytes are 0, as floats. With the magnitude in its
/// place, y is the number if that is normal. A subnormal one is 2 y - 2^-6, which is the lower of the two only there:
/// multiplied by a power of two, it would be a subnormal float first (Zen 5: some 30 cycles). NaN has one magnitude.
HEED_INLINE __m512 widen_upper(__m512i b)
{
    const __m512i sign = _mm512_and_si512(b, _mm512_set1_epi32(static_cast<int>(0x80000000)));
    const __m512i magnitude = _mm512_srli_epi32(_mm512_xor_si512(b, sign), 4);
    const __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(magnitude, _mm512_set1_epi32(120 << 23)));
    const __m512 x = min(y, fma(y, _mm512_set1_ps(2), _mm512_set1_ps(-0x1p-6f)));
    const __mmask16 is_nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f << 20));
    return _mm512_castsi512_ps(_mm512_mask_or_epi32(_mm512_or_si512(_mm512_castps_si512(x), sign), is_nan, sign,
                                                    _mm512_set1_epi32(0x7fc00000)));
}
HEED_INLINE __m512 load(const fp8_e4m3* p, machine::avx512)
{
    return widen_upper(_mm512_slli_epi32(_mm512_cvtepu8_epi32(load_bytes(p)), 24));
}
HEED_INLINE __m512 take(words w, int i, const fp8_e4m3*, machine::avx512)
{
    return widen_upper(_mm512_and_si512(_mm512_slli_epi32(w, static_cast<unsigned>(24 - 8 * i)),
                                        _mm512_set1_epi32(static_cast<int>(0xff000000))));
}

}  // namespace simd::arch
HEED_END
