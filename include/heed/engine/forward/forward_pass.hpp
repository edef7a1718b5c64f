// SPDX-License-Identifier: MIT
// The walk: the tile steps of each task, in order, and where their results go. A block that is one task folds them as
// they come; of one that is split every tile's partial is stored, and a second stage folds them in the same order.
#pragma once

#include "../../options.hpp"
#include "../kernel/fold.hpp"
#include "../kernel/partition.hpp"
#include "../kernel/run_tasks.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Where finished rows go: to out and the statistics, or to a state that is continued.
template <class T, class O>
struct target {
    view<O> out;  // rows as q has them
    row_statistics<T> stats;
    T* state_shift = nullptr;  // [B, Hq, Sq]
    T* state_mass = nullptr;
    T* state_out = nullptr;  // [B, Hq, Sq, Dv]
};

template <class Job, class O>
class walk {
    using T = typename Job::T;
    using U = typename Job::unit;
    using normalizer = typename std::decay_t<decltype(std::declval<Job>().def)>::normalizer_type;

public:
    walk(const Job& job, const layout& l, const target<T, O>& to, void* workspace)
        : job_(job), l_(l), to_(to), base_(first_line(workspace))
    {}

    void run_task(int stage, std::int64_t task, int worker) const
    {
        const layout::work_of what = l_.stage(stage);
        if (what == layout::work_of::list) return list_tasks();
        carver c(base_ + static_cast<std::size_t>(worker) * l_.worker_bytes);
        const scratch<U> mem = carve_scratch<U>(c, l_);
        const bool folds = what == layout::work_of::fold;
        const sequence_tasks of = tasks_with(task, folds);
        const std::int64_t own = task - (folds ? of.first.fold : of.first.walk);
        const std::int64_t index = folds ? own : own / of.cut.spans, span = own % of.cut.spans;
        const row_block block = block_of(of, index);
        if (folds) fold_block(block, of, index, mem);
        else if (!of.cut.split()) walk_block(block, of.cut.tiles, mem, reads_of(task + l_.workers));
        else
            store_partials(block, of, index, of.cut.tiles * span / of.cut.spans,
                           of.cut.tiles * (span + 1) / of.cut.spans, mem);
    }

private:
    /// The table of tasks, behind all else; sequences with folds come first.
    sequence_tasks* table() const
    {
        return reinterpret_cast<sequence_tasks*>(attended_from() + in_lines(static_cast<std::size_t>(l_.slots)));
    }
    void list_tasks() const
    {
        sequence_tasks at{}, *to = table();
        for_sequences(
            l_, [&](std::int64_t b) { return job_.queries(b); }, [&](std::int64_t b) { return job_.kv.held(b); },
            [&](std::int64_t b, const sequence_cut& cut) {
                at.cut = cut;
                at.sequence = b;
                *to++ = at;
                l_.add(cut, 1, sizeof(T), at.first);
            });
    }
    /// The sequence that a task belongs to.
    sequence_tasks tasks_with(std::int64_t task, bool folds) const
    {
        if (!l_.uneven) {
            task_counts<std::int64_t> each;
            l_.add(l_, 1, sizeof(T), each);
            sequence_tasks at{l_, task / (folds ? each.fold : each.walk), {}};
            l_.add(l_, at.sequence, sizeof(T), at.first);
            return at;
        }
        const sequence_tasks* of = table();
        std::int64_t lo = 0, hi = l_.batch;  // the first task of lo is not behind `task`, that of hi is
        while (hi - lo > 1) {
            const std::int64_t mid = lo + (hi - lo) / 2;
            ((folds ? of[mid].first.fold : of[mid].first.walk) <= task ? lo : hi) = mid;
        }
        return of[lo];
    }

    /// One kv head after the other, so that its K and V stay in the shared cache; in each, blocks of late rows come
    /// first: under a causal mask they are the long ones.
    row_block block_of(const sequence_tasks& of, std::int64_t index) const
    {
        const sequence_cut& c = of.cut;
        const std::int64_t first = (c.blocks_per_head - 1 - index % c.blocks_per_head) * c.block_rows;
        return {of.sequence, index / c.blocks_per_head, first, static_cast<int>(min_of(c.block_rows, c.rows - first))};
    }

    void begin_block(const row_block& block, const scratch<U>& mem) const
    {
        *mem.sparse = false;
        // Rows of one head were asked for while the block before was at work: asking again costs 1 % of a 128 x 128
        // problem.
        const int lead = job_.group > 1 ? micro::near_rows : 0;
        place_walk<Job> places(job_, block), ahead(job_, block);
        for (int r = -lead; r < block.count; ++r) {
            if (lead > 0 && r + lead < block.count)
                micro::ask_for(job_.row_of(job_.q, ahead.next()), job_.kv.key_dim());
            if (r >= 0) pack_query_of(job_, job_.row_of(job_.q, places.next()), block.kv_head, r, mem);
        }
    }

    /// The first token of the tile-th tile that holds tokens of the block's sequence, and how many there are.
    std::int64_t first_of(const row_block& block, std::int64_t tile) const
    {
        return (job_.kv.held(block.batch).first / micro::key_tile + tile) * micro::key_tile;
    }
    std::int64_t keys_from(const row_block& block, std::int64_t token) const
    {
        return min_of(micro::key_tile, job_.kv.held(block.batch).end - token);
    }

    /// The first tile from the tile-th on of which the mask lets any row of the block attend a key, or `tiles`.
    std::int64_t attended_tile(const row_block& block, std::int64_t tile, std::int64_t tiles) const
    {
        const std::int64_t position_0 = job_.position_of_row_0(block.batch);
        for (; tile < tiles; ++tile) {
            const std::int64_t token = first_of(block, tile), keys = keys_from(block, token);
            if (keys > 0 && classify(job_, block, position_0, token, static_cast<int>(keys)) != coverage::none) break;
        }
        return tile;
    }
    /// What is read first of a tile.
    micro::row_lines first_keys(const row_block& block, std::int64_t tile) const
    {
        const std::int64_t dim = job_.kv.key_dim(), each = elements_of<U>;
        const micro::row_parts<T> parts(ceil_div(dim, each));
        return lines_of(keys_of(job_.kv, block), first_of(block, tile), micro::key_strip<T>, 0,
                        min_of(parts.end(0) * each, dim));
    }
    /// What a task reads first, of those that walk over a block: most likely this worker's next one.
    next_reads reads_of(std::int64_t task) const
    {
        if (task >= l_.walk_tasks) return {};
        const sequence_tasks of = tasks_with(task, false);
        const row_block block = block_of(of, task - of.first.walk);
        if (block.count <= micro::streaming_rows) return {};
        next_reads reads;
        const std::int64_t tile = attended_tile(block, 0, of.cut.tiles);
        if (tile < of.cut.tiles) reads.keys = first_keys(block, tile);
        reads.queries = rows_of(job_.q, block);
        return reads;
    }
    /// The rows of a block in q, or in a tensor whose rows are those of q; those of several heads have no constant
    /// step.
    template <class E>
    micro::row_lines rows_of(const view<E>& of, const row_block& block) const
    {
        if (job_.group > 1) return {};
        return {job_.row_of(of, place_of(job_, block, 0, block.first)), of.step.tokens, of.size.dim, block.count};
    }

    /// One step, of the tile-th tile; false where there are no tokens of it, or none of them is attended.
    bool step(const row_block& block, std::int64_t tile, const scratch<U>& mem, const partial<T>& result,
              const next_reads& next) const
    {
        const std::int64_t token = first_of(block, tile), keys = keys_from(block, token);
        return keys > 0 && tile_step(job_, block, token, static_cast<int>(keys), mem, result, l_.o_step, next);
    }

    void walk_block(const row_block& block, std::int64_t tiles, const scratch<U>& mem, next_reads next) const
    {
        if (!to_.state_shift) next.outputs = rows_of(to_.out, block);
        begin_block(block, mem);
        bool empty = !to_.state_shift;  // then the first tile's partial is the sum so far
        if (!empty) begin_rows(block, mem.run);
        for (std::int64_t tile = attended_tile(block, 0, tiles), after; tile < tiles; tile = after) {
            after = attended_tile(block, tile + 1, tiles);
            const partial<T>& result = empty ? mem.run : mem.tile;
            const next_reads reads = after < tiles ? next_reads{{}, first_keys(block, after), {}} : next;
            if (!step(block, tile, mem, result, reads)) continue;
            if (!empty) fold(block, mem.run, mem.tile);
            empty = false;
        }
        if (empty) begin_rows(block, mem.run);
        end_rows(block, mem.run);
    }

    char* stored_from() const { return base_ + static_cast<std::size_t>(l_.workers) * l_.worker_bytes; }
    char* attended_from() const { return stored_from() + l_.stored_bytes; }

    /// The partial of a block, the index-th of its sequence, and a tile; and whether any row attends one of its keys.
    partial<T> stored(const sequence_tasks& of, std::int64_t index, std::int64_t tile) const
    {
        carver c(stored_from() + of.first.stored +
                 (index * of.cut.tiles + tile) * l_.partial_bytes<std::int64_t>(of.cut, sizeof(T)));
        return carve_partial<T>(c, of.cut.block_rows, l_.o_step);
    }
    bool& attended(const sequence_tasks& of, std::int64_t index, std::int64_t tile) const
    {
        return *reinterpret_cast<bool*>(attended_from() + of.first.slots + index * of.cut.tiles + tile);
    }

    void store_partials(const row_block& block, const sequence_tasks& of, std::int64_t index, std::int64_t first_tile,
                        std::int64_t end_tile, const scratch<U>& mem) const
    {
        begin_block(block, mem);
        for (std::int64_t tile = first_tile; tile < end_tile; ++tile)
            attended(of, index, tile) = step(block, tile, mem, stored(of, index, tile), {});
    }

    void fold_block(const row_block& block, const sequence_tasks& of, std::int64_t index, const scratch<U>& mem) const
    {
        begin_rows(block, mem.run);
        for (std::int64_t tile = 0; tile < of.cut.tiles; ++tile)
            if (attended(of, index, tile)) fold(block, mem.run, stored(of, index, tile));
        end_rows(block, mem.run);
    }

    void fold(const row_block& block, const partial<T>& run, const partial<T>& tile) const
    {
        for (int r = 0; r < block.count; ++r)
            fold_row(run.shift[r], run.mass[r], run.o + r * l_.o_step, tile.shift[r], tile.mass[r],
                     tile.o + r * l_.o_step, l_.o_step);
    }

    void begin_rows(const row_block& block, const partial<T>& run) const
    {
        place_walk<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) {
            T* o = run.o + r * l_.o_step;
            for (std::int64_t c = 0; c < l_.o_step; ++c) o[c] = T(0);
            run.shift[r] = initial_shift<normalizer::shift, T>;
            run.mass[r] = T(0);
            if (to_.state_shift) {
                const std::int64_t i = job_.index_of(places.next());
                run.shift[r] = to_.state_shift[i];
                run.mass[r] = to_.state_mass[i];
                for (std::int64_t c = 0; c < l_.value_dim; ++c) o[c] = to_.state_out[i * l_.value_dim + c];
            }
        }
    }

    void end_rows(const row_block& block, const partial<T>& run) const
    {
        place_walk<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) {
            const query_place p = places.next();
            const std::int64_t i = job_.index_of(p);
            const T* o = run.o + r * l_.o_step;
            if (to_.state_shift) {
                to_.state_shift[i] = run.shift[r];
                to_.state_mass[i] = run.mass[r];
                for (std::int64_t c = 0; c < l_.value_dim; ++c) to_.state_out[i * l_.value_dim + c] = o[c];
                continue;
            }
            finish_row(job_.def.normalizer(), p.head, run.shift[r], run.mass[r], o, job_.row_of(to_.out, p),
                       l_.value_dim, to_.stats.lse ? to_.stats.lse + i : nullptr);
            if (to_.stats.shift) to_.stats.shift[i] = run.shift[r];
            if (to_.stats.mass) to_.stats.mass[i] = run.mass[r];
        }
    }

    Job job_;
    layout l_;
    target<T, O> to_;
    char* base_;
};

/// Runs all stages, as far as the executor runs all tasks.
template <class Job, class O>
status run_all(const char* verb, const walk<Job, O>& w, const layout& l, const executor_ref& executor) noexcept
{
    status s;
    for (int stage = 0; s && stage < l.stages(); ++stage) {
        auto task = [&](std::int64_t t, int worker) { w.run_task(stage, t, worker); };
        s = run_tasks(verb, l.work(), executor, l.tasks(stage), task);
    }
    return s;
}

}  // namespace kernel
HEED_END
