// SPDX-License-Identifier: MIT
// What scales beside a cache cost: one product a score and one a weight, and scales of channels in the packed query. A
// source without them compiles none of it.
#pragma once

#include "../kernel/job.hpp"
#include "../micro/pack.hpp"
#include "../workspace.hpp"

#include <algorithm>

HEED_BEGIN
namespace kernel {

/// Packs a row of queries as row r of a block, of the kv head it reads.
template <class Job, class Q, class U = typename Job::unit>
void pack_query_of(const Job& job, const Q* row, std::int64_t kv_head, int r, const scratch<U>& mem)
{
    U* q = mem.q + r * micro::query_step<sum_t<U>>;
    micro::pack_query(row, job.kv.key_dim(), job.scale, q, mem.part_step);
    if constexpr (has_channel_scales_v<decltype(job.kv)>)
        micro::scale_query(job.kv.key_channel_scales(kv_head), job.kv.key_dim(), q, mem.part_step);
}

/// factors[j] = the scale of token + j for j in [first, count), and 1 for what else there is up to key_tile: a ring has
/// lost the tokens before `first`.
template <class Rows, class T>
void gather_scales(const Rows& source, std::int64_t token, int first, int count, T* factors)
{
    for (int j = 0; j < first; ++j) factors[j] = T(1);
    for (int j = first; j < count;) {
        const auto run = source(token + j);
        const int n = static_cast<int>(min_of(run.count, count - j));
        if (run.step == 1) std::copy_n(run.data, n, factors + j);
        else
            for (int i = 0; i < n; ++i) factors[j + i] = run.data[i * run.step];
        j += n;
    }
    for (int j = count; j < micro::key_tile; ++j) factors[j] = T(1);
}

/// Replaces every register x of the rows of scores by f(x, scales of its keys).
template <class Job, class Rows, class U, class F>
void with_scales(const Job& job, const row_block& block, const Rows& source, const row_group* groups, int n_groups,
                 std::int64_t token, int count, const scratch<U>& mem, F f)
{
    using T = sum_t<U>;
    alignas(cache_line) T factors[micro::key_tile];
    const int first = static_cast<int>(max_of(job.kv.held(block.batch).first - token, 0));
    gather_scales(source, token, first, count, factors);
    for (int g = 0; g < n_groups; ++g) {
        const int begin = groups[g].begin(), end = groups[g].end();
        for (int r = groups[g].first; r < groups[g].first + groups[g].rows; ++r)
            for (int j = begin; j < end; j += vec<T>::lanes) {
                T* s = mem.s + r * micro::score_step + j;
                store(s, f(load(s), load(factors + j)));
            }
    }
}

/// s_j *= k_scale_j.
template <class Job, class U = typename Job::unit>
void scale_scores(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                  int count, const scratch<U>& mem)
{
    using V = vec<sum_t<U>>;
    if constexpr (has_key_scales_v<decltype(job.kv)>)
        with_scales(job, block, job.kv.key_scales(block.batch, block.kv_head), groups, n_groups, token, count, mem,
                    [](V s, V scale) HEED_INLINE_LAMBDA { return s * scale; });
}

/// w_j *= v_scale_j; a weight of 0 stays 0, whatever the scale is.
template <class Job, class U = typename Job::unit>
void scale_weights(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                   int count, const scratch<U>& mem)
{
    using V = vec<sum_t<U>>;
    if constexpr (has_value_scales_v<decltype(job.kv)>)
        with_scales(job, block, job.kv.value_scales(block.batch, block.kv_head), groups, n_groups, token, count, mem,
                    [](V w, V scale) HEED_INLINE_LAMBDA { return select(w == V(0), V(0), w * scale); });
}

}  // namespace kernel
HEED_END
