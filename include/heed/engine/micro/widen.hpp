// SPDX-License-Identifier: MIT
// Rows of a cache as registers of channels, whatever they are stored as. Quantised numbers become floats, exactly.
#pragma once

#include "../simd/element_lanes.hpp"
#include "tuning.hpp"

HEED_BEGIN
namespace micro {

/// Channels [c, c + lanes) of a row; c is a multiple of lanes where elements are blocks.
template <class T, class E>
HEED_INLINE vec<T> load_channels(const E* row, std::int64_t c)
{
    constexpr std::int64_t block = channels_of<E>;
    using traits = element_traits<E>;
    if constexpr (!is_quantised_v<E>) return load_as<T>(row + c);
    else if constexpr (block == 1) return traits::template load<native_lanes>(row + c);
    else return traits::template load<native_lanes>(row[c / block], static_cast<int>(c % block));
}
/// The same for N registers in a row.
template <class T, class E, int N>
HEED_INLINE void load_channels(const E* row, std::int64_t c, vec<T> (&out)[N])
{
    if constexpr (arch::loads_four<native_arch, E> && N % 4 == 0) {
        HEED_UNROLL
        for (int i = 0; i < N; i += 4) {
            decltype(raw(vec<T>())) four[4];
            arch::load(row + c + i * vec<T>::lanes, four, native_arch{});
            HEED_UNROLL
            for (int k = 0; k < 4; ++k) out[i + k] = native_vec<T, native_arch>(four[k]);
        }
        return;
    }
    HEED_UNROLL
    for (int i = 0; i < N; ++i) out[i] = load_channels<T>(row, c + i * vec<T>::lanes);
}
/// The first n of them, and 0.
template <class T, class E>
HEED_INLINE vec<T> load_channels_n(const E* row, std::int64_t c, int n)
{
    static_assert(channels_of<E> == 1, "rows of blocks are whole registers");
    return load_as_n<T>(row + c, n);
}

/// to[i] = channel c + i of a row for i in [0, n), and 0 up to whole registers.
template <class T, class E>
HEED_INLINE void widen(const E* row, std::int64_t c, std::int64_t n, T* to)
{
    constexpr int lanes = vec<T>::lanes;
    std::int64_t i = 0;
    if constexpr (constexpr std::int64_t block = channels_of<E>; block > 1) {
        if (c % block == 0) {
            for (const E* b = row + c / block; i + block <= n; i += block, ++b) {
                HEED_UNROLL
                for (int at = 0; at < block; at += lanes) store(to + i + at, load_channels<T>(b, at));
            }
        }
    }
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
        vec<T> x[4];
        load_channels(row, c + i, x);
        HEED_UNROLL
        for (int k = 0; k < 4; ++k) store(to + i + k * lanes, x[k]);
    }
    for (; i + lanes <= n; i += lanes) store(to + i, load_channels<T>(row, c + i));
    if constexpr (channels_of<E> == 1)
        if (i < n) store(to + i, load_channels_n<T>(row, c + i, static_cast<int>(n - i)));
}

/// to[c] = x[c] for n channels, rounded once.
template <class T, class E>
HEED_INLINE void narrow(const T* x, std::int64_t n, E* to)
{
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= n; c += lanes) store_as(to + c, load(x + c));
    if (c < n) store_as_n(to + c, load_n(x + c, static_cast<int>(n - c)), static_cast<int>(n - c));
}

}  // namespace micro
HEED_END
