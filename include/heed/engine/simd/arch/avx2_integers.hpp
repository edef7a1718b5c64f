// SPDX-License-Identifier: MIT
// Products of whole numbers of 16 bits with AVX2, and with AVX-VNNI where the CPU has it.
#pragma once

#include "avx2_quantised.hpp"

HEED_BEGIN
namespace simd::arch {

HEED_INLINE __m256i load_shorts(const std::int8_t* p, machine::avx2)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
HEED_INLINE __m256i load_signed_nibbles(const std::uint8_t* p, int at, machine::avx2)
{
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i four = _mm_and_si128(_mm_srl_epi16(both, _mm_cvtsi32_si128(at >= 16 ? 4 : 0)), _mm_set1_epi8(15));
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(four, _mm_set1_epi8(8)));
}
HEED_INLINE __m256i narrow_to_shorts(__m256 first, __m256 second, machine::avx2)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(first), _mm256_cvtps_epi32(second)), 0xd8);
}
HEED_INLINE void interleave_shorts(__m256i a, __m256i b, __m256i (&out)[2])
{
    out[0] = _mm256_unpacklo_epi16(a, b);
    out[1] = _mm256_unpackhi_epi16(a, b);
}
HEED_INLINE void restore_order(__m256i (&w)[2])
{
    const __m256i low = w[0];
    w[0] = _mm256_permute2x128_si256(low, w[1], 0x20);
    w[1] = _mm256_permute2x128_si256(low, w[1], 0x31);
}
HEED_INLINE void dot_shorts(__m256i& acc, __m256i a, __m256i b)
{
#if defined(__AVXVNNI__)
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
#else
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
#endif
}

}  // namespace simd::arch
HEED_END
