// SPDX-License-Identifier: MIT
// The tile steps of a block whose rows are few and whose keys are listed: the listed rows of K are gathered and scored
// by registers that are full whatever their tiles, then each tile is weighed, and the listed rows of V are read. Every
// partial result has the bits of the same tile under a mask.
//
// Memory is asked for one phase ahead: the values of a chunk while its keys are scored, the keys of the next chunk
// while the values of this one are used.
#pragma once

#include "../micro/outputs_folded.hpp"
#include "../simd/finite.hpp"
#include "listed_weights.hpp"
#include "tile_outputs.hpp"

HEED_BEGIN
namespace kernel {

/// The rows of a chunk, to be requested some at a time. A row that lies on a page of its own waits for its address to
/// be translated, and everything behind it with it; a few such waits at a time overlap, and what follows them. So the
/// first lines of some rows are requested together, and their other lines a turn later. (Emerald Rapids, 4 KiB pages:
/// line by line, nothing of the wait for memory overlapped with work.)
template <class Chunk>
class row_requests {
public:
    /// Rows whose first lines are requested together.
    static constexpr int at_once = 4;
    /// Into the L1 cache, from where later rows push them into the L2 cache, or at two distances into the L2 cache:
    /// 1.30 ms instead of 1.87 over f32, the same over q8_0 (Zen 5, 2048 of 131072 tokens; medians of three runs).
    static constexpr int locality = micro::two_distances ? 2 : 3;

    /// First the keys of a chunk, and then its values.
    row_requests(const Chunk& c, std::int64_t key_bytes, std::int64_t value_bytes)
        : chunk_(&c), bytes_{key_bytes, value_bytes}, rows_(2 * c.count)
    {}
    int rows() const { return rows_; }
    /// Requests up to n more rows.
    HEED_INLINE void take(int n)
    {
        const int begin = first_, end = n < rows_ - begin ? begin + n : rows_;
        for (int i = begin; i < end; ++i) micro::prefetch_line<locality>(address(i));
        for (int i = rest_; i < begin; ++i) request_rest(i);
        first_ = end;
        rest_ = begin;
    }
    /// Requests what is left up to row `end`.
    void take_up_to(int end)
    {
        while (rest_ < end) take(first_ < end ? at_once : 0);
    }
    /// What scores_unpacked() calls for every n channels that are used.
    HEED_INLINE void next(int)
    {
        if (++calls_ % at_once == 0 && rest_ < rows_) take(at_once);
    }

private:
    HEED_INLINE std::uintptr_t address(int i) const
    {
        const int n = chunk_->count;
        return i < n ? reinterpret_cast<std::uintptr_t>(chunk_->keys[i])
                     : reinterpret_cast<std::uintptr_t>(chunk_->values[i - n]);
    }
    HEED_INLINE void request_rest(int i) const
    {
        const std::uintptr_t at = address(i);
        const std::uintptr_t end = at + static_cast<std::uintptr_t>(bytes_[i >= chunk_->count]);
        for (std::uintptr_t line = at - micro::in_line(at) + cache_line; line < end; line += cache_line)
            micro::prefetch_line<locality>(line);
    }

    const Chunk* chunk_;
    std::int64_t bytes_[2];
    int rows_, first_ = 0, rest_ = 0;  // rows whose first line, and whose other lines are requested
    unsigned calls_ = 0;
};

/// Copies a row; by whole registers of bytes, for its length is no constant.
HEED_INLINE void copy_row(const void* from, std::int64_t bytes, void* to)
{
    constexpr std::int64_t piece = 64;
    const char* const a = static_cast<const char*>(from);
    char* const b = static_cast<char*>(to);
    if (bytes < piece) {
        std::memcpy(b, a, static_cast<std::size_t>(bytes));
        return;
    }
    for (std::int64_t i = 0; i + piece <= bytes; i += piece) std::memcpy(b + i, a + i, piece);
    if (bytes % piece != 0) std::memcpy(b + bytes - piece, a + bytes - piece, piece);  // some of them again
}

/// The tile steps of one query block over its listed keys, in order. Its queries are packed already.
template <class Job>
class listed_steps {
    using T = typename Job::T;
    using V = vec<T>;
    using U = typename Job::unit;
    using Kv = typename Job::kv_type;
    using K = typename Job::key_element;
    using E = typename Job::value_element;
    using chunk = key_chunk<Kv>;

    /// Keys of a chunk: their rows of K, and those of V, wait in the L2 cache.
    static constexpr int chunk_keys = 256, first_keys = 64;
    /// Per cent of the rows of the next chunk that are requested while tiles are weighed; the rest is while it is
    /// scored.
    static constexpr int steps_share = 80;
    using requests = row_requests<chunk>;

public:
    listed_steps(const Job& job, const query_block& block, const scores_memory<U>& scores,
                 const outputs_memory<U>& outputs)
        : job_(job), block_(block), scores_(scores), outputs_(outputs), position_0_(job.position_of_row_0(block.batch)),
          key_bytes_(bytes_of<K>(job.kv.key_dim())), value_bytes_(bytes_of<E>(job.kv.value_dim()))
    {
        for (int i = 0; i < chunk::capacity; ++i) outputs_.listed[i] = i;
    }

    /// The partial results of the tiles among tokens [first, end) of which any row attends a key: into(token) is where
    /// a tile's result goes, and done(token) is called when it is there.
    template <class Into, class Done>
    void run(std::int64_t first, std::int64_t end, Into into, Done done)
    {
        for_tiles(first, end, [&](const chunk& c, int t, requests& ahead, int pace) {
            const partial<T>& result = into(c.of[t].token);
            step(c, t, result, ahead, pace);
            done(c.of[t].token);
        });
    }
    /// Folds these partial results into `sum` as they come. Returns false where a row came out non-finite, as NaN and
    /// Inf may that meet a weight of 0: then run() leaves such keys out. (Whole registers of channels only.)
    bool fold(std::int64_t first, std::int64_t end, const partial<T>& sum)
    {
        for_tiles(first, end,
                  [&](const chunk& c, int t, requests& ahead, int pace) { fold_tile(c, t, sum, ahead, pace); });
        bool finite = true;
        for (int r = 0; r < block_.count; ++r) finite = finite && micro::all_finite<T>(sum.o.row(r), sum.o.stride);
        return finite;
    }
    bool can_fold() const { return job_.kv.value_dim() % V::lanes == 0; }

private:
    template <class F>
    void for_tiles(std::int64_t first, std::int64_t end, F f)
    {
        chunk_reader<Job> reader(job_, block_, first, end);
        chunk both[2];
        reader.read(both[0], first_keys);
        requests ahead(both[0], key_bytes_, value_bytes_);
        ahead.take_up_to(both[0].count);
        for (int turn = 0; both[turn].count > 0; turn = 1 - turn) {
            const chunk& now = both[turn];
            chunk& next = both[1 - turn];
            score(now, ahead);
            ahead.take_up_to(ahead.rows());
            reader.read(next, chunk_keys);
            ahead = requests(next, key_bytes_, value_bytes_);
            const auto turns = std::int64_t{now.tiles} * block_.count;
            const int pace = static_cast<int>(ceil_div(std::int64_t{ahead.rows()} * steps_share / 100, turns));
            for (int t = 0; t < now.tiles; ++t) f(now, t, ahead, pace);
        }
    }
    template <class X>
    static std::int64_t bytes_of(std::int64_t channels)
    {
        return elements_for<X>(channels) * static_cast<std::int64_t>(sizeof(X));
    }

    /// S for all keys of a chunk, scaled.
    void score(const chunk& c, requests& ahead)
    {
        constexpr int lanes = V::lanes, least = micro::unpacked_vecs * lanes;
        static_assert(copied_rows >= least);
        const auto source = keys_of(job_.kv, block_.batch, block_.kv_head);
        using R = typename decltype(source)::read_element;
        const std::int64_t row_bytes = bytes_of<R>(job_.kv.key_dim());
        const std::int64_t room = copied_rows * max_of(job_.kv.key_dim(), job_.kv.value_dim()) *
                                  static_cast<std::int64_t>(sizeof(T)) / row_bytes;
        const int at_once = static_cast<int>(min_of(room, micro::overlapped_keys)) / least * least;
        const std::int64_t dim = job_.kv.key_dim();
        char* const copy = static_cast<char*>(scores_.copy);
        [[maybe_unused]] int tile = 0;
        for (int x = 0; x < c.count; x += at_once) {
            const int keys = at_once < c.count - x ? at_once : c.count - x;
            const int whole = static_cast<int>(round_up(keys, lanes));
            for (int i = 0; i < whole; ++i) {
                const int of = i < keys ? x + i : x + keys - 1;  // what fills the last register
                if constexpr (source.widens) {
                    while (of >= c.end_of(tile)) ++tile;
                    (void)widened(source, c.of[tile].token + c.key[of], 1, copy + i * row_bytes);
                } else {
                    copy_row(c.keys[of], key_bytes_, copy + i * key_bytes_);
                }
            }
            const micro::row_panel<R> rows{
                reinterpret_cast<const R*>(copy), micro::stride_of<R>(elements_for<R>(dim)), {}};
            for_register_blocks([&](int first, int count) {
                micro::scores_unpacked(count,
                                       micro::packed_queries<U>{{scores_.query(0, first), scores_.part_stride}, dim},
                                       rows, whole / lanes, scores_.row(first) + x, ahead);
            });
        }
        if constexpr (has_key_scales_v<Kv>) scale_scores(c);
    }
    template <class F>
    void for_register_blocks(F f) const
    {
        for (int i = 0, first = 0; i < register_blocks_of(block_.count); ++i) {
            const int count = rows_of_register_block(block_.count, i);
            f(first, count);
            first += count;
        }
    }
    /// factors[i] = the scale of the i-th of the keys [first, end) of a chunk.
    template <class Rows>
    static void list_scales(const Rows& source, const chunk& c, int t, T* factors)
    {
        for (int x = c.of[t].first; x < c.end_of(t); ++x)
            factors[x - c.of[t].first] = *source(c.of[t].token + c.key[x]).data;
    }
    void scale_scores(const chunk& c)
    {
        const auto source = job_.kv.key_scales(block_.batch, block_.kv_head);
        alignas(cache_line) T factors[chunk::capacity + V::lanes] = {};
        for (int t = 0; t < c.tiles; ++t) list_scales(source, c, t, factors + c.of[t].first);
        for (int r = 0; r < block_.count; ++r)
            for (int x = 0; x < c.count; x += V::lanes) {
                T* const s = scores_.row(r) + x;
                store(s, load(s) * load(factors + x));
            }
    }

    /// The weights of a tile of the chunk.
    struct tile_weights {
        const chunk& of;
        int first, count;
        T* w;  // of row 0; rows are score_stride apart

        T* row(int r) const { return w + r * micro::score_stride; }
    };

    /// Turns the scores of a tile into weights: put(r, M, l) receives the sums of row r.
    template <class Put>
    tile_weights weigh(const chunk& c, int t, requests& ahead, int pace, Put put)
    {
        const int first = c.of[t].first, n = c.end_of(t) - first;
        const listed_tile<Job> tile{job_,          block_,         position_0_, c.of[t].token,
                                    c.key + first, c.rows + first, n,           c.of[t].masked};
        // Few weights go behind the scores of the row, as a whole register that may be read at once.
        static_assert(chunk::capacity + V::lanes <= micro::score_stride);
        const bool few = n <= V::lanes;
        const tile_weights weights{c, first, n, scores_.row(0) + (few ? chunk::capacity : first)};
        place_cursor<Job> places(job_, block_, position_0_);
        alignas(cache_line) T lanes[micro::streaming_rows][micro::mass_lanes];
        T shift[micro::streaming_rows];
        for (int r = 0; r < block_.count; ++r) {
            const query_place at = places.next();
            micro::fill_zero(lanes[r], micro::mass_lanes);
            shift[r] = few ? weigh_few(tile, at, r, scores_.row(r) + first, weights.row(r), lanes[r])
                           : weigh_listed(tile, at, r, weights.row(r), lanes[r]);
            ahead.take(pace);
        }
        for (int r = 0; r < block_.count; ++r) put(r, shift[r], mass_of(tile, lanes[r]));
        if constexpr (has_value_scales_v<Kv>) scale_weights(c, t, weights);
        return weights;
    }
    void fold_tile(const chunk& c, int t, const partial<T>& sum, requests& ahead, int pace)
    {
        micro::fold_factors<T> factors[micro::streaming_rows];
        const tile_weights weights = weigh(c, t, ahead, pace, [&](int r, T shift, T mass) HEED_INLINE_LAMBDA {
            factors[r] = fold_sums(sum.shift[r], sum.mass[r], shift, mass);
        });
        const std::int64_t direct = job_.kv.value_dim() / V::lanes;
        for_register_blocks([&](int row, int rows) {
            for (std::int64_t panel = 0; panel < direct;) {
                const int vecs = static_cast<int>(min_of(direct - panel, micro::register_vecs));
                micro::outputs_folded({rows, vecs}, static_cast<const T*>(weights.row(row)),
                                      micro::listed_values<E>{nullptr, c.values + weights.first, weights.count},
                                      panel * V::lanes, factors + row, sum.o.at(row, panel * V::lanes));
                panel += vecs;
            }
        });
    }
    /// The partial result of a tile.
    void step(const chunk& c, int t, const partial<T>& result, requests& ahead, int pace)
    {
        const tile_weights weights = weigh(c, t, ahead, pace, [&](int r, T shift, T mass) HEED_INLINE_LAMBDA {
            result.shift[r] = shift;
            result.mass[r] = mass;
        });
        add_values(weights, result.o);
        for (int r = 0; r < block_.count; ++r)
            if (!micro::all_finite<T>(result.o.row(r), result.o.stride)) select_values(weights, r, result.o.row(r));
    }
    void scale_weights(const chunk& c, int t, const tile_weights& weights)
    {
        const int n = weights.count;
        alignas(cache_line) T factors[chunk::capacity];
        list_scales(job_.kv.value_scales(block_.batch, block_.kv_head), c, t, factors);
        for (int r = 0; r < block_.count; ++r)
            for (int x = 0; x < n; x += V::lanes) {
                const int some = V::lanes < n - x ? V::lanes : n - x;
                T* const w = weights.row(r) + x;
                const V weight = load_n(w, some);
                store_n(w, select(weight == V(0), V(0), weight * load_n(factors + x, some)), some);
            }
    }
    /// o = P V.
    void add_values(const tile_weights& weights, micro::matrix<T> o)
    {
        constexpr int lanes = V::lanes;
        const std::int64_t direct = job_.kv.value_dim() / lanes;
        micro::fill_zero(o.data, block_.count * o.stride);
        for_register_blocks([&](int row, int rows) {
            for (std::int64_t panel = 0; panel < direct;) {
                const int vecs = static_cast<int>(min_of(direct - panel, micro::register_vecs));
                micro::outputs_listed(
                    {rows, vecs}, static_cast<const T*>(weights.row(row)),
                    micro::listed_values<E>{outputs_.listed, weights.of.values + weights.first, weights.count},
                    panel * lanes, o.at(row, panel * lanes));
                panel += vecs;
            }
        });
        if (job_.kv.value_dim() % lanes != 0) add_last_channels(weights, direct * lanes, o);
    }
    /// The channels that fill no register, packed.
    void add_last_channels(const tile_weights& weights, std::int64_t channel, micro::matrix<T> o)
    {
        constexpr int lanes = V::lanes, depth = micro::streaming_depth;
        const std::int64_t channels = job_.kv.value_dim() - channel;
        for (int x = 0; x < weights.count; x += depth) {
            const int n = depth < weights.count - x ? depth : weights.count - x;
            for (int i = 0; i < n; ++i)
                micro::pack_values(micro::matrix<const E>{weights.of.values[weights.first + x + i], 0}, 1, channel,
                                   channels, 1, outputs_.panel + i * lanes);
            for_register_blocks([&](int row, int rows) {
                micro::outputs({rows, 1}, micro::weight_rows<U>{weights.row(row) + x, n},
                               panel_of<Job>(static_cast<const U*>(outputs_.panel), lanes), true, o.at(row, channel),
                               micro::line_prefetch(outputs_.panel));
            });
        }
    }
    /// The outputs of row r once more: a key of weight 0 is left out, whatever its V holds.
    void select_values(const tile_weights& weights, int r, T* o)
    {
        micro::fill_zero(o, round_up(job_.kv.value_dim(), V::lanes));
        for (int x = 0; x < weights.count; ++x)
            micro::outputs_selected(weights.row(r)[x], micro::matrix<const E>{weights.of.values[weights.first + x], 0},
                                    1, job_.kv.value_dim(), o);
    }

    const Job& job_;
    const query_block& block_;
    const scores_memory<U>& scores_;
    const outputs_memory<U>& outputs_;
    std::int64_t position_0_, key_bytes_, value_bytes_;
};

}  // namespace kernel
HEED_END
