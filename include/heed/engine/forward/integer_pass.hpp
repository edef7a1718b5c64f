// SPDX-License-Identifier: MIT
// What tile steps in integers have in common, whatever words their products are of: queries times their scales, and
// O = P V.
#pragma once

#include "integer_memory.hpp"

HEED_BEGIN
namespace kernel {

/// Leaves a row of queries, times the scale and the scales of channels, in mem.row. Returns the largest whole number
/// that its products with a key allow.
template <class Job, class Q>
std::int64_t scale_query(const Job& job, const Q* row, std::int64_t kv_head, const integer_memory& mem)
{
    using E = typename Job::key_element;
    constexpr int lanes = vec<float>::lanes;
    const std::int64_t dim = job.kv.key_dim(), whole = dim / lanes * lanes;
    const vec<float> scale(job.scale);
    for (std::int64_t c = 0; c < whole; c += lanes) store(mem.row + c, load_as<float>(row + c) * scale);
    if (whole < dim) store(mem.row + whole, load_as_n<float>(row + whole, static_cast<int>(dim - whole)) * scale);
    if constexpr (has_channel_scales_v<decltype(job.kv)>) {
        const float* const factors = job.kv.key_channel_scales(kv_head);
        for (std::int64_t c = 0; c < dim; ++c) mem.row[c] *= factors[c];
    }
    return micro::largest_operand(Job::def_type::integer_bits, channels_of<E> > 1 ? channels_of<E> : dim);
}

/// Rows of V, the first of the channels that are taken of them, and how many keys they are.
template <class E>
struct value_rows {
    const E* const* rows;
    std::int64_t channel;
    int keys;
};

/// O = P V of a tile: for all channels at once or, where V has blocks with a scale of their own, block by block, as the
/// weights take the scale. Words puts weights into words, those of keys_at_once keys side by side, and multiplies them.
template <class Tile, class Words>
class integer_outputs_pass {
    using E = typename Tile::job_type::value_element;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr int lanes = vec<float>::lanes;

public:
    integer_outputs_pass(const Tile& t, const integer_memory& mem, micro::matrix<float> o)
        : t_(t), mem_(mem), o_(o), source_(t.value_rows()),
          begin_(t.cover.lowest / micro::mass_lanes * micro::mass_lanes),
          depth_(!has_blocks && t.block.count <= micro::streaming_rows ? Words::depth : micro::key_tile)
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
    std::uint32_t* weights(int r, int j) const
    {
        return mem_.weights + r * micro::integer_weight_stride + Words::words_before(j);
    }

    /// Pointers to the rows of the tile's keys, and the last one again for keys that are multiplied with it.
    void list_rows() const
    {
        const E** const to = rows();
        for (int j = begin_; j < t_.keys;) {
            const auto segment = source_(t_.token + j);
            for (std::int64_t i = 0; i < segment.count && j < t_.keys; ++i) to[j++] = segment.row(i);
        }
        for (int j = t_.keys; j % Words::keys_at_once != 0; ++j) to[j] = to[t_.keys - 1];
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
                mem_.weight_steps[r] = Words::quantise(
                    {mem_.scores.row(r) + rows.begin(), has_blocks ? mem_.value_scales + rows.begin() : nullptr},
                    rows.end() - rows.begin(), largest, weights(r, rows.begin()));
    }

    /// Adds channels [first, end).
    void add(std::int64_t first, std::int64_t end, micro::line_feed& ahead) const
    {
        micro::line_feed others = ahead;
        others.rest();
        const std::int64_t whole = first + (end - first) / integer_channels * integer_channels;
        const int most_vecs = Words::most_vecs(t_.block.count);
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
    /// Keys that are multiplied with others, but not attended, have weights of 0.
    HEED_INLINE void add_rows(const register_block& block, key_range keys, const E* const* v, const panel& p,
                              micro::line_feed& ahead) const
    {
        const int first = block.lo > keys.begin ? block.lo : keys.begin, hi = block.hi < keys.end ? block.hi : keys.end;
        if (first >= hi) return;
        const int lo = first / Words::keys_at_once * Words::keys_at_once;
        Words::add({block.rows, p.vecs}, weights(block.first, lo), {v + (lo - keys.begin), p.channel, hi - lo},
                   {mem_.sums + block.first * mem_.sums_stride + p.at, mem_.sums_stride}, ahead);
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
            for (int i = stop - j; i % Words::keys_at_once != 0; ++i) copied[i] = to - integer_channels;
            for (const register_block& block : t_.cover) add_rows(block, {j, stop}, copied, {0, at, 2}, idle);
        }
    }

    const Tile& t_;
    const integer_memory& mem_;
    micro::matrix<float> o_;
    decltype(std::declval<Tile>().value_rows()) source_;
    int begin_, depth_;
};

}  // namespace kernel
HEED_END
