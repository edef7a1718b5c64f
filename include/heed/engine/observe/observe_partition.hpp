// SPDX-License-Identifier: MIT
// How observation is cut into tasks: one stage, one block of query rows a task, over all keys.
#pragma once

#include "observe_pass.hpp"

HEED_BEGIN
namespace kernel {

struct observe_partition : partition {
    static constexpr int stages() { return 1; }
    std::int64_t tasks(int) const { return blocks(); }
};

template <class T>
observe_partition make_observe_partition(const problem_sizes& sizes, std::int64_t queries, std::int64_t keys)
{
    observe_partition p{make_partition<observe_memory<T>>(sizes, queries, {0, keys})};
    const std::int64_t heads = p.batch * p.kv_heads, wanted = std::int64_t{4} * p.workers;
    if (p.workers > 1 && p.blocks() > 0 && p.blocks() < wanted) {  // fewer rows a block keep all workers busy
        const std::int64_t rows = round_up(ceil_div(p.cut.rows, ceil_div(wanted, heads)), micro::register_rows);
        p.cut.block_rows = min_of(max_of(rows, micro::streaming_rows), p.cut.block_rows);
        p.cut.blocks_per_head = ceil_div(p.cut.rows, p.cut.block_rows);
    }
    carving_count one;
    (void)observe_memory<T>::carve(one, p);
    const checked all = checked(cache_line) + checked(p.workers) * one.bytes();
    p.fits = p.fits && all.fits();
    p.worker_bytes = p.fits ? static_cast<std::size_t>(one.bytes().value()) : 0;
    p.total_bytes = p.fits ? static_cast<std::size_t>(all.value()) : 0;
    return p;
}

}  // namespace kernel
HEED_END
