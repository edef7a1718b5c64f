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

/// Rows of V of `quads` times four keys, and `bytes` bytes of each from a channel on.
template <class E>
struct byte_values {
    const E* const* rows;
    std::int64_t channel;
    int quads, bytes;
};
/// Rows of sums.
struct byte_sums {
    std::uint32_t* data;
    std::int64_t stride;
};

/// `Vecs` registers of channels of four keys, from byte register `First` of a row's on: a byte of each key in a word.
template <int Vecs, int First, class E>
HEED_INLINE void interleave_values(const E* const* v, const byte_values<E>& of, byte_words (&x)[Vecs])
{
    using shape = byte_shape<E>;
    using B = native_bytes;
    const auto row = [&](int i) HEED_INLINE_LAMBDA { return shape::traits::bytes(v[i], of.channel); };
    if constexpr (shape::span == 4) {
        byte_words r[4], two[2];
        HEED_UNROLL
        for (int i = 0; i < 4; ++i)
            r[i] = of.bytes < shape::bytes ? B::load_n(row(i), of.bytes) : B::template load<shape::bytes>(row(i), 0);
        B::template interleave_rows<First / 2>(r, two);
        x[0] = two[0];
        x[1] = two[1];
        if constexpr (Vecs == 4) {
            B::template interleave_rows<1>(r, two);
            x[2] = two[0];
            x[3] = two[1];
        }
    } else if constexpr (shape::span == 2) {
        const byte_words r[2] = {B::two(row(0), row(1)), B::two(row(2), row(3))};
        B::interleave_rows(r, x);
    } else {
        const byte_words r[1] = {B::four(row(0), row(1), row(2), row(3))};
        byte_words one[1];
        B::interleave_rows(r, one);
        x[0] = one[0];
        x[1] = one[0];
    }
    HEED_UNROLL
    for (int i = 0; i < Vecs; ++i) x[i] = B::template field<E>(x[i], shape::span == 1 ? i : 0);
}

/// Sums of a register block, which stay in registers.
template <int Rows, int Parts, int Vecs>
struct block_sums {
    byte_words of[Parts][Rows][Vecs];

    HEED_INLINE block_sums()
    {
        HEED_UNROLL
        for (int p = 0; p < Parts; ++p) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) of[p][r][i] = native_lanes::all_words(0);
            }
        }
    }
    /// Rows of weights are `Parts` times byte_weight_stride apart.
    HEED_INLINE void add(const byte_words (&x)[Vecs], const std::uint32_t* weights)
    {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int p = 0; p < Parts; ++p) {
                const byte_words y = native_lanes::all_words(weights[(r * Parts + p) * byte_weight_stride]);
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) native_bytes::dot(of[p][r][i], x[i], y);
            }
        }
    }
    HEED_INLINE void add_to(byte_sums to) const
    {
        constexpr int lanes = vec<float>::lanes;
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r, to.data = opaque(to.data + to.stride)) {
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) {
                byte_words sum = of[Parts - 1][r][i];
                if constexpr (Parts > 1) sum = native_bytes::add(native_bytes::times_256(of[0][r][i]), sum);
                std::uint32_t* const o = to.data + i * lanes;
                native_lanes::store_words(o, native_bytes::add(sum, native_lanes::load_words(o)));
            }
        }
    }
};

/// o += P V for `Vecs` registers of channels, from byte register `First` of a row's on.
template <int Rows, int Parts, int Vecs, int First, class E>
HEED_INLINE void byte_outputs_pass(const std::uint32_t* weights, const byte_values<E>& v, const byte_sums& o,
                                   line_feed& ahead)
{
    using shape = byte_shape<E>;
    constexpr int requests = shape::bytes * Vecs / (shape::span * shape::fields) * 4 / line_of<char>;
    block_sums<Rows, Parts, Vecs> sums;
    const E* const* rows = v.rows;
    for (int quad = 0; quad < v.quads; ++quad, rows += 4, ++weights) {
        byte_words x[Vecs];
        interleave_values<Vecs, First>(rows, v, x);
        const char* const lines = ahead.take(requests, weights);
        HEED_UNROLL
        for (int i = 0; i < requests; ++i) line_feed::prefetch(lines + i * line_of<char>);
        sums.add(x, opaque(weights));
    }
    sums.add_to(o);
}

/// o += P V for byte_channels<E> channels.
template <int Rows, int Parts, class E>
HEED_NOINLINE inline void byte_outputs_block(const std::uint32_t* weights, const byte_values<E>& values,
                                             const byte_sums& o, line_feed& feed)
{
    const byte_values<E> v = values;
    line_feed ahead = feed;
    if constexpr (byte_shape<E>::span < 4) {
        byte_outputs_pass<Rows, Parts, 2, 0>(weights, v, o, ahead);
    } else if constexpr (Rows * Parts <= 4) {
        byte_outputs_pass<Rows, Parts, 4, 0>(weights, v, o, ahead);
    } else {
        byte_outputs_pass<Rows, Parts, 2, 0>(weights, v, o, ahead);
        byte_outputs_pass<Rows, Parts, 2, 2>(weights, v, {o.data + 2 * vec<float>::lanes, o.stride}, ahead);
    }
    feed = ahead;
}

template <int Parts, class E>
HEED_INLINE void byte_outputs(int rows, const std::uint32_t* weights, const byte_values<E>& v, const byte_sums& o,
                              line_feed& feed)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { byte_outputs_block<n.value, Parts, E>(weights, v, o, feed); });
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
