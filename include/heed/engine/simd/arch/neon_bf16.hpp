// SPDX-License-Identifier: MIT
// Pairs of bf16 that are multiplied and added at once: BFDOT, of ARMv8.6 and of ARMv8.2 with BF16. It rounds the sum of
// two products to odd, and that sum with what it is added to again, where AVX512_BF16 rounds each product's sum to
// nearest. (BFMLALB and BFMLALT round as AVX512_BF16 does, but take two instructions for as many products: no more a
// cycle than floats. BFMMLA makes sums of 2 x 2, where a register has one lane a key.)
#pragma once

#include "neon.hpp"

HEED_BEGIN
namespace simd::arch {

template <>
inline constexpr bool has_bf16_dots_of<machine::neon> = true;
template <>
inline constexpr bool rounds_dots_to_odd<machine::neon> = true;

/// acc += a.first * b.first + a.second * b.second in each lane; subnormal numbers count as 0.
HEED_INLINE void dot(float32x4_t& acc, uint32x4_t a, uint32x4_t b)
{
    acc = vbfdotq_f32(acc, vreinterpretq_bf16_u32(a), vreinterpretq_bf16_u32(b));
}
/// By one pair, in the register of acc; volatile as in accumulate().
HEED_INLINE void dot(float32x4_t& acc, bf16_pair a, uint32x4_t b)
{
    std::uint32_t pair;
    std::memcpy(&pair, &a, sizeof(pair));
    __asm__ volatile("bfdot %0.4s, %1.8h, %2.2h[0]" : "+w"(acc) : "w"(b), "w"(pair));
}

/// Four floats rounded to bf16, ties to even; subnormal ones, which the conversion would keep, become 0 of their sign.
HEED_INLINE uint16x4_t round_to_bf16(float32x4_t v)
{
    const uint32x4_t subnormal = vandq_u32(vcaltq_f32(v, vdupq_n_f32(0x1p-126f)), vdupq_n_u32(0x7fffffff));
    const float32x4_t normal = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), subnormal));
    return vreinterpret_u16_bf16(vcvt_bf16_f32(normal));
}
HEED_INLINE float32x4_t rounded_to_bf16(float32x4_t v) { return widen(round_to_bf16(v), static_cast<bf16*>(nullptr)); }
HEED_INLINE void store_rounded(bf16* p, float32x4_t v)
{
    vst1_u16(reinterpret_cast<std::uint16_t*>(p), round_to_bf16(v));
}

HEED_INLINE uint32x4_t broadcast(bf16_pair pair, machine::neon)
{
    std::uint32_t bits;
    std::memcpy(&bits, &pair, sizeof(bits));
    return vdupq_n_u32(bits);
}
HEED_INLINE uint32x4_t load(const bf16_pair* p, machine::neon)
{
    return vreinterpretq_u32_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p)));
}
HEED_INLINE void store(bf16_pair* p, uint32x4_t v)
{
    vst1q_u8(reinterpret_cast<std::uint8_t*>(p), vreinterpretq_u8_u32(v));
}
HEED_INLINE uint32x4_t in_register(uint32x4_t v)
{
    __asm__("" : "+w"(v));
    return v;
}

/// {a[c], b[c]} for 4 channels c.
HEED_INLINE uint32x4_t pair_rows(const bf16* a, const bf16* b, machine::neon)
{
    const uint16x4x2_t pairs = vzip_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(a)),
                                        vld1_u16(reinterpret_cast<const std::uint16_t*>(b)));
    return vreinterpretq_u32_u16(vcombine_u16(pairs.val[0], pairs.val[1]));
}

}  // namespace simd::arch
HEED_END
