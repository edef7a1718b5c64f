// SPDX-License-Identifier: MIT
// AArch64 with Advanced SIMD, which every ARMv8 has.
#pragma once

#include "portable.hpp"

#include <arm_neon.h>

HEED_BEGIN
namespace simd::machine {

/// Not measured: sizes are argued from what the cores have, by llvm-mca and counts of instructions under qemu
/// (bench/mca).
struct neon : unmeasured {
    template <class T>
    using array = arch::lane_array<T, 16 / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = xsimd::batch<T, xsimd::neon64>;
    template <class T>
    using registers = typename batch<T>::register_type;
    using words = uint32x4_t;

    // 24 sums, four keys and a query's lane take 29 of 32 registers, and 10 loads 24 FMAs: two loads a cycle would do
    // for 4.8 FMAs a cycle, and no core has more than four.
    static constexpr int register_vecs = 4, wide_vecs = 4;
    // Half of the L1 cache of 64 KiB that Neoverse N1, V1 and their like have; and scores of 400 KiB with K, V and O
    // beside them in an L2 cache of 1 MiB.
    static constexpr int strip_bytes = 32 * 1024;
    static constexpr int query_block = 192, small_query_block = 192;
    static constexpr int l1_apart = 0, rows_apart = 0;
    static constexpr bool multiplies_by_element = true;

    // 5 % fewer instructions for q8_0 and q4_0, and as many for the others.
    static constexpr bool shares_broadcasts = true;
    static constexpr int most_rows_of_two = 6;
    // With one register of keys, four rows have four sums, which wait for each other: at 0.76 FMAs a cycle a Neoverse
    // N1 would read 9 GB/s of keys at 3 GHz.
    static constexpr bool takes_two_of_floats = true;
};

}  // namespace simd::machine

namespace simd::arch {

HEED_INLINE float32x4_t fma(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
HEED_INLINE float64x2_t fma(float64x2_t a, float64x2_t b, float64x2_t c) { return vfmaq_f64(c, a, b); }
HEED_INLINE void accumulate(float32x4_t& acc, float32x4_t a, float32x4_t b) { acc = vfmaq_f32(acc, a, b); }
HEED_INLINE void accumulate(float64x2_t& acc, float64x2_t a, float64x2_t b) { acc = vfmaq_f64(acc, a, b); }
/// By one lane, in the register of acc. Volatile, because gcc 12 would take the products of several channels together
/// before it allocates registers, and keep sums in memory: by llvm-mca 0.71 of the FMA peak of a Neoverse N1 with
/// intrinsics and 0.80 with asm that is not volatile (51 and 41 stack accesses in 192 products), so 0.99 (none).
HEED_INLINE void accumulate(float32x4_t& acc, float a, float32x4_t b)
{
    __asm__ volatile("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(acc) : "w"(b), "w"(a));
}
HEED_INLINE void accumulate(float64x2_t& acc, double a, float64x2_t b)
{
    __asm__ volatile("fmla %0.2d, %1.2d, %2.d[0]" : "+w"(acc) : "w"(b), "w"(a));
}

// FMAX gives NaN for either NaN and FMAXNM for neither; a comparison keeps that of the first argument.
HEED_INLINE float32x4_t max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(b, a), b, a); }
HEED_INLINE float64x2_t max(float64x2_t a, float64x2_t b) { return vbslq_f64(vcgtq_f64(b, a), b, a); }
HEED_INLINE float32x4_t min(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(b, a), b, a); }
HEED_INLINE float64x2_t min(float64x2_t a, float64x2_t b) { return vbslq_f64(vcltq_f64(b, a), b, a); }

HEED_INLINE float32x4_t round(float32x4_t a) { return vrndnq_f32(a); }
HEED_INLINE float64x2_t round(float64x2_t a) { return vrndnq_f64(a); }

/// 2^n for a whole n; exact down to the smallest subnormal, 0 below, NaN for NaN. Two factors, since one exponent field
/// does not reach the subnormals.
HEED_INLINE float32x4_t power_of_two(float32x4_t n)
{
    const int32x4_t k = vcvtnq_s32_f32(min(max(n, vdupq_n_f32(-252)), vdupq_n_f32(254)));
    const int32x4_t half = vshrq_n_s32(k, 1), bias = vdupq_n_s32(127);
    const float32x4_t a = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const float32x4_t b = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(k, half), bias), 23));
    return vbslq_f32(vceqq_f32(n, n), vmulq_f32(a, b), n);
}
HEED_INLINE float64x2_t power_of_two(float64x2_t n)
{
    const int64x2_t k = vcvtnq_s64_f64(min(max(n, vdupq_n_f64(-2044)), vdupq_n_f64(2046)));
    const int64x2_t half = vshrq_n_s64(k, 1), bias = vdupq_n_s64(1023);
    const float64x2_t a = vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(half, bias), 52));
    const float64x2_t b = vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(vsubq_s64(k, half), bias), 52));
    return vbslq_f64(vceqq_f64(n, n), vmulq_f64(a, b), n);
}

HEED_INLINE float32x4_t exponent_from_low_bits(float32x4_t x)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 23));
}
HEED_INLINE float64x2_t exponent_from_low_bits(float64x2_t x)
{
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(x), 52));
}

/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for positive finite x, subnormal ones too. Bits
/// that are moved up by what sqrt 1/2 lacks of 1 carry into the exponent where the fraction would be too large.
HEED_INLINE float32x4_t split_exponent(float32x4_t x, float32x4_t& exponent)
{
    const uint32x4_t tiny = vcltq_f32(x, vdupq_n_f32(0x1p-126f));
    const uint32x4_t b = vreinterpretq_u32_f32(vbslq_f32(tiny, vmulq_f32(x, vdupq_n_f32(0x1p25f)), x));
    const uint32x4_t up = vaddq_u32(b, vdupq_n_u32(0x3f800000 - 0x3f3504f3));
    const int32x4_t k = vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(up, 23)), vdupq_n_s32(127));
    const uint32x4_t lift = vandq_u32(tiny, vreinterpretq_u32_f32(vdupq_n_f32(25)));
    exponent = vsubq_f32(vcvtq_f32_s32(k), vreinterpretq_f32_u32(lift));
    return vreinterpretq_f32_u32(vsubq_u32(b, vreinterpretq_u32_s32(vshlq_n_s32(k, 23))));
}
HEED_INLINE float64x2_t split_exponent(float64x2_t x, float64x2_t& exponent)
{
    const uint64x2_t tiny = vcltq_f64(x, vdupq_n_f64(0x1p-1022));
    const uint64x2_t b = vreinterpretq_u64_f64(vbslq_f64(tiny, vmulq_f64(x, vdupq_n_f64(0x1p54)), x));
    const uint64x2_t up = vaddq_u64(b, vdupq_n_u64(0x3ff0000000000000 - 0x3fe6a09e667f3bcc));
    const int64x2_t k = vsubq_s64(vreinterpretq_s64_u64(vshrq_n_u64(up, 52)), vdupq_n_s64(1023));
    const uint64x2_t lift = vandq_u64(tiny, vreinterpretq_u64_f64(vdupq_n_f64(54)));
    exponent = vsubq_f64(vcvtq_f64_s64(k), vreinterpretq_f64_u64(lift));
    return vreinterpretq_f64_u64(vsubq_u64(b, vreinterpretq_u64_s64(vshlq_n_s64(k, 52))));
}

HEED_INLINE float32x4_t load_n(const float* p, int n, machine::neon)
{
    if (n >= 4) return vld1q_f32(p);
    float32x4_t v = vdupq_n_f32(0);
    if (n > 0) v = vld1q_lane_f32(p, v, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
}
HEED_INLINE float64x2_t load_n(const double* p, int n, machine::neon)
{
    if (n >= 2) return vld1q_f64(p);
    const float64x2_t zero = vdupq_n_f64(0);
    return n > 0 ? vld1q_lane_f64(p, zero, 0) : zero;
}
HEED_INLINE void store_n(float* p, float32x4_t v, int n)
{
    if (n >= 4) return vst1q_f32(p, v);
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
}
HEED_INLINE void store_n(double* p, float64x2_t v, int n)
{
    if (n >= 2) return vst1q_f64(p, v);
    if (n > 0) vst1q_lane_f64(p, v, 0);
}

HEED_INLINE float largest(float32x4_t v) { return vmaxvq_f32(v); }
HEED_INLINE double largest(float64x2_t v) { return vmaxvq_f64(v); }
HEED_INLINE float sum_by_halves(float32x4_t v) { return vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v))); }
HEED_INLINE double sum_by_halves(float64x2_t v) { return vpaddd_f64(v); }

HEED_INLINE uint32x4_t lane_bits(float32x4_t) { return uint32x4_t{1, 2, 4, 8}; }
HEED_INLINE uint64x2_t lane_bits(float64x2_t) { return uint64x2_t{1, 2}; }
HEED_INLINE float32x4_t select_bits(std::uint32_t bits, float32x4_t yes, float32x4_t no)
{
    return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), lane_bits(yes)), yes, no);
}
HEED_INLINE float64x2_t select_bits(std::uint32_t bits, float64x2_t yes, float64x2_t no)
{
    return vbslq_f64(vtstq_u64(vdupq_n_u64(bits), lane_bits(yes)), yes, no);
}
HEED_INLINE std::uint32_t nonzero_bits(float32x4_t v)
{
    return vaddvq_u32(vbicq_u32(lane_bits(v), vceqq_f32(v, vdupq_n_f32(0))));
}
HEED_INLINE std::uint32_t nonzero_bits(float64x2_t v)
{
    return static_cast<std::uint32_t>(vaddvq_u64(vbicq_u64(lane_bits(v), vceqq_f64(v, vdupq_n_f64(0)))));
}

template <int By>
HEED_INLINE float32x4_t exchange(float32x4_t v)
{
    if constexpr (By == 1) return vrev64q_f32(v);
    else return vextq_f32(v, v, 2);
}
template <int By>
HEED_INLINE float64x2_t exchange(float64x2_t v)
{
    static_assert(By == 1);
    return vextq_f64(v, v, 1);
}

HEED_INLINE float32x4_t in_register(float32x4_t v)
{
    __asm__("" : "+w"(v));
    return v;
}
HEED_INLINE float64x2_t in_register(float64x2_t v)
{
    __asm__("" : "+w"(v));
    return v;
}

// ---- elements

HEED_INLINE float32x4_t widen(uint16x4_t h, const bf16*) { return vreinterpretq_f32_u32(vshll_n_u16(h, 16)); }
HEED_INLINE float32x4_t widen(uint16x4_t h, const f16*) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
HEED_INLINE uint16x4_t narrow(float32x4_t v, const bf16*)
{
    const uint32x4_t b = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(b, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(b, odd), vdupq_n_u32(0x7fff));
    const uint32x4_t quiet = vorrq_u32(b, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet), 16);
}
HEED_INLINE uint16x4_t narrow(float32x4_t v, const f16*) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }

template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE float32x4_t load(const E* p, machine::neon)
{
    return widen(vld1_u16(reinterpret_cast<const std::uint16_t*>(p)), p);
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store(E* p, float32x4_t v)
{
    vst1_u16(reinterpret_cast<std::uint16_t*>(p), narrow(v, p));
}
template <class E, class = std::enable_if_t<sizeof(E) == 2>>
HEED_INLINE void store_n(E* p, float32x4_t v, int n)
{
    E part[4];
    arch::store(part, v);
    for (int i = 0; i < n; ++i) p[i] = part[i];
}

HEED_INLINE float32x4_t broadcast(const f16& x, machine::neon) { return widen(vdup_n_u16(x.bits), &x); }
HEED_INLINE float32x4_t gather(const f16* first, std::int64_t stride, machine::neon)
{
    const auto at = [&](int j) HEED_INLINE_LAMBDA {
        return reinterpret_cast<const std::uint16_t*>(reinterpret_cast<const char*>(first) + j * stride);
    };
    uint16x4_t h = vdup_n_u16(0);
    h = vld1_lane_u16(at(0), h, 0);
    h = vld1_lane_u16(at(1), h, 1);
    h = vld1_lane_u16(at(2), h, 2);
    h = vld1_lane_u16(at(3), h, 3);
    return widen(h, first);
}

HEED_INLINE uint8x8_t load_bytes(const void* p)
{
    std::uint32_t b;
    std::memcpy(&b, p, sizeof(b));
    return vreinterpret_u8_u32(vdup_n_u32(b));
}
HEED_INLINE uint32x4_t words_of_bytes(const void* p) { return vmovl_u16(vget_low_u16(vmovl_u8(load_bytes(p)))); }
HEED_INLINE float32x4_t load(const std::int8_t* p, machine::neon)
{
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load_bytes(p))))));
}

/// The E4M3 numbers in the upper bytes of 16-bit lanes, whatever is in the lower ones, as floats. With sign and
/// magnitude in their places they are the numbers of f16, subnormal ones too, divided by 2^8. NaN has one magnitude.
HEED_INLINE float32x4_t widen_upper(uint16x4_t b)
{
    const int16x4_t two_signs = vshr_n_s16(vreinterpret_s16_u16(b), 1);
    const uint16x4_t h = vand_u16(vreinterpret_u16_s16(two_signs), vdup_n_u16(0xbf80));
    const float32x4_t x = vmulq_n_f32(widen(h, static_cast<const f16*>(nullptr)), 0x1p8f);
    const uint16x4_t is_nan = vceq_u16(vshl_n_u16(h, 1), vdup_n_u16(0x7f00));
    const int32x4_t all_ones = vmovl_s16(vreinterpret_s16_u16(is_nan));
    return vreinterpretq_f32_s32(vorrq_s32(vreinterpretq_s32_f32(x), all_ones));
}
HEED_INLINE float32x4_t load(const fp8_e4m3* p, machine::neon)
{
    return widen_upper(vget_low_u16(vshll_n_u8(load_bytes(p), 8)));
}

/// E5M2 is the upper byte of an f16.
HEED_INLINE float32x4_t load(const fp8_e5m2* p, machine::neon)
{
    return widen(vget_low_u16(vshll_n_u8(load_bytes(p), 8)), static_cast<const f16*>(nullptr));
}

template <class E, class = std::enable_if_t<(sizeof(E) < 4)>>
HEED_INLINE float32x4_t load_n(const E* p, int n, machine::neon)
{
    E part[4] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return as_register<float32x4_t>(arch::load(part, machine::neon{}));
}

HEED_INLINE uint32x4_t load_bytes_as_words(const std::uint8_t* p, machine::neon) { return words_of_bytes(p); }
/// The table in one register, of which the compiler makes a constant; the number in the upper byte of a word is that
/// many 2^-24.
HEED_INLINE float32x4_t look_up(const float (&table)[16], uint32x4_t w, machine::neon)
{
    const auto at = [&](int i) HEED_INLINE_LAMBDA { return static_cast<std::int8_t>(table[i]); };
    const int8x16_t numbers = {at(0), at(1), at(2),  at(3),  at(4),  at(5),  at(6),  at(7),
                               at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15)};
    const uint8x16_t places = vreinterpretq_u8_u32(vandq_u32(w, vdupq_n_u32(15)));
    return vcvtq_n_f32_s32(vshlq_n_s32(vreinterpretq_s32_s8(vqtbl1q_s8(numbers, places)), 24), 24);
}

// ---- transposition

HEED_INLINE void transpose_words(const void* in, std::int64_t stride, uint32x4_t (&out)[4])
{
    const char* p = opaque(static_cast<const char*>(in));
    uint32x4_t r[4];
    HEED_UNROLL
    for (int k = 0; k < 4; ++k)
        r[k] = vreinterpretq_u32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p + k * stride)));
    const auto pairs = [](uint32x4_t v) HEED_INLINE_LAMBDA { return vreinterpretq_u64_u32(v); };
    const uint64x2_t a = pairs(vtrn1q_u32(r[0], r[1])), b = pairs(vtrn2q_u32(r[0], r[1]));
    const uint64x2_t c = pairs(vtrn1q_u32(r[2], r[3])), d = pairs(vtrn2q_u32(r[2], r[3]));
    out[0] = vreinterpretq_u32_u64(vtrn1q_u64(a, c));
    out[1] = vreinterpretq_u32_u64(vtrn1q_u64(b, d));
    out[2] = vreinterpretq_u32_u64(vtrn2q_u64(a, c));
    out[3] = vreinterpretq_u32_u64(vtrn2q_u64(b, d));
}
HEED_INLINE void transpose(const double* in, std::int64_t stride, float64x2_t (&out)[2])
{
    const float64x2_t a = vld1q_f64(in), b = vld1q_f64(in + stride);
    out[0] = vtrn1q_f64(a, b);
    out[1] = vtrn2q_f64(a, b);
}

HEED_INLINE float32x4_t take(uint32x4_t w, int, const float*, machine::neon) { return vreinterpretq_f32_u32(w); }
HEED_INLINE float32x4_t take(uint32x4_t w, int i, const bf16*, machine::neon)
{
    return vreinterpretq_f32_u32(i == 0 ? vshlq_n_u32(w, 16) : vandq_u32(w, vdupq_n_u32(0xffff0000u)));
}
HEED_INLINE float32x4_t take(uint32x4_t w, int i, const f16* tag, machine::neon)
{
    return widen(i == 0 ? vmovn_u32(w) : vshrn_n_u32(w, 16), tag);
}
HEED_INLINE float32x4_t take(uint32x4_t w, int i, const fp8_e4m3*, machine::neon)
{
    return widen_upper(vshrn_n_u32(w << (24 - 8 * i), 16));
}
HEED_INLINE float32x4_t take(uint32x4_t w, int i, const fp8_e5m2*, machine::neon)
{
    const uint32x4_t upper = vandq_u32(vshlq_u32(w, vdupq_n_s32(8 - 8 * i)), vdupq_n_u32(0xff00u));
    return widen(vmovn_u32(upper), static_cast<const f16*>(nullptr));
}

}  // namespace simd::arch
HEED_END
