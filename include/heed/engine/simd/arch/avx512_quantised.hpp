// SPDX-License-Identifier: MIT
// Numbers of 8 and of 4 bits with AVX-512: as floats where they lie, and out of transposed words.
#pragma once

#include "avx512.hpp"

HEED_BEGIN
namespace arch {

HEED_INLINE __m512 broadcast(const f16& x, machine::avx512)
{
    return widen(_mm256_set1_epi16(static_cast<std::int16_t>(x.bits)), &x);
}

HEED_INLINE __m512 load(const std::int8_t* p, machine::avx512)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(p)));
}

template <class E, class = std::enable_if_t<sizeof(E) == 1>, class = void>
HEED_INLINE __m512 load_n(const E* p, int n, machine::avx512)
{
    E part[16] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return arch::load(part, machine::avx512{});
}

/// q - 8 of the lower or the upper halves of sixteen bytes.
HEED_INLINE __m512 load_nibbles(const std::uint8_t* p, bool upper, machine::avx512)
{
    const __m512i b = _mm512_cvtepu8_epi32(load_bytes(p));
    const __m512i q = upper ? _mm512_srli_epi32(b, 4) : _mm512_and_si512(b, _mm512_set1_epi32(15));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(8)));
}

HEED_INLINE __m512 take(words w, int i, const std::int8_t*, machine::avx512)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(w, static_cast<unsigned>(24 - 8 * i)), 24));
}
/// Words of q as those of q - 8 in four bits of two's complement, and the i-th of them.
HEED_INLINE words signed_nibbles(words w)
{
    return _mm512_xor_si512(w, _mm512_set1_epi32(static_cast<int>(0x88888888)));
}
HEED_INLINE __m512 take_nibble(words w, int i, machine::avx512)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(w, static_cast<unsigned>(28 - 4 * i)), 28));
}

/// Sixteen f16 that are `step` bytes apart.
HEED_INLINE __m512 gather(const f16* first, std::int64_t step, machine::avx512)
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
