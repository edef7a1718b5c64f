// SPDX-License-Identifier: MIT
// Products of bytes with AVX-512: VNNI multiplies them, VBMI puts a byte of each of four rows into a word.
#pragma once

#include "avx512.hpp"
#include "portable_bytes.hpp"

HEED_BEGIN
namespace simd::arch {

template <>
inline constexpr bool multiplies_bytes<machine::avx512> = true;

/// By hand: gcc 12 copies and spills the sums of its own intrinsic.
HEED_INLINE void dot_bytes(__m512i& acc, __m512i a, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

template <int Bytes>
HEED_INLINE words load_pieces(const void* p, std::int64_t stride, machine::avx512)
{
    const char* const at = static_cast<const char*>(p);
    if constexpr (Bytes == 64) {
        return _mm512_loadu_si512(p);
    } else if constexpr (Bytes == 32) {
        const auto row = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + i * stride)); };
        return _mm512_inserti64x4(_mm512_castsi256_si512(row(0)), row(1), 1);
    } else {
        words w = _mm512_castsi128_si512(load_bytes(at));
        w = _mm512_inserti32x4(w, load_bytes(at + stride), 1);
        w = _mm512_inserti32x4(w, load_bytes(at + 2 * stride), 2);
        return _mm512_inserti32x4(w, load_bytes(at + 3 * stride), 3);
    }
}
HEED_INLINE words load_four(const void* a, const void* b, const void* c, const void* d, machine::avx512)
{
    words w = _mm512_castsi128_si512(load_bytes(a));
    w = _mm512_inserti32x4(w, load_bytes(b), 1);
    w = _mm512_inserti32x4(w, load_bytes(c), 2);
    return _mm512_inserti32x4(w, load_bytes(d), 3);
}
HEED_INLINE words load_bytes_n(const void* p, int n, machine::avx512)
{
    return _mm512_maskz_loadu_epi8(n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0}, p);
}

HEED_INLINE __m512i add_neighbours(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

template <int Half>
HEED_INLINE void interleave_rows(const __m512i (&r)[4], __m512i (&out)[2])
{
    __m512i a, b;
    if constexpr (Half == 0) {
        a = _mm512_unpacklo_epi8(r[0], r[1]);
        b = _mm512_unpacklo_epi8(r[2], r[3]);
    } else {
        a = _mm512_unpackhi_epi8(r[0], r[1]);
        b = _mm512_unpackhi_epi8(r[2], r[3]);
    }
    out[0] = _mm512_unpacklo_epi16(a, b);
    out[1] = _mm512_unpackhi_epi16(a, b);
}

/// Where the bytes of a register come from: the i-th is byte start + i / 4 of row i mod 4, rows of `Bytes` bytes.
template <int Bytes>
struct interleaving {
    alignas(64) std::uint8_t from[64] = {};

    constexpr explicit interleaving(int start)
    {
        for (int i = 0; i < 64; ++i) from[i] = static_cast<std::uint8_t>(i % 4 * Bytes + start + i / 4);
    }
};
inline constexpr interleaving<32> first_of_two(0), last_of_two(16);
inline constexpr interleaving<16> of_one(0);

HEED_INLINE void interleave_rows(const __m512i (&r)[2], __m512i (&out)[2])
{
    out[0] = _mm512_permutex2var_epi8(r[0], _mm512_load_si512(first_of_two.from), r[1]);
    out[1] = _mm512_permutex2var_epi8(r[0], _mm512_load_si512(last_of_two.from), r[1]);
}
HEED_INLINE void interleave_rows(const __m512i (&r)[1], __m512i (&out)[1])
{
    out[0] = _mm512_permutexvar_epi8(_mm512_load_si512(of_one.from), r[0]);
}

HEED_INLINE void transpose_groups(__m512i (&w)[4])
{
    const __m512i a = _mm512_shuffle_i32x4(w[0], w[1], 0x44), b = _mm512_shuffle_i32x4(w[0], w[1], 0xee);
    const __m512i c = _mm512_shuffle_i32x4(w[2], w[3], 0x44), d = _mm512_shuffle_i32x4(w[2], w[3], 0xee);
    w[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    w[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    w[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    w[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/// Two registers of 16-bit numbers that packs_epi32 made of four: which bytes are the first of each number, in order.
struct packed_order {
    alignas(64) std::uint8_t lower[64] = {}, upper[64] = {};

    constexpr packed_order()
    {
        for (int i = 0; i < 64; ++i) {
            const int word = i % 16, at = word / 4 * 16 + i % 32 / 16 * 8 + word % 4 * 2 + i / 32 * 64;
            lower[i] = static_cast<std::uint8_t>(at);
            upper[i] = static_cast<std::uint8_t>(at + 1);
        }
    }
};
inline constexpr packed_order of_packed;

HEED_INLINE void split_to_bytes(const __m512 (&x)[4], __m512i& upper, __m512i& lower)
{
    const __m512i a = _mm512_packs_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    const __m512i b = _mm512_packs_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    const __m512i half = _mm512_set1_epi16(128);  // what a lower byte below 0 takes from the upper one
    lower = _mm512_permutex2var_epi8(a, _mm512_load_si512(of_packed.lower), b);
    upper = _mm512_permutex2var_epi8(_mm512_add_epi16(a, half), _mm512_load_si512(of_packed.upper),
                                     _mm512_add_epi16(b, half));
}

}  // namespace simd::arch
HEED_END
