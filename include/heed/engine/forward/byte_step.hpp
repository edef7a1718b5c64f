// SPDX-License-Identifier: MIT
// The tile step in integers of few rows, in products of bytes: the bits of integer_step.hpp.
#pragma once

#include "register_of_keys.hpp"
#include "tile_step.hpp"

HEED_BEGIN
namespace kernel {

/// Whether products of integers of so many rows are products of bytes.
constexpr bool takes_bytes(std::int64_t rows) { return simd::multiplies_bytes && rows <= micro::streaming_rows; }

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
    micro::spread_bytes<E>{mem.byte_queries + i * mem.byte_query_stride, mem.byte_starts + i * mem.byte_start_stride}.put(
        mem.whole_row, reinterpret_cast<std::int8_t*>(mem.copy), dim, r - first, parts);
}

/// S of a tile, with scales of keys.
template <class Tile>
void score_bytes(const Tile& t, const integer_memory& mem)
{
    using Job = typename Tile::job_type;
    using E = typename Job::key_element;
    constexpr int lanes = vec<float>::lanes, parts = micro::parts_of(Job::def_type::integer_bits);
    const std::int64_t dim = t.job.kv.key_dim();
    const float* factors = nullptr;
    if constexpr (has_key_scales_v<typename Job::kv_type>) {
        gather_scales_of(t, t.job.kv.key_scales(t.block.batch, t.kv_head), mem.key_factors);
        factors = mem.key_factors;
    }
    micro::line_feed ahead = feed_of_scores(t, mem.pieces), others = ahead;
    others.rest();
    const int end = static_cast<int>(round_up(t.cover.highest, lanes));
    for (int j = t.cover.lowest / lanes * lanes, n; j < end; j += n * lanes) {
        const int stop = t.cover.count > 1 && j + shared_keys < end ? j + shared_keys : end;
        const auto k = registers_of_keys(t, j, stop, mem.copy, n);
        for (int i = 0; i < t.cover.count; ++i) {
            const register_block& rows = t.cover[i];
            if (!rows.attends(j, n * lanes)) continue;
            micro::byte_scores<parts, E>(rows.rows,
                                         {mem.byte_queries + i * mem.byte_query_stride,
                                          mem.byte_starts + i * mem.byte_start_stride, mem.query_steps + rows.first},
                                         k, dim, n, factors ? factors + j : nullptr, mem.scores.row(rows.first) + j,
                                         i == 0 ? ahead : others);
        }
    }
}

/// O = P V of a tile.
template <class Tile>
class byte_outputs_pass {
    using E = typename Tile::job_type::value_element;
    using Def = typename Tile::job_type::def_type;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr int lanes = vec<float>::lanes, parts = micro::parts_of(Def::integer_bits);
    static constexpr int depth = 64, chunk = 4 * lanes;  // keys whose sums stay in registers; that weights round together

public:
    byte_outputs_pass(const Tile& t, const integer_memory& mem, micro::matrix<float> o)
        : t_(t), mem_(mem), o_(o), source_(t.value_rows()), begin_(t.cover.lowest / chunk * chunk),
          end_(static_cast<int>(round_up(t.cover.highest, chunk))), first_row_(t.cover.lowest / 4 * 4)
    {
        list_rows();
    }

    void run() const
    {
        auto ahead = feed_of_outputs(t_, mem_.pieces);
        round_weights();
        const std::int64_t dim = source_.dim, each = micro::byte_channels<E>;
        for (int j = begin_; j < end_; j += depth) {
            const int from = j > first_row_ ? j : first_row_, stop = j + depth < t_.cover.highest ? j + depth : t_.cover.highest;
            ahead.owe((stop - from) * source_.bytes());
            for (std::int64_t c = 0; c < dim; c += each) add(from, stop, c, ahead);
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
            for (std::int64_t i = 0; i < segment.count && j < t_.keys; ++i) to[j++] = segment.row(i);
        }
        for (int j = t_.keys; j % 4 != 0; ++j) to[j] = to[t_.keys - 1];
    }

    /// Weights of 0 for keys that a row does not attend, up to whole chunks; scales as well.
    void clear_around(float* row, int begin, int end) const
    {
        for (int j = begin_; j < begin; j += lanes) store(row + j, vec<float>(0));
        for (int j = end; j < end_; j += lanes) store(row + j, vec<float>(0));
    }

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
                clear_around(mem_.scores.row(r), rows.begin(), rows.end());
                std::uint32_t* const sums = mem_.sums + r * mem_.sums_stride;
                for (std::int64_t c = 0; c < dim; c += each) {
                    const float* const d = has_blocks ? mem_.block_scales + c / each * micro::key_tile : factors;
                    const micro::byte_weights w =
                        micro::round_to_bytes<parts>(mem_.scores.row(r), d, begin_, end_, largest, weights(r, c));
                    mem_.weight_steps[place(r, c)] = w.step;
                    const auto start = native_lanes::all_words(w.sum * -static_cast<std::uint32_t>(element_traits<E>::bias));
                    for (std::int64_t x = c; x < c + round_up(each, micro::byte_channels<E>); x += lanes)
                        native_lanes::store_words(sums + x, start);
                }
            }
    }

    /// The scales of all blocks of channels.
    void gather_block_scales() const
    {
        if constexpr (has_blocks) {
            const E* const* const from = rows();
            const std::int64_t blocks = source_.elements();
            const int first = first_row_ / lanes * lanes;
            for (std::int64_t b = 0; b < blocks; ++b) clear_around(mem_.block_scales + b * micro::key_tile, first, first);
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
                        for (int i = 0; i < lanes; ++i)
                            to[i] = j + i < t_.keys && j + i >= first_row_ ? float(from[j + i][b].d) : 0.f;
                    }
                }
            }
        }
    }

    /// Adds keys [j, stop) of the channels from c on.
    void add(int j, int stop, std::int64_t c, micro::line_feed& ahead) const
    {
        micro::line_feed others = ahead;
        others.rest();
        const int bytes = static_cast<int>(min_of(micro::byte_channels<E>, source_.dim - c));
        for (const register_block& block : t_.cover) {
            const int lo = (block.lo > j ? block.lo : j) / 4 * 4, hi = block.hi < stop ? block.hi : stop;
            if (lo >= hi) continue;
            micro::byte_outputs<parts, E>(block.rows, weights(block.first, c) + lo / 4, rows() + lo, c, (hi - lo + 3) / 4,
                                          has_blocks ? micro::byte_shape<E>::bytes : bytes,
                                          mem_.sums + block.first * mem_.sums_stride + c, mem_.sums_stride,
                                          block.first == 0 ? ahead : others);
        }
    }

    const Tile& t_;
    const integer_memory& mem_;
    micro::matrix<float> o_;
    decltype(std::declval<Tile>().value_rows()) source_;
    int begin_, end_, first_row_;
};

}  // namespace kernel
HEED_END
