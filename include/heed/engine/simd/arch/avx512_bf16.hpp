// SPDX-License-Identifier: MIT
// Pairs of bf16 that are multiplied and added at once: AVX512_BF16.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace simd::arch {

template <>
inline constexpr bool has_bf16_dots_of<machine::avx512> = true;

/// acc += a.first * b.first + a.second * b.second in each lane; subnormal numbers count as 0.
HEED_INLINE void dot(__m512& acc, __m512i a, __m512i b) { acc = _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }

/// Sixteen floats rounded to bf16, ties to even; subnormal ones become 0.
HEED_INLINE __m512 rounded_to_bf16(__m512 v)
{
    return widen((__m256i)_mm512_cvtneps_pbh(v), static_cast<bf16*>(nullptr));
}

/// Stores them as bf16, rounded in the same way.
HEED_INLINE void store_rounded(bf16* p, __m512 v)
{
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
}

HEED_INLINE __m512i broadcast(bf16_pair pair, machine::avx512)
{
    std::uint32_t bits;
    std::memcpy(&bits, &pair, sizeof(bits));
    return _mm512_set1_epi32(static_cast<int>(bits));
}
HEED_INLINE __m512i load(const bf16_pair* p, machine::avx512) { return _mm512_loadu_si512(p); }
HEED_INLINE void store(bf16_pair* p, __m512i v) { _mm512_storeu_si512(p, v); }
HEED_INLINE __m512i in_register(__m512i v)
{
    __asm__("" : "+v"(v));
    return v;
}

/// {a[c], b[c]} for 16 channels c.
HEED_INLINE __m512i pair_rows(const bf16* a, const bf16* b, machine::avx512)
{
    const __m512i first = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)));
    const __m512i second = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)));
    return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

}  // namespace simd::arch
HEED_END
