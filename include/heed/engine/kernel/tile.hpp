// SPDX-License-Identifier: MIT
// The tile: a query block and a key tile that meet, as every phase of a pass takes them.
#pragma once

#include "cover.hpp"
#include "rows.hpp"

HEED_BEGIN
namespace kernel {

template <class Job>
struct tile {
    using job_type = Job;
    using T = typename Job::T;
    using U = typename Job::unit;

    /// The keys [token, token + keys) for the rows of a block; fills bits[row] where a row does not attend them all.
    tile(const Job& of, const query_block& rows, std::int64_t first_token, int n, key_bits* bits_of_rows)
        : job(of), block(rows), kv_head(rows.kv_head), position_0(of.position_of_row_0(rows.batch)), token(first_token),
          keys(n), bits(bits_of_rows), cover(cover_tile(of, rows, position_0, first_token, n, bits_of_rows))
    {}

    const Job& job;
    query_block block;
    std::int64_t kv_head;     // whose keys and values are read
    std::int64_t position_0;  // of query row 0
    std::int64_t token;       // of the first key
    int keys;
    const key_bits* bits;  // [rows]
    tile_cover cover;

    bool is_unattended() const { return cover.kind == coverage::none; }
    HEED_INLINE auto key_rows() const { return keys_of(job.kv, block.batch, kv_head); }
    HEED_INLINE auto value_rows() const { return values_of(job.kv, block.batch, kv_head); }
    /// Where the scores of row r of the block stand.
    HEED_INLINE score_place<vec<T>> place(int r) const { return strip_place(r, 0, keys); }
    /// The same for n keys from key j of the tile on.
    HEED_INLINE score_place<vec<T>> strip_place(int r, int j, int n) const
    {
        return {place_of(job, block, position_0, block.first + r), job.key_0(token) + j, n};
    }
};

}  // namespace kernel
HEED_END
