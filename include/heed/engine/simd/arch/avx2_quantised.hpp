// SPDX-License-Identifier: MIT
// What quantised elements load of a machine with AVX2: bytes, single or in transposed words, and scales.
#pragma once

#include "avx2.hpp"

HEED_BEGIN
namespace simd::arch {

HEED_INLINE __m256 broadcast(const f16& x, machine::avx2)
{
    return widen(_mm_set1_epi16(static_cast<std::int16_t>(x.bits)), &x);
}

HEED_INLINE __m128i load_bytes(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
HEED_INLINE __m256 load(const std::int8_t* p, machine::avx2)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes(p)));
}

/// The E4M3 numbers in the upper bytes of 32-bit lanes whose other bytes are 0, as floats. With the magnitude in its
/// place, y is the number if that is normal. A subnormal one is 2 y - 2^-6, which is the lower of the two only there:
/// multiplied by a power of two, it would be a subnormal float first (Zen 5: some 30 cycles). NaN has one magnitude.
HEED_INLINE __m256 widen_upper(__m256i b)
{
    const __m256i sign = _mm256_and_si256(b, _mm256_set1_epi32(static_cast<int>(0x80000000)));
    const __m256i magnitude = _mm256_srli_epi32(_mm256_xor_si256(b, sign), 4);
    const __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(magnitude, _mm256_set1_epi32(120 << 23)));
    const __m256 x = min(y, fma(y, _mm256_set1_ps(2), _mm256_set1_ps(-0x1p-6f)));
    const __m256i is_nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7f << 20));
    return _mm256_or_ps(_mm256_or_ps(x, _mm256_castsi256_ps(sign)), _mm256_castsi256_ps(is_nan));
}
HEED_INLINE __m256 load(const fp8_e4m3* p, machine::avx2)
{
    return widen_upper(_mm256_slli_epi32(_mm256_cvtepu8_epi32(load_bytes(p)), 24));
}
/// E5M2 is the upper byte of an f16.
HEED_INLINE __m256 load(const fp8_e5m2* p, machine::avx2)
{
    return widen(_mm_unpacklo_epi8(_mm_setzero_si128(), load_bytes(p)), static_cast<const f16*>(nullptr));
}
template <class E, class = std::enable_if_t<sizeof(E) == 1>, class = void>
HEED_INLINE __m256 load_n(const E* p, int n, machine::avx2)
{
    E part[8] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return as_register<__m256>(arch::load(part, machine::avx2{}));
}

/// Bytes as words.
HEED_INLINE words load_bytes_as_words(const std::uint8_t* p, machine::avx2)
{
    return _mm256_cvtepu8_epi32(load_bytes(p));
}
HEED_INLINE __m256 take(words w, int i, const fp8_e4m3*, machine::avx2)
{
    return widen_upper(
        _mm256_and_si256(_mm256_slli_epi32(w, 24 - 8 * i), _mm256_set1_epi32(static_cast<int>(0xff000000))));
}

HEED_INLINE __m256 take(words w, int i, const fp8_e5m2*, machine::avx2)
{
    const __m256i upper = i == 0 ? _mm256_slli_epi32(w, 8) : _mm256_srli_epi32(w, 8 * i - 8);
    return widen(low_words(_mm256_and_si256(upper, _mm256_set1_epi32(0xff00))), static_cast<const f16*>(nullptr));
}

HEED_INLINE __m256 look_up(const float (&table)[16], words w, machine::avx2)
{
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), w);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), w);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(w, 28)));
}

/// Eight f16 that are `stride` bytes apart.
HEED_INLINE __m256 gather(const f16* first, std::int64_t stride, machine::avx2)
{
    const auto at = [&](int j) HEED_INLINE_LAMBDA {
        std::int16_t bits;
        std::memcpy(&bits, reinterpret_cast<const char*>(first) + j * stride, sizeof(bits));
        return bits;
    };
    return widen(_mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)), first);
}

}  // namespace simd::arch
HEED_END
