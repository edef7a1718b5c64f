// SPDX-License-Identifier: MIT
// The tile steps of a band: kv heads whose rows of a token lie side by side, as in [token][head][channel]. Head by head
// such rows would be read a piece of every token at a time: pages and cache sets are few for what is prefetched, and
// memory reads at half its speed. So each phase takes a few tokens at a time, all heads of them, and prefetches the
// next ones in the order of addresses. Where heads lie behind each other in every page they take turns. What a head
// computes, and in which order, is what its own tile step does.
#pragma once

#include "../kernel/band_prefetch.hpp"
#include "tile_step.hpp"

#include <optional>

HEED_BEGIN
namespace kernel {

/// The tile steps of the heads of a block, whose rows are few, in order.
template <class Job>
class band_steps {
    using U = typename Job::unit;
    using T = typename Job::T;
    using tile_type = tile<Job>;
    using scores_type = streamed_scores<tile_type>;
    using values_type = streamed_values<tile_type>;

public:
    band_steps(const Job& job, const query_block& band, const forward_memory<U>& mem, const next_block& next)
        : job_(job), band_(band), mem_(mem), next_(next), turns_(job_, band_, next_)
    {
        for (int h = 0; h < band.heads; ++h) pack_queries(job, band.of_head(h), scores_of(h));
    }

    /// The partial results of all heads and the keys [token, token + keys) of one tile: of head h in the rows from
    /// h * count on. attended[h] becomes whether any of its rows attends any of them; where none does, nothing is
    /// written.
    bool step(std::int64_t token, int keys, const partial<T>& result, bool* attended)
    {
        std::optional<tile_type> tiles[micro::most_heads_of_band];
        bool any = false;
        for (int h = 0; h < band_.heads; ++h) {
            const tile_type& t = tiles[h].emplace(job_, band_.of_head(h), token, keys, mem_.bits + row_of(h));
            attended[h] = !t.is_unattended();
            any = any || attended[h];
            if (!attended[h]) tiles[h].reset();
        }
        if (any) score(tiles, token, keys);
        for (int h = 0; h < band_.heads; ++h)
            if (tiles[h]) weigh_tile(*tiles[h], scores_of(h), result.from_row(row_of(h)));
        if (any) add_values(tiles, token, keys, result);
        return any;
    }

private:
    using optional_tile = std::optional<tile_type>;

    auto key_rows(const query_block& of) const { return keys_of(job_.kv, of.batch, of.kv_head); }
    auto value_rows(const query_block& of) const { return values_of(job_.kv, of.batch, of.kv_head); }
    template <class Source>
    auto rows_of(const Source& source, const Source& next) const
    {
        return band_rows<tile_type, Source>(source, band_.heads, next, next_.exists() ? next_.token : next.end);
    }
    int row_of(int h) const { return h * band_.count; }
    scores_memory<U> scores_of(int h) const { return mem_.scores.from_row(row_of(h)); }

    /// Tokens that a phase takes at a time: what is prefetched meanwhile has to stay in the L2 cache.
    template <class Source>
    int tokens_at_once(const Source& source) const
    {
        const std::int64_t fit = micro::band_bytes / max_of(band_.heads * source.bytes(), 1);
        constexpr int least = scores_type::least;
        return static_cast<int>(min_of(max_of(fit / least, 1) * least, scores_type::at_once));
    }
    void score(const optional_tile* tiles, std::int64_t token, int keys)
    {
        const auto k = key_rows(band_);
        const auto v = value_rows(band_);
        auto next_keys = rows_of(k, key_rows(next_.block));
        auto first_values = rows_of(v, value_rows(next_.block));
        decode_prefetch<tile_type> prefetch(*first_of(tiles), false);
        auto others = prefetch.idle(k, token);
        told_before told;
        const bool in_turns = turns_.fit(k, token);
        const int n = in_turns ? turns_.run : tokens_at_once(k);
        for (int j = 0; j < keys; j += n) {
            auto ahead = in_turns       ? others
                         : j + n < keys ? next_keys.from(token + j + n, n, others)
                         : sparse_      ? next_keys.from(token + micro::key_tile, n, others)
                                        : first_values.from(token, tokens_at_once(v), others);
            for (int h = 0; h < band_.heads; ++h) {
                if (!tiles[h]) continue;
                if (in_turns) ahead = turns_.ahead(k, {&band_, token, keys, false, j / n * band_.heads + h}, others);
                const scores_memory<U> mem = scores_of(h);
                const scores_type s(*tiles[h], mem);
                const int from = s.begin > j ? s.begin : j, to = s.end < j + n ? s.end : j + n;
                if (from < to) s.add(from, to, prefetch, ahead, others, told);
                if (j + n >= keys) s.add_rest(ahead);
            }
        }
    }

    void add_values(const optional_tile* tiles, std::int64_t token, int keys, const partial<T>& result)
    {
        bool dense[micro::most_heads_of_band];
        sparse_ = true;
        for (int h = 0; h < band_.heads; ++h) {
            dense[h] = tiles[h] && !outputs_of_few(*tiles[h], scores_of(h), mem_.outputs, result.from_row(row_of(h)).o);
            sparse_ = sparse_ && !dense[h];
        }
        if (!sparse_) add_all_values(tiles, dense, token, keys, result);
        for (int h = 0; h < band_.heads; ++h)
            if (tiles[h]) repair_outputs(*tiles[h], scores_of(h), result.from_row(row_of(h)).o);
    }

    void add_all_values(const optional_tile* tiles, const bool* dense, std::int64_t token, int keys,
                        const partial<T>& result)
    {
        const auto k = key_rows(band_);
        const auto v = value_rows(band_);
        auto first_keys = rows_of(k, key_rows(next_.block));
        auto next_values = rows_of(v, value_rows(next_.block));
        decode_prefetch<tile_type> prefetch(*first_of(tiles), false);
        auto others = prefetch.idle(v, token);
        told_before told;
        const bool in_turns = turns_.fit(v, token);
        const int n = in_turns ? turns_.run : tokens_at_once(v);
        for (int j = 0; j < keys; j += n) {
            auto ahead = in_turns       ? others
                         : j + n < keys ? next_values.from(token + j + n, n, others)
                                        : first_keys.from(token + micro::key_tile, tokens_at_once(k), others);
            for (int h = 0; h < band_.heads; ++h) {
                if (!dense[h]) continue;
                if (in_turns) ahead = turns_.ahead(v, {&band_, token, keys, true, j / n * band_.heads + h}, others);
                const scores_memory<U> mem = scores_of(h);
                const values_type values(*tiles[h], mem, mem_.outputs, result.from_row(row_of(h)).o);
                const int highest = tiles[h]->cover.highest;
                const int from = values.begin() > j ? values.begin() : j, to = highest < j + n ? highest : j + n;
                if (from < to) values.add(from, to, prefetch, ahead, others, told);
            }
        }
    }

    const tile_type* first_of(const optional_tile* tiles) const
    {
        int h = 0;
        while (!tiles[h]) ++h;
        return &*tiles[h];
    }

    const Job& job_;
    query_block band_;
    const forward_memory<U>& mem_;
    next_block next_;
    head_turns<tile_type> turns_;
    bool sparse_ = false;  // whether few keys of the last tile had a weight, in every head
};

}  // namespace kernel
HEED_END
