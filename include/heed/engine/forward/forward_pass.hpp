// SPDX-License-Identifier: MIT
// The forward pass: the tile steps of each task, in order. A block that is one task folds their partial results as they
// come; of one that is split every tile's partial is stored, and a second stage folds them in the same order. Tiles are
// taken from left to right or, where keys have an order, from the newest to the oldest.
#pragma once

#include "../kernel/remainder.hpp"
#include "../kernel/run_tasks.hpp"
#include "../kernel/task_table.hpp"
#include "band_steps.hpp"
#include "integer_step.hpp"
#include "listed_steps.hpp"
#include "sinks.hpp"
#include "threshold_memory.hpp"
#if defined(HEED_MULTIPLIES_QUADS)
#include "quad_step.hpp"
#endif

HEED_BEGIN
namespace kernel {

/// What a worker holds, and what it does with a tile, in a definition's products.
template <class Def, class U>
using memory_of =
    std::conditional_t<(Def::integer_bits > 0), integer_memory,
                       std::conditional_t<finds_thresholds_v<Def>, threshold_memory<U>, forward_memory<U>>>;
#if defined(HEED_MULTIPLIES_QUADS)
template <class Job>
using steps_of = std::conditional_t<(Job::def_type::integer_bits > 0), quad_steps<Job>, block_steps<Job>>;
#else
template <class Job>
using steps_of = std::conditional_t<(Job::def_type::integer_bits > 0), integer_steps<Job>, block_steps<Job>>;
#endif

/// Whether decode takes heads together in them: float products of all keys.
template <class Def, class U>
inline constexpr bool takes_bands_v =
    micro::takes_bands&& Def::integer_bits == 0 && Def::lists == 0 && !is_thresholded_v<Def> &&
    !has_threshold_v<typename Def::normalizer_type> && !has_order_v<typename Def::normalizer_type>;

/// `Sink` is to_output or to_state.
template <class Job, class Sink>
class forward_pass {
    using T = typename Job::T;
    using U = typename Job::unit;
    using memory = memory_of<typename Job::def_type, U>;
    using steps = steps_of<Job>;
    /// Whether decode prefetches what it reads behind the end of a head: rows of several segments are listed, others
    /// are followed by the next head's.
    static constexpr bool follows_blocks = !micro::two_distances;
    static constexpr bool takes_bands = takes_bands_v<typename Job::def_type, U>;
    using normalizer = typename std::decay_t<decltype(std::declval<Job>().def)>::normalizer_type;
    static constexpr bool has_order = has_order_v<normalizer>;

public:
    /// `workspace` holds total_bytes.
    forward_pass(const Job& job, const partition& p, const Sink& to, void* workspace)
        : job_(job), p_(p), to_(to), base_(first_line(workspace))
    {}

    void run_task(int stage, std::int64_t task, int worker) const
    {
        const partition::work_of work = p_.stage(stage);
        if (work == partition::work_of::list) return tasks().list(job_);
        carver c(base_ + static_cast<std::size_t>(worker) * p_.worker_bytes);
        const memory mem = memory::carve(c, p_);
        const bool folds = work == partition::work_of::fold;
        const sequence_tasks of = tasks().sequence_of(task, folds);
        const std::int64_t own = task - (folds ? of.first.fold : of.first.pass);
        const std::int64_t index = folds ? own : own / of.cut.spans, span = own % of.cut.spans;
        const query_block block = tasks().block_of(of, index);
        if constexpr (takes_bands) {
            if (block.heads > 1) {
                if (folds) fold_band(block, of, index, mem.sum);
                else if (of.cut.split())
                    store_band(block, of, index, {span_begin(block, of, span), span_begin(block, of, span + 1)}, mem);
                else pass_band(block, of.cut.tiles, mem, reads_of(task + p_.workers).behind);
                return;
            }
        }
        if (folds) fold_block(block, of, index, mem.sum);
        else if (!of.cut.split()) run_block(block, of.cut.tiles, mem, reads_of(task + p_.workers));
        else store_partials(block, of, index, {span_begin(block, of, span), span_begin(block, of, span + 1)}, mem);
    }

protected:
    /// Tiles [first, end) of a sequence.
    struct tile_range {
        std::int64_t first, end;
    };

    /// The first tile of a span: spans share the tiles, or, where keys are listed, the entries of the list that the
    /// block's first row has.
    std::int64_t span_begin(const query_block& block, const sequence_tasks& of, std::int64_t span) const
    {
        const std::int64_t tiles = of.cut.tiles, spans = of.cut.spans;
        if constexpr (follows_lists<Job>) {
            const key_list list = job_.def.list(place_of(job_, block, 0, block.first));
            const std::int64_t n = list.entries.size();
            if (follows(block) && n > 0 && span > 0 && span < spans) {
                const std::int64_t token = list.begin(n / spans * span + n % spans * span / spans) - job_.first_key;
                return max_of(min_of((token - first_of(block, 0)) / micro::key_tile, tiles), 0);
            }
        }
        return tiles * span / spans;
    }

    task_table tasks() const { return {p_, sizeof(T), attended_from() + in_lines(static_cast<std::size_t>(p_.slots))}; }

    /// The first token of the tile-th tile that holds tokens of the block's sequence, and how many there are.
    std::int64_t first_of(const query_block& block, std::int64_t tile) const
    {
        return held_tile(job_.kv, block.batch, tile) * micro::key_tile;
    }
    std::int64_t held_from(const query_block& block) const { return job_.kv.held(block.batch).first; }
    std::int64_t keys_from(const query_block& block, std::int64_t token) const
    {
        return min_of(micro::key_tile, job_.kv.held(block.batch).end - token);
    }

    /// The tile that is the turn-th to be taken.
    static std::int64_t tile_at(std::int64_t turn, std::int64_t tiles) { return has_order ? tiles - 1 - turn : turn; }

    /// The first tile from the tile-th on, as they are taken, of which the mask lets any row of the block attend a key,
    /// or `tiles`.
    std::int64_t attended_tile(const query_block& block, std::int64_t tile, std::int64_t tiles) const
    {
        const std::int64_t position_0 = job_.position_of_row_0(block.batch);
        for (; tile < tiles; ++tile) {
            const std::int64_t token = first_of(block, tile_at(tile, tiles)), keys = keys_from(block, token);
            if (keys > 0 && classify(job_, block, position_0, token, static_cast<int>(keys)) != coverage::none) break;
        }
        return tile;
    }
    /// The first cache lines that scoring this tile will touch.
    micro::row_lines first_keys(const query_block& block, std::int64_t tile) const
    {
        const std::int64_t dim = job_.kv.key_dim(), each = elements_of<U>;
        const micro::row_parts<T> parts(ceil_div(dim, each));
        return lines_of(keys_of(job_.kv, block.batch, block.kv_head), first_of(block, tile), micro::key_strip<T>, 0,
                        min_of(parts.end(0) * each, dim));
    }
    /// What a task that passes over a block reads first. The task is most likely this worker's next one.
    next_reads reads_of(std::int64_t task) const
    {
        if (task >= p_.pass_tasks) return {};
        const sequence_tasks of = tasks().sequence_of(task, false);
        const query_block block = tasks().block_of(of, task - of.first.pass);
        const bool streams = block.count <= micro::streaming_rows;
        if (streams && !follows_blocks && block.heads == 1) return {};
        next_reads reads;
        const std::int64_t turn = attended_tile(block, 0, of.cut.tiles), tile = tile_at(turn, of.cut.tiles);
        if (streams) {
            if (turn < of.cut.tiles) reads.behind = {block, max_of(first_of(block, tile), held_from(block))};
            return reads;
        }
        if (turn < of.cut.tiles) reads.keys = first_keys(block, tile);
        reads.queries = rows_of(job_.q, block);
        return reads;
    }
    /// The rows of a block in q, or in a tensor with the same rows. Rows of several heads have no constant stride.
    template <class E>
    micro::row_lines rows_of(const view<E>& of, const query_block& block) const
    {
        if (job_.group > 1) return {};
        return {job_.row_of(of, place_of(job_, block, 0, block.first)), of.stride.tokens, of.size.dim, block.count};
    }

    /// One step, of the tile-th tile; false where there are no tokens of it, or none of them is attended.
    bool step(steps& of, const query_block& block, std::int64_t tile, const partial<T>& result,
              const next_reads& next) const
    {
        const std::int64_t token = first_of(block, tile), keys = keys_from(block, token);
        return keys > 0 && of.step(token, static_cast<int>(keys), result, next);
    }

    /// Says where the step after the next one starts, to products of integers, which look ahead.
    void announce(steps& of, const query_block& block, std::int64_t tile, std::int64_t tiles) const
    {
        if constexpr (Job::def_type::integer_bits > 0)
            of.announce(tile < tiles && keys_from(block, first_of(block, tile)) > 0 ? first_of(block, tile) : -1);
    }

    void run_block(const query_block& block, std::int64_t tiles, const memory& mem, next_reads next) const
    {
        if constexpr (!Sink::continues) next.outputs = rows_of(to_.out, block);
        steps of_block(job_, block, mem);
        bool empty = !Sink::continues;  // then the first tile's partial is the sum so far
        if (!empty) begin_rows(block, mem.sum);
        if constexpr (follows_lists<Job>) {
            if (follows(block)) {
                fold_listed(block, tiles, mem);
                return end_rows(block, mem.sum);
            }
        }
        for (std::int64_t turn = attended_tile(block, 0, tiles), after; turn < tiles; turn = after) {
            if constexpr (has_order)
                if (!empty && have_ended(mem.sum.mass, block.count)) break;
            after = attended_tile(block, turn + 1, tiles);
            announce(of_block, block, after, tiles);
            const partial<T>& result = empty ? mem.sum : mem.tile;
            const next_reads reads =
                after < tiles ? next_reads{{}, first_keys(block, tile_at(after, tiles)), {}, next.behind} : next;
            if (!step(of_block, block, tile_at(turn, tiles), result, reads)) continue;
            if (!empty) fold(block, mem.sum, mem.tile);
            empty = false;
        }
        if (empty) begin_rows(block, mem.sum);
        end_rows(block, mem.sum);
    }

    char* stored_from() const { return base_ + static_cast<std::size_t>(p_.workers) * p_.worker_bytes; }
    char* attended_from() const { return stored_from() + p_.stored_bytes; }

    /// The partial of a block, the index-th of its sequence, and a tile; and whether any row attends one of its keys.
    partial<T> stored(const sequence_tasks& of, std::int64_t index, std::int64_t tile) const
    {
        carver c(stored_from() + of.first.stored +
                 (index * of.cut.tiles + tile) * p_.partial_bytes<std::int64_t>(of.cut, sizeof(T)));
        return partial<T>::carve(c, of.cut.block_rows * p_.band, p_.o_stride);
    }
    /// The first of its heads.
    bool& attended(const sequence_tasks& of, std::int64_t index, std::int64_t tile) const
    {
        return *reinterpret_cast<bool*>(attended_from() + of.first.slots + (index * of.cut.tiles + tile) * p_.band);
    }

    void store_band(const query_block& band, const sequence_tasks& of, std::int64_t index, tile_range tiles,
                    const memory& mem) const
    {
        band_steps<Job> of_band(job_, band, mem, {});
        for (std::int64_t tile = tiles.first; tile < tiles.end; ++tile)
            (void)step(of_band, band, tile, stored(of, index, tile), &attended(of, index, tile));
    }
    /// run_block() of every head.
    void pass_band(const query_block& band, std::int64_t tiles, const memory& mem, const next_block& next) const
    {
        band_steps<Job> of_band(job_, band, mem, next);
        bool attends[micro::most_heads_of_band], empty[micro::most_heads_of_band];
        for (int h = 0; h < band.heads; ++h) {
            empty[h] = !Sink::continues;
            if (!empty[h]) begin_rows(band.of_head(h), mem.sum.from_row(h * band.count));
        }
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
            if (!step(of_band, band, tile, mem.tile, attends)) continue;
            for (int h = 0; h < band.heads; ++h) {
                if (!attends[h]) continue;
                const partial<T> sum = mem.sum.from_row(h * band.count), own = mem.tile.from_row(h * band.count);
                if (empty[h]) copy(band, sum, own);
                else fold(band, sum, own);
                empty[h] = false;
            }
        }
        for (int h = 0; h < band.heads; ++h) {
            const partial<T> sum = mem.sum.from_row(h * band.count);
            if (empty[h]) begin_rows(band.of_head(h), sum);
            end_rows(band.of_head(h), sum);
        }
    }
    bool step(band_steps<Job>& of, const query_block& band, std::int64_t tile, const partial<T>& result,
              bool* attends) const
    {
        const std::int64_t token = first_of(band, tile), keys = keys_from(band, token);
        for (int h = 0; h < band.heads; ++h) attends[h] = false;
        return keys > 0 && of.step(token, static_cast<int>(keys), result, attends);
    }
    void fold_band(const query_block& band, const sequence_tasks& of, std::int64_t index, const partial<T>& sum) const
    {
        for (int h = 0; h < band.heads; ++h) {
            const query_block block = band.of_head(h);
            begin_rows(block, sum);
            for (std::int64_t tile = 0; tile < of.cut.tiles; ++tile)
                if ((&attended(of, index, tile))[h]) fold(block, sum, stored(of, index, tile).from_row(h * band.count));
            end_rows(block, sum);
        }
    }
    void copy(const query_block& block, const partial<T>& to, const partial<T>& from) const
    {
        for (int r = 0; r < block.count; ++r) {
            to.shift[r] = from.shift[r];
            to.mass[r] = from.mass[r];
            std::copy_n(from.o.row(r), p_.o_stride, to.o.row(r));
        }
    }

    void store_partials(const query_block& block, const sequence_tasks& of, std::int64_t index, tile_range tiles,
                        const memory& mem) const
    {
        steps of_block(job_, block, mem);
        if constexpr (follows_lists<Job>) {
            if (follows(block)) return store_listed(block, of, index, tiles, mem);
        }
        if constexpr (has_order) return store_in_order(of_block, block, of, index, tiles, mem);
        for (std::int64_t tile = tiles.first; tile < tiles.end; ++tile) {
            announce(of_block, block, tile + 1, tiles.end);
            attended(of, index, tile) = step(of_block, block, tile, stored(of, index, tile), {});
        }
    }
    /// The same, from the newest tile on, and no tile of which every row has ended in newer ones of the span.
    void store_in_order(steps& of_block, const query_block& block, const sequence_tasks& of, std::int64_t index,
                        tile_range turns, const memory& mem) const
    {
        T* const masses = mem.sum.mass;
        std::fill_n(masses, block.count, T(0));
        for (std::int64_t turn = turns.first; turn < turns.end; ++turn) {
            const std::int64_t tile = tile_at(turn, of.cut.tiles);
            bool& any = attended(of, index, tile);
            const partial<T> result = stored(of, index, tile);
            any = !have_ended(masses, block.count) && step(of_block, block, tile, result, {});
            if (any)
                for (int r = 0; r < block.count; ++r) masses[r] += result.mass[r];
        }
    }

    /// Whether a block's lists are followed: its rows are few, and tiles of the sequence are not left out.
    bool follows(const query_block& block) const
    {
        return block.count <= micro::streaming_rows && job_.tile_stride == 1;
    }
    void fold_listed(const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        listed_steps<Job> listed(job_, block, mem.scores, mem.outputs);
        const std::int64_t first = first_of(block, 0), end = first_of(block, tiles);
        begin_rows(block, mem.sum);
        if (listed.can_fold()) {
            if (listed.fold(first, end, mem.sum)) return;
            begin_rows(block, mem.sum);  // once more, carefully
        }
        listed.run(
            first, end, [&](std::int64_t) -> const partial<T>& { return mem.tile; },
            [&](std::int64_t) { fold(block, mem.sum, mem.tile); });
    }
    void store_listed(const query_block& block, const sequence_tasks& of, std::int64_t index, tile_range tiles,
                      const memory& mem) const
    {
        for (std::int64_t tile = tiles.first; tile < tiles.end; ++tile) attended(of, index, tile) = false;
        const auto tile_of = [&](std::int64_t token) { return (token - first_of(block, 0)) / micro::key_tile; };
        listed_steps<Job>(job_, block, mem.scores, mem.outputs)
            .run(
                first_of(block, tiles.first), first_of(block, tiles.end),
                [&](std::int64_t token) { return stored(of, index, tile_of(token)); },
                [&](std::int64_t token) { attended(of, index, tile_of(token)) = true; });
    }

    void fold_block(const query_block& block, const sequence_tasks& of, std::int64_t index, const partial<T>& sum) const
    {
        begin_rows(block, sum);
        for (std::int64_t turn = 0; turn < of.cut.tiles; ++turn) {
            const std::int64_t tile = tile_at(turn, of.cut.tiles);
            if (attended(of, index, tile)) fold(block, sum, stored(of, index, tile));
        }
        end_rows(block, sum);
    }

    void fold(const query_block& block, const partial<T>& sum, const partial<T>& tile) const
    {
        for (int r = 0; r < block.count; ++r) {
            if constexpr (has_order) fold_older_row(sum.row(r), tile.row(r), p_.o_stride);
            else fold_row(sum.row(r), tile.row(r), p_.o_stride);
        }
    }

    void begin_rows(const query_block& block, const partial<T>& sum) const
    {
        place_cursor<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) {
            const partial_row<T> row = sum.row(r);
            for (std::int64_t c = 0; c < p_.o_stride; ++c) row.o[c] = T(0);
            row.shift = initial_shift<shift_rule<normalizer>(), T>;
            row.mass = T(0);
            if constexpr (Sink::continues) to_.begin_row(job_, places.next(), row);
        }
    }
    void end_rows(const query_block& block, const partial<T>& sum) const
    {
        place_cursor<Job> places(job_, block);
        for (int r = 0; r < block.count; ++r) to_.end_row(job_, places.next(), sum.row(r));
    }

    Job job_;
    partition p_;
    Sink to_;
    char* base_;
};

}  // namespace kernel
HEED_END
