// SPDX-License-Identifier: MIT
// Scores by which keys, or blocks of them, are chosen: of summaries, and of a light indexer. Every dot product has 16
// lanes, channel mod 16, and the fixed tree of masses, so its bits are those of every machine with FMA.
#pragma once

#include "engine/forward/weights.hpp"
#include "engine/kernel/run_tasks.hpp"
#include "engine/validate.hpp"

HEED_BEGIN
namespace detail {

/// Sums f(vectors of both rows' channels) over 16 lanes of channels.
template <class A, class B, class F>
HEED_INLINE float over_channels(const A* a, const B* b, std::int64_t dim, F f)
{
    using V = simd::vec<float>;
    constexpr int lanes = V::lanes, vecs = micro::mass_lanes / lanes;
    V acc[vecs];
    for (V& x : acc) x = V(0);
    std::int64_t c = 0;
    for (; c + micro::mass_lanes <= dim; c += micro::mass_lanes) {
        HEED_UNROLL
        for (int i = 0; i < vecs; ++i)
            acc[i] = f(acc[i], simd::load_as<float>(a + c + i * lanes), simd::load_as<float>(b + c + i * lanes),
                       c + i * lanes, lanes);
    }
    for (int i = 0; c < dim; ++i, c += lanes) {
        const int n = static_cast<int>(min_of(lanes, dim - c));
        acc[i] = f(acc[i], simd::load_as_n<float>(a + c, n), simd::load_as_n<float>(b + c, n), c, n);
    }
    return kernel::sum_of_lanes<float>(acc);
}
template <class A, class B>
HEED_INLINE float dot(const A* a, const B* b, std::int64_t dim)
{
    using V = simd::vec<float>;
    return over_channels(a, b, dim,
                         [](V sum, V x, V y, std::int64_t, int) HEED_INLINE_LAMBDA { return fma(x, y, sum); });
}

template <class T>
inline constexpr bool is_plain_float_v =
    std::is_same_v<std::remove_const_t<T>, float> || std::is_same_v<std::remove_const_t<T>, bf16> ||
    std::is_same_v<std::remove_const_t<T>, f16>;

/// Checks q [B, Hq, Sq, D], rows of keys or blocks [B, H, N, D], and what scores go to, [B, H, Sq, N].
template <class Q, class K>
status check_key_scores(const char* verb, const char* name, const view<Q>& q, const view<K>& k,
                        const view<float>& scores)
{
    using ll = long long;
    return first_error([&] { return check_sizes(verb, "q", q); }, [&] { return check_memory(verb, "q", q); },
                       [&] {
                           return check_tensor(verb, name, k, {q.size.batch, k.size.heads, k.size.tokens, q.size.dim});
                       },
                       [&] {
                           const std::int64_t heads = k.size.heads;
                           if (heads == 0 ? q.size.heads == 0 : q.size.heads % heads == 0) return status{};
                           return status::error(errc::invalid_argument,
                                                "%s: q.heads %lld is not a multiple of %s.heads %lld", verb,
                                                ll{q.size.heads}, name, ll{heads});
                       },
                       [&] {
                           if (k.size.tokens == 0) return status{};
                           return check_written_tensor(verb, "scores", scores,
                                                       {q.size.batch, k.size.heads, q.size.tokens, k.size.tokens});
                       });
}

/// Calls f(batch, head, query row) for the rows of scores.
template <class Q, class F>
status for_score_rows(const char* verb, const view<Q>& q, std::int64_t heads, std::int64_t keys,
                      const executor_ref& executor, F f)
{
    const std::int64_t rows = q.size.tokens, tasks = keys > 0 ? q.size.batch * heads * rows : 0;
    auto task = [&](std::int64_t i, int) { f(i / rows / heads, i / rows % heads, i % rows); };
    const double work = static_cast<double>(q.size.batch * q.size.heads * rows) * static_cast<double>(keys) *
                        static_cast<double>(q.size.dim);
    return kernel::run_tasks(verb, work, executor, tasks, task);
}

}  // namespace detail

/// Scores of blocks by the mean of their keys, summed over the query heads of a kv head:
///
///     scores[b][h][i][n] = sum over the query heads g of kv head h of q[b][g][i] . mean[b][h][n]
///
/// q is [B, Hq, Sq, D] of float, bf16 or f16, mean [B, Hkv, blocks, D], scores [B, Hkv, Sq, blocks]. Fails, with
/// nothing written, where sizes or memory are wrong. (MoBA, Lu et al. 2025, arXiv 2502.13189, has one head a kv head.)
template <class Q>
status score_block_means(const view<Q>& q, const view<const float>& mean, const view<float>& scores,
                         executor_ref executor = {})
{
    static_assert(detail::is_plain_float_v<Q>, "heed: score_block_means takes queries of float, bf16 or f16");
    const status s = detail::check_key_scores("score_block_means", "mean", q, mean, scores);
    if (!s) return s;
    const std::int64_t group = mean.size.heads > 0 ? q.size.heads / mean.size.heads : 1, blocks = mean.size.tokens;
    return detail::for_score_rows("score_block_means", q, mean.size.heads, blocks, executor,
                                  [&](std::int64_t b, std::int64_t h, std::int64_t i) {
                                      float* const to = scores.row(b, h, i);
                                      for (std::int64_t n = 0; n < blocks; ++n) {
                                          float sum = 0;
                                          for (std::int64_t g = h * group; g < (h + 1) * group; ++g)
                                              sum += detail::dot(q.row(b, g, i), mean.row(b, h, n), q.size.dim);
                                          to[n] = sum;
                                      }
                                  });
}

/// Scores of blocks by a bound that no key of them exceeds (Quest, Tang et al. 2024, arXiv 2406.10774), summed over the
/// query heads of a kv head:
///
///     scores[b][h][i][n] = sum over g of sum over c of max(q[b][g][i][c] low[b][h][n][c], q[b][g][i][c]
///     high[b][h][n][c])
///
/// low and high are block_bounds(); sizes and errors as in score_block_means().
template <class Q>
status score_block_bounds(const view<Q>& q, const view<const float>& low, const view<const float>& high,
                          const view<float>& scores, executor_ref executor = {})
{
    using V = simd::vec<float>;
    static_assert(detail::is_plain_float_v<Q>, "heed: score_block_bounds takes queries of float, bf16 or f16");
    const status s =
        detail::first_error([&] { return detail::check_key_scores("score_block_bounds", "low", q, low, scores); },
                            [&] { return detail::check_tensor("score_block_bounds", "high", high, low.size); });
    if (!s) return s;
    const std::int64_t group = low.size.heads > 0 ? q.size.heads / low.size.heads : 1, blocks = low.size.tokens;
    return detail::for_score_rows(
        "score_block_bounds", q, low.size.heads, blocks, executor, [&](std::int64_t b, std::int64_t h, std::int64_t i) {
            float* const to = scores.row(b, h, i);
            for (std::int64_t n = 0; n < blocks; ++n) {
                const float* const most = high.row(b, h, n);
                float sum = 0;
                for (std::int64_t g = h * group; g < (h + 1) * group; ++g)
                    sum += detail::over_channels(q.row(b, g, i), low.row(b, h, n), q.size.dim,
                                                 [&](V all, V x, V least, std::int64_t c, int lanes) {
                                                     return all + max(x * least, x * simd::load_n(most + c, lanes));
                                                 });
                to[n] = sum;
            }
        });
}

/// Scores of tokens by a light indexer with queries, weights and keys of its own (the lightning indexer of
/// DeepSeek-V3.2):
///
///     scores[b][0][i][j] = sum over its heads h, from the first on, of weights[b][h][i] max(q[b][h][i] . k[b][0][j],
///     0)
///
/// q is [B, H, Sq, D] and k [B, 1, Skv, D] of float, bf16 or f16, weights [B, H, Sq, 1], scores [B, 1, Sq, Skv]. What a
/// row may not attend is for the caller to overwrite by -inf, or not to select. Fails, with nothing written, where
/// sizes or memory are wrong.
template <class Q, class K>
status index_scores(const view<Q>& q, const view<const float>& weights, const view<K>& k, const view<float>& scores,
                    executor_ref executor = {})
{
    static_assert(detail::is_plain_float_v<Q> && detail::is_plain_float_v<K>,
                  "heed: index_scores takes queries and keys of float, bf16 or f16");
    const status s = detail::first_error(
        [&] {
            return detail::check_extents("index_scores", "k", k.size, {q.size.batch, 1, k.size.tokens, q.size.dim});
        },
        [&] { return detail::check_key_scores("index_scores", "k", q, k, scores); },
        [&] {
            return detail::check_tensor("index_scores", "weights", weights,
                                        {q.size.batch, q.size.heads, q.size.tokens, 1});
        });
    if (!s) return s;
    return detail::for_score_rows("index_scores", q, 1, k.size.tokens, executor,
                                  [&](std::int64_t b, std::int64_t, std::int64_t i) {
                                      float* const to = scores.row(b, 0, i);
                                      for (std::int64_t j = 0; j < k.size.tokens; ++j) {
                                          float sum = 0;
                                          for (std::int64_t h = 0; h < q.size.heads; ++h) {
                                              const float x = detail::dot(q.row(b, h, i), k.row(b, 0, j), q.size.dim);
                                              sum = fma(*weights.row(b, h, i), x < 0 ? 0.f : x, sum);
                                          }
                                          to[j] = sum;
                                      }
                                  });
}

HEED_END
