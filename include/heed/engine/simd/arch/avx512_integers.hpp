// SPDX-License-Identifier: MIT
// Products of whole numbers of 16 bits with AVX-512, and with VNNI where the CPU has it.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace simd::arch {

HEED_INLINE words load_shorts(const std::int8_t* p, machine::avx512)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
HEED_INLINE words load_signed_nibbles(const std::uint8_t* p, int, machine::avx512)
{
    const __m128i both = load_bytes(p);
    const __m256i all = _mm256_inserti128_si256(_mm256_castsi128_si256(both), _mm_srli_epi16(both, 4), 1);
    const __m256i four = _mm256_and_si256(all, _mm256_set1_epi8(15));
    return _mm512_cvtepi8_epi16(_mm256_sub_epi8(four, _mm256_set1_epi8(8)));
}
HEED_INLINE words narrow_to_shorts(__m512 first, __m512 second, machine::avx512)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_cvtps_epi32(first))),
                              _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(second)), 1);
}
HEED_INLINE void interleave_shorts(__m512i a, __m512i b, __m512i (&out)[2])
{
    out[0] = _mm512_unpacklo_epi16(a, b);
    out[1] = _mm512_unpackhi_epi16(a, b);
}
HEED_INLINE void restore_order(__m512i (&w)[2])
{
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    const __m512i low = w[0];
    w[0] = _mm512_permutex2var_epi64(low, first, w[1]);
    w[1] = _mm512_permutex2var_epi64(low, last, w[1]);
}

/// By hand: gcc 12 copies and spills the sums of its own intrinsic.
HEED_INLINE void dot_shorts(__m512i& acc, __m512i a, __m512i b)
{
#if defined(__AVX512VNNI__)
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
#else
    acc = _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}
HEED_INLINE void dot_shorts(__m512i& acc, __m512i a, const std::uint32_t* p)
{
    dot_shorts(acc, a, _mm512_loadu_si512(p));
}

}  // namespace simd::arch
HEED_END
