// SPDX-License-Identifier: MIT
// The tile step in integers of few rows, in products of bytes: the bits of integer_step.hpp.
#pragma once

#include "register_of_keys.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Whether products of integers of so many rows are products of bytes.
template <class Job>
constexpr bool takes_bytes(std::int64_t rows)
{
    return simd::multiplies_bytes && rows <= micro::byte_rows<Job::def_type::integer_bits>;
}

/// Keys that several register blocks pass one after the other.
inline constexpr int shared_keys = 64;

/// Rows of K from key j of the tile on, `n` registers of them at most up to key `end`: where they lie or, of one
/// register, copied with zeros behind them.
template <class Tile>
HEED_INLINE auto registers_of_keys(const Tile& t, int j, int end, char* copy, int& n)
{
    constexpr int lanes = vec<float>::lanes;
    const auto source = t.key_rows();
    const auto segment = source(t.token + j);
    const std::int64_t there = min_of(min_of(segment.count, t.keys - j), end - j);
    n = static_cast<int>(there / lanes);
    if (n > 0) return matrix_of(segment);
    n = 1;
    return register_of_keys(t, j, source.dim, copy);
}

/// Rounds row r of a block of queries, mem.row, and spreads it.
template <class Job>
void spread_query(const Job& job, const query_block& block, int r, std::int64_t largest, const integer_memory& mem)
{
    using E = typename Job::key_element;
    constexpr int parts = micro::parts_of(Job::def_type::integer_bits);
    const std::int64_t dim = job.kv.key_dim();
    mem.query_steps[r] = micro::round_row(mem.row, dim, round_up(dim, 64), largest, mem.whole_row);
    int i = 0, first = 0;  // of the register blocks
    while (r >= first + rows_of_register_block(block.count, i)) first += rows_of_register_block(block.count, i++);
    micro::spread_bytes<E>{mem.byte_queries + i * mem.byte_query_stride, mem.byte_starts + i * mem.byte_start_stride}
        .put(mem.whole_row, reinterpret_cast<std::int8_t*>(mem.copy), dim, r - first, parts);
}

/// S of a tile, with scales of keys, some keys at a time.
template <class Tile>
class byte_scores_pass {
    using Job = typename Tile::job_type;
    using E = typename Job::key_element;
    static constexpr int lanes = vec<float>::lanes, parts = micro::parts_of(Job::def_type::integer_bits);

public:
    byte_scores_pass(const Tile& t, const integer_memory& mem, const scores_memory<float>& to)
        : t_(t), mem_(mem), to_(to), begin_(t.cover.lowest / lanes * lanes),
          end_(static_cast<int>(round_up(t.cover.highest, lanes)))
    {
        if constexpr (has_key_scales_v<typename Job::kv_type>) {
            gather_scales_of(t, t.job.kv.key_scales(t.block.batch, t.kv_head), mem.key_factors);
            factors_ = mem.key_factors;
        }
    }

    /// Keys [from, to), multiples of a register.
    void add(int from, int to, micro::line_feed& ahead, micro::line_feed& others) const
    {
        const std::int64_t dim = t_.job.kv.key_dim();
        const int first = from > begin_ ? from : begin_, end = to < end_ ? to : end_;
        for (int j = first, n; j < end; j += n * lanes) {
            const int stop = t_.cover.count > 1 && j + shared_keys < end ? j + shared_keys : end;
            const auto k = registers_of_keys(t_, j, stop, mem_.copy, n);
            for (int i = 0; i < t_.cover.count; ++i) {
                const register_block& rows = t_.cover[i];
                if (!rows.attends(j, n * lanes)) continue;
                micro::byte_scores<parts, E>(
                    rows.rows,
                    {mem_.byte_queries + i * mem_.byte_query_stride, mem_.byte_starts + i * mem_.byte_start_stride,
                     mem_.query_steps + rows.first},
                    {k, dim, n}, factors_ ? factors_ + j : nullptr, to_.row(rows.first) + j, i == 0 ? ahead : others);
            }
        }
    }

private:
    const Tile& t_;
    const integer_memory& mem_;
    scores_memory<float> to_;
    int begin_, end_;
    const float* factors_ = nullptr;
};

/// O = P V of a tile.
template <class Tile>
class byte_outputs_pass {
    using E = typename Tile::job_type::value_element;
    using Def = typename Tile::job_type::def_type;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr int lanes = vec<float>::lanes, parts = micro::parts_of(Def::integer_bits);
    static constexpr int chunk = 4 * lanes;  // keys whose weights are rounded together

public:
    /// Keys whose sums stay in registers. With blocks, whose spread queries and weights are larger, 64 of K and of V in
    /// turn leave the L1 cache before they are used: 1.06 and 1.13 times as long, by 16 and by 8 bits (Zen 5).
    static constexpr int depth = has_blocks ? 32 : 64;

    byte_outputs_pass(const Tile& t, const integer_memory& mem, const scores_memory<float>& from,
                      micro::matrix<float> o)
        : t_(t), mem_(mem), from_(from), o_(o), source_(t.value_rows()), begin_(t.cover.lowest / chunk * chunk),
          end_(static_cast<int>(round_up(t.cover.highest, chunk))), first_row_(t.cover.lowest / 4 * 4)
    {
        list_rows();
    }

    /// before(j) is called for every `depth` keys from the j-th on.
    template <class Before>
    void run(micro::line_feed& ahead, micro::line_feed& others, Before before) const
    {
        round_weights();
        const std::int64_t dim = source_.dim, each = micro::byte_channels<E>;
        for (int j = 0; j < micro::key_tile; j += depth) {
            before(j);
            const int from = j > first_row_ ? j : first_row_,
                      stop = j + depth < t_.cover.highest ? j + depth : t_.cover.highest;
            if (from >= stop) continue;
            ahead.owe((stop - from) * source_.bytes());
            for (std::int64_t c = 0; c < dim; c += each) add(from, stop, c, ahead, others);
            ahead.settle();
        }
        for (int r = 0; r < t_.block.count; ++r)
            for (std::int64_t c = 0; c < dim; c += each)
                micro::finish_byte_sums<E>(mem_.sums + r * mem_.sums_stride + c, mem_.weight_steps[place(r, c)],
                                           min_of(each, dim - c), o_.row(r) + c);
    }

private:
    const E** rows() const { return reinterpret_cast<const E**>(mem_.value_rows); }
    std::int64_t place(int r, std::int64_t c) const { return has_blocks ? c / channels_of<E> * t_.block.count + r : r; }
    std::uint32_t* weights(int r, std::int64_t c) const
    {
        return mem_.byte_weights + place(r, c) * parts * micro::byte_weight_stride;
    }

    /// Pointers to the rows of the tile's keys; the last one is there again up to a multiple of four.
    void list_rows() const
    {
        const E** const to = rows();
        for (int j = first_row_; j < t_.keys;) {
            const auto segment = source_(t_.token + j);
            const int n = static_cast<int>(min_of(segment.count, t_.keys - j));
            const E** const here = to + j;
            for (int i = 0; i < n; ++i) here[i] = segment.row(i);
            j += n;
        }
        for (int j = t_.keys; j % 4 != 0; ++j) to[j] = to[t_.keys - 1];
    }

    /// Weights of 0 for keys that a row does not attend, up to whole chunks; scales as well.
    void clear_around(float* row, int begin, int end) const
    {
        for (int j = begin_; j < begin; j += lanes) store(row + j, vec<float>(0));
        for (int j = end; j < end_; j += lanes) store(row + j, vec<float>(0));
    }

    const float* scales_of(std::int64_t c, const float* factors) const
    {
        return has_blocks ? mem_.block_scales + c / channels_of<E> * micro::key_tile : factors;
    }
    /// The steps of all weights of a row come first: else each would be waited for.
    void round_weights() const
    {
        const std::int64_t dim = source_.dim, each = has_blocks ? channels_of<E> : dim;
        const std::int64_t largest = micro::largest_operand(Def::integer_bits, micro::key_tile);
        const float* factors = nullptr;
        if constexpr (has_value_scales_v<typename Tile::job_type::kv_type>) {
            gather_scales_of(t_, t_.job.kv.value_scales(t_.block.batch, t_.kv_head), mem_.value_scales);
            factors = mem_.value_scales;
        }
        gather_block_scales();
        for (const register_block& rows : t_.cover)
            for (int r = rows.first; r < rows.end_row(); ++r) {
                const float* const w = from_.row(r);
                clear_around(from_.row(r), rows.begin(), rows.end());
                for (std::int64_t c = 0; c < dim; c += each)
                    mem_.weight_steps[place(r, c)] =
                        micro::step_of_weights(w, scales_of(c, factors), begin_, end_, largest);
                std::uint32_t* const sums = mem_.sums + r * mem_.sums_stride;
                for (std::int64_t c = 0; c < dim; c += each) {
                    const std::uint32_t sum = micro::round_to_bytes<parts>(
                        w, scales_of(c, factors), begin_, end_, mem_.weight_steps[place(r, c)], weights(r, c));
                    const auto start =
                        native_lanes::all_words(sum * -static_cast<std::uint32_t>(element_traits<E>::bias));
                    for (std::int64_t x = c; x < c + round_up(each, micro::byte_channels<E>); x += lanes)
                        native_lanes::store_words(sums + x, start);
                }
            }
    }

    /// The scales of all blocks of channels.
    void gather_block_scales() const
    {
        if constexpr (has_blocks) {
            const std::int64_t blocks = source_.elements();
            const int first = first_row_ / lanes * lanes;
            for (std::int64_t b = 0; b < blocks; ++b)
                clear_around(mem_.block_scales + b * micro::key_tile, first, first);
            for (int j = first; j < t_.keys; j += lanes) {
                const auto segment = source_(t_.token + j);
                const bool whole = segment.count >= lanes && j + lanes <= t_.keys && j >= first_row_;
                for (std::int64_t b = 0; b < blocks; ++b) {
                    float* const to = mem_.block_scales + b * micro::key_tile + j;
                    if (whole) {
                        store(to, element_traits<E>::template scales<native_lanes>(
                                      segment.data + b,
                                      static_cast<std::int64_t>(micro::stride_bytes_of<E>(segment.stride))));
                    } else {
                        gather_scales_of_rows(j, b, to);
                    }
                }
            }
        }
    }

    /// Those of block b of a register of keys, of which some are not there or lie apart.
    void gather_scales_of_rows(int j, std::int64_t b, float* to) const
    {
        for (int i = 0; i < lanes; ++i)
            to[i] = j + i < t_.keys && j + i >= first_row_ ? float(rows()[j + i][b].d) : 0.f;
    }

    /// Adds keys [j, stop) of the channels from c on.
    void add(int j, int stop, std::int64_t c, micro::line_feed& ahead, micro::line_feed& others) const
    {
        const int bytes = static_cast<int>(min_of(micro::byte_channels<E>, source_.dim - c));
        for (const register_block& block : t_.cover) {
            const int lo = (block.lo > j ? block.lo : j) / 4 * 4, hi = block.hi < stop ? block.hi : stop;
            if (lo >= hi) continue;
            micro::byte_outputs<parts, E>(
                block.rows, weights(block.first, c) + lo / 4,
                {rows() + lo, c, (hi - lo + 3) / 4, has_blocks ? micro::byte_shape<E>::bytes : bytes},
                {mem_.sums + block.first * mem_.sums_stride + c, mem_.sums_stride}, block.first == 0 ? ahead : others);
        }
    }

    const Tile& t_;
    const integer_memory& mem_;
    scores_memory<float> from_;
    micro::matrix<float> o_;
    decltype(std::declval<Tile>().value_rows()) source_;
    int begin_, end_, first_row_;
};

/// The tile steps of a block of few rows. While the values of a tile are added the keys of the next one are scored,
/// some of each in turn.
template <class Job>
class byte_steps {
    using tile_type = tile<Job>;
    using outputs = byte_outputs_pass<tile_type>;
    static constexpr int depth = outputs::depth;

public:
    byte_steps(const Job& job, const query_block& block, const integer_memory& mem)
        : job_(job), block_(block), mem_(mem), scores_(mem.scores), next_scores_(mem.next_scores)
    {}

    /// What integer_steps::step() does; `next` is where the next step starts, or -1.
    bool step(std::int64_t token, int keys, const partial<float>& result, std::int64_t next)
    {
        const tile_type t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) {
            scored_ = -1;
            return false;
        }
        if (scored_ != token) {
            micro::line_feed ahead(list_first(t)), others = ahead;
            others.rest();
            byte_scores_pass<tile_type>(t, mem_, scores_).add(0, micro::key_tile, ahead, others);
        }
        if (next < 0) {
            scored_ = -1;
            micro::line_feed ahead(list_last(t)), others = ahead;
            others.rest();
            weigh_rows(t, scores_, result);
            outputs(t, mem_, scores_, result.o).run(ahead, others, [](int) {});
            return true;
        }
        const int more = static_cast<int>(min_of(micro::key_tile, job_.kv.held(block_.batch).end - next));
        const tile_type n(job_, block_, next, more, mem_.next_bits);
        const byte_scores_pass<tile_type> scores(n, mem_, next_scores_);
        micro::line_feed ahead(list_in_turn(t, n)), others = ahead;
        others.rest();
        weigh_rows(t, scores_, result);
        const outputs values(t, mem_, scores_, result.o);
        values.run(ahead, others, [&](int j) { scores.add(j, j + depth, ahead, others); });
        scored_ = n.is_unattended() ? -1 : next;
        std::swap(scores_, next_scores_);
        return true;
    }

private:
    /// Scales of blocks go into the weights, and are read of all rows of V before the first product: these prefetch a
    /// tile ahead, others some keys ahead.
    static constexpr bool reads_scales_first = channels_of<typename Job::value_element> > 1;

    /// What the first scores of a block prefetch: the rest of the keys, and first values.
    const micro::piece* list_first(const tile_type& t) const
    {
        micro::piece* last = list_rows(t.key_rows(), t.token + 2 * depth, t.token + t.keys, mem_.pieces);
        last = list_rows(t.value_rows(), t.token, t.token + (reads_scales_first ? t.keys : depth), last);
        *last = {0, 0};
        return mem_.pieces;
    }
    /// What the last outputs prefetch: the rest of the values.
    const micro::piece* list_last(const tile_type& t) const
    {
        micro::piece* last = mem_.pieces;
        if (!reads_scales_first) last = list_rows(t.value_rows(), t.token + depth, t.token + t.keys, last);
        *last = {0, 0};
        return mem_.pieces;
    }
    /// What scores of the next tile and outputs of this one prefetch, which take turns: what they use in their next
    /// turn.
    const micro::piece* list_in_turn(const tile_type& t, const tile_type& n) const
    {
        micro::piece* last = mem_.pieces;
        const std::int64_t first_value = reads_scales_first ? n.token - depth : t.token;
        for (int j = depth; j <= micro::key_tile; j += depth) {
            last = list_rows(n.key_rows(), n.token + j, n.token + j + depth, last);
            const std::int64_t v = j < micro::key_tile || reads_scales_first ? first_value + j : n.token;
            last = list_rows(t.value_rows(), v, v + depth, last);
        }
        *last = {0, 0};
        return mem_.pieces;
    }
    template <class Source>
    static micro::piece* list_rows(const Source& source, std::int64_t from, std::int64_t end, micro::piece* last)
    {
        return list_pieces(source, min_of(from, source.end), min_of(end, source.end), 1, last);
    }

    const Job& job_;
    const query_block& block_;
    const integer_memory& mem_;
    scores_memory<float> scores_, next_scores_;
    std::int64_t scored_ = -1;  // the tile whose scores are there
};

}  // namespace kernel
HEED_END
