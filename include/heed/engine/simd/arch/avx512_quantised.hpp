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

/// Sixteen f16 that are `stride` bytes apart, four from a pointer: of sixteen addresses most would be kept on the
/// stack.
HEED_INLINE __m512 gather(const f16* first, std::int64_t stride, machine::avx512)
{
    const char* p = reinterpret_cast<const char*>(first);
    const auto four = [&]() HEED_INLINE_LAMBDA {
        const auto at = [&](std::int64_t offset) HEED_INLINE_LAMBDA {
            std::int16_t bits;
            std::memcpy(&bits, p + offset, sizeof(bits));
            return bits;
        };
        __m128i w = _mm_cvtsi32_si128(at(0));
        w = _mm_insert_epi16(w, at(stride), 1);
        w = _mm_insert_epi16(w, at(2 * stride), 2);
        w = _mm_insert_epi16(w, at(3 * stride), 3);
        p = opaque(p + 4 * stride);
        return w;
    };
    const __m128i a = four(), b = four(), c = four(), d = four();
    return widen(_mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b)), first);
}

}  // namespace simd::arch
HEED_END
