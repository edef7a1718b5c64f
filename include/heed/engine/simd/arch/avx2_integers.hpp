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
/// By hand: gcc 12 takes all products of a loop before their sums, and keeps them in memory.
HEED_INLINE void dot_shorts(__m256i& acc, __m256i a, __m256i b)
{
#if defined(__AVXVNNI__)
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
#else
    __m256i product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(product) : "x"(a), "x"(b));
#endif
}
HEED_INLINE void dot_shorts(__m256i& acc, __m256i a, const std::uint32_t* p)
{
    const auto& b = *reinterpret_cast<const __m256i_u*>(p);
#if defined(__AVXVNNI__)
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(a), "m"(b));
#else
    __m256i product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(product) : "x"(a), "m"(b));
#endif
}

}  // namespace simd::arch
HEED_END
