// SPDX-License-Identifier: MIT
// O = P V in integers, one lane a channel: two keys at a time, whose rows lie anywhere.
#pragma once

#include "integer_operands.hpp"
#include "integer_prefetch.hpp"
#include "units.hpp"

HEED_BEGIN
namespace micro {

/// Step of a row of weights in pairs: no power of two, as for scores.
inline constexpr int integer_weight_stride = key_tile / 2 + 16;

/// Weights of keys, times factors where there are some, of which those of a weight of 0 do not count.
struct scaled_weights {
    const float *weights, *factors;  // null: all 1

    HEED_INLINE vec<float> operator()(int j) const
    {
        const vec<float> w = load(weights + j);
        return factors ? select(w == vec<float>(0), vec<float>(0), w * load(factors + j)) : w;
    }
    /// How the first n are rounded, a multiple of 16.
    HEED_INLINE integer_step step(int n, std::int64_t largest_whole) const
    {
        magnitude of;
        for (int j = 0; j < n; j += vec<float>::lanes) of.add((*this)(j));
        return of.step(largest_whole);
    }
};

/// Turns the first n weights, a multiple of 16, into pairs of whole numbers. Returns their step.
inline float quantise_weights(const scaled_weights& w, int n, std::int64_t largest_whole, std::uint32_t* pairs)
{
    constexpr int lanes = vec<float>::lanes;
    const integer_step by = w.step(n, largest_whole);
    for (int j = 0; j < n; j += 2 * lanes, pairs += lanes)
        native_lanes::store_words(pairs, whole_numbers_of(w(j), w(j + lanes), by));
    return by.step;
}

/// Rows of V, of which one may be there twice, two for each pair of weights; and the first channel.
template <class E>
struct integer_values {
    const E* const* rows;
    std::int64_t channel;
    int pairs;

    HEED_INLINE native_lanes::words load(int row, int c) const
    {
        using traits = element_traits<E>;
        constexpr std::int64_t block = channels_of<E>;
        const std::int64_t at = channel + c;
        if constexpr (block == 1) return traits::template integers<native_lanes>(rows[row] + at);
        else return traits::template integers<native_lanes>(rows[row][at / block], static_cast<int>(at % block));
    }
};

/// Sums of a register block, in the order of the machine.
struct integer_sums {
    std::uint32_t* data;
    std::int64_t stride;
};

/// o += P V for `Vecs` registers of channels.
template <int Rows, int Vecs, class E>
HEED_NOINLINE inline void integer_outputs_block(const std::uint32_t* weights, integer_values<E> v, integer_sums o,
                                                line_feed& feed)
{
    constexpr int lanes = vec<float>::lanes;
    constexpr int bytes = 2 * Vecs * lanes * static_cast<int>(sizeof(E)) / static_cast<int>(channels_of<E>);
    integer_words sums[Rows][Vecs];
    std::uint32_t* to = o.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, to = opaque(to + o.stride)) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) sums[r][i] = native_lanes::load_words(to + i * lanes);
    }
    line_feed ahead = feed;
    for (int p = 0; p < v.pairs; ++p) {
        ahead.used(bytes);
        const std::uint32_t* const w = opaque(weights + p);
        HEED_UNROLL
        for (int i = 0; i < Vecs; i += 2) {
            integer_words x[2];
            native_lanes::interleave(v.load(2 * p, i * lanes), v.load(2 * p + 1, i * lanes), x);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const auto a = native_lanes::factor(w[r * integer_weight_stride]);
                native_lanes::dot(sums[r][i], a, x[0]);
                native_lanes::dot(sums[r][i + 1], a, x[1]);
            }
        }
    }
    feed = ahead;
    to = o.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, to = opaque(to + o.stride)) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) native_lanes::store_words(to + i * lanes, sums[r][i]);
    }
}

/// Registers of channels that a product takes at once: as many as a register block has, or more for few rows, of a
/// block of channels at most.
template <class E>
constexpr int integer_output_vecs(std::int64_t rows)
{
    constexpr std::int64_t block = channels_of<E>;
    if (register_vecs > 2 || rows > 2) return register_vecs;
    return rows == 2 || block > 1 ? 4 : 8;
}

/// The same for 2, 4 or 8 registers of channels, at most integer_output_vecs of the rows.
template <class E>
HEED_INLINE void integer_outputs(block_shape shape, const std::uint32_t* weights, const integer_values<E>& v,
                                 const integer_sums& o, line_feed& feed)
{
    with_rows(shape.rows, [&](auto n) HEED_INLINE_LAMBDA {
        constexpr int most = integer_output_vecs<E>(n.value);
        if constexpr (most == 8)
            if (shape.vecs == 8) return integer_outputs_block<n.value, 8>(weights, v, o, feed);
        if constexpr (most >= 4)
            if (shape.vecs == 4) return integer_outputs_block<n.value, 4>(weights, v, o, feed);
        integer_outputs_block<n.value, 2>(weights, v, o, feed);
    });
}

/// to[c] = step * sums[c] for c in [0, n), in the order of channels, and 0 up to whole registers.
inline void finish_integer_sums(const std::uint32_t* sums, float step, std::int64_t n, float* to)
{
    constexpr int lanes = vec<float>::lanes;
    for (std::int64_t c = 0; c < n; c += 2 * lanes) {
        integer_words w[2] = {native_lanes::load_words(sums + c), native_lanes::load_words(sums + c + lanes)};
        native_lanes::restore_order(w);
        store(to + c, native_lanes::whole_numbers_of(w[0]) * vec<float>(step));
        if (c + lanes < n) store(to + c + lanes, native_lanes::whole_numbers_of(w[1]) * vec<float>(step));
    }
}

}  // namespace micro
HEED_END
