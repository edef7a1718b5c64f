// SPDX-License-Identifier: MIT
// AVX2 with FMA and F16C.
#pragma once

#include "portable.hpp"

#include <immintrin.h>

HEED_BEGIN
namespace simd::machine {

/// Measured on Zen 3.
struct avx2 : unmeasured {
    template <class T>
    using array = arch::lane_array<T, 32 / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = xsimd::batch<T, xsimd::fma3<xsimd::avx2>>;
    template <class T>
    using registers = typename batch<T>::register_type;
    using words = __m256i;

    // With 168 query rows the causal cases were 1 to 2 % faster than with 192, and none slower.
    static constexpr int query_block = 168, small_query_block = 168;

    // Decode of f32 takes 13 % less time than in the order of addresses with one row a head, and 5 % with four.
    static constexpr bool two_distances = true;
    static constexpr int l1_apart = 8, rows_apart = 32;
    static constexpr bool streams_integers = true;
};

}  // namespace simd::machine

namespace simd::arch {

HEED_INLINE __m256 fma(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
HEED_INLINE __m256d fma(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }

// The instruction returns its second operand when either is NaN: the first argument of ours.
HEED_INLINE __m256 max(__m256 a, __m256 b) { return _mm256_max_ps(b, a); }
HEED_INLINE __m256d max(__m256d a, __m256d b) { return _mm256_max_pd(b, a); }
HEED_INLINE __m256 min(__m256 a, __m256 b) { return _mm256_min_ps(b, a); }
HEED_INLINE __m256d min(__m256d a, __m256d b) { return _mm256_min_pd(b, a); }

HEED_INLINE __m256 round(__m256 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
HEED_INLINE __m256d round(__m256d a) { return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

/// 2^n for a whole n; exact down to the smallest subnormal, 0 below, NaN for NaN. Two factors, since one exponent
/// field does not reach the subnormals; NaN + 0 * anything keeps a NaN.
HEED_INLINE __m256 power_of_two(__m256 n)
{
    const __m256i k = _mm256_cvtps_epi32(min(max(n, _mm256_set1_ps(-252)), _mm256_set1_ps(254)));
    const __m256i half = _mm256_srai_epi32(k, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(k, half), bias), 23));
    return _mm256_blendv_ps(_mm256_mul_ps(a, b), n, _mm256_cmp_ps(n, n, _CMP_UNORD_Q));
}
HEED_INLINE __m256d power_of_two(__m256d n)
{
    const __m256i k =
        _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(min(max(n, _mm256_set1_pd(-2044)), _mm256_set1_pd(2046))));
    const __m256i half = _mm256_cvtepi32_epi64(
        _mm_srai_epi32(_mm256_cvtpd_epi32(min(max(n, _mm256_set1_pd(-2044)), _mm256_set1_pd(2046))), 1));
    const __m256i bias = _mm256_set1_epi64x(1023);
    const __m256d a = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(half, bias), 52));
    const __m256d b = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(_mm256_sub_epi64(k, half), bias), 52));
    return _mm256_blendv_pd(_mm256_mul_pd(a, b), n, _mm256_cmp_pd(n, n, _CMP_UNORD_Q));
}

/// The number whose exponent are the low bits of x, and whose fraction is 0.
HEED_INLINE __m256 exponent_from_low_bits(__m256 x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23));
}
HEED_INLINE __m256d exponent_from_low_bits(__m256d x)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(x), 52));
}

/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for positive finite x, subnormal ones too. Bits
/// that are moved up by what sqrt 1/2 lacks of 1 carry into the exponent where the fraction would be too large.
HEED_INLINE __m256 split_exponent(__m256 x, __m256& exponent)
{
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(0x1p-126f), _CMP_LT_OQ);
    const __m256i b = _mm256_castps_si256(_mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(0x1p25f)), tiny));
    const __m256i up = _mm256_add_epi32(b, _mm256_set1_epi32(0x3f800000 - 0x3f3504f3));
    const __m256i k = _mm256_sub_epi32(_mm256_srli_epi32(up, 23), _mm256_set1_epi32(127));
    exponent = _mm256_sub_ps(_mm256_cvtepi32_ps(k), _mm256_and_ps(tiny, _mm256_set1_ps(25)));
    return _mm256_castsi256_ps(_mm256_sub_epi32(b, _mm256_slli_epi32(k, 23)));
}
HEED_INLINE __m256d split_exponent(__m256d x, __m256d& exponent)
{
    const __m256d tiny = _mm256_cmp_pd(x, _mm256_set1_pd(0x1p-1022), _CMP_LT_OQ);
    const __m256i b = _mm256_castpd_si256(_mm256_blendv_pd(x, _mm256_mul_pd(x, _mm256_set1_pd(0x1p54)), tiny));
    const __m256i up = _mm256_add_epi64(b, _mm256_set1_epi64x(0x3ff0000000000000 - 0x3fe6a09e667f3bcc));
    const __m256i biased = _mm256_srli_epi64(up, 52);
    // A small whole number in the last bits of 2^52.
    const __m256d number = _mm256_castsi256_pd(_mm256_or_si256(biased, _mm256_castpd_si256(_mm256_set1_pd(0x1p52))));
    exponent =
        _mm256_sub_pd(_mm256_sub_pd(number, _mm256_set1_pd(0x1p52 + 1023)), _mm256_and_pd(tiny, _mm256_set1_pd(54)));
    const __m256i k = _mm256_sub_epi64(biased, _mm256_set1_epi64x(1023));
    return _mm256_castsi256_pd(_mm256_sub_epi64(b, _mm256_slli_epi64(k, 52)));
}

HEED_INLINE __m256i lanes_below(int n, const __m256*)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
HEED_INLINE __m256i lanes_below(int n, const __m256d*)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}

HEED_INLINE __m256 load_n(const float* p, int n, machine::avx2)
{
    return _mm256_maskload_ps(p, lanes_below(n, static_cast<__m256*>(nullptr)));
}
HEED_INLINE __m256d load_n(const double* p, int n, machine::avx2)
{
    return _mm256_maskload_pd(p, lanes_below(n, static_cast<__m256d*>(nullptr)));
}
HEED_INLINE void store_n(float* p, __m256 v, int n)
{
    _mm256_maskstore_ps(p, lanes_below(n, static_cast<__m256*>(nullptr)), v);
}
HEED_INLINE void store_n(double* p, __m256d v, int n)
{
    _mm256_maskstore_pd(p, lanes_below(n, static_cast<__m256d*>(nullptr)), v);
}

// Eight bf16 or f16 as floats, and back, rounded to nearest even; a NaN stays one.
HEED_INLINE __m256 widen(__m128i h, const bf16*)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
HEED_INLINE __m128i low_words(__m256i v)  // of each 32-bit lane
{
    const __m256i w = _mm256_packus_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0xffff)), _mm256_setzero_si256());
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(w, 0x08));
}
HEED_INLINE __m128i narrow(__m256 v, const bf16*)
{
    const __m256i b = _mm256_castps_si256(v), odd = _mm256_and_si256(_mm256_srli_epi32(b, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(b, odd), _mm256_set1_epi32(0x7fff));
    const __m256i quiet = _mm256_or_si256(b, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return low_words(_mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16));
}
HEED_INLINE __m256 widen(__m128i h, const f16*) { return _mm256_cvtph_ps(h); }
HEED_INLINE __m128i narrow(__m256 v, const f16*)
{
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE __m256 load(const E* p, machine::avx2)
{
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE __m256 load_n(const E* p, int n, machine::avx2)
{
    E part[8] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return arch::load(part, machine::avx2{});
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store(E* p, __m256 v)
{
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v, p));
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store_n(E* p, __m256 v, int n)
{
    E part[8];
    arch::store(part, v);
    for (int i = 0; i < n; ++i) p[i] = part[i];
}

/// The largest lane, of a vector without NaN; and the sum of all lanes, upper half onto lower.
HEED_INLINE float largest(__m256 v)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
HEED_INLINE double largest(__m256d v)
{
    const __m128d x = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x)));
}
HEED_INLINE float sum_by_halves(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
HEED_INLINE double sum_by_halves(__m256d v)
{
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}

/// Lane i of yes where bit i is set, else of no.
HEED_INLINE __m256 select_bits(std::uint32_t bits, __m256 yes, __m256 no)
{
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
    return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(set));
}
HEED_INLINE __m256d select_bits(std::uint32_t bits, __m256d yes, __m256d no)
{
    const __m256i lane = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(static_cast<int>(bits)), lane), lane);
    return _mm256_blendv_pd(no, yes, _mm256_castsi256_pd(set));
}

/// Bit i is set where lane i is not 0, NaN included.
HEED_INLINE std::uint32_t nonzero_bits(__m256 v)
{
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
}
HEED_INLINE std::uint32_t nonzero_bits(__m256d v)
{
    return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_NEQ_UQ)));
}

/// Bit i is set where lane i is not at most that of b, NaN included.
HEED_INLINE std::uint32_t above_bits(__m256 a, __m256 b)
{
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ)));
}
HEED_INLINE std::uint32_t above_bits(__m256d a, __m256d b)
{
    return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_NLE_UQ)));
}
template <class D>
HEED_INLINE __m256d widened_half(__m256 v, int half)
{
    return _mm256_cvtps_pd(half == 0 ? _mm256_castps256_ps128(v) : _mm256_extractf128_ps(v, 1));
}

/// Lane i ^ By in lane i.
template <int By>
HEED_INLINE __m256 exchange(__m256 v)
{
    if constexpr (By == 4) return _mm256_permute2f128_ps(v, v, 1);
    else return _mm256_permute_ps(v, By == 1 ? 0xb1 : 0x4e);
}
template <int By>
HEED_INLINE __m256d exchange(__m256d v)
{
    if constexpr (By == 2) return _mm256_permute2f128_pd(v, v, 1);
    else return _mm256_permute_pd(v, 0x5);
}

/// acc += a * b, rounded once, in the register of acc: gcc 12 multiplies into the register of a and moves the sums from
/// register to register, which took 0.91 instead of 0.98 of the FMA peak on Zen 3.
HEED_INLINE void accumulate(__m256& acc, __m256 a, __m256 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
}
HEED_INLINE void accumulate(__m256d& acc, __m256d a, __m256d b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
}

/// Keeps a loaded vector in its register: gcc 12 would load it again for every use.
HEED_INLINE __m256 in_register(__m256 v)
{
    __asm__("" : "+x"(v));
    return v;
}
HEED_INLINE __m256d in_register(__m256d v)
{
    __asm__("" : "+x"(v));
    return v;
}

/// Transposes 4 x 4 words of 32 bits in each 128-bit lane.
HEED_INLINE void transpose_lanes(const __m256i (&r)[4], __m256i (&out)[4])
{
    const __m256i a = _mm256_unpacklo_epi32(r[0], r[1]), b = _mm256_unpackhi_epi32(r[0], r[1]);
    const __m256i c = _mm256_unpacklo_epi32(r[2], r[3]), d = _mm256_unpackhi_epi32(r[2], r[3]);
    out[0] = _mm256_unpacklo_epi64(a, c);
    out[1] = _mm256_unpackhi_epi64(a, c);
    out[2] = _mm256_unpacklo_epi64(b, d);
    out[3] = _mm256_unpackhi_epi64(b, d);
}

/// Eight 32-bit words, one of each of as many rows.
using words = machine::avx2::words;

/// out[w] lane j = the w-th 32 bits of row j, of 8 rows of 16 bytes that are `stride` bytes apart.
HEED_INLINE void transpose_words(const void* in, std::int64_t stride, words (&out)[4])
{
    const char *a = opaque(static_cast<const char*>(in)), *b = opaque(a + 4 * stride);
    words r[4];
    HEED_UNROLL
    for (int k = 0; k < 4; ++k) {
        const auto row = [&](const char* p) {
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + k * stride));
        };
        r[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(row(a)), row(b), 1);
    }
    transpose_lanes(r, out);
}

/// The i-th element of each word.
HEED_INLINE __m256 take(words w, int, const float*, machine::avx2) { return _mm256_castsi256_ps(w); }
HEED_INLINE __m256 take(words w, int i, const bf16*, machine::avx2)
{
    return _mm256_castsi256_ps(i == 0 ? _mm256_slli_epi32(w, 16)
                                      : _mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}
HEED_INLINE __m256 take(words w, int i, const f16* tag, machine::avx2)
{
    return widen(low_words(i == 0 ? w : _mm256_srli_epi32(w, 16)), tag);
}

/// out[c] lane j = in[j * stride + c] for 4 rows j and 2 channels c.
HEED_INLINE void transpose(const double* in, std::int64_t stride, __m256d (&out)[2])
{
    const __m256d a = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(in)), _mm_loadu_pd(in + 2 * stride), 1);
    const __m256d b =
        _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(in + stride)), _mm_loadu_pd(in + 3 * stride), 1);
    out[0] = _mm256_unpacklo_pd(a, b);
    out[1] = _mm256_unpackhi_pd(a, b);
}

}  // namespace simd::arch
HEED_END
