// SPDX-License-Identifier: MIT
// The Walsh-Hadamard transform of a row of 2^n channels, in place. Its sums are paired in one order, the largest stride
// first, whatever the registers' width, so that every machine has the same bits.
#pragma once

#include "../simd/vec.hpp"

HEED_BEGIN
namespace micro {

/// The stages whose strides are `Stride` and less, of channels in one register; n channels in all. The difference is a
/// sum with what is multiplied by -1, which rounds nothing.
template <int Stride, class T>
HEED_INLINE vec<T> butterflies_within(vec<T> v, std::int64_t n)
{
    if constexpr (Stride == 0) {
        return v;
    } else {
        constexpr auto upper = [] {
            std::uint32_t bits = 0;
            for (int i = 0; i < vec<T>::lanes; ++i) bits |= (i & Stride) != 0 ? std::uint32_t{1} << i : 0;
            return bits;
        }();
        if (Stride < n) v = exchange<Stride>(v) + v * select_bits(upper, vec<T>(-1), vec<T>(1));
        return butterflies_within<Stride / 2>(v, n);
    }
}

/// x = factor * H x with H[i][j] = (-1)^(number of bits that are set in both i and j), of n channels, a power of two.
template <class T>
inline void walsh_hadamard(T* x, std::int64_t n, T factor)
{
    constexpr int lanes = vec<T>::lanes;
    for (std::int64_t stride = n / 2; stride >= lanes; stride /= 2)
        for (std::int64_t first = 0; first < n; first += 2 * stride)
            for (std::int64_t c = first; c < first + stride; c += lanes) {
                const vec<T> a = load(x + c), b = load(x + c + stride);
                store(x + c, a + b);
                store(x + c + stride, a - b);
            }
    const auto within = [&](vec<T> v) HEED_INLINE_LAMBDA { return butterflies_within<lanes / 2>(v, n) * factor; };
    if (n < lanes) store_n(x, within(load_n(x, static_cast<int>(n))), static_cast<int>(n));
    else
        for (std::int64_t c = 0; c < n; c += lanes) store(x + c, within(load(x + c)));
}

}  // namespace micro
HEED_END
