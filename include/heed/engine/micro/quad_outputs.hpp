// SPDX-License-Identifier: MIT
// O = P V in products of quads, one lane a channel: four keys at a time, whose rows lie anywhere.
#pragma once

#include "integer_outputs.hpp"
#include "quad_operands.hpp"

HEED_BEGIN
namespace micro {

/// Turns the first n weights, a multiple of 16, into quads of whole numbers: of each four keys those of upper bytes, if
/// there are any, then those of lower ones. Returns their step.
template <int Parts>
inline float quantise_to_quads(const scaled_weights& w, int n, std::int64_t largest_whole, std::uint32_t* to)
{
    constexpr int lanes = vec<float>::lanes;
    const integer_step by = w.step(n, largest_whole);
    for (int j = 0; j < n; j += 4 * lanes, to += Parts * lanes) {
        quad_words upper, lower;
        bytes_of_numbers([&](int i) HEED_INLINE_LAMBDA { return w(j + i * lanes); }, by, upper, lower);
        if constexpr (Parts == 1) {
            native_lanes::store_words(to, lower);
        } else {
            quad_words both[2];
            native_quads::interleave_words(upper, lower, both);
            native_lanes::store_words(to, both[0]);
            native_lanes::store_words(to + lanes, both[1]);
        }
    }
    return by.step;
}

/// Keys whose quads of weights fill a register, in all their parts.
template <int Parts>
inline constexpr int quad_keys = 16 / Parts;

/// Rows of V of `steps` times quad_keys, and the first of two registers of channels.
template <class E>
struct quad_values {
    const E* const* rows;
    std::int64_t channel;
    int steps;
};

/// sums += the quads of weights of row r times those of values.
template <int Parts, int Quads, int Rows>
HEED_INLINE void add_weighted(quad_words weights, const quad_words (&x)[Quads][2], int r,
                              quad_words (&sums)[Parts][Rows][2])
{
    static_assert(Parts * Quads == 4);
    constexpr int last = Parts - 1;
    HEED_UNROLL
    for (int i = 0; i < 2; ++i) {
        native_quads::dot<0>(sums[0][r][i], weights, x[0][i]);
        native_quads::dot<1>(sums[last][r][i], weights, x[last == 0 ? 1 : 0][i]);
        native_quads::dot<2>(sums[0][r][i], weights, x[last == 0 ? 2 : 1][i]);
        native_quads::dot<3>(sums[last][r][i], weights, x[last == 0 ? 3 : 1][i]);
    }
}

/// o += P V for two registers of channels, which are in field `Field` of their bytes.
template <int Rows, int Parts, int Field, class E>
HEED_NOINLINE inline void quad_outputs_block(const std::uint32_t* weights, quad_values<E> v, integer_sums o,
                                             line_feed& feed)
{
    constexpr int lanes = vec<float>::lanes, quads = quad_keys<Parts> / 4;
    constexpr int bytes = 2 * lanes * quad_keys<Parts> * static_cast<int>(sizeof(E)) / static_cast<int>(channels_of<E>);
    quad_words sums[Parts][Rows][2];
    std::uint32_t* to = o.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, to = opaque(to + o.stride)) {
        HEED_UNROLL
        for (int i = 0; i < 2; ++i) {
            sums[0][r][i] = native_lanes::all_words(0);
            sums[Parts - 1][r][i] = native_lanes::load_words(to + i * lanes);
        }
    }
    line_feed ahead = feed;
    const E* const* rows = v.rows;
    for (int step = 0; step < v.steps; ++step, rows += quad_keys<Parts>, weights += 4) {
        ahead.owe(bytes);
        HEED_UNROLL
        for (int i = 0; i < bytes; i += line_of<char>) ahead.ask();
        quad_words x[quads][2];
        HEED_UNROLL
        for (int q = 0; q < quads; ++q) {
            const auto row = [&](int i) HEED_INLINE_LAMBDA { return byte_of_channel(rows[4 * q + i], v.channel); };
            native_quads::interleave(row(0), row(1), row(2), row(3), x[q]);
            HEED_UNROLL
            for (quad_words& w : x[q]) w = native_quads::field<E>(w, Field);
        }
        const std::uint32_t* const w = opaque(weights);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r)
            add_weighted<Parts>(native_lanes::load_words(w + r * integer_weight_stride), x, r, sums);
    }
    feed = ahead;
    to = o.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, to = opaque(to + o.stride)) {
        HEED_UNROLL
        for (int i = 0; i < 2; ++i) {
            quad_words sum = sums[Parts - 1][r][i];
            if constexpr (Parts > 1) sum = native_quads::bytes::add(native_quads::bytes::times_256(sums[0][r][i]), sum);
            native_lanes::store_words(to + i * lanes, sum);
        }
    }
}

template <int Parts, class E>
HEED_INLINE void quad_outputs(int rows, const std::uint32_t* weights, const quad_values<E>& v, const integer_sums& o,
                              line_feed& feed)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        if constexpr (element_traits<E>::fields == 2)
            if (field_of_channel<E>(v.channel) == 1)
                return quad_outputs_block<n.value, Parts, 1, E>(weights, v, o, feed);
        quad_outputs_block<n.value, Parts, 0, E>(weights, v, o, feed);
    });
}

}  // namespace micro
HEED_END
