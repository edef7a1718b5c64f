// SPDX-License-Identifier: MIT
// S = Q K^T of a tile: how rows of K are read. Prefill packs them into strips that all rows of the block pass; decode
// transposes them in registers as they come from memory. Both give the same bits.
#pragma once

#include "../micro/scores.hpp"
#include "job.hpp"

HEED_BEGIN
namespace kernel {

HEED_INLINE bool attends(const row_group& rows, int first, int n) { return rows.lo < first + n && first < rows.hi; }

/// Scores of the strip of `keys` <= key_strip keys from key j of the tile on, `k` being its first row.
template <class Job, class U = typename Job::unit>
void score_strip(const Job& job, const row_group* groups, int n_groups, rows<typename Job::key_element> k, int j,
                 int keys, const scratch<U>& mem)
{
    constexpr int strip = micro::key_strip<sum_t<U>>, each = elements_of<U>;
    const std::int64_t dim = job.kv.key_dim();
    const micro::row_parts<sum_t<U>> parts(ceil_div(dim, each));
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const std::int64_t channel = parts.begin(part) * each, channels = min_of(parts.end(part) * each, dim) - channel;
        const std::int64_t units = ceil_div(channels, each);
        micro::pack_keys(k.data + channel, k.step, keys, channels, mem.strip);
        const auto* next = k.data + (part + 1 == parts.count ? strip * k.step : channel + channels);
        const int requests = static_cast<int>(max_of(units / micro::ahead_every, 1));
        for (int g = 0; g < n_groups; ++g)
            if (attends(groups[g], j, strip))
                micro::scores(groups[g].rows,
                              mem.q + part * mem.part_step + groups[g].first * micro::query_step<sum_t<U>>, mem.strip,
                              units, part > 0, mem.s + groups[g].first * micro::score_step + j,
                              micro::next_ahead(next, k.step, strip, channels, requests, g));
    }
}

/// S for the keys [lowest, highest) of the tile of `count` keys, as far as each group attends them.
template <class Job, class U = typename Job::unit>
void score_packed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                  int count, int lowest, int highest, const scratch<U>& mem)
{
    constexpr int strip = micro::key_strip<sum_t<U>>;
    for (int j = lowest / strip * strip; j < highest; j += strip)
        score_strip(job, groups, n_groups, job.kv.keys(block.batch, block.kv_head, token + j), j,
                    strip < count - j ? strip : count - j, mem);
}

/// The same where rows are few.
template <class Job, class U = typename Job::unit>
void score_streamed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                    int count, int lowest, int highest, const scratch<U>& mem, micro::tile_ahead& far)
{
    constexpr int some = micro::unpacked_keys<sum_t<U>>, strip = micro::key_strip<sum_t<U>>;
    const std::int64_t dim = job.kv.key_dim();
    const int begin = lowest / some * some, end = static_cast<int>(min_of(round_up(highest, some), count));
    const int whole = begin + (end - begin) / some * some;
    const auto k = job.kv.keys(block.batch, block.kv_head, token + begin);
    micro::stream_ahead ahead(k.data, k.step, dim, far);
    micro::stream_ahead others(k.data);
    for (int j = begin; j < whole; j += some) {
        const auto here = job.kv.keys(block.batch, block.kv_head, token + j);
        const auto score = [&](const row_group& rows, auto& reader) {
            if (attends(rows, j, some))
                micro::scores_unpacked(rows.rows, mem.q + rows.first * micro::query_step<sum_t<U>>, mem.part_step,
                                       here.data, here.step, dim, mem.s + rows.first * micro::score_step + j, reader);
        };
        score(groups[0], ahead);
        for (int g = 1; g < n_groups; ++g) score(groups[g], others);
    }
    far = ahead.far();
    // Keys that do not fill a register: packed strips, which start at multiples of their width as rows of scores end
    // there.
    for (int j = whole / strip * strip; whole < highest && j < highest; j += strip)
        score_strip(job, groups, n_groups, job.kv.keys(block.batch, block.kv_head, token + j), j,
                    strip < count - j ? strip : count - j, mem);
}

}  // namespace kernel
HEED_END
