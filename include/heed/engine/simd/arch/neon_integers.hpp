// SPDX-License-Identifier: MIT
// Products of whole numbers of 16 bits with NEON. Pairs that the machine orders are four first numbers, then their four
// second ones, each of which is multiplied by one lane of another register: an instruction for four products.
#pragma once

#include "neon.hpp"

HEED_BEGIN
namespace simd::arch {

HEED_INLINE int16x8_t shorts_of(uint32x4_t w) { return vreinterpretq_s16_u32(w); }

HEED_INLINE uint32x4_t load_shorts(const std::int8_t* p, machine::neon)
{
    return vreinterpretq_u32_s16(vmovl_s8(vld1_s8(p)));
}
HEED_INLINE uint32x4_t load_signed_nibbles(const std::uint8_t* p, int at, machine::neon)
{
    const uint8x8_t both = vld1_u8(p + at % 16);
    const uint8x8_t four = at >= 16 ? vshr_n_u8(both, 4) : vand_u8(both, vdup_n_u8(15));
    return vreinterpretq_u32_s16(vmovl_s8(vsub_s8(vreinterpret_s8_u8(four), vdup_n_s8(8))));
}
HEED_INLINE uint32x4_t narrow_to_shorts(float32x4_t first, float32x4_t second, machine::neon)
{
    return vreinterpretq_u32_s16(vcombine_s16(vmovn_s32(vcvtq_s32_f32(first)), vmovn_s32(vcvtq_s32_f32(second))));
}

/// Rows are interleaved by halves of words, where transpose_words() interleaves words.
HEED_INLINE void transpose_pairs(const void* in, std::int64_t stride, uint32x4_t (&out)[4])
{
    const char* p = opaque(static_cast<const char*>(in));
    const auto row = [&](int k) HEED_INLINE_LAMBDA {
        return vreinterpretq_u16_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(p + k * stride)));
    };
    const uint16x8_t r[4] = {row(0), row(1), row(2), row(3)};
    const uint16x8_t a = vzip1q_u16(r[0], r[2]), b = vzip1q_u16(r[1], r[3]);
    const uint16x8_t c = vzip2q_u16(r[0], r[2]), d = vzip2q_u16(r[1], r[3]);
    out[0] = vreinterpretq_u32_u16(vzip1q_u16(a, b));
    out[1] = vreinterpretq_u32_u16(vzip2q_u16(a, b));
    out[2] = vreinterpretq_u32_u16(vzip1q_u16(c, d));
    out[3] = vreinterpretq_u32_u16(vzip2q_u16(c, d));
}
HEED_INLINE void interleave_shorts(uint32x4_t a, uint32x4_t b, uint32x4_t (&out)[2])
{
    const uint64x2_t x = vreinterpretq_u64_u32(a), y = vreinterpretq_u64_u32(b);
    out[0] = vreinterpretq_u32_u64(vzip1q_u64(x, y));
    out[1] = vreinterpretq_u32_u64(vzip2q_u64(x, y));
}
/// By one lane, in the register of acc; volatile as in accumulate(). The lane's register is one of the lower sixteen,
/// of which clang gives asm none but whole ones, and it needs no asm.
HEED_INLINE void dot_shorts(uint32x4_t& acc, std::uint32_t a, uint32x4_t b)
{
#if defined(__clang__)
    const int16x4_t pair = vreinterpret_s16_u32(vdup_n_u32(a));
    const int32x4_t sum = vmlal_lane_s16(vreinterpretq_s32_u32(acc), vget_low_s16(shorts_of(b)), pair, 0);
    acc = vreinterpretq_u32_s32(vmlal_high_lane_s16(sum, shorts_of(b), pair, 1));
#else
    __asm__ volatile("smlal %0.4s, %1.4h, %2.h[0]\n\tsmlal2 %0.4s, %1.8h, %2.h[1]" : "+w"(acc) : "w"(b), "x"(a));
#endif
}
HEED_INLINE void dot_shorts(uint32x4_t& acc, uint32x4_t a, uint32x4_t b)
{
    const int16x8_t x = shorts_of(a), y = shorts_of(b);
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
    acc = vaddq_u32(acc, vreinterpretq_u32_s32(vpaddq_s32(low, high)));
}
HEED_INLINE void dot_shorts(uint32x4_t& acc, uint32x4_t a, const std::uint32_t* p) { dot_shorts(acc, a, vld1q_u32(p)); }

}  // namespace simd::arch
HEED_END
