// SPDX-License-Identifier: MIT
// What quantised elements load of a machine with AVX-512: bytes, single or in transposed words, and scales.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace simd::arch {

HEED_INLINE __m512 broadcast(const f16& x, machine::avx512)
{
    return widen(_mm256_set1_epi16(static_cast<std::int16_t>(x.bits)), &x);
}

HEED_INLINE __m512 load(const std::int8_t* p, machine::avx512)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(p)));
}

/// E5M2 is the upper byte of an f16.
HEED_INLINE __m512 load(const fp8_e5m2* p, machine::avx512)
{
    return widen(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_bytes(p)), 8), static_cast<const f16*>(nullptr));
}
HEED_INLINE __m512 take(words w, int i, const fp8_e5m2*, machine::avx512)
{
    const __m512i upper = i == 0 ? _mm512_slli_epi32(w, 8) : _mm512_srli_epi32(w, static_cast<unsigned>(8 * i - 8));
    const __m512i halves = _mm512_and_si512(upper, _mm512_set1_epi32(0xff00));
    return widen(_mm512_cvtepi32_epi16(halves), static_cast<const f16*>(nullptr));
}

template <class E, class = std::enable_if_t<sizeof(E) == 1>, class = void>
HEED_INLINE __m512 load_n(const E* p, int n, machine::avx512)
{
    E part[16] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return as_register<__m512>(arch::load(part, machine::avx512{}));
}

/// Bytes as words.
HEED_INLINE words load_bytes_as_words(const std::uint8_t* p, machine::avx512)
{
    return _mm512_cvtepu8_epi32(load_bytes(p));
}

HEED_INLINE __m512 look_up(const float (&table)[16], words w, machine::avx512)
{
    return _mm512_permutexvar_ps(w, _mm512_load_ps(table));
}

/// Sixteen f16 that are `stride` bytes apart.
HEED_INLINE __m512 gather(const f16* first, std::int64_t stride, machine::avx512)
{
    const auto at = [&](int j) HEED_INLINE_LAMBDA {
        std::int16_t bits;
        std::memcpy(&bits, reinterpret_cast<const char*>(first) + j * stride, sizeof(bits));
        return bits;
    };
    return widen(_mm256_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10), at(11),
                                   at(12), at(13), at(14), at(15)),
                 first);
}

}  // namespace simd::arch
HEED_END
