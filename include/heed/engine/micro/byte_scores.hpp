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

/// Rows of keys `stride` bytes apart: `steps` pieces that fill registers and a last one of `rest` bytes.
struct byte_keys {
    const char* data;
    std::int64_t stride, steps;
    int rest;
};

/// Words of four channels of `Sets` sets of keys, of a piece of their rows.
template <int Sets, class E, bool Whole>
HEED_INLINE void transpose_keys(const byte_keys& k, byte_words (&to)[Sets][4])
{
    using shape = byte_shape<E>;
    using B = native_bytes;
    HEED_UNROLL
    for (int s = 0; s < Sets; ++s) {
        const char* const set = opaque(k.data + s * shape::keys * k.stride);
        byte_words x[4];
        HEED_UNROLL
        for (int i = 0; i < 4; ++i) {
            if constexpr (Whole) x[i] = B::template load<shape::bytes>(set + i * k.stride, 4 * k.stride);
            else x[i] = B::load_n(set + i * k.stride, k.rest);
        }
        B::transpose_lanes(x, to[s]);
    }
}

/// sums += q . k of `Sets` sets of keys for a piece of their rows.
template <int Rows, int Parts, int Sets, class E, bool Whole>
HEED_INLINE void add_byte_products(const std::uint32_t* q, const byte_keys& k, byte_words (&upper)[Rows][Sets],
                                   byte_words (&lower)[Rows][Sets], line_feed& ahead)
{
    using shape = byte_shape<E>;
    using B = native_bytes;
    constexpr int lanes = vec<float>::lanes, each = register_rows * Parts * lanes;
    const char* const lines = ahead.take(4 * Sets, q);
    byte_words c[Sets][4];
    transpose_keys<Sets, E, Whole>(k, c);
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

/// sums = q . k of `Sets` sets of keys.
template <int Rows, int Parts, int Sets, class E>
HEED_INLINE void byte_products(const byte_queries& of, byte_keys k, byte_words (&sums)[Rows][Sets], line_feed& ahead)
{
    using shape = byte_shape<E>;
    constexpr int lanes = vec<float>::lanes, each = 4 * shape::fields * register_rows * Parts * lanes;
    const std::uint32_t* q = of.words;
    byte_words upper[Rows][Sets];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const byte_words start = native_lanes::load_words(of.starts + r * lanes);
        HEED_UNROLL
        for (int s = 0; s < Sets; ++s) {
            sums[r][s] = start;
            upper[r][s] = native_lanes::all_words(0);
        }
    }
    if constexpr ((channels_of<E> > 1)) {
        add_byte_products<Rows, Parts, Sets, E, true>(q, k, upper, sums, ahead);
    } else {
        for (std::int64_t step = 0; step < k.steps; ++step, k.data += shape::bytes, q = opaque(q + each))
            add_byte_products<Rows, Parts, Sets, E, true>(q, k, upper, sums, ahead);
        if (__builtin_expect(k.rest > 0, 0)) add_byte_products<Rows, Parts, Sets, E, false>(q, k, upper, sums, ahead);
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

/// q . k of a register of keys, in their order, as whole numbers.
template <int Rows, int Parts, class E>
HEED_INLINE void register_products(byte_queries& q, const byte_keys& k, vec<float> (&x)[Rows], line_feed& ahead)
{
    using shape = byte_shape<E>;
    constexpr int sets = shape::sets, at_once = sets > 1 && 2 * Rows * Parts <= 16 ? 2 : 1;
    byte_words all[Rows][sets];
    HEED_UNROLL
    for (int set = 0; set < sets; set += at_once) {
        byte_words some[Rows][at_once];
        byte_products<Rows, Parts, at_once, E>(
            q, {opaque(k.data + set * shape::keys * k.stride), k.stride, k.steps, k.rest}, some, ahead);
        q.words = opaque(q.words);
        q.starts = opaque(q.starts);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < at_once; ++i) all[r][set + i] = some[r][i];
        }
    }
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) x[r] = native_lanes::whole_numbers_of(merged(all[r]));
}

/// x = q . k of a register of keys. Blocks are scaled where they are added.
template <int Rows, int Parts, class E>
HEED_INLINE void row_products(byte_queries q, const E* rows, std::int64_t dim, byte_keys k, vec<float> (&x)[Rows],
                              line_feed& ahead)
{
    using traits = element_traits<E>;
    constexpr int lanes = vec<float>::lanes;
    q.words = opaque(q.words);
    q.starts = opaque(q.starts);
    if constexpr ((channels_of<E> > 1)) {
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) x[r] = vec<float>(0);
        for (std::int64_t c = 0; c < dim; c += channels_of<E>) {
            vec<float> y[Rows];
            k.data = static_cast<const char*>(traits::bytes(rows, c));
            register_products<Rows, Parts, E>(q, k, y, ahead);
            q.words += 4 * byte_shape<E>::fields * register_rows * Parts * lanes;
            q.starts += register_rows * lanes;
            const vec<float> scale = traits::template scales<native_lanes>(rows + c / channels_of<E>, k.stride);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) x[r] = fma(y[r], scale, x[r]);
        }
    } else {
        k.data = static_cast<const char*>(traits::bytes(rows, 0));
        register_products<Rows, Parts, E>(q, k, x, ahead);
    }
}

/// n registers of rows of K.
template <class E>
struct byte_key_rows {
    matrix<const E> rows;
    std::int64_t dim;
    int n;
};

/// s[r][j] = factors[j] * q[r] . k[j], without factors where they are null: the bits of integer_scores().
template <int Rows, int Parts, class E>
HEED_NOINLINE inline void byte_scores_block(const byte_queries& q, const byte_key_rows<E>& keys, const float* factors,
                                            float* s, line_feed& feed)
{
    constexpr int lanes = vec<float>::lanes;
    constexpr bool has_blocks = channels_of<E> > 1;
    const std::int64_t dim = keys.dim, bytes = elements_for<E>(dim) * static_cast<std::int64_t>(sizeof(E));
    const byte_keys k{nullptr, static_cast<std::int64_t>(stride_bytes_of<E>(keys.rows.stride)),
                      has_blocks ? 1 : dim / byte_shape<E>::channels,
                      has_blocks ? 0 : static_cast<int>(dim % byte_shape<E>::channels)};
    line_feed ahead = feed;
    const E* row = keys.rows.data;
    for (int n = keys.n; n > 0; --n, s += lanes, row = row_after(row, lanes, keys.rows.stride)) {
        ahead.owe(lanes * bytes);
        vec<float> x[Rows];
        row_products<Rows, Parts>(q, row, dim, k, x, ahead);
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
HEED_INLINE void byte_scores(int rows, const byte_queries& q, const byte_key_rows<E>& keys, const float* factors,
                             float* s, line_feed& ahead)
{
    with_rows(rows,
              [&](auto r) HEED_INLINE_LAMBDA { byte_scores_block<r.value, Parts, E>(q, keys, factors, s, ahead); });
}

}  // namespace micro
HEED_END
