// SPDX-License-Identifier: MIT
// S = Q K^T in products of bytes for few rows of queries. Words of four channels of four keys are transposed inside
// groups of 16 bytes; groups hold other channels of these keys, or other keys, and sums of channels are added at last.
#pragma once

#include "byte_operands.hpp"
#include "units.hpp"

HEED_BEGIN
namespace micro {

/// Rows of queries of a register block, spread, and their steps.
struct byte_queries {
    const std::uint32_t* words;
    const std::uint32_t* starts;
    const float* steps;
};

/// sums += q . k of `Sets` sets of keys for a piece of their rows, of which `bytes` bytes are there.
template <int Rows, int Parts, int Sets, class E, bool Whole>
HEED_INLINE void add_byte_products(const std::uint32_t* q, const char* k, std::int64_t stride, int bytes,
                                   byte_words (&upper)[Rows][Sets], byte_words (&lower)[Rows][Sets], line_feed& ahead)
{
    using shape = byte_shape<E>;
    using B = native_bytes;
    constexpr int lanes = vec<float>::lanes, each = register_rows * Parts * lanes;
    const char* const lines = ahead.take(4 * Sets, q);
    byte_words c[Sets][4];
    HEED_UNROLL
    for (int s = 0; s < Sets; ++s) {
        const char* const set = opaque(k + s * shape::keys * stride);
        byte_words x[4];
        HEED_UNROLL
        for (int i = 0; i < 4; ++i) {
            if constexpr (Whole) x[i] = B::template load<shape::bytes>(set + i * stride, 4 * stride);
            else x[i] = B::load_n(set + i * stride, bytes);
        }
        B::transpose_lanes(x, c[s]);
    }
    HEED_UNROLL
    for (int i = 0; i < 4; ++i) {
        HEED_UNROLL
        for (int s = 0; s < Sets; ++s) line_feed::prefetch(lines + (i * Sets + s) * line_of<char>);
        HEED_UNROLL
        for (int f = 0; f < shape::fields; ++f, q += each) {
            byte_words u[Sets];
            HEED_UNROLL
            for (int s = 0; s < Sets; ++s) u[s] = B::template field<E>(c[s][i], f);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                if constexpr (Parts > 1) {
                    const byte_words y = native_lanes::load_words(q + r * Parts * lanes);
                    HEED_UNROLL
                    for (int s = 0; s < Sets; ++s) B::dot(upper[r][s], u[s], y);
                }
                const byte_words y = native_lanes::load_words(q + (r * Parts + Parts - 1) * lanes);
                HEED_UNROLL
                for (int s = 0; s < Sets; ++s) B::dot(lower[r][s], u[s], y);
            }
        }
    }
}

/// sums = q . k of `Sets` sets of keys over `steps` pieces of their rows, and a last one of `rest` bytes.
template <int Rows, int Parts, int Sets, class E>
HEED_INLINE void byte_products(const std::uint32_t* q, const std::uint32_t* starts, const char* k, std::int64_t stride,
                               std::int64_t steps, int rest, byte_words (&sums)[Rows][Sets], line_feed& ahead)
{
    using shape = byte_shape<E>;
    constexpr int lanes = vec<float>::lanes, each = 4 * shape::fields * register_rows * Parts * lanes;
    byte_words upper[Rows][Sets];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const byte_words start = native_lanes::load_words(starts + r * lanes);
        HEED_UNROLL
        for (int s = 0; s < Sets; ++s) {
            sums[r][s] = start;
            upper[r][s] = native_lanes::all_words(0);
        }
    }
    if constexpr ((channels_of<E> > 1)) {
        add_byte_products<Rows, Parts, Sets, E, true>(q, k, stride, 0, upper, sums, ahead);
    } else {
        for (std::int64_t step = 0; step < steps; ++step, k += shape::bytes, q = opaque(q + each))
            add_byte_products<Rows, Parts, Sets, E, true>(q, k, stride, 0, upper, sums, ahead);
        if (__builtin_expect(rest > 0, 0))
            add_byte_products<Rows, Parts, Sets, E, false>(q, k, stride, rest, upper, sums, ahead);
    }
    if constexpr (Parts > 1) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int s = 0; s < Sets; ++s)
                sums[r][s] = native_bytes::add(native_bytes::times_256(upper[r][s]), sums[r][s]);
        }
    }
}

/// Sums of a register of keys, in their order, of the sets of one row.
template <int N>
HEED_INLINE byte_words merged(const byte_words (&sums)[N])
{
    if constexpr (N == 1) {
        return sums[0];
    } else {
        byte_words half[N / 2];
        HEED_UNROLL
        for (int i = 0; i < N / 2; ++i) half[i] = native_bytes::add_neighbours(sums[2 * i], sums[2 * i + 1]);
        return merged(half);
    }
}

/// s[r][j] = factors[j] * q[r] . k[j] for n registers of keys, without factors where they are null: the bits of
/// integer_scores().
template <int Rows, int Parts, class E>
HEED_NOINLINE inline void byte_scores_block(byte_queries q, matrix<const E> k, std::int64_t dim, int n,
                                            const float* factors, float* s, line_feed& feed)
{
    using traits = element_traits<E>;
    using shape = byte_shape<E>;
    constexpr int lanes = vec<float>::lanes, sets = shape::sets;
    constexpr int at_once = sets > 1 && 2 * Rows * Parts <= 16 ? 2 : 1;
    constexpr std::int64_t block = channels_of<E>;
    const auto stride = static_cast<std::int64_t>(stride_bytes_of<E>(k.stride));
    const std::int64_t steps = block > 1 ? 1 : dim / shape::channels,
                       bytes = dim / block * static_cast<std::int64_t>(sizeof(E));
    const int rest = block > 1 ? 0 : static_cast<int>(dim % shape::channels);
    line_feed ahead = feed;
    for (; n > 0; --n, s += lanes, k.data = row_after(k.data, lanes, k.stride)) {
        ahead.owe(lanes * bytes);
        vec<float> x[Rows];
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) x[r] = vec<float>(0);
        const std::uint32_t *words = opaque(q.words), *starts = opaque(q.starts);
        for (std::int64_t c = 0; c < dim; c += (block > 1 ? block : dim)) {
            byte_words all[Rows][sets];
            const char* const from = static_cast<const char*>(traits::bytes(k.data, c));
            HEED_UNROLL
            for (int set = 0; set < sets; set += at_once) {
                byte_words some[Rows][at_once];
                byte_products<Rows, Parts, at_once, E>(words, starts, opaque(from + set * shape::keys * stride), stride,
                                                       steps, rest, some, ahead);
                words = opaque(words);
                starts = opaque(starts);
                HEED_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    HEED_UNROLL
                    for (int i = 0; i < at_once; ++i) all[r][set + i] = some[r][i];
                }
            }
            if constexpr (block > 1) {
                words += 4 * shape::fields * register_rows * Parts * lanes;
                starts += register_rows * lanes;
                const vec<float> scale = traits::template scales<native_lanes>(k.data + c / block, stride);
                HEED_UNROLL
                for (int r = 0; r < Rows; ++r) x[r] = fma(native_lanes::whole_numbers_of(merged(all[r])), scale, x[r]);
            } else {
                HEED_UNROLL
                for (int r = 0; r < Rows; ++r) x[r] = native_lanes::whole_numbers_of(merged(all[r]));
            }
        }
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            vec<float> y = x[r] * vec<float>(q.steps[r]);
            if (factors) y = y * load(factors);
            store(s + r * score_stride, y);
        }
        if (factors) factors += lanes;
        ahead.settle();
    }
    feed = ahead;
}

template <int Parts, class E>
HEED_INLINE void byte_scores(int rows, const byte_queries& q, matrix<const E> k, std::int64_t dim, int n,
                             const float* factors, float* s, line_feed& ahead)
{
    with_rows(rows, [&](auto r)
                        HEED_INLINE_LAMBDA { byte_scores_block<r.value, Parts, E>(q, k, dim, n, factors, s, ahead); });
}

}  // namespace micro
HEED_END
