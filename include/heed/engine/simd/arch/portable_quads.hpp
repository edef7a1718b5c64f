// SPDX-License-Identifier: MIT
// The part of the portable list that products of quads take: four bytes with a sign in a word, multiplied by one word.
#pragma once

#include "portable_bytes.hpp"

HEED_BEGIN
namespace simd::arch {

/// acc += the four products of a byte of the I-th word of a and one of each word of b, both with a sign, in that word,
/// modulo 2^32.
template <int I, class W>
HEED_INLINE void dot_quads(W& acc, W a, W b)
{
    constexpr std::size_t n = sizeof(W);
    std::int8_t x[n], y[n];
    std::uint32_t sum[n / 4];
    std::memcpy(x, &a, n);
    std::memcpy(y, &b, n);
    std::memcpy(sum, &acc, n);
    for (std::size_t i = 0; i < n; ++i) sum[i / 4] += static_cast<std::uint32_t>(x[4 * I + i % 4] * y[i]);
    std::memcpy(&acc, sum, n);
}
/// Words of a and b in turns: a.0, b.0, a.1, b.1 and so on.
template <class W>
HEED_INLINE void interleave_words(W a, W b, W (&out)[2])
{
    constexpr std::size_t n = sizeof(W) / 4;
    std::uint32_t x[2][n], to[2 * n];
    std::memcpy(x[0], &a, sizeof(W));
    std::memcpy(x[1], &b, sizeof(W));
    for (std::size_t i = 0; i < 2 * n; ++i) to[i] = x[i % 2][i / 2];
    std::memcpy(out, to, sizeof(to));
}
/// Words of a byte of each of four rows: of the first bytes in out[0], of the next ones in out[1].
template <class W>
HEED_INLINE void interleave_eight_bytes(const W (&r)[4], W (&out)[2])
{
    constexpr int n = bytes_of<W> / 4;
    for (int k = 0; k < 2; ++k) out[k] = make_bytes<W>([&](int i) { return byte_of(r[i % 4], k * n + i / 4); });
}
/// Eight bytes, whatever is behind them.
template <class A>
HEED_INLINE auto load_eight_bytes(const void* p, A)
{
    return load_bytes_n(p, 8, A{});
}

}  // namespace simd::arch
HEED_END
