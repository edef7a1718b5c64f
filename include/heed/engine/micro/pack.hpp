// SPDX-License-Identifier: MIT
// Packing: K rows become strips with one lane a key, query rows scaled and contiguous, V panels of a few channels.
#pragma once

#include "prefetch.hpp"
#include "transpose.hpp"

HEED_BEGIN
namespace micro {

/// strip[u][j] = unit u of k[j] for channels from c on and the lanes [first, last), one by one; 0 where there is no
/// key. By itself: gcc would prepare all pointers of these loops before every line of the ones that run.
template <class U, class E>
HEED_NOINLINE inline void pack_lanes(const E* k, std::int64_t step, int keys, std::int64_t c, std::int64_t dim,
                                     U* strip, int first, int last)
{
    constexpr int width = key_strip<sum_t<U>>, each = elements_of<U>;
    for (; c < dim; c += each)
        for (int j = first; j < last; ++j)
            strip[c / each * width + j] = j < keys ? unit_of<U>(k + j * step, c, dim) : U{};
}

/// strip[u][j] = unit u of k[j] from `channel` on, for `keys` rows of `dim` channels; lanes without a key, up to
/// `filled` <= key_strip, are 0. A strip that is packed from several runs of rows starts at the lane of their first
/// key.
template <class U, class E>
HEED_NOINLINE inline void pack_keys(const E* k, std::int64_t step, int keys, std::int64_t channel, std::int64_t dim,
                                    U* strip, int filled = key_strip<sum_t<U>>)
{
    using T = sum_t<U>;
    constexpr int lanes = vec<U>::lanes, width = key_strip<T>, each = elements_of<U>;
    if constexpr (is_quantised_v<E>) {
        // A register of rows at a time, some channels of them widened first.
        constexpr int some = 4 * line_of<T>;
        T rows[lanes * some];
        for (int j = 0; j < filled; j += lanes) {
            const int n = keys - j < 0 ? 0 : keys - j < lanes ? keys - j : lanes;
            for (std::int64_t c = 0; c < dim; c += some) {
                const std::int64_t channels = min_of(some, dim - c);
                for (int i = 0; i < n; ++i) widen(k + (j + i) * step, channel + c, channels, rows + i * some);
                pack_keys(rows, some, n, 0, channels, strip + c * width + j, filled - j < lanes ? filled - j : lanes);
            }
        }
    } else {
        using some = transposed<U, E>;
        const int whole = keys / lanes * lanes;
        k += channel;
        std::int64_t c = 0;
        /// So many channels at a time, as far as there are.
        const auto pack = [&](auto channels) HEED_INLINE_LAMBDA {
            for (; c + channels.value <= dim; c += channels.value)
                for (int j = 0; j < whole; j += lanes) {
                    HEED_UNROLL
                    for (int x = 0; x < channels.value; x += some::channels) {
                        const some t(k + j * step, c + x, step);
                        HEED_UNROLL
                        for (int u = 0; u < some::units; ++u) store(strip + ((c + x) / each + u) * width + j, t[u]);
                    }
                }
        };
        // One cache line of channels at a time: its rows are read once and its strip rows are filled from end to end.
        pack(std::integral_constant<int, line_of<E>>{});
        pack(std::integral_constant<int, some::channels>{});
        if (c < dim) pack_lanes(k, step, keys, c, dim, strip, 0, whole);
        if (whole < filled) pack_lanes(k, step, keys, 0, dim, strip, whole, filled);
    }
}

/// One row of queries, in parts that are part_step apart: scale * q[c], or pairs as they are.
template <class U, class E, class T>
HEED_INLINE void pack_query(const E* q, std::int64_t dim, T scale, U* out, std::int64_t part_step)
{
    constexpr int lanes = vec<T>::lanes, each = elements_of<U>;
    const row_parts<T> parts(ceil_div(dim, each));
    for (std::int64_t part = 0; part < parts.count; ++part, out += part_step) {
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
HEED_INLINE void scale_query(const float* factors, std::int64_t dim, T* q, std::int64_t part_step)
{
    const row_parts<T> parts(dim);
    for (std::int64_t part = 0; part < parts.count; ++part, q += part_step) {
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
    const std::int64_t vecs = ceil_div(dim, lanes), panels = ceil_div(vecs, block_vecs);
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
    return min_of(vecs / ceil_div(vecs, block_vecs) * lanes, dim);
}

/// out[j][c] = v[j][channel + c] in units of one row or two, for `channels` channels and 0 up to `vecs` whole
/// registers.
template <class U, class E>
HEED_NOINLINE inline void pack_values(const E* v, std::int64_t step, int keys, std::int64_t channel,
                                      std::int64_t channels, int vecs, U* out)
{
    constexpr int lanes = vec<U>::lanes, each = elements_of<U>;
    for (int j = 0; j < keys; j += each, v += each * step, out += vecs * lanes) {
        if constexpr (each == 2) {
            const E* row = v + channel;
            std::int64_t c = 0;
            if (j + 1 < keys)
                for (; c + lanes <= channels; c += lanes)
                    store(out + c, load_values<U>(row, static_cast<int>(c), step));
            for (; c < vecs * lanes; ++c) {
                const bool exists = c < channels;
                out[c] = {exists ? row[c] : E(0.f), exists && j + 1 < keys ? row[step + c] : E(0.f)};
            }
        } else {
            widen(v, channel, channels, out);
        }
    }
}

}  // namespace micro
HEED_END
