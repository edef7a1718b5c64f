// SPDX-License-Identifier: MIT
// O += P V of a tile: which rows of V are read, and how.
//
// Prefill reads the tile panel by panel of channels, widened once where V is of a storage type. Decode reads V from
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

/// Adds P V over the keys of the tile to o, for all groups.
template <class Job, class T = typename Job::T>
void add_values(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                int count, const scratch<T>& mem, T* o, std::int64_t o_step)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t dim = job.kv.value_dim();
    const bool streaming = block.count <= micro::streaming_rows;
    const bool widened = Job::stored_values && !streaming;  // once for all rows of the block
    const std::int64_t direct = widened ? 0 : dim / lanes;  // registers of channels that are read where they lie
    const int run = streaming ? micro::streaming_run : micro::key_tile;
    if (streaming && dim % lanes == 0) {
        const int n = list_weights(groups, n_groups, mem);
        if (n == 0) return;
        if (n <= count * micro::listed_share)
            return add_listed(job, groups, n_groups, job.kv.values(block.batch, block.kv_head, token), n, mem, o,
                              o_step);
    }
    for (int j = 0; j < count; j += run) {
        const int keys = run < count - j ? run : count - j;
        const auto v = job.kv.values(block.batch, block.kv_head, token + j);
        const std::int64_t packed = dim - direct * lanes, packed_step = round_up(packed, lanes);
        if (packed > 0) micro::pack_values(v.data + direct * lanes, v.step, keys, packed, mem.values, packed_step);

        const auto add = [&](std::int64_t panel, int vecs, const auto* values, std::int64_t step, auto& first,
                             auto& others) {
            for (int g = 0; g < n_groups; ++g) {
                const row_group& rows = groups[g];
                const int lo = rows.lo > j ? rows.lo : j, hi = rows.hi < j + keys ? rows.hi : j + keys;
                if (lo >= hi) continue;
                micro::outputs(rows.rows, vecs, mem.s + rows.first * micro::score_step + lo, values + (lo - j) * step,
                               step, hi - lo, o + rows.first * o_step + panel * lanes, o_step, g == 0 ? first : others);
            }
        };
        micro::stream_ahead<typename Job::value_element> stream(v.data, v.step, dim), again = stream;
        for (std::int64_t panel = 0; panel < ceil_div(dim, lanes);) {
            const bool in_place = panel < direct;
            const int vecs =
                static_cast<int>(min_of((in_place ? direct : ceil_div(dim, lanes)) - panel, micro::block_vecs));
            micro::panel_ahead<T> near(in_place ? v.step : packed_step);
            if (!in_place) {
                add(panel, vecs, mem.values + (panel - direct) * lanes, packed_step, near, near);
            } else if (streaming) {
                add(panel, vecs, v.data + panel * lanes, v.step, stream, again);
            } else if constexpr (!Job::stored_values) {
                add(panel, vecs, v.data + panel * lanes, v.step, near, near);
            }
            panel += vecs;
        }
    }
}

}  // namespace kernel
HEED_END
