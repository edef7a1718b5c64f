// SPDX-License-Identifier: MIT
// AVX-512 with CD, DQ and BW.
#pragma once

#include "portable.hpp"

#include <immintrin.h>

HEED_BEGIN
namespace simd::machine {

/// Its sizes are one of the structs in avx512_sizes.hpp.
struct avx512 : HEED_SIZES {
    template <class T>
    using array = arch::lane_array<T, 64 / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = xsimd::batch<T, xsimd::avx512bw>;
    template <class T>
    using registers = typename batch<T>::register_type;
    using words = __m512i;
};

}  // namespace simd::machine

namespace simd::arch {

HEED_INLINE __m512 fma(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
HEED_INLINE __m512d fma(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

// The instruction returns its second operand when either is NaN: the first argument of ours.
HEED_INLINE __m512 max(__m512 a, __m512 b) { return _mm512_max_ps(b, a); }
HEED_INLINE __m512d max(__m512d a, __m512d b) { return _mm512_max_pd(b, a); }
HEED_INLINE __m512 min(__m512 a, __m512 b) { return _mm512_min_ps(b, a); }
HEED_INLINE __m512d min(__m512d a, __m512d b) { return _mm512_min_pd(b, a); }

HEED_INLINE __m512 round(__m512 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
HEED_INLINE __m512d round(__m512d a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/// 2^n for a whole n; exact down to the smallest subnormal, 0 below, NaN for NaN.
HEED_INLINE __m512 power_of_two(__m512 n) { return _mm512_scalef_ps(_mm512_set1_ps(1), n); }
HEED_INLINE __m512d power_of_two(__m512d n) { return _mm512_scalef_pd(_mm512_set1_pd(1), n); }

/// The number whose exponent are the low bits of x, and whose fraction is 0.
HEED_INLINE __m512 exponent_from_low_bits(__m512 x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 23));
}
HEED_INLINE __m512d exponent_from_low_bits(__m512d x)
{
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(x), 52));
}

/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for positive finite x, subnormal ones too.
HEED_INLINE __m512 split_exponent(__m512 x, __m512& exponent)
{
    const __m512 one_to_two = _mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src), e = _mm512_getexp_ps(x);
    const __mmask16 large = _mm512_cmp_ps_mask(one_to_two, _mm512_set1_ps(0x1.6a09e6p+0f), _CMP_GE_OQ);
    exponent = _mm512_mask_add_ps(e, large, e, _mm512_set1_ps(1));
    return _mm512_mask_mul_ps(one_to_two, large, one_to_two, _mm512_set1_ps(0.5f));
}
HEED_INLINE __m512d split_exponent(__m512d x, __m512d& exponent)
{
    const __m512d one_to_two = _mm512_getmant_pd(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src), e = _mm512_getexp_pd(x);
    const __mmask8 large = _mm512_cmp_pd_mask(one_to_two, _mm512_set1_pd(0x1.6a09e667f3bccp+0), _CMP_GE_OQ);
    exponent = _mm512_mask_add_pd(e, large, e, _mm512_set1_pd(1));
    return _mm512_mask_mul_pd(one_to_two, large, one_to_two, _mm512_set1_pd(0.5));
}

HEED_INLINE __m512 load_n(const float* p, int n, machine::avx512)
{
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
HEED_INLINE __m512d load_n(const double* p, int n, machine::avx512)
{
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
HEED_INLINE void store_n(float* p, __m512 v, int n)
{
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}
HEED_INLINE void store_n(double* p, __m512d v, int n)
{
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
}

// Sixteen bf16 or f16 as floats, and back, rounded to nearest even; a NaN stays one.
HEED_INLINE __m512 widen(__m256i h, const bf16*)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
HEED_INLINE __m512 widen(__m256i h, const f16*) { return _mm512_cvtph_ps(h); }
HEED_INLINE __m256i narrow(__m512 v, const bf16*)
{
    const __m512i b = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(b, odd), _mm512_set1_epi32(0x7fff));
    const __m512i quiet = _mm512_or_si512(b, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_blend_epi32(is_nan, rounded, quiet), 16));
}
HEED_INLINE __m256i narrow(__m512 v, const f16*)
{
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE __m512 load(const E* p, machine::avx512)
{
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE __m512 load_n(const E* p, int n, machine::avx512)
{
    return widen(_mm512_castsi512_si256(_mm512_maskz_loadu_epi16((1u << n) - 1, p)), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store(E* p, __m512 v)
{
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v, p));
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store_n(E* p, __m512 v, int n)
{
    _mm512_mask_storeu_epi16(p, (1u << n) - 1, _mm512_castsi256_si512(narrow(v, p)));
}

HEED_INLINE __m128i load_bytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// The largest lane, of a vector without NaN.
HEED_INLINE float largest(__m512 v) { return _mm512_reduce_max_ps(v); }
HEED_INLINE double largest(__m512d v) { return _mm512_reduce_max_pd(v); }

/// The sum of all lanes, upper half onto lower.
HEED_INLINE float sum_by_halves(__m512 v)
{
    const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
HEED_INLINE double sum_by_halves(__m512d v)
{
    const __m256d y = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(y), _mm256_extractf128_pd(y, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}

/// Lane i of yes where bit i is set, else of no.
HEED_INLINE __m512 select_bits(std::uint32_t bits, __m512 yes, __m512 no)
{
    return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), no, yes);
}
HEED_INLINE __m512d select_bits(std::uint32_t bits, __m512d yes, __m512d no)
{
    return _mm512_mask_blend_pd(static_cast<__mmask8>(bits), no, yes);
}

/// Bit i is set where lane i is not 0, NaN included.
HEED_INLINE std::uint32_t nonzero_bits(__m512 v) { return _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ); }
HEED_INLINE std::uint32_t nonzero_bits(__m512d v) { return _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_NEQ_UQ); }

/// Bit i is set where lane i is not at most that of b, NaN included.
HEED_INLINE std::uint32_t above_bits(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ); }
HEED_INLINE std::uint32_t above_bits(__m512d a, __m512d b) { return _mm512_cmp_pd_mask(a, b, _CMP_NLE_UQ); }

// Compressed in a register and stored whole: Zen 4 takes over a hundred cycles to compress into memory.
HEED_INLINE void store_chosen(float* p, __m512 v, std::uint32_t bits)
{
    _mm512_storeu_ps(p, _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v));
}
HEED_INLINE void store_chosen(double* p, __m512d v, std::uint32_t bits)
{
    _mm512_storeu_pd(p, _mm512_maskz_compress_pd(static_cast<__mmask8>(bits), v));
}
template <class D>
HEED_INLINE __m512d widened_half(__m512 v, int half)
{
    return _mm512_cvtps_pd(half == 0 ? _mm512_castps512_ps256(v) : _mm512_extractf32x8_ps(v, 1));
}

/// Lane i ^ By in lane i.
template <int By>
HEED_INLINE __m512 exchange(__m512 v)
{
    if constexpr (By < 4) return _mm512_permute_ps(v, By == 1 ? 0xb1 : 0x4e);
    else return _mm512_shuffle_f32x4(v, v, By == 4 ? 0xb1 : 0x4e);
}
template <int By>
HEED_INLINE __m512d exchange(__m512d v)
{
    if constexpr (By == 1) return _mm512_permute_pd(v, 0x55);
    else return _mm512_shuffle_f64x2(v, v, By == 2 ? 0xb1 : 0x4e);
}

/// acc += a * b, rounded once, in the register of acc: gcc 12 multiplies into the register of a and moves the sums from
/// register to register, which took 0.91 instead of 0.98 of the FMA peak on Zen 3.
HEED_INLINE void accumulate(__m512& acc, __m512 a, __m512 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}
HEED_INLINE void accumulate(__m512d& acc, __m512d a, __m512d b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

/// Keeps a loaded vector in its register: gcc 12 would load it again for every use, and a 512-bit load takes as long
/// as the multiply-add that it feeds (P V with 4 rows: 0.37 cycles an element became 0.28).
HEED_INLINE __m512 in_register(__m512 v)
{
    __asm__("" : "+v"(v));
    return v;
}
HEED_INLINE __m512d in_register(__m512d v)
{
    __asm__("" : "+v"(v));
    return v;
}

/// Transposes 4 x 4 words of 32 bits in each 128-bit lane.
HEED_INLINE void transpose_lanes(const __m512i (&r)[4], __m512i (&out)[4])
{
    const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    const __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    out[0] = _mm512_unpacklo_epi64(a, c);
    out[1] = _mm512_unpackhi_epi64(a, c);
    out[2] = _mm512_unpacklo_epi64(b, d);
    out[3] = _mm512_unpackhi_epi64(b, d);
}

/// Sixteen 32-bit words, one of each of as many rows.
using words = machine::avx512::words;

/// out[w] lane j = the w-th 32 bits of row j, of 16 rows of 16 bytes that are `stride` bytes apart. Four rows share a
/// register, one in each 128-bit lane, so that the loads do half of the transposition.
HEED_INLINE void transpose_words(const void* in, std::int64_t stride, words (&out)[4])
{
    const char* p = static_cast<const char*>(in);
    words r[4];
    HEED_UNROLL
    for (int k = 0; k < 4; ++k, p += stride) {
        p = opaque(p);
        const auto row = [&](int j) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + j * stride)); };
        r[k] = _mm512_castsi128_si512(row(0));
        r[k] = _mm512_inserti32x4(r[k], row(4), 1);
        r[k] = _mm512_inserti32x4(r[k], row(8), 2);
        r[k] = _mm512_inserti32x4(r[k], row(12), 3);
    }
    transpose_lanes(r, out);
}

/// The i-th element of each word.
HEED_INLINE __m512 take(words w, int, const float*, machine::avx512) { return _mm512_castsi512_ps(w); }
HEED_INLINE __m512 take(words w, int i, const bf16*, machine::avx512)
{
    return _mm512_castsi512_ps(i == 0 ? _mm512_slli_epi32(w, 16)
                                      : _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
}
HEED_INLINE __m512 take(words w, int i, const f16*, machine::avx512)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(i == 0 ? w : _mm512_srli_epi32(w, 16)));
}

/// out[c] lane j = in[j * stride + c] for 8 rows j and 2 channels c.
HEED_INLINE void transpose(const double* in, std::int64_t stride, __m512d (&out)[2])
{
    __m512d r[2];
    HEED_UNROLL
    for (int k = 0; k < 2; ++k) {
        const double* p = in + k * stride;
        r[k] = _mm512_castpd128_pd512(_mm_loadu_pd(p));
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 2 * stride), 1);
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 4 * stride), 2);
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 6 * stride), 3);
    }
    out[0] = _mm512_unpacklo_pd(r[0], r[1]);
    out[1] = _mm512_unpackhi_pd(r[0], r[1]);
}

}  // namespace simd::arch
HEED_END
