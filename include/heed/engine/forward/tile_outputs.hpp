// SPDX-License-Identifier: MIT
// O = P V of a tile whose rows are many: V is taken in panels of a few channels that stay in a cache while all rows
// pass, packed, or where they lie.
#pragma once

#include "../micro/outputs.hpp"
#include "tile_scores.hpp"

HEED_BEGIN
namespace kernel {

/// What outputs are made with, besides the weights.
template <class Unit>
struct outputs_memory {
    using U = Unit;
    using T = sum_t<U>;

    U* panel;           // [units of value_depth][register_vecs * lanes]
    int* listed;        // [key_tile]: keys that have a weight
    void* listed_rows;  // [key_tile + listed_ahead] pointers to their rows of V

    template <class Carver>
    static outputs_memory carve(Carver& c)
    {
        outputs_memory m;
        m.panel = c.template take<U>(micro::value_depth<T> / elements_of<U> * micro::register_vecs * vec<T>::lanes);
        m.listed = c.template take<int>(micro::key_tile);
        m.listed_rows = c.template take<const void*>(micro::key_tile + micro::listed_ahead);
        return m;
    }
};

/// What prefill prefetches at the end of a tile: the first keys of the next tile; or, after the last one, the rows
/// where the outputs go, and the first keys and the queries of the next block.
struct next_reads {
    micro::row_lines outputs, keys, queries;
    next_block behind = {};  // decode: the next block
};

/// Whether panels of V can be read where they lie: where the L2 cache is fast enough for them, if rows have no gaps and
/// are whole lines, up to 1 KiB (longer ones would share too few cache sets).
template <class Job>
constexpr bool may_read_in_place()
{
    return native_sizes::values_from_l2 && Job::kv_type::contiguous &&
           std::is_same_v<typename Job::unit, typename Job::value_element>;
}
template <class E>
HEED_INLINE bool reads_in_place(const rows<const E>& v, std::int64_t dim)
{
    const std::int64_t bytes = dim * static_cast<std::int64_t>(sizeof(E));
    return v.stride == dim && bytes % micro::line_of<char> == 0 && bytes <= 1024 &&
           reinterpret_cast<std::uintptr_t>(v.data) % cache_line == 0;
}

/// A panel of V as outputs() takes it.
template <class Job, class U>
HEED_INLINE auto panel_of(const U* data, [[maybe_unused]] std::int64_t stride)
{
    if constexpr (may_read_in_place<Job>()) return micro::row_panel<U>{data, stride, {}};
    else return micro::packed_panel<U>{data};
}

/// A panel of channels: `count` of them from `first` on, in `vecs` registers.
struct panel_channels {
    std::int64_t first, count;
    int vecs;
};

/// Packs channels of n keys of V from key j of the tile on into a panel, widened where they are of a storage type.
template <class Tile, class U = typename Tile::U>
void pack_value_panel(const Tile& t, int j, int n, panel_channels channels, U* panel, void* copy)
{
    using E = typename Tile::job_type::value_element;
    constexpr int lanes = vec<U>::lanes, each = elements_of<U>;
    const auto source = t.value_rows();
    const std::int64_t next = channels.first + channels.count;
    for (int x = 0, taken; x < n; x += taken) {  // segments: one in most sources
        const int left = n - x, least = left < each ? left : each;
        const auto v = together(source, t.token + j + x, least, least, copy);
        taken = v.count >= left ? left : static_cast<int>(v.count) / each * each;
        micro::pack_values(matrix_of(v), taken, channels.first, channels.count, channels.vecs,
                           panel + x / each * channels.vecs * lanes);
        if constexpr (!Tile::job_type::kv_type::contiguous)  // the next panel's lines; those of one segment have a
                                                             // stride
            if (next < source.dim)
                for (int i = 0; i < taken; ++i) __builtin_prefetch(v.row(i) + elements_for<E>(next), 0, 2);
    }
}

/// Where a panel of V lies: in place, or packed.
template <class Tile, class U = typename Tile::U>
HEED_INLINE micro::matrix<const U> place_or_pack(const Tile& t, int j, int keys, panel_channels channels, U* panel,
                                                 void* copy)
{
    if constexpr (may_read_in_place<typename Tile::job_type>()) {
        const auto source = t.value_rows();
        const auto v = source(t.token + j);
        if (reads_in_place<typename Tile::job_type::value_element>(v, source.dim))
            return {v.data + channels.first, v.stride};
    }
    if constexpr (has_lists<typename Tile::job_type>) {
        for_wanted(t.of_any, j, j + keys, [&](int first, int end) {
            pack_value_panel(t, first, end - first, channels,
                             panel + (first - j) / elements_of<U> * channels.vecs * vec<U>::lanes, copy);
        });
    } else {
        pack_value_panel(t, j, keys, channels, panel, copy);
    }
    return {panel, channels.vecs * vec<U>::lanes};
}

/// What is prefetched while all rows pass the panel: the next panel of these keys, the first one of the next keys, or
/// at last `next`.
template <class Tile, class T = typename Tile::T>
HEED_INLINE void prefetch_after(micro::next_lines& lines, const Tile& t, int j, int keys, panel_channels channels,
                                const next_reads& next)
{
    constexpr int lanes = vec<T>::lanes, depth = micro::value_depth<T>;
    const auto source = t.value_rows();
    const std::int64_t end = channels.first + channels.count;
    if (end < source.dim) {
        lines.then(lines_of(source, t.token + j, keys, end, min_of(channels.vecs * lanes, source.dim - end)));
    } else if (j + depth < t.cover.highest) {
        lines.then(lines_of(source, t.token + j + depth, depth, 0, micro::first_panel<T>(source.dim)));
    } else {
        lines.then(next.outputs);
        lines.then(next.keys);
        lines.then(next.queries);
    }
}

/// Channels of `keys` keys of V from key `first` of the tile on.
template <class U>
struct value_panel {
    int first, keys;
    panel_channels channels;
    micro::matrix<const U> values;
};

/// Adds the runs of keys that a register block wants among those of a panel.
template <class Tile, class U, class T = typename Tile::T>
HEED_INLINE void outputs_wanted(const Tile& t, const register_block& rows, const value_panel<U>& panel,
                                const scores_memory<U>& p, micro::matrix<T> o, micro::next_lines& lines)
{
    constexpr int each = elements_of<U>;
    const int j = panel.first;
    const std::uint32_t wanted = t.of_block[&rows - t.cover.begin()];
    const std::uint32_t before = wanted & sixteens_between(0, j);
    bool more = before != 0;
    for_wanted(wanted, j, j + panel.keys, [&](int first, int end) HEED_INLINE_LAMBDA {
        micro::outputs({rows.rows, panel.channels.vecs},
                       micro::weight_rows<U>{p.weights(rows.first) + first / each, (end - first + each - 1) / each},
                       panel_of<typename Tile::job_type>(panel.values.row((first - j) / each), panel.values.stride),
                       more, o.at(rows.first, panel.channels.first), lines.take());
        more = true;
    });
}

/// Adds the keys of a panel from the first to the last that a register block attends.
template <class Tile, class U, class T = typename Tile::T>
HEED_INLINE void outputs_attended(const Tile&, const register_block& rows, const value_panel<U>& panel,
                                  const scores_memory<U>& p, micro::matrix<T> o, micro::next_lines& lines)
{
    constexpr int each = elements_of<U>;
    const int j = panel.first, stop = j + panel.keys;
    const int lo = (rows.lo > j ? rows.lo : j) / each, hi = ((rows.hi < stop ? rows.hi : stop) + each - 1) / each;
    if (lo >= hi) return;
    micro::outputs({rows.rows, panel.channels.vecs}, micro::weight_rows<U>{p.weights(rows.first) + lo, hi - lo},
                   panel_of<typename Tile::job_type>(panel.values.row(lo - j / each), panel.values.stride), rows.lo < j,
                   o.at(rows.first, panel.channels.first), lines.take());
}

/// o = P V, panel by panel. Prefetches the next panel, and at last `next`.
template <class Tile, class U = typename Tile::U, class T = typename Tile::T>
void outputs_packed(const Tile& t, const scores_memory<U>& p, const outputs_memory<U>& mem, micro::matrix<T> o,
                    const next_reads& next)
{
    constexpr int each = elements_of<U>, depth = micro::value_depth<T>;
    constexpr int multiple = has_lists<typename Tile::job_type> ? micro::mass_lanes : each;
    static_assert(depth % multiple == 0);
    for (const register_block& rows : t.cover)
        if (rows.is_empty()) micro::fill_zero(o.row(rows.first), rows.rows * o.stride);
    const int highest = t.cover.highest;
    for (int j = t.cover.lowest / multiple * multiple; j < highest; j += depth) {
        const int keys = depth < highest - j ? depth : highest - j;
        micro::for_panels<T>(
            t.job.kv.value_dim(), [&](std::int64_t channel, std::int64_t channels, int width) HEED_INLINE_LAMBDA {
                const panel_channels wanted{channel, channels, width};
                const value_panel<U> panel{j, keys, wanted, place_or_pack(t, j, keys, wanted, mem.panel, p.copy)};
                micro::next_lines lines(keys / each, mem.panel);
                prefetch_after(lines, t, j, keys, wanted, next);
                for (const register_block& rows : t.cover) {
                    if constexpr (has_lists<typename Tile::job_type>) outputs_wanted(t, rows, panel, p, o, lines);
                    else outputs_attended(t, rows, panel, p, o, lines);
                }
            });
    }
}

}  // namespace kernel
HEED_END
