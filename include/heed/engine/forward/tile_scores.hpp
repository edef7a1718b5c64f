// SPDX-License-Identifier: MIT
// S = Q K^T of a tile: how rows of K are read. Prefill packs them into strips that all rows of the block pass; decode
// transposes them in registers as they come from memory. Both give the same bits.
#pragma once

#include "../kernel/decode_prefetch.hpp"
#include "../kernel/partition.hpp"
#include "../micro/scores.hpp"
#include "../micro/scores_unpacked.hpp"

HEED_BEGIN
namespace kernel {

/// What scores are made of, and where: of one query block, tile after tile.
template <class Unit>
struct scores_memory {
    using U = Unit;
    using T = sum_t<U>;

    U* queries;  // [parts][rows][query_stride]: units of Dqk, scaled where they are not pairs
    std::int64_t part_stride;
    U* strip;    // [strip_units][key_strip]
    T* scores;   // [rows][score_stride]; they become weights
    void* copy;  // [copied_rows] rows of K or V, where a source has several segments

    template <class Carver>
    static scores_memory carve(Carver& c, const partition& p)
    {
        scores_memory m;
        m.part_stride = p.block_rows() * micro::query_stride<T>;
        m.queries = c.template take<U>(micro::row_parts<T>(p.key_dim).count, m.part_stride);
        m.strip = c.template take<U>(min_of(p.key_dim, micro::strip_units<T>), micro::key_strip<T>);
        m.scores = c.template take<T>(p.block_rows(), micro::score_stride);
        m.copy = p.copies ? c.template take<T>(copied_rows, max_of(p.key_dim, p.value_dim)) : nullptr;
        return m;
    }
    /// The same for the rows from `row` on.
    scores_memory from_row(int row) const
    {
        scores_memory m = *this;
        m.queries = query(0, row);
        m.scores = this->row(row);
        return m;
    }
    U* query(std::int64_t part, int row) const { return queries + part * part_stride + row * micro::query_stride<T>; }
    T* row(int r) const { return scores + r * micro::score_stride; }
    /// Weights as units: of pairs, rows are narrowed where they lie.
    const U* weights(int row) const { return reinterpret_cast<const U*>(scores + row * micro::score_stride); }
};

/// Packs a row of queries as row r of a block whose keys are those of kv_head.
template <class Job, class Q, class U>
void pack_query_of(const Job& job, const Q* row, std::int64_t kv_head, int r, const scores_memory<U>& mem)
{
    U* const q = mem.query(0, r);
    micro::pack_query(row, job.kv.key_dim(), job.scale, q, mem.part_stride);
    if constexpr (has_channel_scales_v<decltype(job.kv)>)
        micro::scale_query(job.kv.key_channel_scales(kv_head), job.kv.key_dim(), q, mem.part_stride);
}

/// Channels [first, end) of a row of K: a part of them, as the queries are cut.
struct channel_range {
    std::int64_t first, end;

    std::int64_t count() const { return end - first; }
};

/// Packs some channels of `keys` <= key_strip keys from `token` on: segment by segment, of which most sources have one.
template <class Source, class U>
HEED_INLINE void pack_strip(const Source& source, std::int64_t token, int keys, channel_range channels,
                            const scores_memory<U>& mem)
{
    constexpr int strip = micro::key_strip<sum_t<U>>, lanes = vec<U>::lanes;
    for (int x = 0, n; x < keys; x += n) {
        const int left = keys - x, least = left < lanes ? left : lanes;
        const auto k = together(source, token + x, least, least, mem.copy);
        n = k.count >= left ? left : static_cast<int>(k.count) / lanes * lanes;
        micro::pack_keys(matrix_of(k), n, channels.first, channels.count(), mem.strip + x, n == left ? strip - x : n);
    }
}

/// Scores of the strip that starts at key j of the tile; prefetches the next strip of the source, and then `after`.
template <class Tile, class U = typename Tile::U>
void score_strip(const Tile& t, int j, const scores_memory<U>& mem, const micro::row_lines& after)
{
    constexpr int strip = micro::key_strip<sum_t<U>>, each = elements_of<U>;
    const int keys = strip < t.keys - j ? strip : t.keys - j;
    const auto source = t.key_rows();
    const std::int64_t dim = source.dim, first = t.token + j;
    const micro::row_parts<sum_t<U>> parts(ceil_div(dim, each));
    const auto end_of = [&](std::int64_t part) { return min_of(parts.end(part) * each, dim); };
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const channel_range channels{parts.begin(part) * each, end_of(part)};
        const std::int64_t units = ceil_div(channels.count(), each);
        pack_strip(source, first, keys, channels, mem);
        micro::next_lines lines(units, mem.strip);
        if (part + 1 < parts.count) {
            lines.then(lines_of(source, first, keys, channels.end, end_of(part + 1) - channels.end));
        } else {
            lines.then(lines_of(source, first + strip, strip, 0, end_of(0)));
            lines.then(after);
        }
        for (const register_block& rows : t.cover)
            if (t.wants(rows, j, strip))
                micro::scores(rows.rows, mem.query(part, rows.first),
                              micro::packed_keys<U>{mem.strip, units, {rows.lo - j, rows.hi - j}}, part > 0,
                              mem.row(rows.first) + j, lines.take());
    }
}

/// S for the keys that the cover has, as far as each register block attends them. after(token, n) are lines to prefetch
/// besides the next keys while n keys from `token` on are scored.
template <class Tile, class After, class U = typename Tile::U>
void score_packed(const Tile& t, const scores_memory<U>& mem, After after)
{
    constexpr int strip = micro::key_strip<sum_t<U>>;
    for (int j = t.cover.lowest / strip * strip; j < t.cover.highest; j += strip)
        if (t.wants_any(j, strip)) score_strip(t, j, mem, after(t.token + j, strip < t.keys - j ? strip : t.keys - j));
}

/// The same where rows are few, some keys at a time.
template <class Tile>
class streamed_scores {
    using U = typename Tile::U;
    using Kv = typename Tile::job_type::kv_type;
    static constexpr int lanes = vec<U>::lanes, vecs = micro::unpacked_vecs;
    static constexpr int strip = micro::key_strip<sum_t<U>>;

public:
    /// Keys that are scored in one call; ranges of keys begin and end at multiples of `least`.
    static constexpr int least = vecs * lanes;
    static constexpr int at_once = Kv::contiguous && micro::overlaps_transposition<typename Tile::job_type::key_element>
                                       ? micro::overlapped_keys
                                       : least;
    static_assert(copied_rows >= least);

    HEED_INLINE streamed_scores(const Tile& t, const scores_memory<U>& mem)
        : begin(t.cover.lowest / least * least), end(begin + whole_lanes(t, begin)), t_(t), mem_(mem)
    {}

    const int begin, end;  // keys that fill a register

    /// Keys [from, to), of which `ahead` prefetches what comes next; `others` is idle. Of a band, rows that would not
    /// stay in the L1 cache where they lie are copied first.
    template <class Stream, class Near>
    HEED_INLINE void add(int from, int to, decode_prefetch<Tile>& prefetch, Stream& ahead, Stream& others,
                         Near& near) const
    {
        const auto source = t_.key_rows();
        const bool copies = std::is_same_v<Near, told_before> && share_sets<E>(source(t_.token + from).stride);
        const int most = copies && at_once > copied ? copied : at_once;
        for (int j = from; j < to; j += most) {
            const int keys = most < to - j ? most : to - j;
            prefetch.before(ahead, near, keys * source.elements(), keys);
            auto k = grouped<vecs, lanes>(source, t_.token + j, keys, mem_.copy);
            if (copies && k.row(0) != mem_.copy)  // else gathered already
                lay_side_by_side(k, keys, source.elements(), static_cast<E*>(mem_.copy),
                                 [&](int x) HEED_INLINE_LAMBDA { prefetch.before_copy(ahead, x, source.dim); });
            const auto score = [&](const register_block& rows, auto& reader) {
                if (rows.attends(j, keys)) add(rows, k, j, keys / lanes, reader);
            };
            score(t_.cover[0], ahead);
            for (int i = 1; i < t_.cover.count; ++i) score(t_.cover[i], others);
        }
    }
    /// Keys that do not fill a register: the last ones that do, of which some have their scores already. Fewer keys
    /// than that are packed. `idle` prefetches nothing of use.
    template <class Stream>
    HEED_INLINE void add_rest(Stream& idle) const
    {
        if (end >= t_.cover.highest) return;
        if (t_.keys < lanes) return score_strip(t_, 0, mem_, {});
        const int first = t_.keys - lanes;
        const auto source = t_.key_rows();
        const auto k = grouped<vecs, lanes>(source, t_.token + first, lanes, mem_.copy);
        for (const register_block& rows : t_.cover) {
            if (!rows.attends(end, t_.keys - end)) continue;
            for (int r = rows.first; r < rows.end_row(); ++r) store(mem_.row(r) + end, vec<sum_t<U>>(0));
            add(rows, k, first, 1, idle);
        }
    }

private:
    using E = typename Tile::job_type::key_element;
    /// Keys that are copied at a time: as many as the worker's memory has room for.
    static constexpr int copied =
        (channels_of<E> > 1 ? copied_rows : copied_rows * static_cast<int>(sizeof(sum_t<U>) / sizeof(E))) / least *
        least;

    /// Some registers of keys from key j on.
    template <class Keys, class Stream>
    HEED_INLINE void add(const register_block& rows, const Keys& k, int j, int registers, Stream& reader) const
    {
        micro::scores_unpacked(
            rows.rows, micro::packed_queries<U>{{mem_.query(0, rows.first), mem_.part_stride}, t_.job.kv.key_dim()},
            k.panel(0), registers, mem_.row(rows.first) + j, reader);
    }
    HEED_INLINE static int whole_lanes(const Tile& t, int from)
    {
        const int stop = static_cast<int>(min_of(round_up(t.cover.highest, lanes), t.keys));
        return (stop - from) / lanes * lanes;
    }

    const Tile& t_;
    const scores_memory<U>& mem_;
};

/// All keys of a tile.
template <class Tile, class U = typename Tile::U>
void score_streamed(const Tile& t, const scores_memory<U>& mem, decode_prefetch<Tile>& prefetch)
{
    const streamed_scores<Tile> scores(t, mem);
    const auto source = t.key_rows();
    const std::int64_t first = t.token + scores.begin,
                       lead = micro::two_distances ? micro::l1_rows
                                                   : max_of(scores.least, micro::key_lead / source.bytes());
    auto ahead = prefetch.from(source, first, lead), others = prefetch.idle(source, first);
    auto near = prefetch.near(source, first + lead);
    prefetch.follow(near, [&](const query_block& next) { return keys_of(t.job.kv, next.batch, next.kv_head); });
    scores.add(scores.begin, scores.end, prefetch, ahead, others, near);
    prefetch.lines = ahead.far();
    scores.add_rest(others);
}

}  // namespace kernel
HEED_END
