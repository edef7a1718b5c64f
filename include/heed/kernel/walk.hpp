// SPDX-License-Identifier: MIT
// The walk: which tile steps are taken by which task, and in what memory.
//
// Rows that share a kv head (positions x query heads of the group) are cut into blocks. A task is a block, walked
// over all key tiles; where there are too few blocks for the workers, it is a block and a span of key tiles, every
// tile's partial is stored, and a second stage folds them in the order the first form would have used.
#pragma once

#include "../options.hpp"
#include "fold.hpp"
#include "tile.hpp"

HEED_BEGIN
namespace kernel {

/// The cut of a problem into tasks, and the workspace it needs. A pure function of the sizes.
struct layout {
    std::int64_t batch = 0, kv_heads = 0, group = 1, rows = 0;  // rows: Sq * group of one kv head
    std::int64_t key_dim = 0, value_dim = 0, tokens = 0;        // tokens: of the longest sequence
    bool copies = false;                                        // whether rows of K and V may lie in several runs
    std::int64_t block_rows = 0, blocks_per_head = 0, tiles = 0, spans = 1;
    std::int64_t o_step = 0;
    int workers = 1;
    std::size_t worker_bytes = 0, partial_bytes = 0, total_bytes = 0;

    bool split() const { return spans > 1; }
    std::int64_t blocks() const { return batch * kv_heads * blocks_per_head; }
    int stages() const { return split() ? 2 : 1; }
    std::int64_t tasks(int stage) const { return stage == 0 ? blocks() * spans : blocks(); }
    /// Multiply-adds at most, and reads of K and V.
    double work() const
    {
        return static_cast<double>(batch * kv_heads) * static_cast<double>(tokens) *
               static_cast<double>(key_dim + value_dim) * static_cast<double>(rows + 4);
    }
};

/// Below this much work, some fifty microseconds, waking other threads costs more than they save.
inline constexpr double worth_threads = 1 << 22;

inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t in_lines(std::size_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

/// Hands out aligned pieces of a workspace; with a null base it only counts.
class carver {
public:
    explicit carver(void* base) : base_(static_cast<char*>(base)) {}

    template <class U>
    U* take(std::int64_t n)
    {
        char* p = base_ ? base_ + used_ : nullptr;
        used_ += in_lines(static_cast<std::size_t>(n) * sizeof(U));
        return reinterpret_cast<U*>(p);
    }
    std::size_t used() const { return used_; }

private:
    char* base_;
    std::size_t used_ = 0;
};

template <class T>
partial<T> carve_partial(carver& c, const layout& l)
{
    T* shift = c.take<T>(l.block_rows);
    T* mass = c.take<T>(l.block_rows);
    return {shift, mass, c.take<T>(l.block_rows * l.o_step)};
}

template <class U>
scratch<U> carve_scratch(carver& c, const layout& l)
{
    using T = sum_t<U>;
    scratch<U> m;
    m.part_step = l.block_rows * micro::query_step<T>;
    m.q = c.take<U>(micro::row_parts<T>(l.key_dim).count * m.part_step);
    m.strip = c.take<U>(min_of(l.key_dim, micro::strip_units<T>) * micro::key_strip<T>);
    m.s = c.take<T>(l.block_rows * micro::score_step);
    m.values = c.take<U>(micro::value_run<T> * micro::block_vecs * vec<T>::lanes);
    m.bits = c.take<key_bits>(l.block_rows);
    m.listed = c.take<int>(micro::key_tile);
    m.sparse = c.take<bool>(1);
    m.tile = carve_partial<T>(c, l);
    m.run = carve_partial<T>(c, l);
    m.listed_rows = c.take<const void*>(micro::key_tile + micro::listed_ahead);
    m.copy = l.copies ? c.take<T>(copied_rows * max_of(l.key_dim, l.value_dim)) : nullptr;
    return m;
}

/// Key tiles that hold tokens of a sequence.
inline std::int64_t tiles_of(const token_span& held)
{
    return held.end > held.first ? ceil_div(held.end, micro::key_tile) - held.first / micro::key_tile : 0;
}

/// `tokens` is the end of the longest sequence and `tiles` the most that any takes, -1 where all start at token 0;
/// `copies` where rows of K and V may lie in several runs.
template <class T>
layout make_layout(std::int64_t batch, std::int64_t query_heads, std::int64_t kv_heads, std::int64_t queries,
                   std::int64_t tokens, std::int64_t key_dim, std::int64_t value_dim, int workers, bool copies = false,
                   std::int64_t tiles = -1)
{
    layout l;
    l.batch = batch;
    l.kv_heads = query_heads == 0 ? 0 : kv_heads;
    l.group = kv_heads > 0 ? query_heads / kv_heads : 1;
    l.rows = queries * l.group;
    l.key_dim = key_dim;
    l.value_dim = value_dim;
    l.tokens = tokens;
    l.workers = workers < 1 ? 1 : workers;
    l.tiles = tiles < 0 ? ceil_div(tokens, micro::key_tile) : tiles;
    l.copies = copies;
    l.o_step = round_up(value_dim, vec<T>::lanes);
    l.blocks_per_head = ceil_div(l.rows, micro::query_block);
    if (l.blocks_per_head > 0)
        l.block_rows = min_of(round_up(ceil_div(l.rows, l.blocks_per_head), micro::block_rows), l.rows);
    if (l.workers > 1 && l.blocks() > 0 && l.blocks() < 4 * l.workers)
        l.spans = max_of(min_of(l.tiles, ceil_div(4 * l.workers, l.blocks())), 1);

    carver one(nullptr);
    (void)carve_scratch<T>(one, l);
    l.worker_bytes = one.used();
    carver two(nullptr);
    (void)carve_partial<T>(two, l);
    l.partial_bytes = two.used();
    l.total_bytes = cache_line + static_cast<std::size_t>(l.workers) * l.worker_bytes;
    if (l.split())
        l.total_bytes += static_cast<std::size_t>(l.blocks() * l.tiles) * l.partial_bytes +
                         in_lines(static_cast<std::size_t>(l.blocks() * l.tiles));
    return l;
}

/// Where finished rows go: to out and the statistics, or to a state that is continued.
template <class T, class O>
struct target {
    view<O> out;
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
    walk(const Job& job, const layout& l, const target<T, O>& to, void* workspace) : job_(job), l_(l), to_(to)
    {
        auto address = reinterpret_cast<std::uintptr_t>(workspace);
        base_ = static_cast<char*>(workspace) + (in_lines(address) - address);
    }

    void run_task(int stage, std::int64_t task, int worker) const
    {
        carver c(base_ + static_cast<std::size_t>(worker) * l_.worker_bytes);
        const scratch<U> mem = carve_scratch<U>(c, l_);
        if (stage == 1) return fold_block(block_of(task), task, mem);
        if (!l_.split()) return walk_block(block_of(task), mem);
        const std::int64_t block = task / l_.spans, span = task % l_.spans;
        store_partials(block_of(block), block, l_.tiles * span / l_.spans, l_.tiles * (span + 1) / l_.spans, mem);
    }

private:
    /// One kv head after the other, so that its K and V stay in the shared cache; in each, blocks of late rows come
    /// first: under a causal mask they are the long ones.
    row_block block_of(std::int64_t index) const
    {
        const std::int64_t head = index / l_.blocks_per_head;
        const std::int64_t first = (l_.blocks_per_head - 1 - index % l_.blocks_per_head) * l_.block_rows;
        return {head / l_.kv_heads, head % l_.kv_heads, first,
                static_cast<int>(min_of(l_.block_rows, l_.rows - first))};
    }

    void begin_block(const row_block& block, const scratch<U>& mem) const
    {
        *mem.sparse = false;
        for (int r = 0; r < block.count; ++r) {
            const query_place p = place_of(job_, block, 0, block.first + r);
            micro::pack_query(job_.q.row(p.batch, p.head, p.row), l_.key_dim, job_.scale,
                              mem.q + r * micro::query_step<T>, mem.part_step);
        }
    }

    /// One step, of the tile-th tile that holds tokens of the block's sequence; false where there is none.
    bool step(const row_block& block, std::int64_t tile, const scratch<U>& mem, const partial<T>& result) const
    {
        const token_span held = job_.kv.held(block.batch);
        const std::int64_t token = (held.first / micro::key_tile + tile) * micro::key_tile;
        if (token >= held.end) return false;
        return tile_step(job_, block, token, static_cast<int>(min_of(micro::key_tile, held.end - token)), mem, result,
                         l_.o_step);
    }

    void walk_block(const row_block& block, const scratch<U>& mem) const
    {
        begin_block(block, mem);
        bool empty = !to_.state_shift;  // then the first tile's partial is the sum so far
        if (!empty) begin_rows(block, mem.run);
        for (std::int64_t tile = 0; tile < l_.tiles; ++tile) {
            const partial<T>& result = empty ? mem.run : mem.tile;
            if (!step(block, tile, mem, result)) continue;
            if (!empty) fold(block, mem.run, mem.tile);
            empty = false;
        }
        if (empty) begin_rows(block, mem.run);
        end_rows(block, mem.run);
    }

    partial<T> stored(std::int64_t index) const
    {
        carver c(base_ + static_cast<std::size_t>(l_.workers) * l_.worker_bytes +
                 static_cast<std::size_t>(index) * l_.partial_bytes);
        return carve_partial<T>(c, l_);
    }
    bool& attended(std::int64_t index) const
    {
        return *reinterpret_cast<bool*>(base_ + static_cast<std::size_t>(l_.workers) * l_.worker_bytes +
                                        static_cast<std::size_t>(l_.blocks() * l_.tiles) * l_.partial_bytes +
                                        static_cast<std::size_t>(index));
    }

    void store_partials(const row_block& block, std::int64_t index, std::int64_t first_tile, std::int64_t end_tile,
                        const scratch<U>& mem) const
    {
        begin_block(block, mem);
        for (std::int64_t tile = first_tile; tile < end_tile; ++tile) {
            const std::int64_t slot = index * l_.tiles + tile;
            attended(slot) = step(block, tile, mem, stored(slot));
        }
    }

    void fold_block(const row_block& block, std::int64_t index, const scratch<U>& mem) const
    {
        begin_rows(block, mem.run);
        for (std::int64_t slot = index * l_.tiles; slot < (index + 1) * l_.tiles; ++slot)
            if (attended(slot)) fold(block, mem.run, stored(slot));
        end_rows(block, mem.run);
    }

    void fold(const row_block& block, const partial<T>& run, const partial<T>& tile) const
    {
        for (int r = 0; r < block.count; ++r)
            fold_row(run.shift[r], run.mass[r], run.o + r * l_.o_step, tile.shift[r], tile.mass[r],
                     tile.o + r * l_.o_step, l_.o_step);
    }

    /// Place of a row in dense [B, Hq, Sq].
    std::int64_t index_of(const query_place& p) const
    {
        return (p.batch * l_.kv_heads * l_.group + p.head) * (l_.rows / l_.group) + p.row;
    }

    void begin_rows(const row_block& block, const partial<T>& run) const
    {
        for (int r = 0; r < block.count; ++r) {
            T* o = run.o + r * l_.o_step;
            for (std::int64_t c = 0; c < l_.o_step; ++c) o[c] = T(0);
            run.shift[r] = initial_shift<normalizer::shift, T>;
            run.mass[r] = T(0);
            if (to_.state_shift) {
                const std::int64_t i = index_of(place_of(job_, block, 0, block.first + r));
                run.shift[r] = to_.state_shift[i];
                run.mass[r] = to_.state_mass[i];
                for (std::int64_t c = 0; c < l_.value_dim; ++c) o[c] = to_.state_out[i * l_.value_dim + c];
            }
        }
    }

    void end_rows(const row_block& block, const partial<T>& run) const
    {
        for (int r = 0; r < block.count; ++r) {
            const query_place p = place_of(job_, block, 0, block.first + r);
            const std::int64_t i = index_of(p);
            const T* o = run.o + r * l_.o_step;
            if (to_.state_shift) {
                to_.state_shift[i] = run.shift[r];
                to_.state_mass[i] = run.mass[r];
                for (std::int64_t c = 0; c < l_.value_dim; ++c) to_.state_out[i * l_.value_dim + c] = o[c];
                continue;
            }
            finish_row(job_.def.normalizer(), p.head, run.shift[r], run.mass[r], o, to_.out.row(p.batch, p.head, p.row),
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

/// Runs all stages.
template <class Job, class O>
void run_all(const walk<Job, O>& w, const layout& l, const executor_ref& executor) noexcept
{
    for (int stage = 0; stage < l.stages(); ++stage) {
        auto task = [&](std::int64_t t, int worker) { w.run_task(stage, t, worker); };
        if (l.work() < worth_threads) serial_executor{}(l.tasks(stage), task);
        else executor(l.tasks(stage), task_ref(task));
    }
}

}  // namespace kernel
HEED_END
