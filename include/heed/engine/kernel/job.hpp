// SPDX-License-Identifier: MIT
// A call as the kernels see it, and its query rows in blocks.
#pragma once

#include "../../attention.hpp"
#include "../../kv/contract.hpp"
#include "../micro/tuning.hpp"
#include "../simd/bf16_pairs.hpp"

HEED_BEGIN
namespace kernel {

/// Whether a definition is asked for the normalizer of a row: of each sequence of a call in its own way, so that a job
/// has it by value.
template <class Def>
inline constexpr bool is_thresholded_v = false;

/// A call, in the units of the kernels.
template <class Def, class Kv, class Q>
struct job {
    using T = compute_t<Q>;
    using def_type = Def;
    using unit = std::conditional_t<Def::computes_in_bf16 && has_bf16_dots, bf16_pair, T>;
    using kv_type = Kv;
    using key_element = typename Kv::key_element;
    using value_element = typename Kv::value_element;

    std::conditional_t<is_thresholded_v<Def>, const Def, const Def&> def;
    Kv kv;
    view<const Q> q;
    T scale;
    std::int64_t group;            // query heads of a kv head
    std::int64_t first_key;        // absolute position of key row 0; a multiple of key_tile
    std::int64_t total_keys;       // of the whole sequence; -1: key row 0 is followed by all of it
    index_view bounds = {};        // of packed queries: sequence b is rows [bounds[b], bounds[b + 1]) of q
    std::int64_t tile_stride = 1;  // key tiles of the sequence from one to the next

    bool is_packed() const { return bounds.size() > 0; }
    std::int64_t queries(std::int64_t b) const { return is_packed() ? bounds[b + 1] - bounds[b] : q.size.tokens; }
    std::int64_t position_of_row_0(std::int64_t b) const
    {
        return def.position_of_row_0(b, queries(b), total_keys < 0 ? end_key(kv.held(b).end) : total_keys);
    }
    /// The position of a tile's first key, and the one behind that of the key before `end`.
    std::int64_t key_0(std::int64_t token) const { return first_key + token * tile_stride; }
    std::int64_t end_key(std::int64_t end) const
    {
        const std::int64_t last = max_of(end - 1, 0) / micro::key_tile * micro::key_tile;
        return key_0(last) + end - last;
    }
    /// The row of q, or of a tensor whose rows are those of q.
    template <class E>
    E* row_of(const view<E>& rows, const query_place& p) const
    {
        return is_packed() ? rows.row(0, p.head, bounds[p.batch] + p.row) : rows.row(p.batch, p.head, p.row);
    }
    /// Its place in dense [B, Hq, Sq], or [Hq, rows].
    std::int64_t index_of(const query_place& p) const
    {
        return is_packed() ? p.head * q.size.tokens + bounds[p.batch] + p.row
                           : (p.batch * q.size.heads + p.head) * q.size.tokens + p.row;
    }
};

/// Rows [first, first + count) of one kv head; row x is query row x / group of head x % group. A band has the same rows
/// of each of `heads` kv heads, one head after the other.
struct query_block {
    std::int64_t batch, kv_head, first;
    int count, heads = 1;

    query_block of_head(int h) const { return {batch, kv_head + h, first, count}; }
};

/// Row x of a block as policies see it.
template <class Job>
HEED_INLINE query_place place_of(const Job& job, const query_block& block, std::int64_t position_of_row_0,
                                 std::int64_t x)
{
    const std::int64_t row = x / job.group;
    return {block.batch, block.kv_head * job.group + x % job.group, row, position_of_row_0 + row};
}

/// The rows of a block one after the other: place_of() without its divisions.
template <class Job>
class place_cursor {
public:
    HEED_INLINE place_cursor(const Job& job, const query_block& block, std::int64_t position_of_row_0 = 0)
        : at_(place_of(job, block, position_of_row_0, block.first)), group_(job.group),
          end_((block.kv_head + 1) * job.group)
    {}
    HEED_INLINE query_place next()
    {
        const query_place place = at_;
        if (++at_.head == end_) {
            at_.head -= group_;
            ++at_.row;
            ++at_.position;
        }
        return place;
    }

private:
    query_place at_;
    std::int64_t group_, end_;
};

}  // namespace kernel
HEED_END
