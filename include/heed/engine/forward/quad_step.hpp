// SPDX-License-Identifier: MIT
// The tile step in integers where the machine multiplies quads of bytes: the bits of integer_step.hpp, whose place it
// takes.
#pragma once

#include "../micro/quad_outputs.hpp"
#include "../micro/quad_scores.hpp"
#include "register_of_keys.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Bytes of an operand of the definition's queries and weights.
template <class Job>
inline constexpr int quad_parts = micro::parts_of(Job::def_type::integer_bits);

/// Packs a row of queries as row r of a block.
template <class Job, class Q>
void pack_quad_query(const Job& job, const Q* row, const query_block& block, int r, const integer_memory& mem)
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
    mem.query_steps[r] = micro::pack_quads(mem.row, dim, largest, mem.queries + r * mem.query_stride);
}

/// S of a tile, as floats.
template <class Tile>
void score_quads(const Tile& t, const integer_memory& mem)
{
    using Job = typename Tile::job_type;
    using E = typename Job::key_element;
    constexpr int strip = micro::key_strip<float>, lanes = vec<float>::lanes;
    const auto source = t.key_rows();
    const std::int64_t dim = round_up(source.dim, 16);
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    for (int j = t.cover.lowest / strip * strip; j < t.cover.highest; j += strip) {
        ahead.owe(strip * source.bytes());
        for (int lane = 0; lane < strip; lane += lanes) {
            if (j + lane < t.keys)
                micro::pack_quad_keys<E>(register_of_keys(t, j + lane, dim, mem.copy), dim, mem.strip, lane);
            else micro::pack_no_keys<E>(dim, mem.strip, lane);
        }
        for (const register_block& rows : t.cover)
            if (rows.attends(j, strip))
                micro::quad_scores<quad_parts<Job>, E>(
                    rows.rows,
                    {mem.queries + rows.first * mem.query_stride, mem.query_stride, mem.query_steps + rows.first},
                    mem.strip, micro::quads_of(dim), mem.scores.row(rows.first) + j, rows.first == 0 ? ahead : others);
        ahead.settle();
    }
}

/// O = P V of a tile: for all channels at once or, where V has blocks with a scale of their own, block by block, as the
/// weights take the scale.
template <class Tile>
class quad_outputs_pass {
    using E = typename Tile::job_type::value_element;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr int lanes = vec<float>::lanes, parts = quad_parts<typename Tile::job_type>;
    /// Keys whose rows of V stay in the L1 cache while their channels take turns.
    static constexpr int depth = 64;

public:
    quad_outputs_pass(const Tile& t, const integer_memory& mem, micro::matrix<float> o)
        : t_(t), mem_(mem), o_(o), source_(t.value_rows()),
          begin_(t.cover.lowest / micro::mass_lanes * micro::mass_lanes),
          depth_(!has_blocks && t.block.count <= micro::streaming_rows ? depth : micro::key_tile)
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

    /// Pointers to the rows of the tile's keys; the last one is there again up to a whole sixteen.
    void list_rows() const
    {
        const E** const to = rows();
        for (int j = begin_; j < t_.keys;) {
            const auto segment = source_(t_.token + j);
            for (std::int64_t i = 0; i < segment.count && j < t_.keys; ++i) to[j++] = segment.row(i);
        }
        for (int j = t_.keys; j % micro::mass_lanes != 0; ++j) to[j] = to[t_.keys - 1];
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
                    const auto stride = static_cast<std::int64_t>(micro::stride_bytes_of<E>(segment.stride));
                    store(mem_.value_scales + j,
                          element_traits<E>::template scales<native_lanes>(segment.data + b, stride));
                } else {
                    for (int i = 0; i < lanes; ++i)
                        mem_.value_scales[j + i] = j + i < t_.keys ? float(from[j + i][b].d) : 0.f;
                }
            }
            for (int j = static_cast<int>(round_up(t_.keys, lanes)); j % micro::mass_lanes != 0; ++j)
                mem_.value_scales[j] = 0;
        }
    }

    std::uint32_t* weights(int r, int j) const
    {
        return mem_.weights + r * micro::integer_weight_stride + j / 4 * parts;
    }
    void quantise(std::int64_t c) const
    {
        gather_block_scales(c);
        const std::int64_t largest = micro::largest_operand(Tile::job_type::def_type::integer_bits, micro::key_tile);
        for (const register_block& rows : t_.cover)
            for (int r = rows.first; r < rows.end_row(); ++r)
                mem_.weight_steps[r] = micro::quantise_to_quads<parts>(
                    mem_.scores.row(r) + rows.begin(), has_blocks ? mem_.value_scales + rows.begin() : nullptr,
                    rows.end() - rows.begin(), largest, weights(r, rows.begin()));
    }

    /// Adds channels [first, end), two registers of them at a time.
    void add(std::int64_t first, std::int64_t end, micro::line_feed& ahead) const
    {
        micro::line_feed others = ahead;
        others.rest();
        const std::int64_t whole = first + (end - first) / integer_channels * integer_channels;
        for (int j = begin_; j < t_.cover.highest; j += depth_) {
            const int stop = j + depth_ < t_.cover.highest ? j + depth_ : t_.cover.highest;
            for (std::int64_t c = first; c < whole; c += integer_channels)
                for (const register_block& block : t_.cover)
                    add_rows(block, {j, stop}, rows() + j, c, c - first, block.first == 0 ? ahead : others);
            if (whole < end) add_last_channels(j, stop, whole, end, whole - first, others);
        }
    }
    /// The first channel in V, and its place among the sums. Whole sixteens of keys: weights of those that are not
    /// attended are 0.
    HEED_INLINE void add_rows(const register_block& block, key_range keys, const E* const* v, std::int64_t channel,
                              std::int64_t at, micro::line_feed& ahead) const
    {
        const int lo = block.begin() > keys.begin ? block.begin() : keys.begin,
                  hi = block.end() < keys.end ? block.end() : static_cast<int>(round_up(keys.end, micro::mass_lanes));
        if (lo >= hi) return;
        micro::quad_outputs<parts, E>(block.rows, weights(block.first, lo),
                                      {v + (lo - keys.begin), channel, (hi - lo) / micro::quad_keys<parts>},
                                      {mem_.sums + block.first * mem_.sums_stride + at, mem_.sums_stride}, ahead);
    }
    /// Channels that fill no register, from a copy with zeros behind them.
    HEED_NOINLINE void add_last_channels(int j, int stop, std::int64_t channel, std::int64_t end, std::int64_t at,
                                         micro::line_feed& idle) const
    {
        if constexpr (!has_blocks) {
            const E* copied[micro::key_tile];
            E* to = reinterpret_cast<E*>(mem_.copy);
            for (int i = j; i < stop; ++i, to += integer_channels) {
                std::memset(to, 0, integer_channels);
                std::memcpy(to, rows()[i] + channel, static_cast<std::size_t>(end - channel));
                copied[i - j] = to;
            }
            for (int i = stop - j; i % micro::mass_lanes != 0; ++i) copied[i] = to - integer_channels;
            for (const register_block& block : t_.cover) add_rows(block, {j, stop}, copied, 0, at, idle);
        }
    }

    const Tile& t_;
    const integer_memory& mem_;
    micro::matrix<float> o_;
    decltype(std::declval<Tile>().value_rows()) source_;
    int begin_, depth_;
};

/// The tile steps of one query block, in order: what integer_steps are where pairs are multiplied.
template <class Job>
class quad_steps {
public:
    quad_steps(const Job& job, const query_block& block, const integer_memory& mem)
        : job_(job), block_(block), mem_(mem)
    {
        place_cursor<Job> places(job, block);
        for (int r = 0; r < block.count; ++r) pack_quad_query(job, job.row_of(job.q, places.next()), block, r, mem);
    }

    /// Each tile is taken by itself.
    void announce(std::int64_t) {}

    /// The partial result of the block and the keys [token, token + keys) of one tile. Returns false, with nothing
    /// written, where the mask lets no row attend any of them.
    template <class Next>
    bool step(std::int64_t token, int keys, const partial<float>& result, const Next&)
    {
        const tile<Job> t(job_, block_, token, keys, mem_.bits);
        if (t.is_unattended()) return false;
        score_quads(t, mem_);
        weigh_tile(t, mem_.scores, result);
        quad_outputs_pass<tile<Job>>(t, mem_, result.o).run();
        return true;
    }

private:
    const Job& job_;
    const query_block& block_;
    const integer_memory& mem_;
};

}  // namespace kernel
HEED_END
