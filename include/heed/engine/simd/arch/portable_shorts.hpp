// SPDX-License-Identifier: MIT
// The part of the portable list that products of integers take: whole numbers of 16 bits, two in a word.
#pragma once

#include "portable.hpp"

HEED_BEGIN
namespace simd::arch {

/// f(i) as the i-th number of a register.
template <class W, class F>
HEED_INLINE W make_shorts(F f)
{
    std::int16_t x[sizeof(W) / 2];
    for (std::size_t i = 0; i < sizeof(W) / 2; ++i) x[i] = static_cast<std::int16_t>(f(static_cast<int>(i)));
    W w;
    std::memcpy(&w, x, sizeof(w));
    return w;
}
/// Bytes as such numbers; and four bits of each of 16 bytes, the lower ones first, less 8.
template <class A>
HEED_INLINE auto load_shorts(const std::int8_t* p, A)
{
    return make_shorts<typename A::words>([p](int i) { return p[i]; });
}
template <class A>
HEED_INLINE auto load_signed_nibbles(const std::uint8_t* p, int at, A)
{
    return make_shorts<typename A::words>([=](int i) {
        const int both = p[(at + i) % 16];
        return (at + i < 16 ? both & 15 : both >> 4) - 8;
    });
}
/// Two registers of floats that are such numbers, side by side.
template <class R, class A>
HEED_INLINE auto narrow_to_shorts(R first, R second, A)
{
    const auto a = as_lanes(first), b = as_lanes(second);
    return make_shorts<typename A::words>([&](int i) { return i < a.size ? a[i] : b[i - a.size]; });
}
/// transpose_words(), of which the halves of words become pairs, in the order of a machine that multiplies by element.
template <class W>
HEED_INLINE void transpose_pairs(const void* in, std::int64_t stride, W (&out)[4])
{
    arch::transpose_words(in, stride, out);
}
/// The numbers of two registers in pairs, out[0] and out[1] in the order of the machine; and the sums of their
/// products, one in each word, brought into the order of numbers.
template <class W>
HEED_INLINE void interleave_shorts(W a, W b, W (&out)[2])
{
    constexpr std::size_t n = sizeof(W) / 2;
    std::int16_t x[2][n], to[2 * n];
    std::memcpy(x[0], &a, sizeof(W));
    std::memcpy(x[1], &b, sizeof(W));
    for (std::size_t i = 0; i < 2 * n; ++i) to[i] = x[i % 2][i / 2];
    std::memcpy(out, to, sizeof(to));
}
template <class W>
HEED_INLINE void restore_order(W (&)[2])
{}
/// acc += a.first * b.first + a.second * b.second of the pairs in each word, modulo 2^32.
template <class W>
HEED_INLINE void dot_shorts(W& acc, W a, W b)
{
    constexpr std::size_t n = sizeof(W) / 2;
    std::int16_t x[n], y[n];
    std::uint32_t sum[n / 2];
    std::memcpy(x, &a, sizeof(W));
    std::memcpy(y, &b, sizeof(W));
    std::memcpy(sum, &acc, sizeof(W));
    for (std::size_t i = 0; i < n; ++i) sum[i / 2] += static_cast<std::uint32_t>(std::int32_t{x[i]} * y[i]);
    std::memcpy(&acc, sum, sizeof(W));
}
/// The same with a register of pairs in memory.
template <class W>
HEED_INLINE void dot_shorts(W& acc, W a, const std::uint32_t* p)
{
    W b;
    std::memcpy(&b, p, sizeof(W));
    dot_shorts(acc, a, b);
}

}  // namespace simd::arch
HEED_END
