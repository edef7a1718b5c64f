// SPDX-License-Identifier: MIT
// Numbers of 8 and of 4 bits with AVX-512: as floats where they lie, and out of transposed words.
#pragma once

#include "../../../base/element/quantised.hpp"
#include "avx512.hpp"

HEED_BEGIN
namespace arch {

HEED_INLINE __m512 broadcast(const f16& x) { return widen(_mm256_set1_epi16(static_cast<std::int16_t>(x.bits)), &x); }

HEED_INLINE __m128i load_bytes(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
HEED_INLINE __m512 load(const std::int8_t* p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(p))); }

#if defined(__AVX512VBMI__)

/// The bytes of E4M3 magnitudes as bf16, subnormal numbers and NaN like all others.
struct e4m3_table {
    std::uint8_t upper[128] = {}, lower[128] = {};

    constexpr e4m3_table()
    {
        for (int m = 1; m < 128; ++m) {
            int exponent = m >> 3, fraction = m & 7;
            if (exponent == 0) {
                for (exponent = 1; fraction < 8; fraction *= 2) --exponent;
                fraction -= 8;
            }
            const int as_bf16 = m == 127 ? 0x7fc0 : (exponent + 120) << 7 | fraction << 4;
            upper[m] = static_cast<std::uint8_t>(as_bf16 >> 8);
            lower[m] = static_cast<std::uint8_t>(as_bf16 & 255);
        }
    }
};
alignas(64) inline constexpr e4m3_table e4m3_as_bf16;

/// The upper bytes of 64 numbers, and the lower ones.
HEED_INLINE __m512i look_up(const std::uint8_t (&table)[128], __m512i magnitudes)
{
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), magnitudes, _mm512_load_si512(table + 64));
}
HEED_INLINE __m512i upper_bytes(__m512i b)
{
    constexpr int or_and = 0xf8;  // a | (b & c)
    return _mm512_ternarylogic_epi32(look_up(e4m3_as_bf16.upper, b), b, _mm512_set1_epi8(-128), or_and);
}
HEED_INLINE __m512i lower_bytes(__m512i b) { return look_up(e4m3_as_bf16.lower, b); }

HEED_INLINE __m512 load(const fp8_e4m3* p)
{
    const __m512i b = _mm512_castsi128_si512(load_bytes(p)), upper = upper_bytes(b), lower = lower_bytes(b);
    const __m512i first = _mm512_unpacklo_epi8(lower, upper), last = _mm512_unpackhi_epi8(lower, upper);
    return widen(_mm256_setr_m128i(_mm512_castsi512_si128(first), _mm512_castsi512_si128(last)),
                 static_cast<const bf16*>(nullptr));
}
/// Sixty-four numbers. What is unpacked from each 128-bit lane is brought there first.
HEED_INLINE void load(const fp8_e4m3* p, __m512 (&out)[4])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i b = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(p)), zero = _mm512_setzero_si512();
    const __m512i upper = upper_bytes(b), lower = lower_bytes(b);
    const __m512i first = _mm512_unpacklo_epi8(lower, upper), last = _mm512_unpackhi_epi8(lower, upper);
    out[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, first));
    out[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, first));
    out[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(zero, last));
    out[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(zero, last));
}
/// What does not depend on i is done once for all four, by a compiler that sees them together.
HEED_INLINE __m512 take(words w, int i, const fp8_e4m3*)
{
    const __m512i upper = upper_bytes(w), lower = lower_bytes(w);
    const __m512 x = _mm512_castsi512_ps(_mm512_unpacklo_epi8(lower, upper));
    const __m512 y = _mm512_castsi512_ps(_mm512_unpackhi_epi8(lower, upper));
    const __m512 pairs = i < 2 ? _mm512_shuffle_ps(x, y, 0x88) : _mm512_shuffle_ps(x, y, 0xdd);
    return take(_mm512_castps_si512(pairs), i % 2, static_cast<const bf16*>(nullptr));
}

#else

/// The E4M3 numbers in the upper bytes of 32-bit lanes whose other bytes are 0, as floats. With the magnitude in its
/// place, y is the number if that is normal. A subnormal one is 2 y - 2^-6, which is the lower of the two only there:
/// multiplied by a power of two, it would be a subnormal float first (Zen 5: some 30 cycles). NaN has one magnitude.
HEED_INLINE __m512 widen_upper(__m512i b)
{
    const __m512i sign = _mm512_and_si512(b, _mm512_set1_epi32(static_cast<int>(0x80000000)));
    const __m512i magnitude = _mm512_srli_epi32(_mm512_xor_si512(b, sign), 4);
    const __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(magnitude, _mm512_set1_epi32(120 << 23)));
    const __m512 x = min(y, fma(y, _mm512_set1_ps(2), _mm512_set1_ps(-0x1p-6f)));
    const __mmask16 is_nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f << 20));
    return _mm512_castsi512_ps(_mm512_mask_or_epi32(_mm512_or_si512(_mm512_castps_si512(x), sign), is_nan, sign,
                                                    _mm512_set1_epi32(0x7fc00000)));
}
HEED_INLINE __m512 load(const fp8_e4m3* p)
{
    return widen_upper(_mm512_slli_epi32(_mm512_cvtepu8_epi32(load_bytes(p)), 24));
}
HEED_INLINE void load(const fp8_e4m3* p, __m512 (&out)[4])
{
    HEED_UNROLL
    for (int i = 0; i < 4; ++i) out[i] = load(p + 16 * i);
}
HEED_INLINE __m512 take(words w, int i, const fp8_e4m3*)
{
    return widen_upper(_mm512_and_si512(_mm512_slli_epi32(w, static_cast<unsigned>(24 - 8 * i)),
                                        _mm512_set1_epi32(static_cast<int>(0xff000000))));
}

#endif

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

HEED_INLINE __m512 take(words w, int i, const std::int8_t*)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(w, static_cast<unsigned>(24 - 8 * i)), 24));
}
/// Words of q as those of q - 8 in four bits of two's complement, and the i-th of them.
HEED_INLINE words signed_nibbles(words w)
{
    return _mm512_xor_si512(w, _mm512_set1_epi32(static_cast<int>(0x88888888)));
}
HEED_INLINE __m512 take_nibble(words w, int i)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(w, static_cast<unsigned>(28 - 4 * i)), 28));
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
