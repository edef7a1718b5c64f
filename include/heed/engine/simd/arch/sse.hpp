// SPDX-License-Identifier: MIT
// x86 before AVX: SSE2, and what SSE4.1 has beyond it; and WebAssembly, whose compilers know these functions. There is
// no fused multiply-add: products and sums round one after the other, and so all of these builds have the same bits,
// which are not those of builds for FMA.
#pragma once

#include "portable.hpp"

#if defined(__SSE4_1__)
#include <smmintrin.h>
#else
#include <emmintrin.h>
#endif

HEED_BEGIN
namespace simd::machine {

/// Measured on Zen 5, whose sums and products have two pipes each and share them with shuffles.
struct sse : unmeasured {
    template <class T>
    using array = arch::lane_array<T, 16 / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = xsimd::batch<T, xsimd::default_arch>;
    template <class T>
    using registers = typename batch<T>::register_type;
    using words = __m128i;

    static constexpr bool rounds_once = false;

    // Prefill of 1024 x 1024 tokens with D 128: 0.74 of the peak instead of 0.71. V8 20 takes 0.86 of the time (D 64).
    static constexpr bool repeats_aligned = true;
};

}  // namespace simd::machine

namespace simd::arch {

HEED_INLINE __m128 fma(__m128 a, __m128 b, __m128 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
HEED_INLINE __m128d fma(__m128d a, __m128d b, __m128d c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
HEED_INLINE __m128 divide(__m128 a, __m128 b) { return _mm_div_ps(a, b); }
HEED_INLINE __m128d divide(__m128d a, __m128d b) { return _mm_div_pd(a, b); }

// The instruction returns its second operand when either is NaN: the first argument of ours.
HEED_INLINE __m128 max(__m128 a, __m128 b) { return _mm_max_ps(b, a); }
HEED_INLINE __m128d max(__m128d a, __m128d b) { return _mm_max_pd(b, a); }
HEED_INLINE __m128 min(__m128 a, __m128 b) { return _mm_min_ps(b, a); }
HEED_INLINE __m128d min(__m128d a, __m128d b) { return _mm_min_pd(b, a); }

/// yes where all bits of a lane of `mask` are set, no where none is.
HEED_INLINE __m128i choose(__m128i mask, __m128i yes, __m128i no)
{
#if defined(__SSE4_1__)
    return _mm_blendv_epi8(no, yes, mask);
#else
    return _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no));
#endif
}
HEED_INLINE __m128 choose(__m128 mask, __m128 yes, __m128 no)
{
#if defined(__SSE4_1__)
    return _mm_blendv_ps(no, yes, mask);
#else
    return _mm_or_ps(_mm_and_ps(mask, yes), _mm_andnot_ps(mask, no));
#endif
}
HEED_INLINE __m128d choose(__m128d mask, __m128d yes, __m128d no)
{
#if defined(__SSE4_1__)
    return _mm_blendv_pd(no, yes, mask);
#else
    return _mm_or_pd(_mm_and_pd(mask, yes), _mm_andnot_pd(mask, no));
#endif
}

// Before SSE4.1: behind 2^23 of the number's own sign there is no room for a fraction. What is larger is whole, and a
// NaN is not smaller.
HEED_INLINE __m128 round(__m128 a)
{
#if defined(__SSE4_1__)
    return _mm_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const __m128 sign = _mm_and_ps(a, _mm_set1_ps(-0.f)), large = _mm_or_ps(sign, _mm_set1_ps(0x1p23f));
    const __m128 whole = _mm_or_ps(_mm_sub_ps(_mm_add_ps(a, large), large), sign);
    return choose(_mm_cmplt_ps(_mm_xor_ps(a, sign), _mm_set1_ps(0x1p23f)), whole, a);
#endif
}
HEED_INLINE __m128d round(__m128d a)
{
#if defined(__SSE4_1__)
    return _mm_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const __m128d sign = _mm_and_pd(a, _mm_set1_pd(-0.)), large = _mm_or_pd(sign, _mm_set1_pd(0x1p52));
    const __m128d whole = _mm_or_pd(_mm_sub_pd(_mm_add_pd(a, large), large), sign);
    return choose(_mm_cmplt_pd(_mm_xor_pd(a, sign), _mm_set1_pd(0x1p52)), whole, a);
#endif
}

/// 2^n for a whole n; exact down to the smallest subnormal, 0 below, NaN for NaN. Two factors, since one exponent field
/// does not reach the subnormals.
HEED_INLINE __m128 power_of_two(__m128 n)
{
    const __m128i k = _mm_cvtps_epi32(min(max(n, _mm_set1_ps(-252)), _mm_set1_ps(254)));
    const __m128i half = _mm_srai_epi32(k, 1), bias = _mm_set1_epi32(127);
    const __m128 a = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(half, bias), 23));
    const __m128 b = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(k, half), bias), 23));
    return choose(_mm_cmpunord_ps(n, n), n, _mm_mul_ps(a, b));
}
HEED_INLINE __m128d power_of_two(__m128d n)
{
    const __m128i k = _mm_cvtpd_epi32(min(max(n, _mm_set1_pd(-2044)), _mm_set1_pd(2046)));
    const __m128i half = _mm_srai_epi32(k, 1), bias = _mm_set1_epi32(1023), zero = _mm_setzero_si128();
    const auto power = [&](__m128i e) HEED_INLINE_LAMBDA {  // of two words: biased, they are positive
        return _mm_castsi128_pd(_mm_slli_epi64(_mm_unpacklo_epi32(_mm_add_epi32(e, bias), zero), 52));
    };
    return choose(_mm_cmpunord_pd(n, n), n, _mm_mul_pd(power(half), power(_mm_sub_epi32(k, half))));
}

/// The number whose exponent are the low bits of x, and whose fraction is 0.
HEED_INLINE __m128 exponent_from_low_bits(__m128 x)
{
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(x), 23));
}
HEED_INLINE __m128d exponent_from_low_bits(__m128d x)
{
    return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(x), 52));
}

/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for positive finite x, subnormal ones too. Bits
/// that are moved up by what sqrt 1/2 lacks of 1 carry into the exponent where the fraction would be too large.
HEED_INLINE __m128 split_exponent(__m128 x, __m128& exponent)
{
    const __m128 tiny = _mm_cmplt_ps(x, _mm_set1_ps(0x1p-126f));
    const __m128i b = _mm_castps_si128(choose(tiny, _mm_mul_ps(x, _mm_set1_ps(0x1p25f)), x));
    const __m128i up = _mm_add_epi32(b, _mm_set1_epi32(0x3f800000 - 0x3f3504f3));
    const __m128i k = _mm_sub_epi32(_mm_srli_epi32(up, 23), _mm_set1_epi32(127));
    exponent = _mm_sub_ps(_mm_cvtepi32_ps(k), _mm_and_ps(tiny, _mm_set1_ps(25)));
    return _mm_castsi128_ps(_mm_sub_epi32(b, _mm_slli_epi32(k, 23)));
}
HEED_INLINE __m128d split_exponent(__m128d x, __m128d& exponent)
{
    const __m128d tiny = _mm_cmplt_pd(x, _mm_set1_pd(0x1p-1022));
    const __m128i b = _mm_castpd_si128(choose(tiny, _mm_mul_pd(x, _mm_set1_pd(0x1p54)), x));
    const __m128i up = _mm_add_epi64(b, _mm_set1_epi64x(0x3ff0000000000000 - 0x3fe6a09e667f3bcc));
    const __m128i biased = _mm_srli_epi64(up, 52);
    // A small whole number in the last bits of 2^52.
    const __m128d number = _mm_castsi128_pd(_mm_or_si128(biased, _mm_castpd_si128(_mm_set1_pd(0x1p52))));
    exponent = _mm_sub_pd(_mm_sub_pd(number, _mm_set1_pd(0x1p52 + 1023)), _mm_and_pd(tiny, _mm_set1_pd(54)));
    const __m128i k = _mm_sub_epi64(biased, _mm_set1_epi64x(1023));
    return _mm_castsi128_pd(_mm_sub_epi64(b, _mm_slli_epi64(k, 52)));
}

HEED_INLINE __m128 load_n(const float* p, int n, machine::sse)
{
    if (n >= 4) return _mm_loadu_ps(p);
    if (n <= 0) return _mm_setzero_ps();
    const __m128 one = _mm_load_ss(p);
    if (n == 1) return one;
    const __m128 two = _mm_unpacklo_ps(one, _mm_load_ss(p + 1));
    return n == 2 ? two : _mm_movelh_ps(two, _mm_load_ss(p + 2));
}
HEED_INLINE __m128d load_n(const double* p, int n, machine::sse)
{
    if (n >= 2) return _mm_loadu_pd(p);
    return n > 0 ? _mm_load_sd(p) : _mm_setzero_pd();
}
HEED_INLINE void store_n(float* p, __m128 v, int n)
{
    if (n >= 4) return _mm_storeu_ps(p, v);
    if (n > 0) _mm_store_ss(p, v);
    if (n > 1) _mm_store_ss(p + 1, _mm_shuffle_ps(v, v, 1));
    if (n > 2) _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
}
HEED_INLINE void store_n(double* p, __m128d v, int n)
{
    if (n >= 2) return _mm_storeu_pd(p, v);
    if (n > 0) _mm_store_sd(p, v);
}

/// The largest lane, of a vector without NaN; and the sum of all lanes, upper half onto lower.
HEED_INLINE float largest(__m128 v)
{
    const __m128 x = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
HEED_INLINE double largest(__m128d v) { return _mm_cvtsd_f64(_mm_max_sd(v, _mm_unpackhi_pd(v, v))); }
HEED_INLINE float sum_by_halves(__m128 v)
{
    const __m128 x = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
HEED_INLINE double sum_by_halves(__m128d v) { return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v))); }

/// Lane i of yes where bit i is set, else of no.
HEED_INLINE __m128 select_bits(std::uint32_t bits, __m128 yes, __m128 no)
{
    const __m128i lane = _mm_setr_epi32(1, 2, 4, 8);
    const __m128i set = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(static_cast<int>(bits)), lane), lane);
    return choose(_mm_castsi128_ps(set), yes, no);
}
HEED_INLINE __m128d select_bits(std::uint32_t bits, __m128d yes, __m128d no)
{
    const __m128i lane = _mm_setr_epi32(1, 1, 2, 2);
    const __m128i set = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32(static_cast<int>(bits)), lane), lane);
    return choose(_mm_castsi128_pd(set), yes, no);
}

/// Bit i is set where lane i is not 0, NaN included.
HEED_INLINE std::uint32_t nonzero_bits(__m128 v)
{
    return static_cast<std::uint32_t>(_mm_movemask_ps(_mm_cmpneq_ps(v, _mm_setzero_ps())));
}
HEED_INLINE std::uint32_t nonzero_bits(__m128d v)
{
    return static_cast<std::uint32_t>(_mm_movemask_pd(_mm_cmpneq_pd(v, _mm_setzero_pd())));
}

/// Lane i ^ By in lane i.
template <int By>
HEED_INLINE __m128 exchange(__m128 v)
{
    return _mm_shuffle_ps(v, v, By == 1 ? 0xb1 : 0x4e);
}
template <int By>
HEED_INLINE __m128d exchange(__m128d v)
{
    return _mm_shuffle_pd(v, v, 1);
}

#if defined(__wasm__)
HEED_INLINE void accumulate(__m128& acc, __m128 a, __m128 b) { acc = fma(a, b, acc); }
HEED_INLINE void accumulate(__m128d& acc, __m128d a, __m128d b) { acc = fma(a, b, acc); }

/// p[i] in all lanes, of p at a multiple of 16 bytes: V8 does the loads of a basic block before all else and keeps in
/// memory what has no register, four numbers at a time here. Shuffles stay where they are used.
HEED_INLINE __m128 repeat(const float* p, int i, machine::sse)
{
    const __m128 four = _mm_load_ps(p + i / 4 * 4);
    switch (i % 4) {
    case 0: return _mm_shuffle_ps(four, four, 0x00);
    case 1: return _mm_shuffle_ps(four, four, 0x55);
    case 2: return _mm_shuffle_ps(four, four, 0xaa);
    default: return _mm_shuffle_ps(four, four, 0xff);
    }
}
#else
/// acc += a * b, rounded twice, in the order of the source: gcc 12 would repeat the numbers of eight channels in all
/// lanes first and keep them in memory (0.53 of the peak in prefill, D 128, instead of 0.71). The product is the
/// compiler's, which knows which of its factors may be overwritten (by hand: 0.64).
HEED_INLINE void accumulate(__m128& acc, __m128 a, __m128 b)
{
    __asm__ volatile("addps %1, %0" : "+x"(acc) : "x"(_mm_mul_ps(a, b)));
}
HEED_INLINE void accumulate(__m128d& acc, __m128d a, __m128d b)
{
    __asm__ volatile("addpd %1, %0" : "+x"(acc) : "x"(_mm_mul_pd(a, b)));
}

/// p[i] in all lanes, of p at a multiple of 16 bytes: one instruction where a load and a shuffle are two.
HEED_INLINE __m128 repeat(const float* p, int i, machine::sse)
{
    const __m128& four = *reinterpret_cast<const __m128*>(p + i / 4 * 4);
    __m128 all;
    switch (i % 4) {
    case 0: __asm__("pshufd $0x00, %1, %0" : "=x"(all) : "m"(four)); break;
    case 1: __asm__("pshufd $0x55, %1, %0" : "=x"(all) : "m"(four)); break;
    case 2: __asm__("pshufd $0xaa, %1, %0" : "=x"(all) : "m"(four)); break;
    default: __asm__("pshufd $0xff, %1, %0" : "=x"(all) : "m"(four)); break;
    }
    return all;
}

/// Keeps a loaded vector in its register: gcc 12 would load it again for every use.
HEED_INLINE __m128 in_register(__m128 v)
{
    __asm__("" : "+x"(v));
    return v;
}
HEED_INLINE __m128d in_register(__m128d v)
{
    __asm__("" : "+x"(v));
    return v;
}
#endif

/// Four 32-bit words, one of each of as many rows.
using words = machine::sse::words;

/// out[w] lane j = the w-th 32 bits of row j, of 4 rows of 16 bytes that are `stride` bytes apart.
HEED_INLINE void transpose_words(const void* in, std::int64_t stride, words (&out)[4])
{
    const char* const first = opaque(static_cast<const char*>(in));
    words r[4];
    HEED_UNROLL
    for (int k = 0; k < 4; ++k) r[k] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first + k * stride));
    const words a = _mm_unpacklo_epi32(r[0], r[1]), b = _mm_unpackhi_epi32(r[0], r[1]);
    const words c = _mm_unpacklo_epi32(r[2], r[3]), d = _mm_unpackhi_epi32(r[2], r[3]);
    out[0] = _mm_unpacklo_epi64(a, c);
    out[1] = _mm_unpackhi_epi64(a, c);
    out[2] = _mm_unpacklo_epi64(b, d);
    out[3] = _mm_unpackhi_epi64(b, d);
}

/// out[c] lane j = in[j * stride + c] for 2 rows j and 2 channels c.
HEED_INLINE void transpose(const double* in, std::int64_t stride, __m128d (&out)[2])
{
    const __m128d a = _mm_loadu_pd(in), b = _mm_loadu_pd(in + stride);
    out[0] = _mm_unpacklo_pd(a, b);
    out[1] = _mm_unpackhi_pd(a, b);
}

}  // namespace simd::arch
HEED_END
