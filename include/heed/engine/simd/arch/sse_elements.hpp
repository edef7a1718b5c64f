// SPDX-License-Identifier: MIT
// Elements of 8 and 16 bits with SSE2, and what quantised elements load: bytes, single or in transposed words, and
// scales. Halves are widened and rounded by integers: F16C came with AVX.
#pragma once

#include "sse.hpp"

HEED_BEGIN
namespace simd::arch {

/// Floats of f16 in the low 16 bits of words. A normal one takes its exponent along; a subnormal one stands behind
/// 2^-14, which is taken off; Inf and NaN have the largest exponent.
HEED_INLINE __m128 widen_words(__m128i w, const f16*)
{
    const __m128i sign = _mm_slli_epi32(_mm_and_si128(w, _mm_set1_epi32(0x8000)), 16);
    const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(w, _mm_set1_epi32(0x7fff)), 13);
    const __m128i normal = _mm_add_epi32(magnitude, _mm_set1_epi32(112 << 23));
    const __m128i low = _mm_castps_si128(
        _mm_sub_ps(_mm_castsi128_ps(_mm_or_si128(magnitude, _mm_set1_epi32(113 << 23))), _mm_set1_ps(0x1p-14f)));
    const __m128i is_low = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(1 << 23));
    const __m128i is_endless = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32((31 << 23) - 1));
    const __m128i endless = _mm_and_si128(is_endless, _mm_set1_epi32(112 << 23));
    return _mm_castsi128_ps(_mm_or_si128(_mm_add_epi32(choose(is_low, low, normal), endless), sign));
}
HEED_INLINE __m128 widen_words(__m128i w, const bf16*) { return _mm_castsi128_ps(_mm_slli_epi32(w, 16)); }

/// The low 16 bits of each word, as a number with that sign: what packs() keeps.
HEED_INLINE __m128i low_halves(__m128i w)
{
    const __m128i with_sign = _mm_srai_epi32(_mm_slli_epi32(w, 16), 16);
    return _mm_packs_epi32(with_sign, with_sign);
}

/// Four floats as bf16 or f16 in 64 bits, rounded to nearest even; a NaN stays one.
HEED_INLINE __m128i narrow(__m128 v, const bf16*)
{
    const __m128i b = _mm_castps_si128(v), odd = _mm_and_si128(_mm_srli_epi32(b, 16), _mm_set1_epi32(1));
    const __m128i rounded = _mm_add_epi32(_mm_add_epi32(b, odd), _mm_set1_epi32(0x7fff));
    const __m128i quiet = _mm_or_si128(b, _mm_set1_epi32(0x400000));
    return low_halves(_mm_srli_epi32(choose(_mm_castps_si128(_mm_cmpunord_ps(v, v)), quiet, rounded), 16));
}
/// A subnormal f16 is what adding 1/2 leaves in a float's last bits. From 65520 on it is Inf.
HEED_INLINE __m128i narrow(__m128 v, const f16*)
{
    const __m128i b = _mm_castps_si128(v), magnitude = _mm_and_si128(b, _mm_set1_epi32(0x7fffffff));
    const __m128i sign = _mm_srli_epi32(_mm_xor_si128(b, magnitude), 16);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(1));
    const __m128i rounded = _mm_add_epi32(_mm_add_epi32(magnitude, odd), _mm_set1_epi32(0xfff - (112 << 23)));
    const __m128i low = _mm_sub_epi32(_mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0.5f))),
                                      _mm_set1_epi32(126 << 23));
    const __m128i is_low = _mm_cmplt_epi32(magnitude, _mm_set1_epi32(113 << 23));
    const __m128i is_endless = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x477fefff));  // 65520 and up
    const __m128i is_nan = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(255 << 23));
    const __m128i endless = _mm_or_si128(_mm_set1_epi32(0x7c00), _mm_and_si128(is_nan, _mm_set1_epi32(0x200)));
    const __m128i finite = choose(is_low, low, _mm_srli_epi32(rounded, 13));
    return low_halves(_mm_or_si128(choose(is_endless, endless, finite), sign));
}

HEED_INLINE __m128i load_8_bytes(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
HEED_INLINE __m128i load_4_bytes(const void* p)
{
    int w;
    std::memcpy(&w, p, sizeof(w));
    return _mm_cvtsi32_si128(w);
}

template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE __m128 load(const E* p, machine::sse)
{
    return widen_words(_mm_unpacklo_epi16(load_8_bytes(p), _mm_setzero_si128()), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store(E* p, __m128 v)
{
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow(v, p));
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store_n(E* p, __m128 v, int n)
{
    E part[4];
    arch::store(part, v);
    for (int i = 0; i < n; ++i) p[i] = part[i];
}

/// Bytes in the upper ends of words whose other bytes are 0; and at their lower ends.
HEED_INLINE __m128i bytes_on_top(__m128i bytes)
{
    const __m128i zero = _mm_setzero_si128();
    return _mm_unpacklo_epi16(zero, _mm_unpacklo_epi8(zero, bytes));
}
HEED_INLINE words load_bytes_as_words(const std::uint8_t* p, machine::sse)
{
    const __m128i zero = _mm_setzero_si128();
    return _mm_unpacklo_epi16(_mm_unpacklo_epi8(load_4_bytes(p), zero), zero);
}
HEED_INLINE __m128 load(const std::int8_t* p, machine::sse)
{
    return _mm_cvtepi32_ps(_mm_srai_epi32(bytes_on_top(load_4_bytes(p)), 24));
}

/// The E4M3 numbers in the upper bytes of 32-bit lanes whose other bytes are 0, as floats. With the magnitude in its
/// place, y is the number if that is normal. A subnormal one is 2 y - 2^-6, exactly, which is the lower of the two only
/// there. NaN has one magnitude.
HEED_INLINE __m128 widen_upper(__m128i b)
{
    const __m128i sign = _mm_and_si128(b, _mm_set1_epi32(static_cast<int>(0x80000000)));
    const __m128i magnitude = _mm_srli_epi32(_mm_xor_si128(b, sign), 4);
    const __m128 y = _mm_castsi128_ps(_mm_add_epi32(magnitude, _mm_set1_epi32(120 << 23)));
    const __m128 x = min(y, _mm_sub_ps(_mm_add_ps(y, y), _mm_set1_ps(0x1p-6f)));
    const __m128i is_nan = _mm_cmpeq_epi32(magnitude, _mm_set1_epi32(0x7f << 20));
    return _mm_or_ps(_mm_or_ps(x, _mm_castsi128_ps(sign)), _mm_castsi128_ps(is_nan));
}
HEED_INLINE __m128 load(const fp8_e4m3* p, machine::sse) { return widen_upper(bytes_on_top(load_4_bytes(p))); }
/// E5M2 is the upper byte of an f16.
HEED_INLINE __m128 load(const fp8_e5m2* p, machine::sse)
{
    return widen_words(_mm_srli_epi32(bytes_on_top(load_4_bytes(p)), 16), static_cast<const f16*>(nullptr));
}
template <class E, class = std::enable_if_t<(sizeof(E) < 4)>, class = void>
HEED_INLINE __m128 load_n(const E* p, int n, machine::sse)
{
    E part[4] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return as_register<__m128>(arch::load(part, machine::sse{}));
}

/// An f16 in all lanes; and four f16 that are `stride` bytes apart.
HEED_INLINE __m128 broadcast(const f16& x, machine::sse) { return widen_words(_mm_set1_epi32(x.bits), &x); }
HEED_INLINE __m128 gather(const f16* first, std::int64_t stride, machine::sse)
{
    const auto at = [&](int j) HEED_INLINE_LAMBDA {
        std::uint16_t bits;
        std::memcpy(&bits, reinterpret_cast<const char*>(first) + j * stride, sizeof(bits));
        return int{bits};
    };
    return widen_words(_mm_setr_epi32(at(0), at(1), at(2), at(3)), first);
}

/// The i-th element of each word.
HEED_INLINE __m128 take(words w, int, const float*, machine::sse) { return _mm_castsi128_ps(w); }
HEED_INLINE __m128 take(words w, int i, const bf16*, machine::sse)
{
    return _mm_castsi128_ps(i == 0 ? _mm_slli_epi32(w, 16)
                                   : _mm_and_si128(w, _mm_set1_epi32(static_cast<int>(0xffff0000))));
}
HEED_INLINE __m128 take(words w, int i, const f16* tag, machine::sse)
{
    return widen_words(i == 0 ? _mm_and_si128(w, _mm_set1_epi32(0xffff)) : _mm_srli_epi32(w, 16), tag);
}
HEED_INLINE __m128 take(words w, int i, const fp8_e4m3*, machine::sse)
{
    const __m128i upper = _mm_sll_epi32(w, _mm_cvtsi32_si128(24 - 8 * i));
    return widen_upper(_mm_and_si128(upper, _mm_set1_epi32(static_cast<int>(0xff000000))));
}
HEED_INLINE __m128 take(words w, int i, const fp8_e5m2*, machine::sse)
{
    const __m128i upper = i == 0 ? _mm_slli_epi32(w, 8) : _mm_srl_epi32(w, _mm_cvtsi32_si128(8 * i - 8));
    return widen_words(_mm_and_si128(upper, _mm_set1_epi32(0xff00)), static_cast<const f16*>(nullptr));
}

// ---- whole numbers of 16 bits, two in a word

HEED_INLINE __m128i load_shorts(const std::int8_t* p, machine::sse)
{
    return _mm_srai_epi16(_mm_unpacklo_epi8(_mm_setzero_si128(), load_8_bytes(p)), 8);
}
HEED_INLINE __m128i load_signed_nibbles(const std::uint8_t* p, int at, machine::sse)
{
    const __m128i both = _mm_unpacklo_epi8(load_8_bytes(p + at % 16), _mm_setzero_si128());
    const __m128i four = _mm_and_si128(_mm_srl_epi16(both, _mm_cvtsi32_si128(at >= 16 ? 4 : 0)), _mm_set1_epi16(15));
    return _mm_sub_epi16(four, _mm_set1_epi16(8));
}
HEED_INLINE __m128i narrow_to_shorts(__m128 first, __m128 second, machine::sse)
{
    return _mm_packs_epi32(_mm_cvtps_epi32(first), _mm_cvtps_epi32(second));
}
HEED_INLINE void interleave_shorts(__m128i a, __m128i b, __m128i (&out)[2])
{
    out[0] = _mm_unpacklo_epi16(a, b);
    out[1] = _mm_unpackhi_epi16(a, b);
}
HEED_INLINE void dot_shorts(__m128i& acc, __m128i a, __m128i b) { acc = _mm_add_epi32(acc, _mm_madd_epi16(a, b)); }
HEED_INLINE void dot_shorts(__m128i& acc, __m128i a, const std::uint32_t* p)
{
    dot_shorts(acc, a, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

}  // namespace simd::arch
HEED_END
