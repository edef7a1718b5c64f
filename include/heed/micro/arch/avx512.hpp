// SPDX-License-Identifier: MIT
// AVX-512: the operations that xsimd lacks or spells without a fused multiply-add.
#pragma once

#include "../../config.hpp"

#include <cstdint>

#include <immintrin.h>

HEED_BEGIN
namespace arch {

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

HEED_INLINE __m512 load_n(const float* p, int n)
{
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
HEED_INLINE __m512d load_n(const double* p, int n)
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

/// out[c] lane j = in[j * step + c] for 16 keys j and 4 channels c. Four rows share a register, one in each 128-bit
/// lane, so that the loads do half of the transposition. Insertions from memory took 0.46 cycles an element on
/// Zen 4, masked broadcasts 0.59.
HEED_INLINE void transpose(const float* in, std::int64_t step, __m512 (&out)[4])
{
    __m512 r[4];
    HEED_UNROLL
    for (int k = 0; k < 4; ++k) {
        const float* p = in + k * step;
        r[k] = _mm512_castps128_ps512(_mm_loadu_ps(p));
        r[k] = _mm512_insertf32x4(r[k], _mm_loadu_ps(p + 4 * step), 1);
        r[k] = _mm512_insertf32x4(r[k], _mm_loadu_ps(p + 8 * step), 2);
        r[k] = _mm512_insertf32x4(r[k], _mm_loadu_ps(p + 12 * step), 3);
    }
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}

/// The same for 8 keys and 2 channels.
HEED_INLINE void transpose(const double* in, std::int64_t step, __m512d (&out)[2])
{
    __m512d r[2];
    HEED_UNROLL
    for (int k = 0; k < 2; ++k) {
        const double* p = in + k * step;
        r[k] = _mm512_castpd128_pd512(_mm_loadu_pd(p));
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 2 * step), 1);
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 4 * step), 2);
        r[k] = _mm512_insertf64x2(r[k], _mm_loadu_pd(p + 6 * step), 3);
    }
    out[0] = _mm512_unpacklo_pd(r[0], r[1]);
    out[1] = _mm512_unpackhi_pd(r[0], r[1]);
}

}  // namespace arch
HEED_END
