// SPDX-License-Identifier: MIT
// The part of the portable list that products of bytes take: four products a word, of bytes without and with a sign.
#pragma once

#include "portable.hpp"

HEED_BEGIN
namespace simd::arch {

/// Whether a machine multiplies bytes by an instruction. Where it does not, products of integers take numbers of 16
/// bits, and what follows is for tests alone.
template <class A>
inline constexpr bool multiplies_bytes = false;

/// A register of bytes, the i-th of which is f(i).
template <class W, class F>
HEED_INLINE W make_bytes(F f)
{
    std::uint8_t x[sizeof(W)];
    for (std::size_t i = 0; i < sizeof(W); ++i) x[i] = static_cast<std::uint8_t>(f(static_cast<int>(i)));
    W w;
    std::memcpy(&w, x, sizeof(w));
    return w;
}
template <class W>
HEED_INLINE int byte_of(const W& w, int i)
{
    std::uint8_t x[sizeof(W)];
    std::memcpy(x, &w, sizeof(w));
    return x[i];
}
template <class W>
inline constexpr int bytes_of = static_cast<int>(sizeof(W));

/// acc += the four products of a byte of a, without sign, and one of b, with a sign, in each word, modulo 2^32.
template <class W>
HEED_INLINE void dot_bytes(W& acc, W a, W b)
{
    constexpr std::size_t n = sizeof(W) / 4;
    std::uint32_t sum[n];
    std::memcpy(sum, &acc, sizeof(W));
    for (std::size_t i = 0; i < sizeof(W); ++i) {
        const int at = static_cast<int>(i), x = byte_of(a, at), y = byte_of(b, at);
        sum[i / 4] += static_cast<std::uint32_t>(x * (y < 128 ? y : y - 256));
    }
    std::memcpy(&acc, sum, sizeof(W));
}
/// Bytes [0, Bytes) of as many rows as fill a register, which are `stride` bytes apart; and the first n bytes of one
/// row, 0 behind them.
template <int Bytes, class A>
HEED_INLINE auto load_pieces(const void* p, std::int64_t stride, A)
{
    return make_bytes<typename A::words>(
        [=](int i) { return static_cast<const std::uint8_t*>(p)[i / Bytes * stride + i % Bytes]; });
}
template <class A>
HEED_INLINE auto load_four(const void* a, const void* b, const void* c, const void* d, A)
{
    const void* const rows[4] = {a, b, c, d};
    constexpr int each = bytes_of<typename A::words> / 4;
    return make_bytes<typename A::words>(
        [&](int i) { return static_cast<const std::uint8_t*>(rows[i / each])[i % each]; });
}
template <class A>
HEED_INLINE auto load_bytes_n(const void* p, int n, A)
{
    return make_bytes<typename A::words>([=](int i) { return i < n ? static_cast<const std::uint8_t*>(p)[i] : 0; });
}
/// Transposes 4 x 4 words in each group of 16 bytes.
template <class W>
HEED_INLINE void transpose_lanes(const W (&r)[4], W (&out)[4])
{
    for (int k = 0; k < 4; ++k)
        out[k] = make_bytes<W>([&](int i) { return byte_of(r[i % 16 / 4], i / 16 * 16 + 4 * k + i % 4); });
}
/// Sums of neighbouring groups of 16 bytes, word by word: those of a, then those of b.
template <class W>
HEED_INLINE W add_neighbours(W a, W b)
{
    constexpr std::size_t n = sizeof(W) / 4;
    std::uint32_t x[2 * n], to[n];
    std::memcpy(x, &a, sizeof(W));
    std::memcpy(x + n, &b, sizeof(W));
    for (std::size_t i = 0; i < n; ++i) to[i] = x[i / 4 * 8 + i % 4] + x[i / 4 * 8 + 4 + i % 4];
    W w;
    std::memcpy(&w, to, sizeof(w));
    return w;
}
/// A byte of each of four rows in a word. Of rows of one register each: the words of bytes 8 Half to 8 Half + 7 of each
/// group of 16, four of each group in out[0] and in out[1]. Of rows of which a register has two, or four: all bytes in
/// their order.
template <int Half, class W>
HEED_INLINE void interleave_rows(const W (&r)[4], W (&out)[2])
{
    for (int k = 0; k < 2; ++k)
        out[k] = make_bytes<W>([&](int i) { return byte_of(r[i % 4], i / 16 * 16 + 8 * Half + 4 * k + i % 16 / 4); });
}
template <class W>
HEED_INLINE void interleave_rows(const W (&r)[2], W (&out)[2])
{
    constexpr int n = bytes_of<W> / 4;
    for (int k = 0; k < 2; ++k)
        out[k] = make_bytes<W>([&](int i) { return byte_of(r[i % 4 / 2], i % 2 * 2 * n + k * n + i / 4); });
}
template <class W>
HEED_INLINE void interleave_rows(const W (&r)[1], W (&out)[1])
{
    out[0] = make_bytes<W>([&](int i) { return byte_of(r[0], i % 4 * (bytes_of<W> / 4) + i / 4); });
}
/// Transposes groups of 16 bytes of four registers, of which only AVX-512 has as many.
template <class W>
HEED_INLINE void transpose_groups(W (&w)[4])
{
    W to[4];
    for (int k = 0; k < 4; ++k)
        to[k] = make_bytes<W>([&](int i) { return byte_of(w[i / 16 % 4], k % (bytes_of<W> / 16) * 16 + i % 16); });
    for (int k = 0; k < 4; ++k) w[k] = to[k];
}
/// Four registers of floats that are whole numbers as pairs of bytes with a sign, x = 256 upper + lower, in their
/// order.
template <class R, class W>
HEED_INLINE void split_to_bytes(const R (&x)[4], W& upper, W& lower)
{
    const auto number = [&](int i) {
        const auto lanes = as_lanes(x[i / as_lanes(x[0]).size]);
        return static_cast<int>(lanes[i % lanes.size]);
    };
    const auto low = [&](int i) { return static_cast<int>(static_cast<std::int8_t>(number(i) & 255)); };
    lower = make_bytes<W>(low);
    upper = make_bytes<W>([&](int i) { return (number(i) - low(i)) / 256; });
}

}  // namespace simd::arch
HEED_END
