// SPDX-License-Identifier: MIT
// The tile: a query block and a key tile that meet, as every phase of a pass takes them.
#pragma once

#include "cover.hpp"
#include "rows.hpp"

HEED_BEGIN
namespace kernel {

/// Which sixteens of keys the rows of each register block attend, where masks list keys: a bit each. Other masks leave
/// what lies between a block's first and last key to its rows.
template <bool Lists>
struct wanted_sixteens {};
template <>
struct wanted_sixteens<true> {
    std::uint32_t of_block[max_register_blocks], of_any = 0;

    void find(const tile_cover& cover, const key_bits* bits)
    {
        if (cover.kind == coverage::none) return;
        for (int i = 0; i < cover.count; ++i) {
            const register_block& rows = cover[i];
            key_bits any;
            for (int r = rows.first; cover.masked && r < rows.end_row(); ++r) any |= bits[r];
            of_block[i] = cover.masked ? any.any_of_sixteens() : ~std::uint32_t{0};
            of_any |= of_block[i];
        }
    }
};

/// Bits [first / 16, end / 16), of which the first and the last sixteen may be a part.
inline std::uint32_t sixteens_between(int first, int end)
{
    const int n = (end + 15) / 16 - first / 16;
    return n <= 0 ? 0 : (n >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << n) - 1) << (first / 16);
}

/// The runs of wanted sixteens among keys [first, end), multiples of 16: calls f(first, end) for each.
template <class F>
HEED_INLINE void for_wanted(std::uint32_t wanted, int first, int end, F f)
{
    for (std::uint32_t left = wanted & sixteens_between(first, end); left;) {
        const int from = __builtin_ctz(left);
        const std::uint32_t behind = ~(left >> from);
        const int n = behind ? __builtin_ctz(behind) : 32;
        f(from * 16, (from + n) * 16 < end ? (from + n) * 16 : end);
        left = from + n >= 32 ? 0 : left >> (from + n) << (from + n);
    }
}

template <class Job>
struct tile : wanted_sixteens<has_lists<Job>> {
    using job_type = Job;
    using T = typename Job::T;
    using U = typename Job::unit;

    /// The keys [token, token + keys) for the rows of a block; fills bits[row] where a row does not attend them all.
    tile(const Job& of, const query_block& rows, std::int64_t first_token, int n, key_bits* bits_of_rows)
        : job(of), block(rows), kv_head(rows.kv_head), position_0(of.position_of_row_0(rows.batch)), token(first_token),
          keys(n), bits(bits_of_rows), cover(cover_tile(of, rows, position_0, first_token, n, bits_of_rows))
    {
        if constexpr (has_lists<Job>) this->find(cover, bits);
    }

    const Job& job;
    query_block block;
    std::int64_t kv_head;     // whose keys and values are read
    std::int64_t position_0;  // of query row 0
    std::int64_t token;       // of the first key
    int keys;
    const key_bits* bits;  // [rows]
    tile_cover cover;

    /// Whether any row of a register block attends one of n keys from key j on; or any row of all.
    HEED_INLINE bool wants(const register_block& rows, int j, int n) const
    {
        if constexpr (has_lists<Job>)
            if ((this->of_block[&rows - cover.begin()] & sixteens_between(j, j + n)) == 0) return false;
        return rows.attends(j, n);
    }
    HEED_INLINE bool wants_any(int j, int n) const
    {
        if constexpr (has_lists<Job>) return (this->of_any & sixteens_between(j, j + n)) != 0;
        return true;
    }
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
