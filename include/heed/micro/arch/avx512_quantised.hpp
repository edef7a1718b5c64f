// SPDX-License-Identifier: MIT
// Numbers of 8 and of 4 bits with AVX-512: as floats where they lie, and 16 keys of them transposed.
#pragma once

#include "../../element/quantised.hpp"
#include "avx512.hpp"

HEED_BEGIN
namespace arch {

HEED_INLINE __m512 broadcast(const f16& x) { return widen(_mm256_set1_epi16(static_cast<std::int16_t>(x.bits)), &x); }

HEED_INLINE __m128i load_bytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
HEED_INLINE __m512 load(const std::int8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(p))); }

/// The E4M3 numbers in the upper bytes of 32-bit lanes whose other bytes are 0. Sign and magnitude move to those of a
/// float, whose exponent is then 120 too low; the one magnitude of NaN is lost.
HEED_INLINE __m512 widen_upper(__m512i b, const fp8_e4m3*)
{
    const __m512i sign = _mm512_and_si512(b, _mm512_set1_epi32(static_cast<int>(0x80000000)));
    const __m512i magnitude = _mm512_xor_si512(b, sign), nan = _mm512_set1_epi32(0x7f000000);
    const __m512 x = _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32(magnitude, 4), sign));
    const __m512 y = _mm512_mul_ps(x, _mm512_set1_ps(0x1p120f));
    const __m512 quiet = _mm512_castsi512_ps(_mm512_or_si512(sign, _mm512_set1_epi32(0x7fc00000)));
    return _mm512_mask_blend_ps(_mm512_cmpeq_epi32_mask(magnitude, nan), y, quiet);
}
HEED_INLINE __m512 widen_upper(__m512i b, const std::int8_t*) { return _mm512_cvtepi32_ps(_mm512_srai_epi32(b, 24)); }
HEED_INLINE __m512 load(const fp8_e4m3* p)
{
    return widen_upper(_mm512_slli_epi32(_mm512_cvtepu8_epi32(load_bytes(p)), 24), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 1>, class = void>
HEED_INLINE __m512 load_n(const E* p, int n)
{
    E part[16] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return arch::load(part);
}

/// q - 8 of the lower or the upper halves of sixteen bytes.
HEED_INLINE __m512 load_nibbles(const std::uint8_t* p, bool upper)
{
    const __m512i b = _mm512_cvtepu8_epi32(load_bytes(p));
    const __m512i q = upper ? _mm512_srli_epi32(b, 4) : _mm512_and_si512(b, _mm512_set1_epi32(15));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(8)));
}

/// The type of such words.
__m512i words_of(__m512);

/// words[w] lane j = bytes [4 w, 4 w + 4) of row j, of 16 rows that are `step` bytes apart.
HEED_INLINE void transpose_words(const void* in, std::int64_t step, __m512i (&words)[4])
{
    __m512 out[4];
    transpose_rows(in, step, out);
    HEED_UNROLL
    for (int k = 0; k < 4; ++k) words[k] = _mm512_castps_si512(out[k]);
}

/// The number in byte i of each word.
template <class E>
HEED_INLINE __m512 take_byte(__m512i words, int i, const E* tag)
{
    __m512i upper = _mm512_slli_epi32(words, static_cast<unsigned>(24 - 8 * i));
    if constexpr (!std::is_same_v<E, std::int8_t>)
        upper = _mm512_and_si512(upper, _mm512_set1_epi32(static_cast<int>(0xff000000)));
    return widen_upper(upper, tag);
}
/// Words of q as those of q - 8 in four bits of two's complement, and the i-th of them.
HEED_INLINE __m512i signed_nibbles(__m512i words)
{
    return _mm512_xor_si512(words, _mm512_set1_epi32(static_cast<int>(0x88888888)));
}
HEED_INLINE __m512 take_nibble(__m512i words, int i)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(words, static_cast<unsigned>(28 - 4 * i)), 28));
}

/// Sixteen f16 that are `step` bytes apart.
HEED_INLINE __m512 gather(const f16* first, std::int64_t step)
{
    const auto at = [&](int j) HEED_INLINE_LAMBDA {
        std::int16_t bits;
        std::memcpy(&bits, reinterpret_cast<const char*>(first) + j * step, sizeof(bits));
        return bits;
    };
    return widen(_mm256_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10), at(11),
                                   at(12), at(13), at(14), at(15)),
                 first);
}

}  // namespace arch
HEED_END
