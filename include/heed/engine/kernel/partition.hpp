// SPDX-License-Identifier: MIT
// The cut of a problem into tasks, and the workspace it needs. A pure function of the sizes.
//
// Rows that share a kv head (positions x query heads of the group) are cut into blocks. A task is a block, walked over
// all key tiles of its sequence; where there are too few blocks for the workers, or a block is more than its share of
// the work, it is a block and a span of key tiles. Where sequences differ in length, each is cut by itself, and a table
// in the workspace says which task is whose.
#pragma once

#include "../workspace.hpp"
#include "rows.hpp"

HEED_BEGIN
namespace kernel {

using detail::within_limit;

/// How one sequence is cut.
struct sequence_cut {
    std::int64_t rows = 0;  // Sq * group of one kv head
    std::int64_t keys = 0;
    std::int64_t block_rows = 0, blocks_per_head = 0, tiles = 0, spans = 1;

    bool split() const { return spans > 1; }
    /// Of a block that is walked whole, in pairs of a row and a key; reading K and V counts as four rows.
    double block_cost() const { return static_cast<double>(keys) * static_cast<double>(block_rows + 4); }
};

/// Rows of each of so many blocks but the last: nearly equal, whole register blocks.
inline std::int64_t rows_of_blocks(std::int64_t rows, std::int64_t blocks)
{
    return blocks > 0 ? min_of(round_up(ceil_div(rows, blocks), micro::block_rows), rows) : 0;
}

/// Blocks of at most so many rows.
inline sequence_cut cut_rows(std::int64_t rows, const token_span& held, std::int64_t most_rows)
{
    sequence_cut c;
    c.rows = rows;
    c.keys = max_of(held.end - held.first, 0);
    if (c.keys > 0) c.tiles = ceil_div(held.end, micro::key_tile) - held.first / micro::key_tile;
    c.blocks_per_head = ceil_div(rows, most_rows);
    c.block_rows = rows_of_blocks(rows, c.blocks_per_head);
    return c;
}

/// What sequences come to: tasks, stored partials (slots) and their bytes. Count is `checked` while a plan is made.
template <class Count>
struct task_counts {
    Count walk = 0, fold = 0, slots = 0, stored = 0;
};

/// Which tasks are those of a sequence: the counts are those of all sequences before it.
struct sequence_tasks {
    sequence_cut cut;
    std::int64_t sequence = 0;
    task_counts<std::int64_t> first;
};

/// Tasks that each worker gets at least, so that their lengths may differ.
inline constexpr int tasks_of_worker = 4;

/// Of sequences that are alike, each is cut as this says; of others this has the largest of each number.
struct layout : sequence_cut {
    std::int64_t batch = 0, kv_heads = 0, group = 1;
    std::int64_t key_dim = 0, value_dim = 0, tokens = 0;  // tokens: of the longest sequence
    bool copies = false;                                  // whether rows of K and V may lie in several runs
    bool uneven = false;                                  // whether sequences differ
    std::int64_t o_step = 0, walk_tasks = 0, fold_tasks = 0, slots = 0;  // slots: stored partials
    std::int64_t most_rows = micro::query_block;                         // of a block
    int workers = 1;
    bool fits = true;  // whether tasks and workspace can be counted; if not, they are 0
    double cost = 0;   // of all blocks
    std::size_t worker_bytes = 0, stored_bytes = 0, total_bytes = 0;

    std::int64_t blocks() const { return batch * kv_heads * blocks_per_head; }
    int stages() const { return (uneven ? 1 : 0) + (fold_tasks > 0 ? 2 : 1); }
    /// What a stage does: lists the tasks, walks over keys, or folds.
    enum class work_of { list, walk, fold };
    work_of stage(int i) const
    {
        if (uneven && i == 0) return work_of::list;
        return i == (uneven ? 1 : 0) ? work_of::walk : work_of::fold;
    }
    std::int64_t tasks(int i) const
    {
        return stage(i) == work_of::list ? 1 : stage(i) == work_of::walk ? walk_tasks : fold_tasks;
    }
    /// Multiply-adds at most, and reads of K and V.
    double work() const { return cost * static_cast<double>(key_dim + value_dim); }

    /// Smaller blocks where so many of the largest size would leave workers idle.
    void limit_rows(std::int64_t blocks)
    {
        if (workers > 1 && blocks < std::int64_t{workers} * tasks_of_worker) most_rows = micro::small_query_block;
    }
    /// A block of this cut, walked whole, in tasks as long as they should be at most.
    double share(const sequence_cut& c) const
    {
        return cost > 0 ? c.block_cost() / cost * tasks_of_worker * workers : 0;
    }
    void set_spans(sequence_cut& c) const
    {
        if (workers == 1) return;
        const double wanted = std::ceil(share(c) - 1e-6), most = static_cast<double>(c.tiles);
        c.spans = max_of(static_cast<std::int64_t>(wanted < most ? wanted : most), 1);
    }
    /// What is stored of a block and a tile.
    template <class Count>
    Count partial_bytes(const sequence_cut& c, std::int64_t size_of_T) const
    {
        const Count column = Count(c.block_rows) * Count(size_of_T);
        return Count(2) * in_lines(column) + in_lines(column * Count(o_step));
    }
    /// Adds what `n` sequences that are cut so come to.
    template <class Count>
    void add(const sequence_cut& c, std::int64_t n, std::int64_t size_of_T, task_counts<Count>& to) const
    {
        const Count all = Count(n) * Count(kv_heads) * Count(c.blocks_per_head);
        to.walk = to.walk + all * Count(c.spans);
        if (!c.split()) return;
        to.fold = to.fold + all;
        to.slots = to.slots + all * Count(c.tiles);
        to.stored = to.stored + all * Count(c.tiles) * partial_bytes<Count>(c, size_of_T);
    }
    bool operator==(const layout& o) const
    {
        return block_rows == o.block_rows && walk_tasks == o.walk_tasks && fold_tasks == o.fold_tasks &&
               slots == o.slots && cost <= o.cost && cost >= o.cost && total_bytes == o.total_bytes;
    }
};

template <class T, class Carver>
partial<T> carve_partial(Carver& c, std::int64_t block_rows, std::int64_t o_step)
{
    T* shift = c.template take<T>(block_rows);
    T* mass = c.template take<T>(block_rows);
    return {shift, mass, c.template take<T>(block_rows, o_step)};
}

template <class U, class Carver>
scratch<U> carve_scratch(Carver& c, const layout& l)
{
    using T = sum_t<U>;
    scratch<U> m;
    m.part_step = l.block_rows * micro::query_step<T>;
    m.q = c.template take<U>(micro::row_parts<T>(l.key_dim).count, m.part_step);
    m.strip = c.template take<U>(min_of(l.key_dim, micro::strip_units<T>), micro::key_strip<T>);
    m.s = c.template take<T>(l.block_rows, micro::score_step);
    m.values = c.template take<U>(micro::value_run<T> / elements_of<U> * micro::block_vecs * vec<T>::lanes);
    m.bits = c.template take<key_bits>(l.block_rows);
    m.listed = c.template take<int>(micro::key_tile);
    m.sparse = c.template take<bool>(1);
    m.tile = carve_partial<T>(c, l.block_rows, l.o_step);
    m.run = carve_partial<T>(c, l.block_rows, l.o_step);
    m.listed_rows = c.template take<const void*>(micro::key_tile + micro::listed_ahead);
    m.copy = l.copies ? c.template take<T>(copied_rows, max_of(l.key_dim, l.value_dim)) : nullptr;
    return m;
}

/// The sizes of a problem, as far as sequences share them.
struct problem_sizes {
    std::int64_t batch, query_heads, kv_heads, key_dim, value_dim;
    int workers;
    bool copies = false;

    std::int64_t group() const { return query_heads > 0 ? query_heads / kv_heads : 1; }
};

/// `queries`: of the longest sequence.
inline layout begin_layout(const problem_sizes& p, std::int64_t queries, std::int64_t o_step)
{
    layout l;
    l.batch = p.batch;
    l.kv_heads = p.query_heads == 0 ? 0 : p.kv_heads;
    l.group = p.group();
    l.key_dim = p.key_dim;
    l.value_dim = p.value_dim;
    l.workers = p.workers < 1 ? 1 : p.workers;
    l.copies = p.copies;
    l.o_step = o_step;
    const checked rows = checked(queries) * l.group;
    l.fits = rows.fits() && within_limit(rows.value());
    return l;
}

template <class T>
void end_layout(layout& l, const task_counts<checked>& all)
{
    carving_count one;
    (void)carve_scratch<T>(one, l);
    checked total = checked(cache_line) + checked(l.workers) * one.bytes() + all.stored + in_lines(all.slots);
    if (l.uneven) total = total + in_lines(checked(l.batch) * checked(sizeof(sequence_tasks)));
    const checked span_end = checked(l.tiles) * l.spans;  // a task finds its tiles by it
    l.fits = total.fits() && all.walk.fits() && all.fold.fits() && span_end.fits();
    if (!l.fits) return;
    l.walk_tasks = all.walk.value();
    l.fold_tasks = all.fold.value();
    l.slots = all.slots.value();
    l.stored_bytes = static_cast<std::size_t>(all.stored.value());
    l.worker_bytes = static_cast<std::size_t>(one.bytes().value());
    l.total_bytes = static_cast<std::size_t>(total.value());
}

/// Sequences that are alike: `queries` rows each over the tokens `held`.
template <class T>
layout make_layout(const problem_sizes& p, std::int64_t queries, const token_span& held)
{
    layout l = begin_layout(p, queries, round_up(p.value_dim, vec<T>::lanes));
    if (!l.fits) return l;
    l.limit_rows(l.batch * l.kv_heads * ceil_div(queries * l.group, l.most_rows));
    static_cast<sequence_cut&>(l) = cut_rows(queries * l.group, held, l.most_rows);
    l.tokens = held.end;
    l.cost = static_cast<double>(l.blocks()) * l.block_cost();
    l.set_spans(l);
    task_counts<checked> all;
    l.add(l, l.batch, sizeof(T), all);
    end_layout<T>(l, all);
    return l;
}

/// Calls f(b, cut) for every sequence, longer ones first: those that are cut into spans, those of whose blocks a few
/// make a task of full length, and the rest. queries(b) are its query rows and held(b) its tokens.
template <class Queries, class Held, class F>
void for_sequences(const layout& l, Queries queries, Held held, F f)
{
    for (const int turn : {0, 1, 2})
        for (std::int64_t b = 0; b < l.batch; ++b) {
            sequence_cut c = cut_rows(queries(b) * l.group, held(b), l.most_rows);
            l.set_spans(c);
            if ((c.split() ? 0 : l.share(c) > 0.25 ? 1 : 2) == turn) f(b, c);
        }
}

/// Sequences that differ; the longest has `most_queries`.
template <class T, class Queries, class Held>
layout make_uneven_layout(const problem_sizes& p, std::int64_t most_queries, Queries queries, Held held)
{
    layout l = begin_layout(p, most_queries, round_up(p.value_dim, vec<T>::lanes));
    l.uneven = true;
    if (!l.fits) return l;
    std::int64_t blocks = 0;
    for (std::int64_t b = 0; b < l.batch; ++b) blocks += l.kv_heads * ceil_div(queries(b) * l.group, l.most_rows);
    l.limit_rows(blocks);
    for (std::int64_t b = 0; b < l.batch; ++b) {
        const sequence_cut c = cut_rows(queries(b) * l.group, held(b), l.most_rows);
        l.rows = max_of(l.rows, c.rows);
        l.block_rows = max_of(l.block_rows, c.block_rows);
        l.blocks_per_head = max_of(l.blocks_per_head, c.blocks_per_head);
        l.keys = max_of(l.keys, c.keys);
        l.tiles = max_of(l.tiles, c.tiles);
        l.tokens = max_of(l.tokens, held(b).end);
        l.cost += static_cast<double>(l.kv_heads * c.blocks_per_head) * c.block_cost();
    }
    task_counts<checked> all;
    for_sequences(l, queries, held, [&](std::int64_t, const sequence_cut& c) {
        l.add(c, 1, sizeof(T), all);
        l.spans = max_of(l.spans, c.spans);
    });
    end_layout<T>(l, all);
    return l;
}

}  // namespace kernel
HEED_END
