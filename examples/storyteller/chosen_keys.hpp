// SPDX-License-Identifier: MIT
// Which keys a row attends: all up to its own, or some blocks of them.
#pragma once

#include "attention_form.hpp"

#include <heed/block_summary.hpp>
#include <heed/key_scores.hpp>
#include <heed/top_keys.hpp>

#include <algorithm>

namespace llama2c {

struct all_keys {
    all_keys(const config&, const attention_form&, int64) {}

    template <class Source>
    heed::causal mask(int64, const Source&, const heed::view<const float>&, const std::vector<int64>&,
                      heed::executor_ref) const
    {
        return {};
    }
};

/// The block that holds the row's own key, and of those before it the ones whose bounds allow the largest scores, in
/// sum over the query heads of a kv head (Quest, arXiv 2406.10774). Blocks of one key are chosen by their scores. A row
/// chooses among what stood before it alone, so that it has the same list in a prompt and when it is told.
class chosen_keys {
public:
    /// Of keys with `dim` channels.
    chosen_keys(const config& c, const attention_form& form, int64 dim)
        : most_(form.select), block_(form.block),
          heads_(c.heads), all_{form.sequences, c.kv_heads, (c.context + block_ - 1) / block_, dim},
          low_(static_cast<std::size_t>(c.layers * all_.batch * all_.heads * all_.tokens * dim)), high_(low_.size())
    {}

    /// The lists of rows [1, heads, rows, dim], those of sequence b from bounds[b] on, whose keys are the last that
    /// `source`, the cache of a layer, holds of it. They are there until the next call.
    template <class Source>
    auto mask(int64 layer, const Source& source, const heed::view<const float>& rows, const std::vector<int64>& bounds,
              heed::executor_ref executor)
    {
        const int64 sequences = all_.batch, blocks = (source.tokens() + block_ - 1) / block_;
        int64 most_rows = 0, first_new = source.tokens();
        for (int64 b = 0; b < sequences; ++b) {
            const int64 n = rows_of(bounds, b);
            most_rows = std::max(most_rows, n);
            if (n > 0) first_new = std::min(first_new, source.held(b).end - n);
        }
        heed::or_throw(heed::block_bounds(source, block_, summaries(low_, layer, 0, sequences, blocks),
                                          summaries(high_, layer, 0, sequences, blocks), first_new, executor));

        const int64 lists = sequences * all_.heads * most_rows;
        scores_.assign(static_cast<std::size_t>(lists * blocks), nothing);
        const heed::view<float> scores = heed::bhsd(scores_.data(), {sequences, all_.heads, most_rows, blocks});
        for (int64 b = 0; b < sequences; ++b)
            if (const int64 n = rows_of(bounds, b); n > 0) {
                heed::view<const float> q = rows;
                q.data = rows.row(0, 0, bounds[static_cast<std::size_t>(b)]);
                q.size.tokens = n;
                score(layer, b, q, source.held(b).end, scores, executor);
            }

        offsets_.resize(static_cast<std::size_t>(lists + 1));
        entries_.resize(static_cast<std::size_t>(lists * std::min(most_, blocks)));
        heed::or_throw(heed::top_keys(heed::view<const float>(scores), heed::top_choice{most_}, offsets_.data(),
                                      lists + 1, entries_.data(), static_cast<int64>(entries_.size())));
        heed::list_shape shape;
        shape.block = block_;
        shape.heads = all_.heads;
        shape.group = heads_ / all_.heads;
        shape.row_blocks = most_rows;
        shape.rows = 1;
        return heed::causal{} & heed::selected_keys{offsets_, entries_, shape};
    }

private:
    static constexpr float nothing = -std::numeric_limits<float>::infinity();  // of such a score top_keys lists nothing

    static int64 rows_of(const std::vector<int64>& bounds, int64 b)
    {
        return bounds[static_cast<std::size_t>(b) + 1] - bounds[static_cast<std::size_t>(b)];
    }

    /// Of a layer, some sequences' summaries of so many blocks.
    heed::view<float> summaries(std::vector<float>& of, int64 layer, int64 first, int64 sequences, int64 blocks) const
    {
        heed::view<float> v = heed::bhsd(of.data(), all_);
        v.data = v.row(layer * all_.batch + first, 0, 0);
        v.size.batch = sequences;
        v.size.tokens = blocks;
        return v;
    }

    /// Scores of the blocks that a sequence of `length` tokens has, for its last rows q.
    void score(int64 layer, int64 b, const heed::view<const float>& q, int64 length, const heed::view<float>& scores,
               heed::executor_ref executor)
    {
        const int64 blocks = (length + block_ - 1) / block_;
        heed::view<float> to = scores;
        to.data = scores.row(b, 0, 0);
        to.size = {1, all_.heads, q.size.tokens, blocks};
        const heed::view<const float> low = summaries(low_, layer, b, 1, blocks),
                                      high = summaries(high_, layer, b, 1, blocks);
        heed::or_throw(heed::score_block_bounds(q, low, high, to, executor));
        for (int64 h = 0; h < all_.heads; ++h)
            for (int64 i = 0; i < q.size.tokens; ++i) {
                float* const row = to.row(0, h, i);
                const int64 own = (length - q.size.tokens + i) / block_;
                row[own] = std::numeric_limits<float>::infinity();
                std::fill(row + own + 1, row + blocks, nothing);
            }
    }

    int64 most_, block_, heads_;
    heed::extents all_;              // of a layer's summaries
    std::vector<float> low_, high_;  // [layer][sequence][kv head][block][channel]
    std::vector<float> scores_;
    std::vector<int64> offsets_, entries_;
};

}  // namespace llama2c
