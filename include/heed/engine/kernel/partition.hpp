// SPDX-License-Identifier: MIT
// The cut of a problem into tasks, and the workspace it needs. A pure function of the sizes.
//
// Rows that share a kv head (positions x query heads of the group) are cut into blocks. A task is a block, passed over
// all key tiles of its sequence; where there are too few blocks for the workers, or a block is more than its share of
// the work, it is a block and a span of key tiles. Where sequences differ in length, each is cut by itself, and a table
// in the workspace says which task is whose.
#pragma once

#include "../workspace.hpp"
#include "fold.hpp"
#include "held_tiles.hpp"

HEED_BEGIN
namespace kernel {

using detail::within_limit;

/// How one sequence is cut.
struct sequence_cut {
    std::int64_t rows = 0;  // Sq * group of one kv head
    std::int64_t keys = 0;
    std::int64_t block_rows = 0, blocks_per_head = 0, tiles = 0, spans = 1;

    bool split() const { return spans > 1; }
    /// Cost of an unsplit block in pairs of a row and a key; streaming K and V is charged as four more rows.
    double block_cost() const { return static_cast<double>(keys) * static_cast<double>(block_rows + 4); }
};

/// Rows of each of `blocks` blocks but the last: nearly equal, whole register blocks.
inline std::int64_t rows_of_blocks(std::int64_t rows, std::int64_t blocks)
{
    return blocks > 0 ? min_of(round_up(ceil_div(rows, blocks), micro::register_rows), rows) : 0;
}

/// Rows of blocks that meet no more lists than they must, where `list_rows` rows share one: some whole lists, or an
/// even part of one.
inline std::int64_t rows_beside_lists(std::int64_t list_rows, std::int64_t most_rows)
{
    if (list_rows <= most_rows) return most_rows / list_rows * list_rows;
    std::int64_t parts = ceil_div(list_rows, most_rows);
    for (const std::int64_t most = 2 * parts; list_rows % parts != 0 && parts < most;) ++parts;
    return list_rows % parts == 0 ? list_rows / parts : most_rows;
}

/// The cut of a sequence that holds a token_span or an interrupted_span into blocks of at most `most_rows` rows;
/// list_rows: how many share a list of keys, or 0.
template <class Held>
sequence_cut cut_rows(std::int64_t rows, const Held& held, std::int64_t most_rows, std::int64_t list_rows = 0)
{
    sequence_cut c;
    c.rows = rows;
    c.keys = max_of(held.end - held.first, 0);
    if (c.keys > 0) c.tiles = ceil_div(held.end, micro::key_tile) - held.first / micro::key_tile;
    if constexpr (std::is_same_v<Held, interrupted_span>) {
        c.keys -= max_of(held.gone.end - held.gone.first, 0);
        c.tiles -= held.tiles();
    }
    c.blocks_per_head = ceil_div(rows, most_rows);
    c.block_rows = rows_of_blocks(rows, c.blocks_per_head);
    if (list_rows > 0 && c.blocks_per_head > 1) {
        c.block_rows = rows_beside_lists(list_rows, most_rows);
        c.blocks_per_head = ceil_div(rows, c.block_rows);
    }
    return c;
}

/// What sequences come to: tasks, stored partials (slots) and their bytes. Count is `checked` while a plan is made.
template <class Count>
struct task_counts {
    Count pass = 0, fold = 0, slots = 0, stored = 0;
};

/// Which tasks belong to a sequence. `first` counts the tasks of all sequences before it.
struct sequence_tasks {
    sequence_cut cut;
    std::int64_t sequence = 0;
    task_counts<std::int64_t> first;
};

/// Tasks that each worker gets at least, so that their lengths may differ.
inline constexpr int tasks_of_worker = 4;

/// The kv heads that a task takes together at most, and the tasks that there are at least where heads are enough.
struct band_limits {
    std::int64_t heads = 1, least_tasks = 1;
};

/// How all sequences of a call are cut.
struct partition {
    sequence_cut cut;  // of each sequence where they are alike; of others the largest of each number
    std::int64_t batch = 0, kv_heads = 0, group = 1;
    std::int64_t key_dim = 0, value_dim = 0, tokens = 0;                   // tokens: of the longest sequence
    bool copies = false;                                                   // whether rows of K and V may be copied
    bool ragged = false;                                                   // whether sequences differ
    std::int64_t o_stride = 0, pass_tasks = 0, fold_tasks = 0, slots = 0;  // slots: stored partials
    std::int64_t most_rows = micro::query_block;                           // of a block
    std::int64_t band = 1;                                                 // kv heads of a task
    band_limits bands;
    std::int64_t list_rows = 0;  // how many share a list of keys; 0 where there are none, or all do
    int workers = 1;
    bool fits = true;  // whether tasks and workspace can be counted; if not, they are 0
    double cost = 0;   // of all blocks
    std::size_t worker_bytes = 0, stored_bytes = 0, total_bytes = 0;

    std::int64_t blocks() const { return batch * (kv_heads / band) * cut.blocks_per_head; }
    /// Rows of a block at most, of all heads of its band.
    std::int64_t block_rows() const { return cut.block_rows * band; }
    int stages() const { return (ragged ? 1 : 0) + (fold_tasks > 0 ? 2 : 1); }
    /// What a stage does: lists the tasks, passes over keys, or folds.
    enum class work_of { list, pass, fold };
    work_of stage(int i) const
    {
        if (ragged && i == 0) return work_of::list;
        return i == (ragged ? 1 : 0) ? work_of::pass : work_of::fold;
    }
    std::int64_t tasks(int i) const
    {
        return stage(i) == work_of::list ? 1 : stage(i) == work_of::pass ? pass_tasks : fold_tasks;
    }
    /// Multiply-adds at most, and reads of K and V.
    double work() const { return cost * static_cast<double>(key_dim + value_dim); }

    /// Takes smaller blocks where `blocks` of the largest size would leave workers idle.
    void limit_rows(std::int64_t blocks)
    {
        if (workers > 1 && blocks < std::int64_t{workers} * tasks_of_worker) most_rows = micro::small_query_block;
    }
    /// Takes heads together where rows are few and tasks are left for all workers. `rows`: of one head at most; tiles:
    /// of all sequences.
    void set_band(const band_limits& to, std::int64_t most, std::int64_t tiles)
    {
        bands = to;
        const auto is_enough = [&] {
            const std::int64_t of_a_sequence = kv_heads / band;
            return batch >= ceil_div(bands.least_tasks, of_a_sequence) &&
                   (workers == 1 || tiles >= ceil_div(std::int64_t{workers} * tasks_of_worker, of_a_sequence));
        };
        band = most <= micro::streaming_rows && kv_heads > 0 ? bands.heads : 1;
        while (band > 1 && (kv_heads % band != 0 || !is_enough())) --band;
        copies = copies || band > 1;
    }
    /// Cost of an unsplit block as a multiple of the longest that a task should have.
    double share(const sequence_cut& c) const
    {
        return cost > 0 ? static_cast<double>(band) * c.block_cost() / cost * tasks_of_worker * workers : 0;
    }
    void set_spans(sequence_cut& c) const
    {
        if (workers == 1) return;
        const double wanted = libm::ceil(share(c) - 1e-6), most = static_cast<double>(c.tiles);
        c.spans = max_of(static_cast<std::int64_t>(wanted < most ? wanted : most), 1);
    }
    /// Bytes that are stored of a block and a tile.
    template <class Count>
    Count partial_bytes(const sequence_cut& c, std::int64_t size_of_T) const
    {
        const Count column = Count(c.block_rows) * Count(band) * Count(size_of_T);
        return Count(2) * in_lines(column) + in_lines(column * Count(o_stride));
    }
    /// Adds what `n` sequences that are cut so come to.
    template <class Count>
    void add(const sequence_cut& c, std::int64_t n, std::int64_t size_of_T, task_counts<Count>& to) const
    {
        const Count all = Count(n) * Count(kv_heads / band) * Count(c.blocks_per_head);
        to.pass = to.pass + all * Count(c.spans);
        if (!c.split()) return;
        to.fold = to.fold + all;
        to.slots = to.slots + all * Count(c.tiles) * Count(band);
        to.stored = to.stored + all * Count(c.tiles) * partial_bytes<Count>(c, size_of_T);
    }
    bool operator==(const partition& o) const
    {
        return cut.block_rows == o.cut.block_rows && pass_tasks == o.pass_tasks && fold_tasks == o.fold_tasks &&
               slots == o.slots && cost <= o.cost && cost >= o.cost && total_bytes == o.total_bytes;
    }
};

/// Whether rows of K are copied where keys of a tile lie in several pieces, or are widened.
template <class Kv>
inline constexpr bool may_copy_rows_v = !Kv::contiguous || has_key_blocks_v<Kv>;

/// The sizes of a problem, as far as sequences share them.
struct problem_sizes {
    std::int64_t batch, query_heads, kv_heads, key_dim, value_dim;
    int workers;
    bool copies = false;
    std::int64_t list_rows = 0;  // query rows that share a list of keys; 0: no lists, or all rows
    band_limits bands = {};

    std::int64_t group() const { return query_heads > 0 ? query_heads / kv_heads : 1; }
};

/// The kv heads of a source that decode may take together: see micro::takes_bands and micro::takes_pages.
template <class Kv>
std::int64_t most_heads_of_band(const Kv& kv)
{
    if constexpr (micro::takes_bands) {
        const auto bytes = [](std::int64_t dim, auto e) {
            return elements_for<decltype(e)>(dim) * static_cast<std::int64_t>(sizeof(e));
        };
        const std::int64_t row = max_of(bytes(kv.key_dim(), typename Kv::key_element{}),
                                        bytes(kv.value_dim(), typename Kv::value_element{}));
        const std::int64_t heads =
            max_of(detail::heads_side_by_side_of(kv), micro::takes_pages ? detail::heads_of_a_page_of(kv) : 1);
        return min_of(min_of(heads, micro::most_heads_of_band), max_of(micro::band_row_bytes / max_of(row, 1), 1));
    }
    return 1;
}

/// `queries`: of the longest sequence.
inline partition begin_partition(const problem_sizes& sizes, std::int64_t queries, std::int64_t o_stride)
{
    partition p;
    p.batch = sizes.batch;
    p.kv_heads = sizes.query_heads == 0 ? 0 : sizes.kv_heads;
    p.group = sizes.group();
    p.key_dim = sizes.key_dim;
    p.value_dim = sizes.value_dim;
    p.workers = sizes.workers < 1 ? 1 : sizes.workers;
    p.copies = sizes.copies;
    if (sizes.list_rows > 0 && sizes.list_rows < queries) p.list_rows = sizes.list_rows * p.group;
    p.o_stride = o_stride;
    const checked rows = checked(queries) * p.group;
    p.fits = rows.fits() && within_limit(rows.value());
    return p;
}

/// Counts tasks and workspace, of which a worker's is a Memory.
template <class Memory>
void end_partition(partition& p, const task_counts<checked>& all)
{
    carving_count one;
    (void)Memory::carve(one, p);
    checked total = checked(cache_line) + checked(p.workers) * one.bytes() + all.stored + in_lines(all.slots);
    if (p.ragged) total = total + in_lines(checked(p.batch) * checked(sizeof(sequence_tasks)));
    const checked span_end = checked(p.cut.tiles) * p.cut.spans;  // a task finds its tiles by it
    p.fits = total.fits() && all.pass.fits() && all.fold.fits() && span_end.fits();
    if (!p.fits) return;
    p.pass_tasks = all.pass.value();
    p.fold_tasks = all.fold.value();
    p.slots = all.slots.value();
    p.stored_bytes = static_cast<std::size_t>(all.stored.value());
    p.worker_bytes = static_cast<std::size_t>(one.bytes().value());
    p.total_bytes = static_cast<std::size_t>(total.value());
}

/// Whether a Memory says how many rows of a block it holds at most; then a block is one task, and keys are not split.
template <class Memory, class = void>
inline constexpr bool holds_blocks_v = false;
template <class Memory>
inline constexpr bool holds_blocks_v<Memory, std::void_t<decltype(Memory::most_rows)>> = true;

template <class Memory>
void limit_rows_to(partition& p)
{
    if constexpr (holds_blocks_v<Memory>) p.most_rows = min_of(p.most_rows, Memory::most_rows);
}
/// Counts the work as so much that no block is more than its share.
template <class Memory>
void keep_blocks_whole(partition& p)
{
    if constexpr (holds_blocks_v<Memory>) {
        const double whole = static_cast<double>(p.band * tasks_of_worker) * p.workers * p.cut.block_cost();
        p.cost = p.cost > whole ? p.cost : whole;
    }
}

/// Sequences that are alike: `queries` rows each over the tokens `held`.
template <class Memory, class Held = token_span>
partition make_partition(const problem_sizes& sizes, std::int64_t queries, const Held& held)
{
    using T = typename Memory::T;
    partition p = begin_partition(sizes, queries, round_up(sizes.value_dim, vec<T>::lanes));
    if (!p.fits) return p;
    const sequence_cut one = cut_rows(queries * p.group, held, p.most_rows);
    p.set_band(sizes.bands, queries * p.group, one.tiles * min_of(p.batch, std::int64_t{p.workers} * tasks_of_worker));
    p.limit_rows(p.batch * p.kv_heads * ceil_div(queries * p.group, p.most_rows));
    limit_rows_to<Memory>(p);
    p.cut = cut_rows(queries * p.group, held, p.most_rows, p.list_rows);
    p.tokens = held.end;
    p.cost = static_cast<double>(p.blocks() * p.band) * p.cut.block_cost();
    keep_blocks_whole<Memory>(p);
    p.set_spans(p.cut);
    task_counts<checked> all;
    p.add(p.cut, p.batch, sizeof(T), all);
    end_partition<Memory>(p, all);
    return p;
}

/// Calls f(b, cut) for every sequence, longer ones first: sequences that are cut into spans, then sequences a few of
/// whose blocks make a task of full length, then the rest. queries(b) are its query rows and held(b) its tokens.
template <class Queries, class Held, class F>
void for_sequences(const partition& p, Queries queries, Held held, F f)
{
    for (const int turn : {0, 1, 2})
        for (std::int64_t b = 0; b < p.batch; ++b) {
            sequence_cut c = cut_rows(queries(b) * p.group, held(b), p.most_rows, p.list_rows);
            p.set_spans(c);
            if ((c.split() ? 0 : p.share(c) > 0.25 ? 1 : 2) == turn) f(b, c);
        }
}

/// Sequences that differ; the longest has `most_queries`.
template <class Memory, class Queries, class Held>
partition make_ragged_partition(const problem_sizes& sizes, std::int64_t most_queries, Queries queries, Held held)
{
    using T = typename Memory::T;
    partition p = begin_partition(sizes, most_queries, round_up(sizes.value_dim, vec<T>::lanes));
    p.ragged = true;
    if (!p.fits) return p;
    std::int64_t blocks = 0, tiles = 0;
    for (std::int64_t b = 0; b < p.batch; ++b) {
        blocks += p.kv_heads * ceil_div(queries(b) * p.group, p.most_rows);
        tiles = min_of(tiles + cut_rows(1, held(b), 1).tiles, size_limit);
    }
    p.set_band(sizes.bands, most_queries * p.group, tiles);
    p.limit_rows(blocks);
    limit_rows_to<Memory>(p);
    for (std::int64_t b = 0; b < p.batch; ++b) {
        const sequence_cut c = cut_rows(queries(b) * p.group, held(b), p.most_rows, p.list_rows);
        p.cut.rows = max_of(p.cut.rows, c.rows);
        p.cut.block_rows = max_of(p.cut.block_rows, c.block_rows);
        p.cut.blocks_per_head = max_of(p.cut.blocks_per_head, c.blocks_per_head);
        p.cut.keys = max_of(p.cut.keys, c.keys);
        p.cut.tiles = max_of(p.cut.tiles, c.tiles);
        p.tokens = max_of(p.tokens, held(b).end);
        p.cost += static_cast<double>(p.kv_heads * c.blocks_per_head) * c.block_cost();
    }
    keep_blocks_whole<Memory>(p);
    task_counts<checked> all;
    for_sequences(p, queries, held, [&](std::int64_t, const sequence_cut& c) {
        p.add(c, 1, sizeof(T), all);
        p.cut.spans = max_of(p.cut.spans, c.spans);
    });
    end_partition<Memory>(p, all);
    return p;
}

}  // namespace kernel
HEED_END
