// SPDX-License-Identifier: MIT
// S = Q K^T in products of quads, one lane a key: a strip of keys is packed as quads of channels, which all rows pass,
// first with the upper bytes of queries and then with the lower ones.
#pragma once

#include "integer_scores.hpp"
#include "quad_operands.hpp"

HEED_BEGIN
namespace micro {

/// Packs a register of rows of E into lanes [lane, lane + lanes) of a strip: [quads][key_strip] words, and scales as
/// in integer_strip. `dim` is a multiple of 16.
template <class E>
HEED_INLINE void pack_quad_keys(matrix<const E> k, std::int64_t dim, const integer_strip& strip, int lane)
{
    using traits = element_traits<E>;
    constexpr int width = key_strip<float>, each = 16 * traits::fields;
    constexpr std::int64_t block = channels_of<E>;
    const auto stride = static_cast<std::int64_t>(stride_bytes_of<E>(k.stride));
    std::uint32_t* to = strip.pairs + lane;
    for (std::int64_t c = 0; c < dim; c += each) {
        typename native_lanes::words w[4];
        native_lanes::transpose(byte_of_channel(k.data, c), stride, w);
        HEED_UNROLL
        for (int f = 0; f < traits::fields; ++f) {
            HEED_UNROLL
            for (int i = 0; i < 4; ++i, to += width) {
                quad_words x;
                std::memcpy(&x, &w[i], sizeof(x));
                native_lanes::store_words(to, native_quads::field<E>(x, f));
            }
        }
        if constexpr (block > 1)
            if (c % block == 0)
                store(strip.scales + c / block * width + lane,
                      traits::template scales<native_lanes>(k.data + c / block, stride));
    }
}

/// sums += q . k of the I-th of four quads.
template <int I, int Rows, int Vecs>
HEED_INLINE void add_quad_products(const quad_words (&q)[Rows], const std::uint32_t* strip,
                                   quad_words (&sums)[Rows][Vecs])
{
    HEED_UNROLL
    for (int v = 0; v < Vecs; ++v) {
        const quad_words k = native_lanes::load_words(opaque(strip) + v * vec<float>::lanes);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) native_quads::dot<I>(sums[r][v], q[r], k);
    }
}
/// The same of n quads, a multiple of four.
template <bool Asks, int Rows, int Vecs>
HEED_INLINE void add_quad_products(const std::uint32_t* q, std::int64_t stride, const std::uint32_t* strip,
                                   std::int64_t n, quad_words (&sums)[Rows][Vecs], line_feed& ahead)
{
    constexpr int width = key_strip<float>, lines = 4 * width * 4 / line_of<char>;
    for (std::int64_t i = 0; i < n; i += 4, q += 4, strip += 4 * width) {
        if constexpr (Asks) {
            const char* const line = ahead.take(lines, strip);
            HEED_UNROLL
            for (int l = 0; l < lines; ++l) line_feed::prefetch(line + l * line_of<char>);
        }
        quad_words a[Rows];
        const std::uint32_t* at = q;
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r, at = opaque(at + stride)) a[r] = native_lanes::load_words(at);
        add_quad_products<0>(a, strip, sums);
        add_quad_products<1>(a, strip + width, sums);
        add_quad_products<2>(a, strip + 2 * width, sums);
        add_quad_products<3>(a, strip + 3 * width, sums);
    }
}

/// sums = q . k over n quads of upper and of lower bytes, which are `apart` words apart; of numbers of 8 bits the upper
/// ones are 0.
template <int Parts, int Rows, int Vecs>
HEED_INLINE void quad_products(const integer_rows& q, std::int64_t apart, const std::uint32_t* strip, std::int64_t n,
                               quad_words (&sums)[Rows][Vecs], line_feed& ahead)
{
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int v = 0; v < Vecs; ++v) sums[r][v] = native_lanes::all_words(0);
    }
    if constexpr (Parts > 1) {
        add_quad_products<false>(q.pairs, q.stride, strip, n, sums, ahead);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int v = 0; v < Vecs; ++v) sums[r][v] = native_quads::bytes::times_256(sums[r][v]);
        }
    }
    add_quad_products<true>(q.pairs + apart, q.stride, strip, n, sums, ahead);
}

/// s[r][j] = q[r] . k[j] for one register block and a strip: the bits of integer_scores().
template <int Rows, int Parts, class E>
HEED_NOINLINE inline void quad_scores_block(integer_rows q, integer_strip strip, std::int64_t quads, float* s,
                                            line_feed& feed)
{
    scores_of_words<Rows, 4, E>(
        q, strip, quads, s, feed,
        [&](const integer_rows& rows, const std::uint32_t* keys, std::int64_t n, auto& sums, line_feed& ahead)
            HEED_INLINE_LAMBDA { quad_products<Parts>(rows, quads, keys, n, sums, ahead); });
}

template <int Parts, class E>
HEED_INLINE void quad_scores(int rows, const integer_rows& q, const integer_strip& strip, std::int64_t quads, float* s,
                             line_feed& ahead)
{
    with_rows(rows,
              [&](auto n) HEED_INLINE_LAMBDA { quad_scores_block<n.value, Parts, E>(q, strip, quads, s, ahead); });
}

}  // namespace micro
HEED_END
