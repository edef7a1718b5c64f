// SPDX-License-Identifier: MIT
// The backward pass: which steps are taken by which task, and in what memory.
//
// A kv head is a matrix of steps, blocks of rows x tiles of keys, and a step comes after the one before it in its row
// and in its column, whose sums it goes on with. Where there are heads enough for the workers a task is a head, passed
// over tile by tile; otherwise a stage is a diagonal of every head's matrix, whose steps do not touch each other.
// Either way every sum has the same order, and no two tasks accumulate into the same row at a time.
#pragma once

#include "../kernel/run_tasks.hpp"
#include "backward_step.hpp"

HEED_BEGIN
namespace kernel {

/// What is kept of each row from step to step: its part of the gradient of a per-head parameter and, where keys have an
/// order, two sums over the keys that it has met.
template <class Job>
inline constexpr int numbers_of_row = (Job::learns_rows ? 1 : 0) + (Job::has_order ? 2 : 0);

template <class Job>
backward_partition make_backward_partition(const problem_sizes& sizes, std::int64_t queries, std::int64_t tokens)
{
    backward_partition p;
    p.batch = sizes.batch;
    p.query_heads = sizes.query_heads;
    p.kv_heads = sizes.kv_heads;
    p.group = sizes.group();
    p.rows = sizes.query_heads == 0 ? 0 : queries * p.group;
    p.key_dim = sizes.key_dim;
    p.value_dim = sizes.value_dim;
    p.tokens = tokens;
    p.workers = sizes.workers < 1 ? 1 : sizes.workers;
    p.tiles = max_of(ceil_div(tokens, micro::gradient_tile), 1);  // one that is empty writes zeros
    p.blocks = ceil_div(p.rows, micro::gradient_block);
    p.block_rows = rows_of_blocks(p.rows, p.blocks);
    p.diagonal = p.workers > 1 && p.heads() < std::int64_t{2} * p.workers && p.blocks > 0 && p.blocks + p.tiles > 2;
    carving_count one;
    (void)backward_memory<Job>::carve(one, p);
    const checked row_bytes = in_lines(checked(numbers_of_row<Job> > 0 ? sizes.batch : 0) * sizes.query_heads *
                                       queries * static_cast<std::int64_t>(sizeof(typename Job::T)));
    const checked total = checked(cache_line) + checked(p.workers) * one.bytes() + row_bytes * numbers_of_row<Job>;
    p.fits = total.fits() && (!p.diagonal || p.blocks + p.tiles <= std::numeric_limits<int>::max());
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
        const auto rows_bytes = static_cast<std::size_t>(
            in_lines(job.q.size.batch * job.q.size.heads * job.q.size.tokens * static_cast<std::int64_t>(sizeof(T))));
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
            const std::int64_t head = task / p_.steps(stage), turn = p_.first_tile(stage) + task % p_.steps(stage);
            const std::int64_t block = stage - turn;
            load_tile(head, tile_at(turn), block == 0, mem);
            take_step(head, turn, block, mem);
            store_tile(head, tile_at(turn), mem);
            return;
        }
        for (std::int64_t turn = 0; turn < p_.tiles; ++turn) {
            load_tile(task, tile_at(turn), true, mem);
            for (std::int64_t block = 0; block < p_.blocks; ++block) take_step(task, turn, block, mem);
            store_tile(task, tile_at(turn), mem);
        }
    }

private:
    /// The tile that is the turn-th of its row of steps: where keys have an order the newest is the first.
    std::int64_t tile_at(std::int64_t turn) const { return Job::has_order ? p_.tiles - 1 - turn : turn; }

    int keys_of_tile(std::int64_t tile) const
    {
        return static_cast<int>(min_of(micro::gradient_tile, p_.tokens - tile * micro::gradient_tile));
    }
    query_block block_of(std::int64_t head, std::int64_t block) const
    {
        const std::int64_t first = block * p_.block_rows;
        return {head / p_.kv_heads, head % p_.kv_heads, first,
                static_cast<int>(min_of(p_.block_rows, p_.rows - first))};
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
    auto rows_of_tile(const view<T>& v, std::int64_t head, std::int64_t tile) const
    {
        return [&v, this, head, tile](int x) {
            return v.row(head / p_.kv_heads, head % p_.kv_heads, tile * micro::gradient_tile + x);
        };
    }
    void load_tile(std::int64_t head, std::int64_t tile, bool empty, memory& mem) const
    {
        const gradients<T>& to = job_.to;
        const int n = keys_of_tile(tile);
        mem.keys.load(job_, head / p_.kv_heads, head % p_.kv_heads, tile * micro::gradient_tile, n);
        if (to.dk.data) load_rows(n, p_.key_dim, empty, rows_of_tile(to.dk, head, tile), mem.dk);
        if (to.dv.data) load_rows(n, p_.value_dim, empty, rows_of_tile(to.dv, head, tile), mem.dv);
    }
    void store_tile(std::int64_t head, std::int64_t tile, const memory& mem) const
    {
        const gradients<T>& to = job_.to;
        const int n = keys_of_tile(tile);
        if (to.dk.data) store_rows(n, p_.key_dim, rows_of_tile(to.dk, head, tile), mem.dk);
        if (to.dv.data) store_rows(n, p_.value_dim, rows_of_tile(to.dv, head, tile), mem.dv);
    }

    void take_step(std::int64_t head, std::int64_t turn, std::int64_t block_index, memory& mem) const
    {
        const query_block block = block_of(head, block_index);
        const auto dq_row = [&](int x) {
            const query_place p = place_of(job_, block, 0, block.first + x);
            return job_.to.dq.row(p.batch, p.head, p.row);
        };
        const bool first = turn == 0;
        const std::int64_t tile_index = tile_at(turn);
        if constexpr (Job::learns_rows)
            if (first)
                for (int r = 0; r < block.count; ++r)
                    job_.row_parameter[job_.index_of(place_of(job_, block, 0, block.first + r))] = T(0);
        if (job_.to.dq.data) load_rows(block.count, p_.key_dim, first, dq_row, mem.dq);
        mem.rows.load(job_, block);
        if constexpr (Job::has_order) load_sums(block, first, mem.slopes);
        backward_step(
            tile<Job>(job_, block, tile_index * micro::gradient_tile, keys_of_tile(tile_index), mem.slopes.bits), mem);
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
            for (std::int64_t i = 0; i < job_.q.size.tokens; ++i) {
                const query_place p{b, head, i, i};
                const std::int64_t x = job_.index_of(p);
                if (job_.to.dlog_offset)
                    offset += static_cast<double>(
                        slopes_of_row<typename Job::def_type::normalizer_type>(
                            denominator(job_.def.normalizer(), head, job_.stats.shift[x], job_.stats.mass[x]),
                            job_.out.row(b, head, i), job_.dout.row(b, head, i), p_.value_dim)
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
