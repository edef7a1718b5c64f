// SPDX-License-Identifier: MIT
// Products of bytes with NEON, where it has SDOT: four channels, or four keys, to a word.
#pragma once

#include "neon.hpp"
#include "portable_quads.hpp"

HEED_BEGIN
namespace simd::arch {

/// By one lane, in the register of acc; volatile as in accumulate().
template <int I>
HEED_INLINE void dot_quads(uint32x4_t& acc, uint32x4_t a, uint32x4_t b)
{
    __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(acc) : "w"(b), "w"(a), "i"(I));
}

HEED_INLINE void interleave_eight_bytes(const uint32x4_t (&r)[4], uint32x4_t (&out)[2])
{
    const auto row = [&](int i) HEED_INLINE_LAMBDA { return vreinterpretq_u8_u32(r[i]); };
    const uint8x16_t even = vzip1q_u8(row(0), row(2)), odd = vzip1q_u8(row(1), row(3));
    out[0] = vreinterpretq_u32_u8(vzip1q_u8(even, odd));
    out[1] = vreinterpretq_u32_u8(vzip2q_u8(even, odd));
}
HEED_INLINE uint32x4_t load_eight_bytes(const void* p, machine::neon)
{
    return vreinterpretq_u32_u8(vcombine_u8(vld1_u8(static_cast<const std::uint8_t*>(p)), vdup_n_u8(0)));
}

/// What a lower byte below 0 takes from the upper one is added to it first.
HEED_INLINE void split_to_bytes(const float32x4_t (&x)[4], uint32x4_t& upper, uint32x4_t& lower)
{
    const auto two = [&](int i) HEED_INLINE_LAMBDA {
        const int16x4_t first = vmovn_s32(vcvtq_s32_f32(x[i]));
        return vmovn_high_s32(first, vcvtq_s32_f32(x[i + 1]));
    };
    const int16x8_t a = two(0), b = two(2), half = vdupq_n_s16(128);
    lower = vreinterpretq_u32_s8(vuzp1q_s8(vreinterpretq_s8_s16(a), vreinterpretq_s8_s16(b)));
    upper = vreinterpretq_u32_s8(
        vuzp2q_s8(vreinterpretq_s8_s16(vaddq_s16(a, half)), vreinterpretq_s8_s16(vaddq_s16(b, half))));
}
HEED_INLINE void interleave_words(uint32x4_t a, uint32x4_t b, uint32x4_t (&out)[2])
{
    out[0] = vzip1q_u32(a, b);
    out[1] = vzip2q_u32(a, b);
}

}  // namespace simd::arch
HEED_END
