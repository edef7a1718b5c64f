// SPDX-License-Identifier: MIT
// S = Q K^T in integers, one lane a key: a strip of keys is packed as pairs of channels, which all rows pass.
#pragma once

#include "integer_operands.hpp"
#include "integer_prefetch.hpp"
#include "units.hpp"

HEED_BEGIN
namespace micro {

/// A packed strip of keys: [pairs of channels][key_strip] words, and of blocks [blocks][key_strip] scales.
struct integer_strip {
    std::uint32_t* pairs;
    float* scales;
};

/// Packs a register of rows of E into lanes [lane, lane + lanes) of a strip. `dim` is a multiple of 16.
template <class E>
HEED_INLINE void pack_integer_keys(matrix<const E> k, std::int64_t dim, const integer_strip& strip, int lane,
                                   line_feed& ahead)
{
    using traits = element_traits<E>;
    using columns = typename traits::template integer_columns<native_lanes>;
    constexpr int width = key_strip<float>, each = columns::channels;
    constexpr std::int64_t block = channels_of<E>;
    // Half of the lines: the products ask for the others, as requests in bursts come at a half of the bandwidth.
    constexpr int requests = each * vec<float>::lanes * static_cast<int>(sizeof(E)) / static_cast<int>(block) / 128;
    const auto stride = static_cast<std::int64_t>(stride_bytes_of<E>(k.stride));
    std::uint32_t* to = strip.pairs + lane;
    for (std::int64_t c = 0; c < dim; c += each) {
        const E* const at = k.data + c / block;
        for (int i = 0; i < requests; ++i) ahead.ask();
        const columns x(at, static_cast<int>(c % block), stride);
        HEED_UNROLL
        for (int i = 0; i < each / 2; ++i, to += width) native_lanes::store_words(to, x.pair(i));
        if constexpr (block > 1)
            if (c % block == 0)
                store(strip.scales + c / block * width + lane, traits::template scales<native_lanes>(at, stride));
    }
}

/// Zeros instead of a register of keys.
template <class E>
HEED_INLINE void pack_no_keys(std::int64_t dim, const integer_strip& strip, int lane)
{
    for (std::int64_t i = 0; i < dim / 2; ++i)
        native_lanes::store_words(strip.pairs + i * key_strip<float> + lane, native_lanes::all_words(0));
    for (std::int64_t b = 0; channels_of < E >> 1 && b < dim / channels_of<E>; ++b)
        store(strip.scales + b * key_strip<float> + lane, vec<float>(0));
}

/// Rows of queries in pairs of channels, and their steps.
struct integer_rows {
    const std::uint32_t* pairs;
    std::int64_t stride;
    const float* steps;
};

/// sums = q . k over n pairs.
template <int Rows, int Vecs>
HEED_INLINE void integer_products(const integer_rows& q, const std::uint32_t* strip, std::int64_t n,
                                  integer_words (&sums)[Rows][Vecs], line_feed& ahead)
{
    constexpr int lanes = vec<float>::lanes;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) sums[r][i] = native_lanes::all_words(0);
    }
    const std::uint32_t* row = q.pairs;
    for (std::int64_t p = 0; p < n; ++p, ++row, strip += key_strip<float>) {
        integer_words k[Vecs];
        ahead.ask();
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) k[i] = native_lanes::load_words(strip + i * lanes);
        const std::uint32_t* at = row;
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r, at = opaque(at + q.stride)) {
            const auto a = native_lanes::factor(*at);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) native_lanes::dot(sums[r][i], a, k[i]);
        }
    }
}

/// s[r][j] = q[r] . k[j] for one register block and a strip, rows of words of `Channels` channels each, by
/// products(q, strip, n, sums, ahead) of n words: of one scale, in the order of the step and, of blocks, of their
/// scales, by fma over blocks in ascending order.
template <int Rows, int Channels, class E, class Products>
HEED_INLINE void scores_of_words(integer_rows q, integer_strip strip, std::int64_t words, float* s, line_feed& feed,
                                 Products products)
{
    constexpr int lanes = vec<float>::lanes, vecs = register_vecs, width = key_strip<float>;
    constexpr std::int64_t block_words = channels_of<E> / Channels;
    integer_words sums[Rows][vecs];
    line_feed ahead = feed;
    if constexpr (block_words == 0) {
        products(q, strip.pairs, words, sums, ahead);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < vecs; ++i)
                store(s + r * score_stride + i * lanes,
                      native_lanes::whole_numbers_of(sums[r][i]) * vec<float>(q.steps[r]));
        }
        feed = ahead;
        return;
    }
    for (std::int64_t p = 0; p < words; p += block_words) {
        products(q, strip.pairs, block_words, sums, ahead);
        const bool first = p == 0, last = p + block_words >= words;
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            HEED_UNROLL
            for (int i = 0; i < vecs; ++i) {
                float* const to = s + r * score_stride + i * lanes;
                const vec<float> before = first ? vec<float>(0) : load(to);
                const vec<float> x =
                    fma(native_lanes::whole_numbers_of(sums[r][i]), load(strip.scales + i * lanes), before);
                store(to, last ? x * vec<float>(q.steps[r]) : x);
            }
        }
        q.pairs += block_words;
        strip.pairs += block_words * width;
        strip.scales += width;
    }
    feed = ahead;
}

/// The same of pairs.
template <int Rows, class E>
HEED_NOINLINE inline void integer_scores_block(integer_rows q, integer_strip strip, std::int64_t pairs, float* s,
                                               line_feed& feed)
{
    scores_of_words<Rows, 2, E>(
        q, strip, pairs, s, feed,
        [](const integer_rows& rows, const std::uint32_t* keys, std::int64_t n, auto& sums, line_feed& ahead)
            HEED_INLINE_LAMBDA { integer_products(rows, keys, n, sums, ahead); });
}

template <class E>
HEED_INLINE void integer_scores(int rows, const integer_rows& q, const integer_strip& strip, std::int64_t pairs,
                                float* s, line_feed& ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { integer_scores_block<n.value, E>(q, strip, pairs, s, ahead); });
}

}  // namespace micro
HEED_END
