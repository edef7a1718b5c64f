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
        m.part_stride = p.cut.block_rows * micro::query_stride<T>;
        m.queries = c.template take<U>(micro::row_parts<T>(p.key_dim).count, m.part_stride);
        m.strip = c.template take<U>(min_of(p.key_dim, micro::strip_units<T>), micro::key_strip<T>);
        m.scores = c.template take<T>(p.cut.block_rows, micro::score_stride);
        m.copy = p.copies ? c.template take<T>(copied_rows, max_of(p.key_dim, p.value_dim)) : nullptr;
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

/// The same where rows are few.
template <class Tile, class U = typename Tile::U>
void score_streamed(const Tile& t, const scores_memory<U>& mem, decode_prefetch<Tile>& prefetch)
{
    using Kv = typename Tile::job_type::kv_type;
    constexpr int lanes = vec<U>::lanes, vecs = micro::unpacked_vecs, least = vecs * lanes;
    constexpr int at_once = Kv::contiguous && micro::overlaps_transposition<typename Tile::job_type::key_element>
                                ? micro::overlapped_keys
                                : least;
    static_assert(Kv::contiguous || copied_rows >= least);
    constexpr int strip = micro::key_strip<sum_t<U>>;
    const auto source = t.key_rows();
    const int highest = t.cover.highest, begin = t.cover.lowest / least * least;
    const int stop = static_cast<int>(min_of(round_up(highest, lanes), t.keys));
    const int whole = begin + (stop - begin) / lanes * lanes;
    const std::int64_t lead = micro::two_distances ? micro::l1_rows : max_of(least, micro::key_lead / source.bytes());
    auto ahead = prefetch.from(source, t.token + begin, lead), others = prefetch.idle(source, t.token + begin);
    auto near = prefetch.near(source, t.token + begin + lead);
    for (int j = begin; j < whole; j += at_once) {
        const int keys = at_once < whole - j ? at_once : whole - j;
        prefetch.before(ahead, near, keys * source.elements(), keys);
        const auto k = grouped<vecs, lanes>(source, t.token + j, keys, mem.copy);
        const auto score = [&](const register_block& rows, auto& reader) {
            if (rows.attends(j, keys))
                micro::scores_unpacked(
                    rows.rows, micro::packed_queries<U>{{mem.query(0, rows.first), mem.part_stride}, source.dim},
                    k.panel(0), keys / lanes, mem.row(rows.first) + j, reader);
        };
        score(t.cover[0], ahead);
        for (int i = 1; i < t.cover.count; ++i) score(t.cover[i], others);
    }
    prefetch.lines = ahead.far();
    // Keys that do not fill a register: packed strips, which start at multiples of their width as rows of scores end
    // there.
    for (int j = whole / strip * strip; whole < highest && j < highest; j += strip) score_strip(t, j, mem, {});
}

}  // namespace kernel
HEED_END
