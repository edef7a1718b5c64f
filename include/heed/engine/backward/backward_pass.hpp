// SPDX-License-Identifier: MIT
// The walk of the backward pass: which steps are taken by which task, and in what memory.
//
// A kv head is a matrix of steps, blocks of rows x tiles of keys, and a step comes after the one before it in its row
// and in its column, whose sums it goes on with. Where there are heads enough for the workers a task is a head, walked
// tile by tile; otherwise a stage is a diagonal of every head's matrix, whose steps do not touch each other. Either
// way every sum has the same order, and nobody adds to anybody else's.
#pragma once

#include "../forward/forward_pass.hpp"
#include "backward_step.hpp"

HEED_BEGIN
namespace kernel {

/// The cut of a backward pass into tasks, and the workspace it needs. A pure function of the sizes.
struct backward_layout {
    std::int64_t batch = 0, query_heads = 0, kv_heads = 0, group = 1, rows = 0;  // rows: Sq * group of one kv head
    std::int64_t key_dim = 0, value_dim = 0, tokens = 0;
    std::int64_t block_rows = 0, blocks = 0, tiles = 0;  // of one kv head
    bool diagonal = false;
    bool fits = true;  // whether stages and workspace can be counted
    int workers = 1;
    std::size_t worker_bytes = 0, total_bytes = 0;

    std::int64_t heads() const { return batch * kv_heads; }
    /// The last stage sums what is learned for each query head.
    int stages() const { return 1 + static_cast<int>(diagonal ? max_of(blocks + tiles - 1, 0) : 1); }
    std::int64_t tasks(int stage) const
    {
        if (stage == stages() - 1) return query_heads;
        return diagonal ? heads() * steps(stage) : heads();
    }
    /// Steps of a diagonal, from the one of tile first_tile(diagonal) on.
    std::int64_t first_tile(int stage) const { return max_of(stage - (blocks - 1), 0); }
    std::int64_t steps(int stage) const { return min_of(stage, tiles - 1) - first_tile(stage) + 1; }
    double work() const
    {
        return 2.5 * static_cast<double>(heads()) * static_cast<double>(tokens) *
               static_cast<double>(key_dim + value_dim) * static_cast<double>(rows + 4);
    }
};

template <class Job, class Carver>
scratch_of<Job> carve_backward(Carver& c, const backward_layout& l)
{
    using T = typename Job::T;
    using memory = scratch_of<Job>;
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t q_step = round_up(l.key_dim, lanes), v_step = round_up(l.value_dim, lanes);
    memory m;
    m.part_step = l.block_rows * micro::query_step<T>;
    m.q = c.template take<T>(micro::row_parts<T>(l.key_dim).count, m.part_step);
    m.dout = c.template take<T>(micro::row_parts<T>(l.value_dim).count, m.part_step);
    m.k_strips = c.template take<T>(micro::gradient_tile, l.key_dim);
    m.v_strips = c.template take<T>(micro::gradient_tile, l.value_dim);
    m.k_panels = c.template take<T>(micro::gradient_tile, q_step);
    m.s = c.template take<T>(l.block_rows * micro::score_step);
    m.ds = c.template take<T>(l.block_rows * micro::score_step);
    m.a = c.template take<T>(l.block_rows * micro::key_strip<T>);
    m.b = c.template take<T>(l.block_rows * micro::key_strip<T>);
    m.raw = c.template take<T>(Job::has_score_maps ? l.block_rows * micro::key_strip<T> : 0);
    m.panel = c.template take<T>(micro::gradient_run<T> * micro::block_vecs * lanes);
    m.dq = c.template take<T>(l.block_rows, q_step);
    m.dk = c.template take<T>(micro::gradient_tile, q_step);
    m.dv = c.template take<T>(micro::gradient_tile, v_step);
    m.sums = c.template take<T>(Job::learns_rows ? l.block_rows * micro::mass_lanes : 0);
    m.row = c.template take<row_slopes<T>>(l.block_rows);
    m.q_row = c.template take<std::remove_pointer_t<decltype(m.q_row)>>(l.block_rows);
    m.dout_row = c.template take<std::remove_pointer_t<decltype(m.dout_row)>>(l.block_rows);
    m.bits = c.template take<key_bits>(l.block_rows);
    m.parts = c.template take<unsigned char>(strips_of_tile<T> * max_groups);
    m.finite_keys = c.template take<bool>(1);
    return m;
}

template <class Job>
backward_layout make_backward_layout(const problem_sizes& p, std::int64_t queries, std::int64_t tokens)
{
    backward_layout l;
    l.batch = p.batch;
    l.query_heads = p.query_heads;
    l.kv_heads = p.kv_heads;
    l.group = p.group();
    l.rows = p.query_heads == 0 ? 0 : queries * l.group;
    l.key_dim = p.key_dim;
    l.value_dim = p.value_dim;
    l.tokens = tokens;
    l.workers = p.workers < 1 ? 1 : p.workers;
    l.tiles = max_of(ceil_div(tokens, micro::gradient_tile), 1);  // one that is empty writes zeros
    l.blocks = ceil_div(l.rows, micro::gradient_block);
    l.block_rows = rows_of_blocks(l.rows, l.blocks);
    l.diagonal = l.workers > 1 && l.heads() < std::int64_t{2} * l.workers && l.blocks > 0 && l.blocks + l.tiles > 2;
    carving_count one;
    (void)carve_backward<Job>(one, l);
    const checked row_bytes = in_lines(checked(Job::learns_rows ? p.batch : 0) * p.query_heads * queries *
                                       static_cast<std::int64_t>(sizeof(typename Job::T)));
    const checked total = checked(cache_line) + checked(l.workers) * one.bytes() + row_bytes;
    l.fits = total.fits() && (!l.diagonal || l.blocks + l.tiles <= std::numeric_limits<int>::max());
    if (!l.fits) return l;
    l.worker_bytes = static_cast<std::size_t>(one.bytes().value());
    l.total_bytes = static_cast<std::size_t>(total.value());
    return l;
}

template <class Job>
class backward_walk {
    using T = typename Job::T;
    using memory = scratch_of<Job>;
    static constexpr int lanes = vec<T>::lanes;

public:
    /// `workspace` holds total_bytes.
    backward_walk(const Job& job, const backward_layout& l, void* workspace)
        : job_(job), l_(l), base_(first_line(workspace))
    {
        job_.row_parameter = reinterpret_cast<T*>(base_ + static_cast<std::size_t>(l.workers) * l.worker_bytes);
    }

    void run_task(int stage, std::int64_t task, int worker) const
    {
        if (stage == l_.stages() - 1) return sum_head(task);
        if (!job_.to.dv.data && !job_.wants_scores()) return;  // what is learned for a head alone
        carver c(base_ + static_cast<std::size_t>(worker) * l_.worker_bytes);
        const memory mem = carve_backward<Job>(c, l_);
        if (l_.diagonal) {
            const std::int64_t head = task / l_.steps(stage), tile = l_.first_tile(stage) + task % l_.steps(stage);
            const std::int64_t block = stage - tile;
            load_tile(head, tile, block == 0, mem);
            take_step(head, tile, block, mem);
            store_tile(head, tile, mem);
            return;
        }
        for (std::int64_t tile = 0; tile < l_.tiles; ++tile) {
            load_tile(task, tile, true, mem);
            for (std::int64_t block = 0; block < l_.blocks; ++block) take_step(task, tile, block, mem);
            store_tile(task, tile, mem);
        }
    }

private:
    int count_of(std::int64_t tile) const
    {
        return static_cast<int>(min_of(micro::gradient_tile, l_.tokens - tile * micro::gradient_tile));
    }
    row_block block_of(std::int64_t head, std::int64_t block) const
    {
        const std::int64_t first = block * l_.block_rows;
        return {head / l_.kv_heads, head % l_.kv_heads, first,
                static_cast<int>(min_of(l_.block_rows, l_.rows - first))};
    }

    /// row(x) of a gradient into whole registers at `to`, zeros where nothing was summed yet, or from there.
    template <class Row>
    static void load_rows(int n, std::int64_t dim, bool empty, Row row, T* to)
    {
        const std::int64_t step = round_up(dim, lanes);
        for (int x = 0; x < n; ++x, to += step) {
            std::int64_t c = 0;
            if (!empty) {
                const T* from = row(x);
                for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c));
                if (c < dim) store(to + c, load_n(from + c, static_cast<int>(dim - c))), c += lanes;
            }
            for (; c < step; c += lanes) store(to + c, vec<T>(0));
        }
    }
    template <class Row>
    static void store_rows(int n, std::int64_t dim, Row row, const T* from)
    {
        const std::int64_t step = round_up(dim, lanes);
        for (int x = 0; x < n; ++x, from += step) {
            T* to = row(x);
            std::int64_t c = 0;
            for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c));
            if (c < dim) store_n(to + c, load(from + c), static_cast<int>(dim - c));
        }
    }

    /// The rows of a gradient that belong to a tile.
    auto rows_of_tile(const view<T>& v, std::int64_t head, std::int64_t tile) const
    {
        return [&v, this, head, tile](int x) {
            return v.row(head / l_.kv_heads, head % l_.kv_heads, tile * micro::gradient_tile + x);
        };
    }
    void load_tile(std::int64_t head, std::int64_t tile, bool empty, const memory& mem) const
    {
        const gradients<T>& to = job_.to;
        const int n = count_of(tile);
        begin_tile(job_, head / l_.kv_heads, head % l_.kv_heads, tile * micro::gradient_tile, n, mem);
        if (to.dk.data) load_rows(n, l_.key_dim, empty, rows_of_tile(to.dk, head, tile), mem.dk);
        if (to.dv.data) load_rows(n, l_.value_dim, empty, rows_of_tile(to.dv, head, tile), mem.dv);
    }
    void store_tile(std::int64_t head, std::int64_t tile, const memory& mem) const
    {
        const gradients<T>& to = job_.to;
        const int n = count_of(tile);
        if (to.dk.data) store_rows(n, l_.key_dim, rows_of_tile(to.dk, head, tile), mem.dk);
        if (to.dv.data) store_rows(n, l_.value_dim, rows_of_tile(to.dv, head, tile), mem.dv);
    }

    void take_step(std::int64_t head, std::int64_t tile, std::int64_t block, const memory& mem) const
    {
        step_place at;
        at.block = block_of(head, block);
        at.position_0 = job_.position_of_row_0(at.block.batch);
        at.token = tile * micro::gradient_tile;
        at.count = count_of(tile);
        const auto dq_row = [&](int x) {
            const query_place p = place_of(job_, at.block, 0, at.block.first + x);
            return job_.to.dq.row(p.batch, p.head, p.row);
        };
        if constexpr (Job::learns_rows)
            if (tile == 0)
                for (int r = 0; r < at.block.count; ++r)
                    job_.row_parameter[job_.index_of(place_of(job_, at.block, 0, at.block.first + r))] = T(0);
        if (job_.to.dq.data) load_rows(at.block.count, l_.key_dim, tile == 0, dq_row, mem.dq);
        at.finite_rows = begin_block(job_, at.block, mem);
        backward_step(job_, at, mem);
        if (job_.to.dq.data) store_rows(at.block.count, l_.key_dim, dq_row, mem.dq);
    }

    /// What is learned for a query head, row after row of every sequence.
    void sum_head(std::int64_t head) const
    {
        if (!job_.to.dlog_offset && !job_.to.dslopes) return;
        double offset = 0, slope = 0;
        for (std::int64_t b = 0; b < l_.batch; ++b) {
            for (std::int64_t i = 0; i < job_.q.size.tokens; ++i) {
                const query_place p{b, head, i, i};
                const std::int64_t x = job_.index_of(p);
                if (job_.to.dlog_offset)
                    offset += static_cast<double>(slopes_of_row(job_.def.normalizer(), head, job_.stats.shift[x],
                                                                job_.stats.mass[x], job_.out.row(b, head, i),
                                                                job_.dout.row(b, head, i), l_.value_dim)
                                                      .extra);
                if (Job::learns_rows && job_.to.dslopes) slope += static_cast<double>(job_.row_parameter[x]);
            }
        }
        if (job_.to.dlog_offset) job_.to.dlog_offset[head] = static_cast<T>(offset);
        if (job_.to.dslopes) job_.to.dslopes[head] = static_cast<T>(slope);
    }

    Job job_;
    backward_layout l_;
    char* base_;
};

}  // namespace kernel
HEED_END
