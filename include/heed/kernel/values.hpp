// SPDX-License-Identifier: MIT
// O += P V of a tile: which rows of V are read, and how.
//
// Prefill packs V into panels of a few channels that stay in the L1 cache while all rows pass. Decode reads V from
// memory, in short runs of whole rows; where many keys have the weight 0 in every row at hand (trained softpick heads
// show 93 to 99 % of them), their rows of V are not read at all. All give the same bits.
#pragma once

#include "../micro/outputs.hpp"
#include "../micro/pack.hpp"
#include "job.hpp"

HEED_BEGIN
namespace kernel {

/// Lists the keys of the tile to which any row gives a weight, and returns their number.
template <class T>
int list_weights(const row_group* groups, int n_groups, const scratch<T>& mem)
{
    constexpr int lanes = vec<T>::lanes;
    int n = 0, lo = micro::key_tile, hi = 0;
    for (int g = 0; g < n_groups; ++g) {
        lo = groups[g].lo < lo ? groups[g].lo : lo;
        hi = groups[g].hi > hi ? groups[g].hi : hi;
    }
    for (int j = lo / lanes * lanes; j < hi; j += lanes) {
        std::uint32_t any = 0;
        for (int g = 0; g < n_groups; ++g) {
            const row_group& rows = groups[g];
            if (rows.hi <= j || j + lanes <= rows.lo) continue;
            for (int r = rows.first; r < rows.first + rows.rows; ++r)
                any |= nonzero_bits(load(mem.s + r * micro::score_step + j));
        }
        for (; any; any &= any - 1) mem.listed[n++] = j + __builtin_ctz(any);
    }
    return n;
}

/// Adds P V over the listed keys, for whole registers of channels. `v` is the row of the tile's first key.
template <class Job, class T = typename Job::T>
void add_listed(const Job& job, const row_group* groups, int n_groups, rows<typename Job::value_element> v, int n,
                const scratch<T>& mem, T* o, std::int64_t o_step)
{
    constexpr int lanes = vec<T>::lanes, run = micro::streaming_run;
    const std::int64_t direct = job.kv.value_dim() / lanes;
    for (int i = 0; i < micro::listed_ahead; ++i) mem.listed[n + i] = mem.listed[n - 1];
    for (int i = 0; i < n; i += run) {
        const int keys = run < n - i ? run : n - i;
        const int* list = mem.listed + i;
        for (int g = 0; g < n_groups; ++g) {
            const row_group& rows = groups[g];
            int from = 0, to = keys;  // beyond its own keys a group has no weights
            while (from < to && list[from] < rows.lo) ++from;
            while (from < to && list[to - 1] >= rows.hi) --to;
            if (from == to) continue;
            const T* p = mem.s + rows.first * micro::score_step;
            T* out = o + rows.first * o_step;
            for (std::int64_t panel = 0; panel < direct;) {
                const int vecs = static_cast<int>(min_of(direct - panel, micro::block_vecs));
                micro::outputs_listed(rows.rows, vecs, p, v.data + panel * lanes, v.step, list + from, to - from,
                                      out + panel * lanes, o_step);
                panel += vecs;
            }
        }
    }
}

/// Adds P V where rows are many: V is packed panel by panel, widened where it is of a storage type.
template <class Job, class T = typename Job::T>
void add_packed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                int lowest, int highest, const scratch<T>& mem, T* o, std::int64_t o_step)
{
    constexpr int lanes = vec<T>::lanes, run = micro::value_run<T>;
    const std::int64_t dim = job.kv.value_dim(), vecs = ceil_div(dim, lanes);
    const std::int64_t panels = ceil_div(vecs, micro::block_vecs);
    for (int j = lowest / run * run; j < highest; j += run) {
        const int keys = run < highest - j ? run : highest - j;
        const auto v = job.kv.values(block.batch, block.kv_head, token + j);
        for (std::int64_t panel = 0; panel < panels; ++panel) {
            // Panels of nearly equal width: a narrow one has too few multiply-adds for its loads.
            const std::int64_t first = vecs * panel / panels, width = vecs * (panel + 1) / panels - first;
            const std::int64_t channel = first * lanes, channels = min_of(width * lanes, dim - channel);
            micro::pack_values(v.data + channel, v.step, keys, channels, static_cast<int>(width), mem.values);
            using E = typename Job::value_element;
            const E* next = v.data + (panel + 1 == panels ? run * v.step : channel + channels);
            const int requests = static_cast<int>(max_of(keys / micro::ahead_every, 1));
            for (int g = 0; g < n_groups; ++g) {
                const row_group& rows = groups[g];
                const int lo = rows.lo > j ? rows.lo : j, hi = rows.hi < j + keys ? rows.hi : j + keys;
                if (lo >= hi) continue;
                micro::outputs(rows.rows, static_cast<int>(width), mem.s + rows.first * micro::score_step + lo,
                               mem.values + (lo - j) * width * lanes, width * lanes, hi - lo,
                               o + rows.first * o_step + channel, o_step,
                               micro::next_ahead(next, v.step, keys, width * lanes, requests, g));
            }
        }
    }
}

/// What decode asks for while it passes the tile.
template <class Job>
HEED_INLINE micro::tile_ahead far_ahead(const Job& job, const row_block& block, std::int64_t token, bool sparse)
{
    const auto k = job.kv.keys(block.batch, block.kv_head, token);
    const auto v = job.kv.values(block.batch, block.kv_head, token);
    if (sparse) return {k.data, k.step, job.kv.key_dim()};
    return {k.data, k.step, job.kv.key_dim(), v.data, v.step, job.kv.value_dim()};
}

/// Adds P V where rows are few: V is streamed from memory in short runs of whole rows.
template <class Job, class T = typename Job::T>
void add_streamed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                  int lowest, int highest, const scratch<T>& mem, T* o, std::int64_t o_step, const micro::tile_ahead& far)
{
    constexpr int lanes = vec<T>::lanes, run = micro::streaming_run;
    const std::int64_t dim = job.kv.value_dim(), direct = dim / lanes;  // registers that are read where they lie
    const auto first = job.kv.values(block.batch, block.kv_head, token + lowest);
    micro::stream_ahead ahead(first.data, first.step, dim, far);
    micro::none_ahead others;
    for (int j = lowest; j < highest; j += run) {
        const int keys = run < highest - j ? run : highest - j;
        const auto v = job.kv.values(block.batch, block.kv_head, token + j);
        const auto add = [&](std::int64_t panel, int vecs, const auto* values, std::int64_t step) {
            const auto for_group = [&](const row_group& rows, auto& reader) {
                const int lo = rows.lo > j ? rows.lo : j, hi = rows.hi < j + keys ? rows.hi : j + keys;
                if (lo < hi)
                    micro::outputs(rows.rows, vecs, mem.s + rows.first * micro::score_step + lo,
                                   values + (lo - j) * step, step, hi - lo, o + rows.first * o_step + panel * lanes,
                                   o_step, reader);
            };
            for_group(groups[0], ahead);
            for (int g = 1; g < n_groups; ++g) for_group(groups[g], others);
        };
        for (std::int64_t panel = 0; panel < direct;) {
            const int vecs = static_cast<int>(min_of(direct - panel, micro::block_vecs));
            add(panel, vecs, v.data + panel * lanes, v.step);
            panel += vecs;
        }
        if (direct * lanes == dim) continue;
        micro::pack_values(v.data + direct * lanes, v.step, keys, dim - direct * lanes, 1, mem.values);
        add(direct, 1, mem.values, lanes);
    }
}

/// Adds P V where rows are few, over all keys or those that have a weight.
template <class Job, class T = typename Job::T>
void add_few(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
             int count, int lowest, int highest, const scratch<T>& mem, T* o, std::int64_t o_step, const micro::tile_ahead& far)
{
    int n = count;
    if (job.kv.value_dim() % vec<T>::lanes == 0) n = list_weights(groups, n_groups, mem);
    *mem.sparse = n <= count * micro::listed_share;
    if (n == 0) return;
    if (*mem.sparse)
        return add_listed(job, groups, n_groups, job.kv.values(block.batch, block.kv_head, token), n, mem, o, o_step);
    add_streamed(job, block, groups, n_groups, token, lowest, highest, mem, o, o_step, far);
}

}  // namespace kernel
HEED_END
