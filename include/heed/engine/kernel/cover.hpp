// SPDX-License-Identifier: MIT
// What the mask leaves of a query block and a key tile: which keys each register block of rows attends.
#pragma once

#include "held_tiles.hpp"
#include "job.hpp"

HEED_BEGIN
namespace kernel {

/// A query block is cut into register blocks of nearly equal size.
inline constexpr int max_register_blocks =
    static_cast<int>((micro::query_block + micro::register_rows - 1) / micro::register_rows) + 1;
inline int register_blocks_of(int rows) { return (rows + micro::register_rows - 1) / micro::register_rows; }
inline int rows_of_register_block(int rows, int i)
{
    const int n = register_blocks_of(rows);
    return rows * (i + 1) / n - rows * i / n;
}

/// Rows of a register block and the keys [lo, hi) of the tile that any of them attends.
struct register_block {
    int first, rows, lo, hi;

    int end_row() const { return first + rows; }
    bool is_empty() const { return hi <= lo; }
    bool attends(int key, int n) const { return lo < key + n && key < hi; }
    /// The same keys in whole sixteens, as scores become weights.
    int begin() const { return lo / micro::mass_lanes * micro::mass_lanes; }
    int end() const { return is_empty() ? begin() : static_cast<int>(round_up(hi, micro::mass_lanes)); }
};

/// The register blocks of a query block, and the keys [lowest, highest) that any of them attends.
struct tile_cover {
    coverage kind = coverage::full;
    bool masked = false;  // whether bits say which keys a row attends; otherwise all of them
    int count = 0, lowest = 0, highest = 0;
    register_block blocks[max_register_blocks];

    const register_block* begin() const { return blocks; }
    const register_block* end() const { return blocks + count; }
    const register_block& operator[](int i) const { return blocks[i]; }
};

template <class Job>
inline constexpr bool has_lists = std::decay_t<decltype(std::declval<Job>().def)>::lists > 0;

/// The rows of a block and the keys [token, token + keys) as policies see them.
template <class Job>
block_place place_of_pairs(const Job& job, const query_block& block, std::int64_t position_0, std::int64_t token,
                           int keys)
{
    const std::int64_t row = block.first / job.group, key_0 = job.key_0(token);
    return {block.batch,
            block.kv_head * job.group,
            (block.kv_head + 1) * job.group,
            row,
            (block.first + block.count - 1) / job.group + 1,
            position_0 + row,
            key_0,
            key_0 + keys};
}

/// Whether the mask lets all, some or none of these pairs pass.
template <class Job>
coverage classify(const Job& job, const query_block& block, std::int64_t position_0, std::int64_t token, int keys)
{
    if constexpr (!std::decay_t<decltype(job.def)>::has_mask) return coverage::full;
    return job.def.classify(place_of_pairs(job, block, position_0, token, keys));
}

/// The keys [first, end) of a tile of which the source has lost some between those that it holds.
struct lost_keys {
    std::int64_t first = 0, end = 0;

    bool any() const { return first < end; }
};
template <class Job>
HEED_INLINE lost_keys lost_of(const Job& job, const query_block& block, std::int64_t token, int keys)
{
    if constexpr (has_gone_v<typename Job::kv_type>) {
        const token_span gone = job.kv.gone(block.batch);
        return {max_of(gone.first - token, 0), min_of(gone.end - token, keys)};
    } else {
        return {};
    }
}
template <class Job>
HEED_INLINE void clear_lost(const lost_keys& lost, key_bits& bits)
{
    if constexpr (has_gone_v<typename Job::kv_type>)
        if (lost.any()) bits.clear_range(lost.first, lost.end);
}

/// Marks rows of a tile. Where a list alone says what a row attends, rows that share it are marked once.
template <class Job>
class row_marker {
public:
    row_marker(const Job& job, const query_block& block, std::int64_t position_0, std::int64_t token, int keys)
        : job_(job), key_0_(job.key_0(token)), keys_(keys)
    {
        if constexpr (has_lists<Job>)
            shares_ =
                job.def.classify_beside_list(place_of_pairs(job, block, position_0, token, keys)) == coverage::full;
    }
    HEED_INLINE void mark(const query_place& at, key_bits& bits)
    {
        if constexpr (has_lists<Job>) {
            if (shares_) {
                const key_list list = job_.def.list(at);
                if (last_ && list.is(of_last_)) {
                    bits = *last_;
                    return;
                }
                of_last_ = list;
                last_ = &bits;
            }
        }
        job_.def.mark(at, key_0_, keys_, bits);
    }

private:
    const Job& job_;
    std::int64_t key_0_;
    int keys_;
    bool shares_ = false;
    key_list of_last_;
    const key_bits* last_ = nullptr;  // of the last row that was marked, which has that list
};

/// Fills bits[row] for the rows of a register block, of which the mask lets some attend some keys of the tile, and
/// narrows the block's keys to those. A ring has lost the tokens before `rows.lo`.
template <class Job>
HEED_INLINE void mark_rows(row_marker<Job>& marker, place_cursor<Job>& places, const lost_keys& lost,
                           register_block& rows, key_bits* bits)
{
    const int first_held = rows.lo, keys = rows.hi;
    rows.lo = keys;
    rows.hi = 0;
    for (int r = rows.first; r < rows.end_row(); ++r) {
        marker.mark(places.next(), bits[r]);
        if (first_held > 0) bits[r].clear_below(first_held);
        clear_lost<Job>(lost, bits[r]);
        const int first = bits[r].first(), end = bits[r].end();
        rows.lo = first < rows.lo ? first : rows.lo;
        rows.hi = end > rows.hi ? end : rows.hi;
    }
}

/// Covers the rows of `block` and the keys [token, token + keys); fills bits[row] where they are masked. Of a tile that
/// no row attends only `kind` is set.
template <class Job>
tile_cover cover_tile(const Job& job, const query_block& block, std::int64_t position_0, std::int64_t token, int keys,
                      key_bits* bits)
{
    // A ring has lost the tokens before its first.
    const int first_held = static_cast<int>(max_of(job.kv.held(block.batch).first - token, 0));
    tile_cover c;
    const lost_keys lost = lost_of(job, block, token, keys);
    c.kind = classify(job, block, position_0, token, keys);
    if (c.kind == coverage::none) return c;
    c.masked = c.kind == coverage::partial || keys % micro::mass_lanes != 0 || first_held > 0 || lost.any();
    c.count = register_blocks_of(block.count);
    c.lowest = keys;
    place_cursor<Job> places(job, block, position_0);
    row_marker<Job> marker(job, block, position_0, token, keys);
    for (int i = 0, x = 0; i < c.count; ++i) {
        register_block& rows = c.blocks[i] = {x, rows_of_register_block(block.count, i), first_held, keys};
        x = rows.end_row();
        if (c.kind == coverage::partial) {
            mark_rows(marker, places, lost, rows, bits);
        } else if (c.masked) {
            for (int r = rows.first; r < x; ++r) {
                bits[r].clear();
                bits[r].set_range(first_held, keys);
                clear_lost<Job>(lost, bits[r]);
            }
        }
        c.lowest = rows.lo < c.lowest ? rows.lo : c.lowest;
        c.highest = rows.hi > c.highest ? rows.hi : c.highest;
    }
    if (c.highest <= c.lowest) c.kind = coverage::none;  // what classify() left open: nobody attends any of them
    return c;
}

}  // namespace kernel
HEED_END
