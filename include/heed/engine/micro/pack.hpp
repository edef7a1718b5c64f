// SPDX-License-Identifier: MIT
// Packing: K rows become strips with one lane a key, query rows scaled and contiguous, V panels of a few channels.
#pragma once

#include "prefetch.hpp"
#include "transpose.hpp"

HEED_BEGIN
namespace micro {

/// Lanes of a packed strip.
struct lane_range {
    int first, end;
};

/// strip[u][j] = unit u of k[j] for channels from c on and some lanes, one by one; 0 where there is no key. By itself:
/// gcc would prepare all pointers of these loops before every line of the ones that run.
template <class U, class E>
HEED_NOINLINE inline void pack_lanes(matrix<const E> k, int keys, std::int64_t c, std::int64_t dim, U* strip,
                                     lane_range lanes)
{
    constexpr int width = key_strip<sum_t<U>>, each = elements_of<U>;
    for (; c < dim; c += each)
        for (int j = lanes.first; j < lanes.end; ++j)
            strip[c / each * width + j] = j < keys ? unit_of<U>(k.row(j), c, dim) : U{};
}

/// Transposes whole registers of keys, `Channels` channels at a time from c on; returns the first channel that is left.
template <int Channels, class U, class E>
HEED_INLINE std::int64_t pack_channels(matrix<const E> k, int keys, std::int64_t c, std::int64_t dim, U* strip)
{
    using block = transposed<U, E>;
    constexpr int lanes = vec<U>::lanes, width = key_strip<sum_t<U>>, each = elements_of<U>;
    for (; c + Channels <= dim; c += Channels)
        for (int j = 0; j < keys; j += lanes) {
            HEED_UNROLL
            for (int x = 0; x < Channels; x += block::channels) {
                const block t(k.row(j), c + x, k.stride);
                HEED_UNROLL
                for (int u = 0; u < block::units; ++u) store(strip + ((c + x) / each + u) * width + j, t[u]);
            }
        }
    return c;
}

/// pack_keys() of rows whose elements are numbers.
template <class U, class E>
HEED_NOINLINE inline void pack_transposed_keys(matrix<const E> k, int keys, std::int64_t channel, std::int64_t dim,
                                               U* strip, int filled)
{
    constexpr int lanes = vec<U>::lanes;
    const int whole = keys / lanes * lanes;
    k.data += channel;
    // One cache line of channels at a time: its rows are read once and its strip rows are filled from end to end.
    std::int64_t c = pack_channels<line_of<E>>(k, whole, 0, dim, strip);
    c = pack_channels<transposed<U, E>::channels>(k, whole, c, dim, strip);
    if (c < dim) pack_lanes(k, keys, c, dim, strip, {0, whole});
    if (whole < filled) pack_lanes(k, keys, 0, dim, strip, {whole, filled});
}

/// pack_keys() of quantised rows: some channels of a register of rows at a time are widened first.
template <class T, class E>
HEED_NOINLINE inline void pack_widened_keys(matrix<const E> k, int keys, std::int64_t channel, std::int64_t dim,
                                            T* strip, int filled)
{
    constexpr int lanes = vec<T>::lanes, width = key_strip<T>, at_once = 4 * line_of<T>;
    T rows[lanes * at_once];
    for (int j = 0; j < filled; j += lanes) {
        const int n = keys - j < 0 ? 0 : keys - j < lanes ? keys - j : lanes;
        for (std::int64_t c = 0; c < dim; c += at_once) {
            const std::int64_t channels = min_of(at_once, dim - c);
            for (int i = 0; i < n; ++i) widen(k.row(j + i), channel + c, channels, rows + i * at_once);
            pack_transposed_keys(matrix<const T>{rows, at_once}, n, 0, channels, strip + c * width + j,
                                 filled - j < lanes ? filled - j : lanes);
        }
    }
}

/// strip[u][j] = unit u of k[j] from `channel` on, for `keys` rows of `dim` channels; lanes without a key, up to
/// `filled` <= key_strip, are 0. A strip that is packed from several segments of rows starts at the lane of their first
/// key.
template <class U, class E>
HEED_INLINE void pack_keys(matrix<const E> k, int keys, std::int64_t channel, std::int64_t dim, U* strip,
                           int filled = key_strip<sum_t<U>>)
{
    if constexpr (is_quantised_v<E>) pack_widened_keys(k, keys, channel, dim, strip, filled);
    else pack_transposed_keys(k, keys, channel, dim, strip, filled);
}

/// One row of queries, in parts that are part_stride apart: scale * q[c], or pairs as they are.
template <class U, class E, class T>
HEED_INLINE void pack_query(const E* q, std::int64_t dim, T scale, U* out, std::int64_t part_stride)
{
    constexpr int lanes = vec<T>::lanes, each = elements_of<U>;
    const row_parts<T> parts(ceil_div(dim, each));
    for (std::int64_t part = 0; part < parts.count; ++part, out += part_stride) {
        std::int64_t c = parts.begin(part) * each;
        const std::int64_t end = min_of(parts.end(part) * each, dim);
        U* to = out;
        if constexpr (each == 2) {
            for (; c < end; c += 2) *to++ = unit_of<U>(q, c, dim);
        } else {
            for (; c + lanes <= end; c += lanes, to += lanes) store(to, load_as<T>(q + c) * vec<T>(scale));
            for (; c < end; ++c) *to++ = static_cast<T>(q[c]) * scale;
        }
    }
}

/// Multiplies a packed row of queries by one factor a channel.
template <class T>
HEED_INLINE void scale_query(const float* factors, std::int64_t dim, T* q, std::int64_t part_stride)
{
    const row_parts<T> parts(dim);
    for (std::int64_t part = 0; part < parts.count; ++part, q += part_stride) {
        const std::int64_t begin = parts.begin(part), end = min_of(parts.end(part), dim);
        for (std::int64_t c = begin; c < end; ++c) q[c - begin] *= factors[c];
    }
}

/// f(first channel, channels, registers) for panels of nearly equal width: a narrow one has too few multiply-adds for
/// its loads.
template <class T, class F>
HEED_INLINE void for_panels(std::int64_t dim, F f)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t vecs = ceil_div(dim, lanes), panels = ceil_div(vecs, register_vecs);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
        const std::int64_t first = vecs * panel / panels, width = vecs * (panel + 1) / panels - first;
        f(first * lanes, min_of(width * lanes, dim - first * lanes), static_cast<int>(width));
    }
}

/// Channels of the first of them.
template <class T>
HEED_INLINE std::int64_t first_panel(std::int64_t dim)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t vecs = ceil_div(dim, lanes);
    return min_of(vecs / ceil_div(vecs, register_vecs) * lanes, dim);
}

/// out[j][c] = v[j][channel + c] in units of one row or two, for `channels` channels and 0 up to `vecs` whole
/// registers.
template <class U, class E>
HEED_NOINLINE inline void pack_values(matrix<const E> rows, int keys, std::int64_t channel, std::int64_t channels,
                                      int vecs, U* out)
{
    constexpr int lanes = vec<U>::lanes, each = elements_of<U>;
    const E* v = rows.data;
    const std::int64_t stride = rows.stride;
    for (int j = 0; j < keys; j += each, v = row_after(v, each, stride), out += vecs * lanes) {
        if constexpr (each == 2) {
            const E* row = v + channel;
            std::int64_t c = 0;
            if (j + 1 < keys)
                for (; c + lanes <= channels; c += lanes)
                    store(out + c, load_values<U>(row, static_cast<int>(c), stride));
            for (; c < vecs * lanes; ++c) {
                const bool exists = c < channels;
                out[c] = {exists ? row[c] : E(0.f), exists && j + 1 < keys ? row[stride + c] : E(0.f)};
            }
        } else {
            widen(v, channel, channels, out);
        }
    }
}

}  // namespace micro
HEED_END
