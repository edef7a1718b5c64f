// SPDX-License-Identifier: MIT
// Packing: K rows become strips with one lane a key, query rows become scaled and contiguous.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

/// strip[c][j] = k[j][c] for `keys` <= key_strip rows; lanes without a key are 0.
template <class T>
HEED_NOINLINE inline void pack_keys(const T* k, std::int64_t step, int keys, std::int64_t dim, T* strip)
{
    constexpr int lanes = vec<T>::lanes, quad = channels_per_strip<T>;
    int j = 0;
    for (; j + lanes <= keys; j += lanes) {
        const T* row = k + j * step;
        std::int64_t c = 0;
        for (; c + quad <= dim; c += quad) transpose_strip(row + c, step, strip + c * key_strip + j, key_strip);
        for (; c < dim; ++c)
            for (int i = 0; i < lanes; ++i) strip[c * key_strip + j + i] = row[i * step + c];
    }
    if (j == key_strip) return;
    for (std::int64_t c = 0; c < dim; ++c)
        for (int i = j; i < key_strip; ++i) strip[c * key_strip + i] = i < keys ? k[i * step + c] : T(0);
}

/// out[c] = scale * q[c].
template <class T>
HEED_INLINE void pack_query(const T* q, std::int64_t dim, T scale, T* out)
{
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(out + c, load(q + c) * vec<T>(scale));
    for (; c < dim; ++c) out[c] = q[c] * scale;
}

/// out[j][0..lanes) = v[j][0..channels), 0 behind them: the last channels of V that fill no register.
template <class T>
HEED_NOINLINE inline void pack_value_tail(const T* v, std::int64_t step, int keys, int channels, T* out)
{
    for (int j = 0; j < keys; ++j) store(out + j * vec<T>::lanes, load_n(v + j * step, channels));
}

}  // namespace micro
HEED_END
