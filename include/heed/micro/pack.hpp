// SPDX-License-Identifier: MIT
// Packing: K rows become strips with one lane a key, query rows scaled and contiguous, V panels of a few channels.
#pragma once

#include "read_ahead.hpp"

HEED_BEGIN
namespace micro {

/// strip[c][j] = k[j][c] for `keys` <= key_strip rows and `dim` channels; lanes without a key are 0.
template <class T, class E>
HEED_NOINLINE inline void pack_keys(const E* k, std::int64_t step, int keys, std::int64_t dim, T* strip)
{
    constexpr int lanes = vec<T>::lanes, some = transposed_channels<E>, line = line_of<E>;
    // One cache line of channels at a time: its rows are read once and its strip rows are filled from end to end.
    const int whole = keys / lanes * lanes;
    for (std::int64_t c = 0; c < dim; c += line) {
        const std::int64_t end = min_of(c + line, dim), transposed = c + (end - c) / some * some;
        for (int j = 0; j < whole; j += lanes) {
            const E* row = k + j * step;
            for (std::int64_t x = c; x < transposed; x += some) {
                vec<T> t[some];
                transpose<T>(row + x, step, t);
                HEED_UNROLL
                for (int i = 0; i < some; ++i) store(strip + (x + i) * key_strip<T> + j, t[i]);
            }
            for (std::int64_t x = transposed; x < end; ++x)
                for (int i = 0; i < lanes; ++i) strip[x * key_strip<T> + j + i] = static_cast<T>(row[i * step + x]);
        }
    }
    if (whole == key_strip<T>) return;
    for (std::int64_t c = 0; c < dim; ++c)
        for (int i = whole; i < key_strip<T>; ++i)
            strip[c * key_strip<T> + i] = i < keys ? static_cast<T>(k[i * step + c]) : T(0);
}

/// out[c] = scale * q[c].
template <class T, class E>
HEED_INLINE void pack_query(const E* q, std::int64_t dim, T scale, T* out)
{
    constexpr int lanes = vec<T>::lanes;
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(out + c, load_as<T>(q + c) * vec<T>(scale));
    for (; c < dim; ++c) out[c] = static_cast<T>(q[c]) * scale;
}

template <int Vecs, class T, class E>
HEED_NOINLINE inline void pack_values_block(const E* v, std::int64_t step, int keys, T* out)
{
    constexpr int lanes = vec<T>::lanes;
    for (int j = 0; j < keys; ++j, v += step, out += Vecs * lanes) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) store(out + i * lanes, load_as<T>(v + i * lanes));
    }
}

/// out[j][c] = v[j][c] for `channels` channels, 0 up to `vecs` whole registers.
template <class T, class E>
HEED_NOINLINE inline void pack_values(const E* v, std::int64_t step, int keys, std::int64_t channels, int vecs, T* out)
{
    constexpr int lanes = vec<T>::lanes;
    if (channels == vecs * lanes) {
        if (vecs == 1) return pack_values_block<1>(v, step, keys, out);
        if (vecs == 2) return pack_values_block<2>(v, step, keys, out);
        if (vecs == 3) return pack_values_block<3>(v, step, keys, out);
        if (vecs == 4) return pack_values_block<4>(v, step, keys, out);
    }
    for (int j = 0; j < keys; ++j, v += step, out += vecs * lanes) {
        std::int64_t c = 0;
        for (; c + lanes <= channels; c += lanes) store(out + c, load_as<T>(v + c));
        if (c < channels) store(out + c, load_as_n<T>(v + c, static_cast<int>(channels - c)));
    }
}

}  // namespace micro
HEED_END
