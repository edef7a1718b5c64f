// SPDX-License-Identifier: MIT
// What the contract costs: softmax attention written by hand on heed's micro kernels, with the same blocks of rows,
// strips of keys, panels of values and tiles of 512 keys, by somebody who wants softmax alone. Between the two products
// there are no policies, score objects, bits of masks or partial results: scores come in units of ln 2, one loop takes
// 2^x and the sum of a row and the maximum of the next one, outputs of all tiles add up in one place, and nobody asks
// whether V holds a NaN.
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/engine/kernel/cover.hpp>
#include <heed/engine/micro/outputs.hpp>
#include <heed/engine/micro/scores.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace bench {
namespace {

namespace micro = heed::micro;
using heed::ceil_div, heed::round_up, heed::min_of, heed::max_of;

using V = heed::simd::vec<float>;
constexpr int lanes = V::lanes, strip = micro::key_strip<float>, run_keys = micro::value_depth<float>;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// 2^x for x <= 0, off by 7.5e-8 of it before rounding; for all x below -125 2^-125, nothing beside the 1 of the
/// largest score.
HEED_INLINE V exp2(V x)
{
    x = heed::max(x, -125.f);
    const V r = heed::simd::round(x), f = x - r;
    V p(0x1.5c08e6p-10f);
    p = heed::fma(p, f, 0x1.3d0c52p-7f);
    p = heed::fma(p, f, 0x1.c6b6e4p-5f);
    p = heed::fma(p, f, 0x1.ebf918p-3f);
    p = heed::fma(p, f, 0x1.62e428p-1f);
    p = heed::fma(p, f, 1.f);
    return p * heed::simd::power_of_two_unclamped(r);
}

class fused {
public:
    explicit fused(const bench_case& of)
        : c(of), in_(inputs_of<float>(of)), out_(of.batch * of.query_heads * of.queries * of.value_dim),
          rows_(of.queries * of.group()), o_stride_(round_up(of.value_dim, lanes)),
          block_rows_(
              min_of(round_up(ceil_div(rows_, ceil_div(rows_, micro::query_block)), micro::register_rows), rows_)),
          part_stride_(block_rows_ * micro::query_stride<float>),
          q_(micro::row_parts<float>(of.key_dim).count * part_stride_),
          strip_(min_of(of.key_dim, micro::strip_units<float>) * strip), s_(block_rows_ * micro::score_stride),
          values_(run_keys * micro::register_vecs * lanes), o_(block_rows_ * o_stride_), top_(block_rows_),
          sum_(block_rows_), ends_(block_rows_)
    {}

    void run()
    {
        for (std::int64_t head = 0; head < c.batch * c.kv_heads; ++head)
            for (std::int64_t first = (rows_ - 1) / block_rows_ * block_rows_; first >= 0; first -= block_rows_) {
                count_ = static_cast<int>(min_of(block_rows_, rows_ - first));
                begin_block(head, first);
                for (std::int64_t token = 0; token < ends_.get()[count_ - 1]; token += micro::key_tile)
                    tile(in_->k(head) + token * c.key_dim, in_->v(head) + token * c.value_dim, token);
                end_block(head, first);
            }
    }
    std::vector<float> output() const { return {out_.get(), out_.get() + out_.size()}; }

private:
    /// Rows of a register block, and how many of the tile's keys the last of them attends.
    struct group {
        int first, rows, keys;
    };

    /// Row x of a kv head: query x / group of head x % group.
    std::int64_t place_of(std::int64_t head, std::int64_t x) const
    {
        return (head * c.group() + x % c.group()) * c.queries + x / c.group();
    }

    void begin_block(std::int64_t head, std::int64_t first)
    {
        constexpr double log2_e = 1.44269504088896340736;
        const auto scale = static_cast<float>(log2_e / std::sqrt(static_cast<double>(c.key_dim)));
        for (int r = 0; r < count_; ++r) {
            micro::pack_query(in_->q.get() + place_of(head, first + r) * c.key_dim, c.key_dim, scale,
                              q_.get() + r * micro::query_stride<float>, part_stride_);
            ends_.get()[r] = c.attended((first + r) / c.group()).end;
        }
        std::fill_n(top_.get(), count_, minus_infinity);
        std::fill_n(sum_.get(), count_, 0.f);
        std::fill_n(o_.get(), count_ * o_stride_, 0.f);
    }

    void end_block(std::int64_t head, std::int64_t first)
    {
        for (int r = 0; r < count_; ++r) {
            float* const out = out_.get() + place_of(head, first + r) * c.value_dim;
            const float* const o = o_.get() + r * o_stride_;
            const float factor = sum_.get()[r] > 0 ? 1 / sum_.get()[r] : 0;
            for (std::int64_t x = 0; x < c.value_dim; ++x) out[x] = o[x] * factor;
        }
    }

    int attended(int row, std::int64_t token) const
    {
        return static_cast<int>(std::clamp<std::int64_t>(ends_.get()[row] - token, 0, micro::key_tile));
    }

    void tile(const float* k, const float* v, std::int64_t token)
    {
        n_groups_ = heed::kernel::register_blocks_of(count_);
        for (int g = 0, x = 0; g < n_groups_; x += groups_[g++].rows) {
            const int rows = heed::kernel::rows_of_register_block(count_, g);
            groups_[g] = {x, rows, attended(x + rows - 1, token)};
        }
        const int keys = groups_[n_groups_ - 1].keys;  // of the last row, which attends the most
        for (int j = 0; j < keys; j += strip)
            score(k + j * c.key_dim, j, static_cast<int>(min_of(strip, c.keys - token - j)));
        for (int g = 0; g < n_groups_; ++g) weigh(groups_[g], token);
        for (int j = 0; j < keys; j += run_keys) add(v + j * c.value_dim, j, std::min(run_keys, keys - j));
    }

    /// Scores of the `keys` keys from key j of the tile on.
    void score(const float* k, int j, int keys)
    {
        const micro::row_parts<float> parts(c.key_dim);
        for (std::int64_t part = 0; part < parts.count; ++part) {
            const std::int64_t first = parts.begin(part), channels = parts.end(part) - first;
            micro::pack_keys(micro::matrix<const float>{k, c.key_dim}, keys, first, channels, strip_.get());
            const float* next = k + (part + 1 == parts.count ? strip * c.key_dim : first + channels);
            micro::next_lines lines(channels, k);
            lines.then({next, c.key_dim, channels, strip});
            for (int g = 0; g < n_groups_; ++g)
                if (groups_[g].keys > j)
                    micro::scores(groups_[g].rows,
                                  q_.get() + part * part_stride_ + groups_[g].first * micro::query_stride<float>,
                                  micro::packed_keys<float>{strip_.get(), channels, {0, groups_[g].keys - j}}, part > 0,
                                  s_.get() + groups_[g].first * micro::score_stride + j, lines.take());
        }
    }

    static constexpr int vecs = 4, step = vecs * lanes;
    static_assert(micro::key_tile % step == 0);

    /// The largest score so far in each lane.
    struct search {
        V high[vecs];

        HEED_INLINE explicit search(float top)
        {
            for (V& h : high) h = V(top);
        }
        HEED_INLINE void look_at(const float* s)
        {
            HEED_UNROLL
            for (int i = 0; i < vecs; ++i) high[i] = heed::max(high[i], heed::simd::load(s + i * lanes));
        }
        float result() const
        {
            return heed::simd::largest(heed::max(heed::max(high[0], high[1]), heed::max(high[2], high[3])));
        }
    };
    float* scores_of(int row) { return s_.get() + row * micro::score_stride; }
    /// Prepares a row of `keys` scores for steps.
    search begin_search(int row, int keys)
    {
        std::fill(scores_of(row) + keys, scores_of(row) + round_up(keys, step), minus_infinity);
        return search(top_.get()[row]);
    }

    /// Scores of a group become weights, 0 behind the last that a row attends. The largest score of the next row is
    /// looked for while this one is weighed.
    void weigh(const group& rows, std::int64_t token)
    {
        int keys = attended(rows.first, token);
        search own = begin_search(rows.first, keys);
        for (int j = 0; j < keys; j += step) own.look_at(scores_of(rows.first) + j);
        for (int r = rows.first; r < rows.first + rows.rows; ++r) {
            const int next = r + 1 < rows.first + rows.rows ? r + 1 : r, next_keys = attended(next, token);
            const float highest = own.result();
            if (next != r) own = begin_search(next, next_keys);
            weigh_row(r, keys, highest, own, scores_of(next));
            for (auto j = round_up(keys, step); j < next_keys; j += step) own.look_at(scores_of(next) + j);
            if (keys < rows.keys) std::fill(scores_of(r) + keys, scores_of(r) + rows.keys, 0.f);
            keys = next_keys;
        }
    }
    HEED_INLINE void weigh_row(int row, int keys, float highest, search& next, const float* next_scores)
    {
        float *const s = scores_of(row), &top = top_.get()[row];
        if (highest > top) {  // what was summed so far counts for less
            const float factor = std::exp2(top - highest);
            float* const o = o_.get() + row * o_stride_;
            for (std::int64_t x = 0; x < o_stride_; x += lanes)
                heed::simd::store(o + x, heed::simd::load(o + x) * V(factor));
            sum_.get()[row] *= factor;
            top = highest;
        }
        search ahead = next;  // in registers
        V sums[vecs] = {V(0), V(0), V(0), V(0)};
        for (int j = 0; j < keys; j += step) {
            HEED_UNROLL
            for (int i = 0; i < vecs; ++i) {
                const V e = exp2(heed::simd::load(s + j + i * lanes) - V(highest));
                heed::simd::store(s + j + i * lanes, e);
                sums[i] = sums[i] + e;
            }
            ahead.look_at(next_scores + j);
        }
        next = ahead;
        sum_.get()[row] += heed::simd::sum_by_halves((sums[0] + sums[1]) + (sums[2] + sums[3]));
    }

    /// Adds P V over the `keys` keys from key j of the tile on.
    void add(const float* v, int j, int keys)
    {
        const std::int64_t registers = ceil_div(c.value_dim, lanes), panels = ceil_div(registers, micro::register_vecs);
        for (std::int64_t panel = 0; panel < panels; ++panel) {
            const std::int64_t channel = registers * panel / panels * lanes;
            const int width = static_cast<int>(registers * (panel + 1) / panels - registers * panel / panels);
            const std::int64_t channels = min_of(width * lanes, c.value_dim - channel);
            micro::pack_values(micro::matrix<const float>{v, c.value_dim}, keys, channel, channels, width,
                               values_.get());
            const float* next = v + (panel + 1 == panels ? run_keys * c.value_dim : channel + channels);
            micro::next_lines lines(keys, v);
            lines.then({next, c.value_dim, width * lanes, keys});
            for (int g = 0; g < n_groups_; ++g)
                if (const int own = std::min(groups_[g].keys - j, keys); own > 0)
                    micro::outputs(
                        {groups_[g].rows, width},
                        micro::weight_rows<float>{s_.get() + groups_[g].first * micro::score_stride + j, own},
                        micro::packed_panel<float>{values_.get()}, true,
                        micro::matrix<float>{o_.get() + groups_[g].first * o_stride_ + channel, o_stride_},
                        lines.take());
        }
    }

    const bench_case c;
    std::shared_ptr<const inputs<float>> in_;
    buffer<float> out_;
    const std::int64_t rows_, o_stride_, block_rows_, part_stride_;
    buffer<float> q_, strip_, s_, values_, o_, top_, sum_;
    buffer<std::int64_t> ends_;  // of the keys that a row attends
    int count_ = 0, n_groups_ = 0;
    group groups_[heed::kernel::max_register_blocks];
};

}  // namespace

std::string fused_refusal(const bench_case& c)
{
    if (c.normalizer != "softmax") return "fused has softmax only";
    if (c.phase != "prefill") return "fused has prefill only";
    if (c.element != "f32") return "fused has f32 only";
    if (c.mask != mask_kind::all && c.mask != mask_kind::causal) return "fused has the masks all and causal only";
    if (c.layout != kv_layout::bhsd || c.mla) return "fused has K and V of their own, head by head";
    return c.threads == 1 ? "" : "fused runs on one thread";
}

contestant make_fused(const bench_case& c)
{
    const auto f = std::make_shared<fused>(c);
    return {[=] { f->run(); }, [=] { return f->output(); }, "softmax fused by hand on heed's micro kernels"};
}

}  // namespace bench
