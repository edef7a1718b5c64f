// SPDX-License-Identifier: MIT
// Summaries of blocks of keys, from which blocks are chosen without reading the keys: their mean (MoBA, NSA), or the
// least and the largest number of each channel (Quest). Kept beside a cache, and renewed from the block where new
// tokens were appended.
#pragma once

#include "engine/kernel/run_tasks.hpp"
#include "engine/validate.hpp"
#include "kv/contract.hpp"

HEED_BEGIN
namespace detail {

/// Calls f(c, number) for the channels of a token's key, as it is attended: with its scales.
template <class Kv, class F>
HEED_INLINE void for_channels(const Kv& kv, std::int64_t batch, std::int64_t head, std::int64_t token, F f)
{
    const auto* const row = kv.keys(batch, head)(token).data;
    float scale = 1;
    if constexpr (has_key_scales_v<Kv>) scale = *kv.key_scales(batch, head)(token).data;
    [[maybe_unused]] const auto steps = [&] {
        if constexpr (has_key_blocks_v<Kv>) return kv.key_blocks(batch, head).of(token);
        else return 0;
    }();
    for (std::int64_t c = 0; c < kv.key_dim(); ++c) {
        float x = static_cast<float>(channel_of(row, c));
        if constexpr (has_key_scales_v<Kv>) x *= scale;
        if constexpr (has_channel_scales_v<Kv>) x *= kv.key_channel_scales(head)[c];
        if constexpr (has_key_blocks_v<Kv>) x = (x - steps.zero[c]) * steps.scale[c];
        f(c, x);
    }
}

/// What a summary is written to: one row for each block.
template <class Kv>
status check_summary(const char* verb, const char* name, const Kv& kv, std::int64_t block, const view<float>& to)
{
    if (block < 1 || block > key_tile)
        return status::error(errc::invalid_argument, "%s: blocks of %lld keys; they have 1 to %d", verb,
                             static_cast<long long>(block), key_tile);
    return check_written_tensor(verb, name, to, {kv.batch(), kv.heads(), ceil_div(kv.tokens(), block), kv.key_dim()});
}
template <class Kv>
status check_keys(const char* verb, const Kv& kv, std::int64_t first_token)
{
    status s;
    kv.views([&](const char* name, const auto& rows) {
        if (s) s = check_sizes(verb, name, rows);
    });
    if (s) s = kv.check();
    kv.views([&](const char* name, const auto& rows) {
        if (s) s = check_memory(verb, name, rows);
    });
    if (s) s = kv.check_rows();
    if (s && first_token < 0)
        s = status::error(errc::invalid_argument, "%s: from token %lld on", verb, static_cast<long long>(first_token));
    return s;
}

/// Calls f(batch, head, block, first token, end) for the blocks that hold tokens from `first_token` on.
template <class Kv, class F>
status for_blocks(const char* verb, const Kv& kv, std::int64_t block, std::int64_t first_token,
                  const executor_ref& executor, F f)
{
    const auto numbers = static_cast<double>(kv.tokens()) * static_cast<double>(kv.key_dim());
    const std::int64_t heads = kv.heads(), tasks = kv.batch() * heads;
    auto task = [&](std::int64_t i, int) {
        const std::int64_t b = i / heads;
        const token_span held = kv.held(b);
        for (std::int64_t n = max_of(first_token, held.first) / block; n * block < held.end; ++n)
            f(b, i % heads, n, max_of(n * block, held.first), min_of((n + 1) * block, held.end));
    };
    return kernel::run_tasks(verb, numbers * static_cast<double>(tasks), executor, tasks, task);
}

}  // namespace detail

/// The mean of each block of keys,
///
///     mean[b][h][n][c] = 1 / |block n|  sum over the tokens j of block n of k[b][h][j][c],    block n = [n block, (n +
///     1) block)
///
/// summed in float from the first token to the last; the last block of a sequence may be short. `mean` is [B, Hkv,
/// ceil(tokens / block), Dqk]. Only blocks that hold tokens from `first_token` on are written, and of a ring what it
/// still holds counts: what was decoded last costs one block. Fails, with nothing written, where the cache or the size
/// of `mean` is wrong.
template <class Kv>
status block_means(const Kv& kv, std::int64_t block, const view<float>& mean, std::int64_t first_token = 0,
                   executor_ref executor = {})
{
    const status s = detail::first_error([&] { return detail::check_keys("block_means", kv, first_token); },
                                         [&] { return detail::check_summary("block_means", "mean", kv, block, mean); });
    if (!s) return s;
    return detail::for_blocks(
        "block_means", kv, block, first_token, executor,
        [&](std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t first, std::int64_t end) {
            float* const to = mean.row(b, h, n);
            for (std::int64_t c = 0; c < mean.size.dim; ++c) to[c] = 0;
            for (std::int64_t j = first; j < end; ++j)
                detail::for_channels(kv, b, h, j, [to](std::int64_t c, float x) { to[c] += x; });
            for (std::int64_t c = 0; c < mean.size.dim; ++c) to[c] /= static_cast<float>(end - first);
        });
}

/// The least and the largest number of each channel in each block of keys: low[b][h][n][c] = min over the tokens j of
/// block n of k[b][h][j][c], high its max; a NaN counts as neither. Sizes, blocks and errors as in block_means().
template <class Kv>
status block_bounds(const Kv& kv, std::int64_t block, const view<float>& low, const view<float>& high,
                    std::int64_t first_token = 0, executor_ref executor = {})
{
    const status s =
        detail::first_error([&] { return detail::check_keys("block_bounds", kv, first_token); },
                            [&] { return detail::check_summary("block_bounds", "low", kv, block, low); },
                            [&] { return detail::check_summary("block_bounds", "high", kv, block, high); });
    if (!s) return s;
    return detail::for_blocks(
        "block_bounds", kv, block, first_token, executor,
        [&](std::int64_t b, std::int64_t h, std::int64_t n, std::int64_t first, std::int64_t end) {
            float* const least = low.row(b, h, n);
            float* const most = high.row(b, h, n);
            for (std::int64_t c = 0; c < low.size.dim; ++c) {
                least[c] = libm::infinity<float>;
                most[c] = -libm::infinity<float>;
            }
            for (std::int64_t j = first; j < end; ++j)
                detail::for_channels(kv, b, h, j, [least, most](std::int64_t c, float x) {
                    if (x < least[c]) least[c] = x;
                    if (x > most[c]) most[c] = x;
                });
        });
}

HEED_END
