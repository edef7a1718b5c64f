// SPDX-License-Identifier: MIT
// What the kernels pass to each other: a call, a block of its rows, a partial result, a worker's memory.
#pragma once

#include "../../attention.hpp"
#include "../../kv/contract.hpp"
#include "../micro/prefetch.hpp"
#include "../micro/units.hpp"

HEED_BEGIN
namespace kernel {

/// A call, in the units of the kernels.
template <class Def, class Kv, class Q>
struct job {
    using T = compute_t<Q>;
    using def_type = Def;
    using unit = std::conditional_t<Def::computes_in_bf16 && has_bf16_dots, bf16_pair, T>;
    using kv_type = Kv;
    using key_element = typename Kv::key_element;
    using value_element = typename Kv::value_element;

    const Def& def;
    Kv kv;
    view<const Q> q;
    T scale;
    std::int64_t group;       // query heads of a kv head
    std::int64_t first_key;   // absolute position of key row 0; a multiple of key_tile
    std::int64_t total_keys;  // of the whole sequence; -1: key row 0 is followed by all of it
    index_view bounds = {};   // of packed queries: sequence b is rows [bounds[b], bounds[b + 1]) of q

    bool is_packed() const { return bounds.size() > 0; }
    std::int64_t queries(std::int64_t b) const { return is_packed() ? bounds[b + 1] - bounds[b] : q.size.tokens; }
    std::int64_t position_of_row_0(std::int64_t b) const
    {
        return def.position_of_row_0(b, queries(b), total_keys < 0 ? first_key + kv.held(b).end : total_keys);
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

/// Rows [first, first + count) of one kv head; row x is query row x / group of head x % group.
struct row_block {
    std::int64_t batch, kv_head, first;
    int count;
};

/// {M, l, o} of the rows of a block.
template <class T>
struct partial {
    T* shift;  // [rows]
    T* mass;   // [rows]
    T* o;      // [rows][o_step]
};

/// Rows that are copied together at a time where a source has several runs.
inline constexpr int copied_rows = micro::streaming_run;

/// Per-worker memory.
template <class U>
struct scratch {
    using T = sum_t<U>;
    U* q;  // [parts][rows][query_step]: units of Dqk, scaled where they are not pairs
    std::int64_t part_step;
    U* strip;           // [strip_units][key_strip]
    T* s;               // [rows][score_step]: scores, then weights
    U* values;          // [units of value_run][block_vecs * lanes]
    key_bits* bits;     // [rows]
    int* listed;        // [key_tile]: keys that have a weight
    void* listed_rows;  // [key_tile + listed_ahead] pointers to their rows of V
    void* copy;         // [copied_rows] rows of K or V, where a source has several runs
    bool* sparse;       // whether the last tile had few of them
    partial<T> tile, run;

    /// Weights as units: of pairs, rows are narrowed where they lie.
    const U* weights(int row) const { return reinterpret_cast<const U*>(s + row * micro::score_step); }
};

/// What prefill takes from memory behind a tile: the first keys of the next one, or the rows where the outputs go, and
/// the first keys and the queries of the next block.
struct next_reads {
    micro::row_lines outputs, keys, queries;
};

/// Row x of a block as policies see it.
template <class Job>
HEED_INLINE query_place place_of(const Job& job, const row_block& block, std::int64_t position_of_row_0, std::int64_t x)
{
    const std::int64_t row = x / job.group;
    return {block.batch, block.kv_head * job.group + x % job.group, row, position_of_row_0 + row};
}

/// The rows of a block one after the other: place_of() without its divisions.
template <class Job>
class place_walk {
public:
    HEED_INLINE place_walk(const Job& job, const row_block& block, std::int64_t position_of_row_0 = 0)
        : at_(place_of(job, block, position_of_row_0, block.first)), group_(job.group),
          behind_((block.kv_head + 1) * job.group)
    {}
    HEED_INLINE query_place next()
    {
        const query_place here = at_;
        if (++at_.head == behind_) {
            at_.head -= group_;
            ++at_.row;
            ++at_.position;
        }
        return here;
    }

private:
    query_place at_;
    std::int64_t group_, behind_;
};

/// Rows of a block are cut into register blocks of nearly equal size.
inline constexpr int max_groups =
    static_cast<int>((micro::query_block + micro::block_rows - 1) / micro::block_rows) + 1;
inline int groups_of(int count) { return (count + micro::block_rows - 1) / micro::block_rows; }
inline int rows_of_group(int count, int g)
{
    const int n = groups_of(count);
    return count * (g + 1) / n - count * g / n;
}

/// Rows of a register block and the keys [lo, hi) of the tile that any of them attends.
struct row_group {
    int first, rows, lo, hi;

    /// The same keys in whole sixteens, as scores become weights.
    int begin() const { return lo / micro::mass_lanes * micro::mass_lanes; }
    int end() const { return hi <= lo ? begin() : static_cast<int>(round_up(hi, micro::mass_lanes)); }
};

}  // namespace kernel
HEED_END
