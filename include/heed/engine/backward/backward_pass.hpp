// SPDX-License-Identifier: MIT
// The backward pass: which steps are taken by which task, and in what memory.
//
// A kv head is a matrix of steps, blocks of rows x tiles of keys, and a step comes after the one before it in its row
// and in its column, whose sums it goes on with. Where there are heads enough for the workers a task is a head, passed
// over tile by tile; otherwise a stage is a diagonal of every head's matrix, whose steps do not touch each other. Heads
// that add to the same numbers of dbias are one matrix, a strand: the blocks of each come after those of the one
// before. Either way every sum has the same order, and no two tasks accumulate into the same row at a time. Sequences
// that differ in length have matrices of the largest size, of which the steps that there are not are left out.
#pragma once

#include "../../base/reach.hpp"
#include "../kernel/run_tasks.hpp"
#include "backward_step.hpp"

HEED_BEGIN
namespace kernel {

/// What sequences have at most, and all of them.
struct backward_sizes {
    std::int64_t queries = 0, rooms = 0;  // of the longest sequence: query rows, and rows of dk and dv
    std::int64_t rows = 0;                // query rows of all sequences and heads
    bias_sums sums;
};

/// Whether the gradients of a source's keys and values lie as these do, so that it says for how many tokens there is
/// room; those of others are [B, Hkv, tokens, D], by position.
template <class Kv, class = void>
inline constexpr bool has_room_v = false;
template <class Kv>
inline constexpr bool
    has_room_v<Kv, std::void_t<decltype(std::declval<const Kv&>().room(0)),
                               decltype(std::declval<const Kv&>().rows_in(std::declval<const Kv&>().k, 0, 0))>> = true;

/// How many rows of dk and dv a sequence has.
template <class Kv>
std::int64_t room_of(const Kv& kv, std::int64_t batch)
{
    if constexpr (has_room_v<Kv>) return kv.room(batch);
    else return kv.tokens();
}

/// What is kept of each row from step to step: its part of the gradient of a per-head parameter and, where keys have an
/// order, two sums over the keys that it has met.
template <class Job>
inline constexpr int numbers_of_row = (Job::learns_rows ? 1 : 0) + (Job::has_order ? 2 : 0);

template <class Job>
backward_partition make_backward_partition(const problem_sizes& sizes, const backward_sizes& most)
{
    backward_partition p;
    p.sums = most.sums;
    p.copies = sizes.copies;
    p.batch = sizes.batch;
    p.query_heads = sizes.query_heads;
    p.kv_heads = sizes.kv_heads;
    p.group = sizes.group();
    p.rows = sizes.query_heads == 0 ? 0 : most.queries * p.group;
    p.key_dim = sizes.key_dim;
    p.value_dim = sizes.value_dim;
    p.tokens = most.rooms;
    p.workers = sizes.workers < 1 ? 1 : sizes.workers;
    p.tiles = max_of(ceil_div(most.rooms, micro::gradient_tile), 1);  // one that is empty writes zeros
    p.blocks = ceil_div(p.rows, micro::gradient_block);
    p.block_rows = rows_of_blocks(p.rows, p.blocks);
    const checked rows_of_matrix = checked(p.heads_of_strand()) * p.blocks, sides = rows_of_matrix + p.tiles;
    p.diagonal =
        p.workers > 1 && p.strands() < std::int64_t{2} * p.workers && rows_of_matrix.value() > 0 && sides.value() > 2;
    carving_count one;
    (void)backward_memory<Job>::carve(one, p);
    const checked row_bytes = in_lines(checked(numbers_of_row<Job> > 0 ? most.rows : 0) *
                                       static_cast<std::int64_t>(sizeof(typename Job::T)));
    const checked total = checked(cache_line) + checked(p.workers) * one.bytes() + row_bytes * numbers_of_row<Job>;
    p.fits = total.fits() && (!p.diagonal || (sides.fits() && sides.value() <= std::numeric_limits<int>::max()));
    if (!p.fits) return p;
    p.worker_bytes = static_cast<std::size_t>(one.bytes().value());
    p.total_bytes = static_cast<std::size_t>(total.value());
    return p;
}

template <class Job>
class backward_pass {
    using T = typename Job::T;
    using memory = backward_memory<Job>;
    static constexpr int lanes = vec<T>::lanes;

public:
    /// `workspace` holds total_bytes.
    backward_pass(const Job& job, const backward_partition& p, void* workspace)
        : job_(job), p_(p), base_(first_line(workspace))
    {
        const auto rows_bytes =
            static_cast<std::size_t>(in_lines(job.q.size.batch * job.q.size.heads * job.q.size.tokens *
                                              static_cast<std::int64_t>(sizeof(T))));
        char* rows = base_ + static_cast<std::size_t>(p.workers) * p.worker_bytes;
        const auto numbers = [&](bool exist) {
            T* const here = reinterpret_cast<T*>(rows);
            rows += exist ? rows_bytes : 0;
            return here;
        };
        job_.row_parameter = numbers(Job::learns_rows);
        job_.newer_mass = numbers(Job::has_order);
        job_.newer_products = numbers(Job::has_order);
    }

    void run_task(int stage, std::int64_t task, int worker) const
    {
        if (stage == p_.stages() - 1) return sum_head(task);
        if (!job_.to.dv.data && !job_.wants_scores()) return;  // what is learned for a head alone
        carver c(base_ + static_cast<std::size_t>(worker) * p_.worker_bytes);
        memory mem = memory::carve(c, p_);
        if (p_.diagonal) {
            const std::int64_t strand = task / p_.steps(stage), turn = p_.first_tile(stage) + task % p_.steps(stage);
            const std::int64_t row = stage - turn, head = p_.head(strand, row / p_.blocks), block = row % p_.blocks;
            const std::int64_t tile = tile_at(turn);
            if (row == 0) begin_bias(strand, tile);
            const sequence of = sequence_of(head);
            if (tile >= of.tiles || block >= max_of(of.blocks, 1)) return;
            load_tile(of, tile, block == 0, mem);
            if (block < of.blocks) take_step(of, tile, block, mem);
            store_tile(of, tile, mem);
            return;
        }
        for (std::int64_t turn = 0; turn < p_.tiles; ++turn) {
            const std::int64_t tile = tile_at(turn);
            begin_bias(task, tile);
            for (std::int64_t n = 0; n < p_.heads_of_strand(); ++n) {
                const sequence of = sequence_of(p_.head(task, n));
                if (tile >= of.tiles) continue;
                load_tile(of, tile, true, mem);
                for (std::int64_t block = 0; block < of.blocks; ++block) take_step(of, tile, block, mem);
                store_tile(of, tile, mem);
            }
        }
    }

private:
    /// The tile that is the turn-th of its row of steps: where keys have an order the newest is the first.
    std::int64_t tile_at(std::int64_t turn) const { return Job::has_order ? p_.tiles - 1 - turn : turn; }

    /// Zeros of dbias for the sums of a strand and a tile.
    void begin_bias(std::int64_t strand, std::int64_t tile) const
    {
        const view<T>& bias = job_.to.dbias;
        if (!job_.sums_bias || !bias.data || detail::is_empty(bias.size)) return;
        const std::int64_t first = p_.sums.batch ? 0 : strand / (p_.sums.heads ? 1 : p_.kv_heads);
        const std::int64_t head = p_.sums.heads ? 0 : strand % p_.kv_heads * p_.group;
        for (std::int64_t h = head; h < (p_.sums.heads ? 1 : head + p_.group); ++h)
            for (std::int64_t i = 0; i < bias.size.tokens; ++i) {
                T* const to = bias.row(first, h, i) + tile * micro::gradient_tile;
                for (int j = 0; j < keys_before(bias.size.dim, tile); ++j) to[j] = T(0);
            }
    }

    /// A kv head of a sequence: its rows in blocks, its tokens in tiles. Keys are held from `held.first` on; dk and dv
    /// have rows for `room` tokens.
    struct sequence {
        std::int64_t batch, kv_head, rows, blocks, room, tiles;
        token_span held;

        /// The keys of a tile, of which none is left where they are lost.
        int keys(std::int64_t tile) const
        {
            return (tile + 1) * micro::gradient_tile <= held.first ? 0 : keys_before(held.end, tile);
        }
    };
    sequence sequence_of(std::int64_t head) const
    {
        const std::int64_t b = head / p_.kv_heads, rows = p_.rows == 0 ? 0 : job_.queries(b) * p_.group,
                           room = room_of(job_.kv, b);
        return {b,
                head % p_.kv_heads,
                rows,
                rows == 0 ? 0 : ceil_div(rows, p_.block_rows),
                room,
                max_of(ceil_div(room, micro::gradient_tile), 1),
                job_.kv.held(b)};
    }
    /// Tokens of a tile that come before `end`.
    static int keys_before(std::int64_t end, std::int64_t tile)
    {
        return static_cast<int>(max_of(min_of(micro::gradient_tile, end - tile * micro::gradient_tile), 0));
    }
    query_block block_of(const sequence& of, std::int64_t block) const
    {
        const std::int64_t first = block * p_.block_rows;
        return {of.batch, of.kv_head, first, static_cast<int>(min_of(p_.block_rows, of.rows - first))};
    }

    /// row(x) of a gradient of `dim` channels into whole registers, zeros where nothing was summed yet, or from there.
    template <class Row>
    static void load_rows(int n, std::int64_t dim, bool empty, Row row, micro::matrix<T> sums)
    {
        for (int x = 0; x < n; ++x) {
            T* const to = sums.row(x);
            std::int64_t c = 0;
            if (!empty) {
                const T* from = row(x);
                for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c));
                if (c < dim) store(to + c, load_n(from + c, static_cast<int>(dim - c))), c += lanes;
            }
            for (; c < sums.stride; c += lanes) store(to + c, vec<T>(0));
        }
    }
    template <class Row>
    static void store_rows(int n, std::int64_t dim, Row row, micro::matrix<T> sums)
    {
        for (int x = 0; x < n; ++x) {
            const T* const from = sums.row(x);
            T* const to = row(x);
            std::int64_t c = 0;
            for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c));
            if (c < dim) store_n(to + c, load(from + c), static_cast<int>(dim - c));
        }
    }

    /// The rows of a gradient that belong to a tile.
    auto rows_of_tile(const view<T>& v, const sequence& of, std::int64_t tile) const
    {
        return [&v, &of, tile, this](int x) { return gradient_row(v, of, tile * micro::gradient_tile + x); };
    }
    T* gradient_row(const view<T>& v, const sequence& of, std::int64_t token) const
    {
        if constexpr (has_room_v<typename Job::kv_type>) return job_.kv.rows_in(v, of.batch, of.kv_head)(token).data;
        else return v.row(of.batch, of.kv_head, token);
    }
    void load_tile(const sequence& of, std::int64_t tile, bool empty, memory& mem) const
    {
        const gradients<T>& to = job_.to;
        const int n = of.keys(tile);
        mem.keys.load(job_, of.batch, of.kv_head, tile * micro::gradient_tile, n);
        if (to.dk.data) load_rows(n, p_.key_dim, empty, rows_of_tile(to.dk, of, tile), mem.dk);
        if (to.dv.data) load_rows(n, p_.value_dim, empty, rows_of_tile(to.dv, of, tile), mem.dv);
    }
    /// The sums of a tile's keys, and zeros where there is room for more.
    void store_tile(const sequence& of, std::int64_t tile, const memory& mem) const
    {
        const int n = of.keys(tile), all = keys_before(of.room, tile);
        const auto store_gradient = [&](const view<T>& to, std::int64_t dim, micro::matrix<T> sums) {
            if (!to.data) return;
            const auto row = rows_of_tile(to, of, tile);
            store_rows(n, dim, row, sums);
            for (int x = n; x < all; ++x)
                for (std::int64_t c = 0; c < dim; ++c) row(x)[c] = T(0);
        };
        store_gradient(job_.to.dk, p_.key_dim, mem.dk);
        store_gradient(job_.to.dv, p_.value_dim, mem.dv);
    }

    void take_step(const sequence& of, std::int64_t tile_index, std::int64_t block_index, memory& mem) const
    {
        const bool first = tile_index == (Job::has_order ? of.tiles - 1 : 0);
        const int keys = of.keys(tile_index);
        if (keys == 0 && !first) return;
        const query_block block = block_of(of, block_index);
        const auto dq_row = [&](int x) { return job_.row_of(job_.to.dq, place_of(job_, block, 0, block.first + x)); };
        if constexpr (Job::learns_rows)
            if (first)
                for (int r = 0; r < block.count; ++r)
                    job_.row_parameter[job_.index_of(place_of(job_, block, 0, block.first + r))] = T(0);
        if (job_.to.dq.data) load_rows(block.count, p_.key_dim, first, dq_row, mem.dq);
        if constexpr (Job::has_order) load_sums(block, first, mem.slopes);
        if (keys > 0) {
            mem.rows.load(job_, block);
            backward_step(tile<Job>(job_, block, tile_index * micro::gradient_tile, keys, mem.slopes.bits), mem);
        }
        if (job_.to.dq.data) store_rows(block.count, p_.key_dim, dq_row, mem.dq);
        if constexpr (Job::has_order) store_sums(block, mem.slopes);
    }
    /// The sums of the rows of a block over newer keys.
    void load_sums(const query_block& block, bool first, const slopes_memory<T>& mem) const
    {
        place_cursor<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) {
            const std::int64_t i = job_.index_of(places.next());
            mem.newer_mass[r] = first ? T(0) : job_.newer_mass[i];
            mem.newer_products[r] = first ? T(0) : job_.newer_products[i];
        }
    }
    void store_sums(const query_block& block, const slopes_memory<T>& mem) const
    {
        place_cursor<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) {
            const std::int64_t i = job_.index_of(places.next());
            job_.newer_mass[i] = mem.newer_mass[r];
            job_.newer_products[i] = mem.newer_products[r];
        }
    }

    /// What is learned for a query head, row after row of every sequence.
    void sum_head(std::int64_t head) const
    {
        if (!job_.to.dlog_offset && !job_.to.dslopes) return;
        double offset = 0, slope = 0;
        for (std::int64_t b = 0; b < p_.batch; ++b) {
            for (std::int64_t i = 0; i < job_.queries(b); ++i) {
                const query_place p{b, head, i, i};
                const std::int64_t x = job_.index_of(p);
                if (job_.to.dlog_offset)
                    offset += static_cast<double>(
                        slopes_of_row<typename Job::def_type::normalizer_type>(
                            denominator(job_.def.normalizer(), head, job_.stats.shift[x], job_.stats.mass[x]),
                            job_.row_of(job_.out, p), job_.row_of(job_.dout, p), p_.value_dim,
                            job_.dlse ? job_.dlse[x] : T(0))
                            .extra);
                if (Job::learns_rows && job_.to.dslopes) slope += static_cast<double>(job_.row_parameter[x]);
            }
        }
        if (job_.to.dlog_offset) job_.to.dlog_offset[head] = static_cast<T>(offset);
        if (job_.to.dslopes) job_.to.dslopes[head] = static_cast<T>(slope);
    }

    Job job_;
    backward_partition p_;
    char* base_;
};

}  // namespace kernel
HEED_END
