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
    constexpr int lanes = vec<T>::lanes, quad = transposed_channels<T>, line = 64 / static_cast<int>(sizeof(T));
    // One cache line of channels at a time: its rows are read once and its strip rows are filled from end to end.
    const int whole = keys / lanes * lanes;
    for (std::int64_t c = 0; c < dim; c += line) {
        const std::int64_t end = min_of(c + line, dim), quads = c + (end - c) / quad * quad;
        for (int j = 0; j < whole; j += lanes) {
            const T* row = k + j * step;
            for (std::int64_t x = c; x < quads; x += quad) {
                vec<T> t[quad];
                transpose(row + x, step, t);
                HEED_UNROLL
                for (int i = 0; i < quad; ++i) store(strip + (x + i) * key_strip + j, t[i]);
            }
            for (std::int64_t x = quads; x < end; ++x)
                for (int i = 0; i < lanes; ++i) strip[x * key_strip + j + i] = row[i * step + x];
        }
    }
    if (whole == key_strip) return;
    for (std::int64_t c = 0; c < dim; ++c)
        for (int i = whole; i < key_strip; ++i) strip[c * key_strip + i] = i < keys ? k[i * step + c] : T(0);
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
