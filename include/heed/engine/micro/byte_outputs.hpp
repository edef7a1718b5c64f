// SPDX-License-Identifier: MIT
// O = P V in products of bytes, one lane a channel: four keys at a time, whose rows lie anywhere.
#pragma once

#include "byte_operands.hpp"
#include "units.hpp"

HEED_BEGIN
namespace micro {

/// Words from a part of a row of weights to the next: no power of two, as for scores.
inline constexpr int byte_weight_stride = key_tile / 4 + 16;

/// Channels of V whose sums are kept together.
template <class E>
inline constexpr int byte_channels = byte_shape<E>::channels;

/// A register of weights times their factors, of which those of a weight of 0 do not count; d may be null.
HEED_INLINE vec<float> weights_times(const float* weights, const float* d, int j)
{
    using V = vec<float>;
    const V w = load(weights + j);
    return d ? select(w == V(0), V(0), w * load(d + j)) : w;
}

/// The step to which weights [begin, end) of a row, whole registers, are rounded: NaN where they are not all finite.
inline float step_of_weights(const float* weights, const float* d, int begin, int end, std::int64_t largest_whole)
{
    magnitude of;
    for (int j = begin; j < end; j += vec<float>::lanes) of.add(weights_times(weights, d, j));
    return of.step(largest_whole).step;
}

/// Rounds weights [begin, end) of a row, multiples of four registers of a tile, to bytes of a step, and gives their
/// sum.
template <int Parts>
HEED_INLINE std::uint32_t round_to_bytes(const float* weights, const float* d, int begin, int end, float step,
                                         std::uint32_t* to)
{
    using V = vec<float>;
    using B = native_bytes;
    constexpr int lanes = V::lanes;
    const bool finite = step == step;
    const V inverse(finite ? 1 / step : 0.f);
    const byte_words ones = native_lanes::all_words(0x01010101);
    byte_words sums[Parts];
    HEED_UNROLL
    for (int p = 0; p < Parts; ++p) sums[p] = native_lanes::all_words(0);
    for (int j = begin; j < end; j += 4 * lanes) {
        byte_words parts[2] = {native_lanes::all_words(0), native_lanes::all_words(0)};
        if (__builtin_expect(finite, 1)) {
            V x[4];
            HEED_UNROLL
            for (int i = 0; i < 4; ++i) x[i] = simd::round(weights_times(weights, d, j + i * lanes) * inverse);
            B::split(x, parts[0], parts[1]);
        }
        HEED_UNROLL
        for (int p = 0; p < Parts; ++p) {
            const byte_words w = parts[p + 2 - Parts];
            native_lanes::store_words(to + p * byte_weight_stride + j / 4, w);
            B::dot(sums[p], ones, w);
        }
    }
    if constexpr (Parts > 1) sums[1] = B::add(B::times_256(sums[0]), sums[1]);
    std::uint32_t each[lanes], sum = 0;
    native_lanes::store_words(each, sums[Parts - 1]);
    for (const std::uint32_t x : each) sum += x;
    return sum;
}

/// o += P V of `quads` times four keys for `Vecs` registers of channels, from byte register `First` of a row's on. Rows
/// of weights are `Parts` times byte_weight_stride apart.
template <int Rows, int Parts, int Vecs, int First, class E>
HEED_INLINE void byte_outputs_pass(const std::uint32_t* weights, const E* const* v, std::int64_t channel, int quads,
                                   int bytes, std::uint32_t* o, std::int64_t stride, line_feed& ahead)
{
    using shape = byte_shape<E>;
    using B = native_bytes;
    constexpr int lanes = vec<float>::lanes, registers = shape::span;
    constexpr int requests = shape::bytes * Vecs / (registers * shape::fields) * 4 / line_of<char>;
    byte_words sums[Parts][Rows][Vecs];
    HEED_UNROLL
    for (int p = 0; p < Parts; ++p) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) sums[p][r][i] = native_lanes::all_words(0);
        }
    }
    for (int quad = 0; quad < quads; ++quad, v += 4, ++weights) {
        const auto row = [&](int i) HEED_INLINE_LAMBDA { return shape::traits::bytes(v[i], channel); };
        byte_words x[Vecs];
        if constexpr (registers == 4) {
            byte_words r[4];
            HEED_UNROLL
            for (int i = 0; i < 4; ++i)
                r[i] = bytes < shape::bytes ? B::load_n(row(i), bytes) : B::template load<shape::bytes>(row(i), 0);
            byte_words two[2];
            if constexpr (First == 0) B::template interleave_rows<0>(r, two);
            else B::template interleave_rows<1>(r, two);
            x[0] = two[0];
            x[1] = two[1];
            if constexpr (Vecs == 4) {
                B::template interleave_rows<1>(r, two);
                x[2] = two[0];
                x[3] = two[1];
            }
        } else if constexpr (registers == 2) {
            const byte_words r[2] = {B::two(row(0), row(1)), B::two(row(2), row(3))};
            byte_words two[2];
            B::interleave_rows(r, two);
            x[0] = two[0];
            x[1] = two[1];
        } else {
            const byte_words r[1] = {B::four(row(0), row(1), row(2), row(3))};
            byte_words one[1];
            B::interleave_rows(r, one);
            x[0] = one[0];
            x[1] = one[0];
        }
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) x[i] = B::template field<E>(x[i], registers == 1 ? i : 0);
        const char* const lines = ahead.take(requests, weights);
        HEED_UNROLL
        for (int i = 0; i < requests; ++i) line_feed::prefetch(lines + i * line_of<char>);
        const std::uint32_t* const w = opaque(weights);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int p = 0; p < Parts; ++p) {
                const byte_words y = native_lanes::all_words(w[(r * Parts + p) * byte_weight_stride]);
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) B::dot(sums[p][r][i], x[i], y);
            }
        }
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, o = opaque(o + stride)) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            byte_words sum = sums[Parts - 1][r][i];
            if constexpr (Parts > 1) sum = B::add(B::times_256(sums[0][r][i]), sum);
            native_lanes::store_words(o + i * lanes, B::add(sum, native_lanes::load_words(o + i * lanes)));
        }
    }
}

/// o += P V for byte_channels<E> channels, of which `bytes` bytes of a row are there.
template <int Rows, int Parts, class E>
HEED_NOINLINE inline void byte_outputs_block(const std::uint32_t* weights, const E* const* v, std::int64_t channel,
                                             int quads, int bytes, std::uint32_t* o, std::int64_t stride,
                                             line_feed& feed)
{
    constexpr int lanes = vec<float>::lanes;
    line_feed ahead = feed;
    if constexpr (byte_shape<E>::span < 4) {
        byte_outputs_pass<Rows, Parts, 2, 0>(weights, v, channel, quads, bytes, o, stride, ahead);
    } else if constexpr (Rows * Parts <= 4) {
        byte_outputs_pass<Rows, Parts, 4, 0>(weights, v, channel, quads, bytes, o, stride, ahead);
    } else {
        byte_outputs_pass<Rows, Parts, 2, 0>(weights, v, channel, quads, bytes, o, stride, ahead);
        byte_outputs_pass<Rows, Parts, 2, 2>(weights, v, channel, quads, bytes, o + 2 * lanes, stride, ahead);
    }
    feed = ahead;
}

template <int Parts, class E>
HEED_INLINE void byte_outputs(int rows, const std::uint32_t* weights, const E* const* v, std::int64_t channel,
                              int quads, int bytes, std::uint32_t* o, std::int64_t stride, line_feed& feed)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        byte_outputs_block<n.value, Parts, E>(weights, v, channel, quads, bytes, o, stride, feed);
    });
}

/// to[c] = step * sums[c] for n channels, in their order, and 0 up to whole registers.
template <class E>
inline void finish_byte_sums(const std::uint32_t* sums, float step, std::int64_t n, float* to)
{
    constexpr int lanes = vec<float>::lanes, each = byte_shape<E>::span * byte_shape<E>::fields;
    for (std::int64_t c = 0; c < n; c += each * lanes) {
        byte_words w[each];
        HEED_UNROLL
        for (int i = 0; i < each; ++i) w[i] = native_lanes::load_words(sums + c + i * lanes);
        if constexpr (each == 4) native_bytes::transpose_groups(w);
        HEED_UNROLL
        for (int i = 0; i < each; ++i)
            if (c + i * lanes < n) store(to + c + i * lanes, native_lanes::whole_numbers_of(w[i]) * vec<float>(step));
    }
}

}  // namespace micro
HEED_END
