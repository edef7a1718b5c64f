// SPDX-License-Identifier: MIT
// S = Q K^T in integers for few rows of queries, one lane a key: keys are transposed in registers and multiplied there
// by queries that lie in memory as whole registers. A packed strip would be written and read once each.
#pragma once

#include "integer_operands.hpp"
#include "integer_prefetch.hpp"
#include "units.hpp"

#include <utility>

HEED_BEGIN
namespace micro {

/// Words from a pair of channels to the next in spread queries.
inline constexpr std::int64_t spread_step = register_rows * vec<float>::lanes;

/// Whether keys are streamed past so many query rows.
constexpr bool streams_integers(std::int64_t rows) { return native_sizes::streams_integers && rows <= register_rows; }

/// Repeats each of n pairs of a packed row in a register of its own.
inline void spread_integers(const std::uint32_t* pairs, std::int64_t n, std::uint32_t* to)
{
    for (std::int64_t i = 0; i < n; ++i)
        native_lanes::store_words(to + i * spread_step, native_lanes::all_words(pairs[i]));
}

/// Spread rows of queries, and their steps.
struct spread_queries {
    const std::uint32_t* words;
    const float* steps;
};

/// f(i) of constants: after loops that gcc 12 unrolls, columns are in memory as well as in registers.
template <int... I, class F>
HEED_INLINE void for_each_pair(std::integer_sequence<int, I...>, F f)
{
    (f(std::integral_constant<int, I>{}), ...);
}

/// s[r][j] = q[r] . k[j] for one register of keys: the bits of integer_scores().
template <int Rows, class E>
HEED_NOINLINE inline void integer_scores_streamed_block(spread_queries q, matrix<const E> k, std::int64_t dim, float* s,
                                                        line_feed& feed)
{
    using traits = element_traits<E>;
    using columns = typename traits::template integer_columns<native_lanes>;
    constexpr int lanes = vec<float>::lanes, each = columns::channels;
    constexpr std::int64_t block = channels_of<E>;
    constexpr int requests = each * lanes * static_cast<int>(sizeof(E)) / static_cast<int>(block) / line_of<char>;
    const auto stride = static_cast<std::int64_t>(stride_bytes_of<E>(k.stride));
    integer_words sums[Rows];
    vec<float> of_blocks[Rows];
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        of_blocks[r] = vec<float>(0);
        sums[r] = native_lanes::all_words(0);
    }
    line_feed ahead = feed;
    for (std::int64_t c = 0; c < dim; c += each) {
        const E* const at = k.data + c / block;
        for (int i = 0; i < requests; ++i) ahead.ask();
        const columns x(at, static_cast<int>(c % block), stride);
        for_each_pair(std::make_integer_sequence<int, each / 2>{}, [&](auto i) HEED_INLINE_LAMBDA {
            const auto pair = x.pair(i.value);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r)
                native_lanes::dot(sums[r], pair, q.words + i.value * spread_step + r * lanes);
        });
        q.words += each / 2 * spread_step;
        if constexpr (block > 1) {
            if ((c + each) % block != 0) continue;
            const vec<float> scale = traits::template scales<native_lanes>(at, stride);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                of_blocks[r] = fma(native_lanes::whole_numbers_of(sums[r]), scale, of_blocks[r]);
                sums[r] = native_lanes::all_words(0);
            }
        }
    }
    feed = ahead;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const vec<float> sum = block > 1 ? of_blocks[r] : native_lanes::whole_numbers_of(sums[r]);
        store(s + r * score_stride, sum * vec<float>(q.steps[r]));
    }
}

template <class E>
HEED_INLINE void integer_scores_streamed(int rows, const spread_queries& q, matrix<const E> k, std::int64_t dim,
                                         float* s, line_feed& ahead)
{
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA { integer_scores_streamed_block<n.value, E>(q, k, dim, s, ahead); });
}

}  // namespace micro
HEED_END
