// SPDX-License-Identifier: MIT
// The tile step in integers: queries and weights are rounded to whole numbers, K and V multiplied as they are stored.
//
// Sums of products are exact and have no order; a row's step is a function of the row alone, that of its weights of the
// row and its tile. So is the partial result, whoever shares the block and wherever rows lie.
#pragma once

#include "byte_step.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Packs a row of queries as row r of a block.
template <class Job, class Q>
void pack_integer_query(const Job& job, const Q* row, const query_block& block, int r, const integer_memory& mem)
{
    using E = typename Job::key_element;
    constexpr int lanes = vec<float>::lanes;
    const std::int64_t dim = job.kv.key_dim(), whole = dim / lanes * lanes;
    const vec<float> scale(job.scale);
    for (std::int64_t c = 0; c < whole; c += lanes) store(mem.row + c, load_as<float>(row + c) * scale);
    if (whole < dim) store(mem.row + whole, load_as_n<float>(row + whole, static_cast<int>(dim - whole)) * scale);
    if constexpr (has_channel_scales_v<decltype(job.kv)>) {
        const float* const factors = job.kv.key_channel_scales(block.kv_head);
        for (std::int64_t c = 0; c < dim; ++c) mem.row[c] *= factors[c];
    }
    const std::int64_t terms = channels_of<E> > 1 ? channels_of<E> : dim;
    const std::int64_t largest = micro::largest_operand(Job::def_type::integer_bits, terms);
    if constexpr (simd::multiplies_bytes)
        if (takes_bytes(block.count)) return spread_query(job, block, r, largest, mem);
    std::uint32_t* const pairs = mem.queries + r * mem.query_stride;
    mem.query_steps[r] =
        micro::pack_integers<E>(mem.row, dim, largest, pairs);
    if (micro::streams_integers(block.count))
        micro::spread_integers(pairs, micro::integer_pairs<E>(dim), mem.spread + r * lanes);
}

/// Packs the strip of keys from key j of the tile on.
template <class Tile>
HEED_INLINE void pack_integer_strip(const Tile& t, int j, const integer_memory& mem, micro::line_feed& ahead)
{
    using E = typename Tile::job_type::key_element;
    constexpr int lanes = vec<float>::lanes;
    const std::int64_t dim = round_up(t.key_rows().dim, 16);
    for (int lane = 0; lane < micro::key_strip<float>; lane += lanes) {
        if (t.keys - j - lane <= 0) {
            micro::pack_no_keys<E>(dim, mem.strip, lane);
            continue;
        }
        micro::pack_integer_keys<E>(register_of_keys(t, j + lane, dim, mem.copy), dim, mem.strip, lane, ahead);
    }
}

/// S of a tile of few rows, as floats: nothing is packed. What lies between its keys and a whole strip is 0.
template <class Tile>
void score_integers_streamed(const Tile& t, const integer_memory& mem)
{
    using E = typename Tile::job_type::key_element;
    constexpr int lanes = vec<float>::lanes, each = micro::mass_lanes;
    const std::int64_t dim = round_up(t.job.kv.key_dim(), 16), bytes = t.key_rows().bytes();
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / each * each; j < round_up(t.cover.highest, each); j += lanes) {
        ahead.owe(lanes * bytes);
        const auto k = register_of_keys(t, j, dim, mem.copy);
        for (const register_block& rows : t.cover)
            if (rows.attends(j / each * each, each))
                micro::integer_scores_streamed<E>(
                    rows.rows, {mem.spread + rows.first * lanes, mem.query_steps + rows.first}, k, dim,
                    mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// S of a tile, as floats.
template <class Tile>
void score_integers(const Tile& t, const integer_memory& mem)
{
    if constexpr (native_sizes::streams_integers)
        if (micro::streams_integers(t.block.count)) return score_integers_streamed(t, mem);
    using E = typename Tile::job_type::key_element;
    constexpr int strip = micro::key_strip<float>;
    const std::int64_t pairs = micro::integer_pairs<E>(t.job.kv.key_dim());
    const std::int64_t bytes = t.key_rows().bytes();
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / strip * strip; j < t.cover.highest; j += strip) {
        ahead.owe(strip * bytes);
        pack_integer_strip(t, j, mem, ahead);
        for (const register_block& rows : t.cover)
            if (rows.attends(j, strip))
                micro::integer_scores<E>(
                    rows.rows,
                    {mem.queries + rows.first * mem.query_stride, mem.query_stride, mem.query_steps + rows.first},
                    mem.strip, pairs, mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// O = P V of a tile: for all channels at once or, where V has blocks with a scale of their own, block by block, as the
/// weights take the scale.
template <class Tile>
class integer_outputs_pass {
    using E = typename Tile::job_type::value_element;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr int lanes = vec<float>::lanes;

public:
    integer_outputs_pass(const Tile& t, const integer_memory& mem, micro::matrix<float> o)
        : t_(t), mem_(mem), o_(o), source_(t.value_rows()),
          begin_(t.cover.lowest / micro::mass_lanes * micro::mass_lanes),
          depth_(!has_blocks && t.block.count <= micro::streaming_rows ? micro::streaming_depth : micro::key_tile)
    {
        list_rows();
    }

    void run() const
    {
        const std::int64_t dim = source_.dim, at_once = has_blocks ? channels_of<E> : dim;
        auto ahead = feed_of_outputs(t_, mem_.pieces);
        for (std::int64_t c = 0; c < dim; c += at_once) {
            quantise(c);
            micro::fill_zero(reinterpret_cast<float*>(mem_.sums), t_.block.count * mem_.sums_stride);
            add(c, min_of(c + at_once, dim), ahead);
            for (int r = 0; r < t_.block.count; ++r)
                micro::finish_integer_sums(mem_.sums + r * mem_.sums_stride, mem_.weight_steps[r],
                                           min_of(at_once, dim - c), o_.row(r) + c);
        }
    }

private:
    const E** rows() const { return reinterpret_cast<const E**>(mem_.value_rows); }

    /// Pointers to the rows of the tile's keys; the last one is there twice, for a pair.
    void list_rows() const
    {
        const E** const to = rows();
        for (int j = begin_; j < t_.keys;) {
            const auto segment = source_(t_.token + j);
            for (std::int64_t i = 0; i < segment.count && j < t_.keys; ++i) to[j++] = segment.row(i);
        }
        to[t_.keys] = to[t_.keys - 1];
    }

    /// The scales of the block of channels from c on.
    void gather_block_scales(std::int64_t c) const
    {
        if constexpr (has_blocks) {
            const E* const* const from = rows();
            const std::int64_t b = c / channels_of<E>;
            for (int j = begin_; j < t_.keys; j += lanes) {
                const auto segment = source_(t_.token + j);
                if (segment.count >= lanes && j + lanes <= t_.keys) {
                    store(mem_.value_scales + j,
                          element_traits<E>::template scales<native_lanes>(
                              segment.data + b, static_cast<std::int64_t>(micro::stride_bytes_of<E>(segment.stride))));
                } else {
                    for (int i = 0; i < lanes; ++i)
                        mem_.value_scales[j + i] = j + i < t_.keys ? float(from[j + i][b].d) : 0.f;
                }
            }
            for (int j = static_cast<int>(round_up(t_.keys, lanes)); j % micro::mass_lanes != 0; ++j)
                mem_.value_scales[j] = 0;
        }
    }

    void quantise(std::int64_t c) const
    {
        gather_block_scales(c);
        const std::int64_t largest = micro::largest_operand(Tile::job_type::def_type::integer_bits, micro::key_tile);
        for (const register_block& rows : t_.cover)
            for (int r = rows.first; r < rows.end_row(); ++r)
                mem_.weight_steps[r] = micro::quantise_weights(
                    mem_.scores.row(r) + rows.begin(), has_blocks ? mem_.value_scales + rows.begin() : nullptr,
                    rows.end() - rows.begin(), largest,
                    mem_.weights + r * micro::integer_weight_stride + rows.begin() / 2);
    }

    /// Adds channels [first, end).
    void add(std::int64_t first, std::int64_t end, micro::line_feed& ahead) const
    {
        micro::line_feed others = ahead;
        others.rest();
        const std::int64_t whole = first + (end - first) / integer_channels * integer_channels;
        const int most_vecs = micro::integer_output_vecs<E>(t_.block.count);
        for (int j = begin_; j < t_.cover.highest; j += depth_) {
            const int stop = j + depth_ < t_.cover.highest ? j + depth_ : t_.cover.highest;
            for (std::int64_t c = first; c < whole;) {
                const int vecs = whole - c >= most_vecs * lanes ? most_vecs : 2;
                for (const register_block& block : t_.cover)
                    add_rows(block, {j, stop}, rows() + j, {c, c - first, vecs}, block.first == 0 ? ahead : others);
                c += vecs * lanes;
            }
            if (whole < end) add_last_channels(j, stop, whole, end, whole - first, others);
        }
    }
    /// Registers of channels: the first one in V, and its place among the sums.
    struct panel {
        std::int64_t channel, at;
        int vecs;
    };
    HEED_INLINE void add_rows(const register_block& block, key_range keys, const E* const* v, const panel& p,
                              micro::line_feed& ahead) const
    {
        const int lo = (block.lo > keys.begin ? block.lo : keys.begin) / 2 * 2,
                  hi = block.hi < keys.end ? block.hi : keys.end;
        if (lo >= hi) return;
        micro::integer_outputs<E>({block.rows, p.vecs},
                                  mem_.weights + block.first * micro::integer_weight_stride + lo / 2,
                                  micro::integer_values<E>{v + (lo - keys.begin), p.channel, (hi - lo + 1) / 2},
                                  {mem_.sums + block.first * mem_.sums_stride + p.at, mem_.sums_stride}, ahead);
    }
    /// Channels that fill no register, from a copy with zeros behind them.
    HEED_NOINLINE void add_last_channels(int j, int stop, std::int64_t channel, std::int64_t end, std::int64_t at,
                                         micro::line_feed& idle) const
    {
        if constexpr (!has_blocks) {
            const E* copied[micro::key_tile + 1];
            E* to = reinterpret_cast<E*>(mem_.copy);
            for (int i = j; i < stop; ++i, to += integer_channels) {
                std::memset(to, 0, integer_channels);
                std::memcpy(to, rows()[i] + channel, static_cast<std::size_t>(end - channel));
                copied[i - j] = to;
            }
            copied[stop - j] = copied[stop - j - 1];
            for (const register_block& block : t_.cover) add_rows(block, {j, stop}, copied, {0, at, 2}, idle);
        }
    }

    const Tile& t_;
    const integer_memory& mem_;
    micro::matrix<float> o_;
    decltype(std::declval<Tile>().value_rows()) source_;
    int begin_, depth_;
};

/// The tile steps of one query block, in order: its packed queries, as block_steps are in floats.
template <class Job>
class integer_steps {
public:
    integer_steps(const Job& job, const query_block& block, const integer_memory& mem)
        : job_(job), block_(block), mem_(mem), bytes_(job, block, mem)
    {
        place_cursor<Job> places(job, block);
        for (int r = 0; r < block.count; ++r) pack_integer_query(job, job.row_of(job.q, places.next()), block, r, mem);
    }

    /// Where the step after the next one starts, or -1 where there is none.
    void announce(std::int64_t token) { next_ = token; }

    /// The partial result of the block and the keys [token, token + keys) of one tile. Returns false, with nothing
    /// written, where the mask lets no row attend any of them.
    template <class Next>
    bool step(std::int64_t token, int keys, const partial<float>& result, const Next&)
    {
        if constexpr (simd::multiplies_bytes)
            if (takes_bytes(block_.count)) return bytes_.step(token, keys, result, next_);
        const tile<Job> t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) return false;
        score_integers(t, mem_);
        weigh_tile(t, mem_.scores, result);
        integer_outputs_pass<tile<Job>>(t, mem_, result.o).run();
        return true;
    }

private:
    const Job& job_;
    const query_block& block_;
    const integer_memory& mem_;
    byte_steps<Job> bytes_;
    std::int64_t next_ = -1;
};

}  // namespace kernel
HEED_END
