// SPDX-License-Identifier: MIT
// Which rows of K and V decode prefetches while it takes the heads of a band together: those of all heads of the next
// tokens, or, where heads lie behind each other in every page, those of the heads whose turns come next.
#pragma once

#include "decode_prefetch.hpp"

HEED_BEGIN
namespace kernel {

/// The rows that the heads of a band have of some tokens, as what a stream prefetches: in the order of addresses.
template <class Tile, class Source>
class band_rows {
    using prefetch = decode_prefetch<Tile>;
    using cursor = typename prefetch::l1_cursor;
    using E = typename Source::element;

public:
    /// Behind the end of a source lie the tokens of `next`, from `next_token` on.
    band_rows(const Source& source, int heads, const Source& next, std::int64_t next_token)
        : source_(source), next_(next), next_token_(next_token), heads_(heads), list_(source, 0, heads)
    {
        if constexpr (prefetch::lists) list_.then(next, next_token);
    }

    /// A stream of n tokens from `token` on, in the place of one that is idle; of nothing behind the last ones.
    template <class Stream>
    Stream from(std::int64_t token, [[maybe_unused]] int n, Stream idle)
    {
        if constexpr (prefetch::lists) {
            list_.go_to(token);
            idle.near() = list_.list(n);
        } else if (token < source_.end || next_token_ < next_.end) {
            if constexpr (micro::two_distances) {
                idle.far() = {half(token, n / 2), half(token + n / 2, n / 2)};
            } else {
                const auto row = at(token);
                idle.near() = cursor(row.data, row.stride, source_.elements() * heads_);
            }
        }
        return idle;
    }

private:
    /// Behind the end of the source lies the next one; behind that nothing, and the last token is prefetched again.
    rows<const E> at(std::int64_t token) const
    {
        if (token < source_.end || next_token_ >= next_.end) return source_(min_of(token, source_.end - 1));
        return next_(min_of(next_token_ + token - source_.end, next_.end - 1));
    }
    /// Two distances: into the L2 cache, in two streams, one half of the tokens each. Rows that are taken a few at a
    /// time from far apart would share too few sets of the L1 cache. Where a segment ends, what lies behind it is
    /// prefetched.
    micro::paired_cursor half(std::int64_t token, int n) const
    {
        const auto row = at(token);
        return {row.data, row.stride, source_.elements() * heads_, n / 2, n};
    }

    Source source_, next_;
    std::int64_t next_token_;
    int heads_;
    piece_list<Source> list_;
};

/// A turn of a head: a run of keys of a tile, of which first K is passed, by all heads, run after run, and then V.
struct head_turn {
    const query_block* band;
    std::int64_t token;  // the tile's first
    int keys;            // of the tile
    bool of_values;
    int index;
};

/// The order in which heads take turns whose rows of a page lie behind each other: whole pages are then read in the
/// order of addresses, but for the few that a run of keys spans. Head by head, every page would be read in as many
/// pieces. 63 sequences of 256 keys and one of 16384, 8 heads of 128 floats, pages of 16: 0.78 of the time (Zen 5).
template <class Tile>
class head_turns {
    using Job = typename Tile::job_type;
    static constexpr bool lists = decode_prefetch<Tile>::lists;

public:
    static constexpr int run = micro::streaming_depth;

    head_turns(const Job& job, const query_block& band, const next_block& next) : job_(job), band_(band), next_(next) {}

    /// Whether heads take turns over the rows of a source.
    template <class Source>
    bool fit(const Source& source, std::int64_t token) const
    {
        if constexpr (lists) return source(token).stride == Source::stride_of(source.elements());
        return false;
    }
    /// A stream of as many rows as a turn has, those that follow its first ones by some bytes, in the place of one that
    /// is idle. `source` has rows as the turn's are.
    template <class Source, class Stream>
    Stream ahead([[maybe_unused]] const Source& source, [[maybe_unused]] const head_turn& turn, Stream idle)
    {
        if constexpr (lists) {
            const auto lead = static_cast<int>(max_of(run, micro::key_lead / source.bytes()));
            const int some = lead % run;
            micro::piece* last = pieces_;
            const auto list = [&](const auto& of, std::int64_t first, std::int64_t end) {
                last = list_pieces(of, first, end, 1, last);
            };
            with_rows(turn, lead / run, some, run, list);
            with_rows(turn, lead / run + 1, 0, some, list);
            if (last != pieces_) {
                *last = {last[-1].end, ~std::uintptr_t{0}};
                idle.near() = micro::piece_cursor(pieces_);
            }
        }
        return idle;
    }

private:
    int turns_of(int keys) const { return static_cast<int>(ceil_div(keys, run)) * band_.heads; }
    std::int64_t end_of(const query_block& band) const { return job_.kv.held(band.batch).end; }

    /// Calls f(source, first token, end) for rows [from, to) of the turn that comes `later` turns later, if there are
    /// any.
    template <class F>
    void with_rows(head_turn turn, std::int64_t later, int from, int to, F f) const
    {
        turn.index += static_cast<int>(later);
        for (int n; turn.index >= (n = turns_of(turn.keys)); turn.index -= n)
            if (!go_on(turn)) return;
        const std::int64_t begin = turn.token + turn.index / band_.heads * run, tile_end = turn.token + turn.keys;
        const std::int64_t first = begin + from, end = min_of(begin + to, tile_end);
        if (first >= end) return;
        const query_block head = turn.band->of_head(turn.index % band_.heads);
        if (turn.of_values) f(values_of(job_.kv, head.batch, head.kv_head), first, end);
        else f(keys_of(job_.kv, head.batch, head.kv_head), first, end);
    }
    /// From K to V, and from V to the next tile's K; false where nothing follows.
    bool go_on(head_turn& turn) const
    {
        turn.of_values = !turn.of_values;
        if (turn.of_values) return true;
        if (turn.band != &band_) return false;
        const std::int64_t behind = turn.token + turn.keys;
        if (behind < end_of(band_)) {
            turn.token = behind;
        } else {
            if (!next_.exists()) return false;
            turn.band = &next_.block;
            turn.token = next_.token;
        }
        turn.keys =
            static_cast<int>(min_of(micro::key_tile - turn.token % micro::key_tile, end_of(*turn.band) - turn.token));
        return true;
    }

    const Job& job_;
    const query_block& band_;
    const next_block& next_;
    micro::piece pieces_[run + 1];
};

}  // namespace kernel
HEED_END
