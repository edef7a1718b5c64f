// SPDX-License-Identifier: MIT
// What the mask leaves of a block of rows and a key tile: which keys each register block of rows attends.
#pragma once

#include "job.hpp"

HEED_BEGIN
namespace kernel {

/// The register blocks of a block, and the keys [lowest, highest) that any of them attends.
struct tile_cover {
    coverage kind = coverage::full;
    bool masked = false;  // whether bits say which keys a row attends; otherwise all of them
    int n_groups = 0, lowest = 0, highest = 0;
    row_group groups[max_groups];
};

/// Whether the mask lets all, some or none of these pairs pass.
template <class Job>
coverage classify(const Job& job, const row_block& block, std::int64_t position_0, std::int64_t token, int count)
{
    if constexpr (!std::decay_t<decltype(job.def)>::has_mask) return coverage::full;
    const std::int64_t row = block.first / job.group, key_0 = job.first_key + token;
    return job.def.classify({block.batch, block.kv_head * job.group, (block.kv_head + 1) * job.group, row,
                             (block.first + block.count - 1) / job.group + 1, position_0 + row, key_0, key_0 + count});
}

/// Covers rows of `block` and the keys [token, token + count); fills bits[row] where they are masked. Of a tile that no
/// row attends only `kind` is set.
template <class Job>
tile_cover cover_tile(const Job& job, const row_block& block, std::int64_t position_0, std::int64_t token, int count,
                      key_bits* bits)
{
    const std::int64_t key_0 = job.first_key + token;
    // A ring has lost the tokens before its first.
    const int first_held = static_cast<int>(max_of(job.kv.held(block.batch).first - token, 0));
    tile_cover c;
    c.kind = classify(job, block, position_0, token, count);
    if (c.kind == coverage::none) return c;
    c.masked = c.kind == coverage::partial || count % micro::mass_lanes != 0 || first_held > 0;
    c.n_groups = groups_of(block.count);
    c.lowest = count;
    place_walk<Job> places(job, block, position_0);
    for (int g = 0, x = 0; g < c.n_groups; ++g) {
        const int rows = rows_of_group(block.count, g);
        row_group& mine = c.groups[g] = {x, rows, first_held, count};
        if (c.kind == coverage::partial) {
            mine.lo = count;
            mine.hi = 0;
            for (int r = x; r < x + rows; ++r) {
                job.def.mark(places.next(), key_0, count, bits[r]);
                if (first_held > 0) bits[r].clear_below(first_held);
                const int first = bits[r].first(), end = bits[r].end();
                mine.lo = first < mine.lo ? first : mine.lo;
                mine.hi = end > mine.hi ? end : mine.hi;
            }
        } else if (c.masked) {
            for (int r = x; r < x + rows; ++r) {
                bits[r].clear();
                bits[r].set_range(first_held, count);
            }
        }
        c.lowest = mine.lo < c.lowest ? mine.lo : c.lowest;
        c.highest = mine.hi > c.highest ? mine.hi : c.highest;
        x += rows;
    }
    if (c.highest <= c.lowest) c.kind = coverage::none;  // what classify() left open: nobody attends any of them
    return c;
}

}  // namespace kernel
HEED_END
