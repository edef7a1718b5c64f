// SPDX-License-Identifier: MIT
// O = P V of a tile whose rows are few: V is read from memory, in short runs of whole rows; where many keys have the
// weight 0 in every row at hand (trained softpick heads show 93 to 99 % of them), their rows of V are not read at all.
// Both give the bits of packed panels.
#pragma once

#include "tile_outputs.hpp"

HEED_BEGIN
namespace kernel {

/// Lists the keys of the tile to which any row gives a weight, and returns their number; stops where it exceeds `most`.
template <class U>
int list_weights(const tile_cover& cover, int most, const scores_memory<U>& p, int* listed)
{
    constexpr int lanes = vec<sum_t<U>>::lanes;
    int n = 0;
    for (int j = cover.lowest / lanes * lanes; j < cover.highest && n <= most; j += lanes) {
        std::uint32_t any = 0;
        for (const register_block& rows : cover) {
            if (rows.hi <= j || j + lanes <= rows.lo) continue;
            for (int r = rows.first; r < rows.end_row(); ++r) any |= nonzero_bits(load(p.row(r) + j));
        }
        for (; any; any &= any - 1) listed[n++] = j + __builtin_ctz(any);
    }
    return n;
}

/// Pointers to the rows of V of n listed keys, followed by listed_ahead more pointers for the prefetch.
template <class Tile, class E>
HEED_INLINE void list_rows(const Tile& t, const int* listed, int n, const E** to)
{
    const auto source = t.value_rows();
    rows<const E> segment{nullptr, 0, 0};
    for (int i = 0, from = 0; i < n; ++i) {  // the segment starts at key `from` of the tile
        if (listed[i] - from >= segment.count) segment = source(t.token + (from = listed[i]));
        to[i] = segment.row(listed[i] - from);
    }
    for (int i = 0; i < micro::listed_ahead; ++i) to[n + i] = to[n - 1];
}

/// o += P V over the n listed keys, for whole registers of channels.
template <class Tile, class U = typename Tile::U, class T = typename Tile::T>
void outputs_listed(const Tile& t, int n, const scores_memory<U>& p, const outputs_memory<U>& mem, micro::matrix<T> o)
{
    using E = typename Tile::job_type::value_element;
    constexpr int lanes = vec<T>::lanes, depth = micro::streaming_depth;
    const std::int64_t direct = t.job.kv.value_dim() / lanes;
    const E** const pointers = static_cast<const E**>(mem.listed_rows);
    list_rows(t, mem.listed, n, pointers);
    for (int i = 0; i < n; i += depth) {
        const int keys = depth < n - i ? depth : n - i;
        const int* list = mem.listed + i;
        for (const register_block& rows : t.cover) {
            int from = 0, to = keys;  // beyond its own keys a register block has no weights
            while (from < to && list[from] < rows.lo) ++from;
            while (from < to && list[to - 1] >= rows.hi) --to;
            if (from == to) continue;
            for (std::int64_t panel = 0; panel < direct;) {
                const int vecs = static_cast<int>(min_of(direct - panel, micro::register_vecs));
                micro::outputs_listed({rows.rows, vecs}, static_cast<const T*>(p.row(rows.first)),
                                      micro::listed_values<E>{list + from, pointers + i + from, to - from},
                                      panel * lanes, o.at(rows.first, panel * lanes));
                panel += vecs;
            }
        }
    }
}

/// o += P V over all keys, a few rows of V at a time.
template <class Tile>
class streamed_values {
    using Job = typename Tile::job_type;
    using Kv = typename Job::kv_type;
    using E = typename Job::value_element;
    using U = typename Tile::U;
    using T = typename Tile::T;
    static constexpr int lanes = vec<T>::lanes, depth = micro::streaming_depth, each = elements_of<U>;
    static constexpr int grouped_keys = micro::ahead_every * each;

public:
    HEED_INLINE streamed_values(const Tile& t, const scores_memory<U>& p, const outputs_memory<U>& mem,
                                micro::matrix<T> o)
        : t_(t), p_(p), mem_(mem), o_(o)
    {}

    /// The first key, from which on ranges of keys begin at multiples of `depth`.
    HEED_INLINE int begin() const { return t_.cover.lowest / grouped_keys * grouped_keys; }

    /// All keys.
    HEED_INLINE void add(decode_prefetch<Tile>& prefetch) const
    {
        const auto source = t_.value_rows();
        const bool light = t_.block.count <= micro::wide_rows || source.dim / lanes < micro::wide_vecs;
        const std::int64_t first = t_.token + begin(),
                           lead = micro::two_distances ? micro::l1_rows : micro::value_lead<E>(light) / source.bytes();
        auto ahead = prefetch.from(source, first, lead), others = prefetch.idle(source, first);
        auto near = prefetch.near(source, first + lead);
        prefetch.follow(near, [&](const query_block& next) { return values_of(t_.job.kv, next.batch, next.kv_head); });
        add(begin(), t_.cover.highest, prefetch, ahead, others, near);
    }
    /// Keys [from, to), of which `ahead` prefetches what comes next; `others` is idle.
    template <class Stream, class Near>
    HEED_INLINE void add(int from, int to, decode_prefetch<Tile>& prefetch, Stream& ahead, Stream& others,
                         Near& near) const
    {
        const auto source = t_.value_rows();
        const std::int64_t direct = source.dim / lanes;  // registers that are read where they lie
        // Two distances: what is prefetched follows the segments of a source between calls, so one of several takes a
        // panel a call.
        const std::int64_t slice = Kv::contiguous || !micro::two_distances ? max_of(direct, 1) : micro::register_vecs;
        // More rows than `wide_rows` pass V twice.
        const bool copies = std::is_same_v<Near, told_before> && t_.block.count > micro::wide_rows &&
                            share_sets<E>(source(t_.token + from).stride);
        for (int j = from; j < to; j += depth) {
            const int keys = depth < to - j ? depth : to - j, paired = keys / each * each;
            auto v = grouped<depth / grouped_keys, grouped_keys>(source, t_.token + j, keys, p_.copy);
            if (copies && v.row(0) != p_.copy)  // else gathered already
                lay_side_by_side(v, keys, source.elements(), static_cast<E*>(p_.copy),
                                 [&](int x) HEED_INLINE_LAMBDA { prefetch.before_copy(ahead, x, source.dim); });
            // In place: whole registers of channels, but for the key that lacks the second of its pair.
            for (std::int64_t c = 0; c < direct; c += slice) {
                const int vecs = static_cast<int>(min_of(slice, direct - c));
                prefetch.before(ahead, near, elements_for<E>(std::int64_t{paired} * vecs * lanes), c == 0 ? keys : 0);
                for_rows<grouped_keys>(j, paired, [&](const register_block& rows, int lo, int units) {
                    auto panel = v.panel(lo - j);
                    panel.skip(c * lanes);
                    micro::outputs_rows({rows.rows, vecs}, weights(rows, lo, units), panel,
                                        o_.at(rows.first, c * lanes), rows.first == 0 ? ahead : others);
                });
            }
            if (paired < keys)
                for (std::int64_t c = 0; c < direct; c += micro::register_vecs) {
                    const int vecs = static_cast<int>(min_of(direct - c, micro::register_vecs));
                    add_packed(v, j + paired, j, keys, {c * lanes, vecs * lanes, vecs});
                }
            if (source.dim % lanes != 0) add_packed(v, j, j, keys, {direct * lanes, source.dim - direct * lanes, 1});
        }
    }

private:
    HEED_INLINE micro::weight_rows<U> weights(const register_block& rows, int key, int units) const
    {
        return {p_.weights(rows.first) + key / each, units};
    }
    /// Calls f(rows, their first key, a multiple of `Multiple`, and its number of units) for the register blocks that
    /// attend any of `keys` keys from key j on. Before its own first key a register block has weights of 0.
    template <int Multiple, class F>
    HEED_INLINE void for_rows(int j, int keys, F f) const
    {
        for (const register_block& rows : t_.cover) {
            const int lo = (rows.lo > j ? rows.lo : j) / Multiple * Multiple;
            const int end = rows.hi < j + keys ? rows.hi : j + keys;
            if (lo < end) f(rows, lo, (end - lo + each - 1) / each);
        }
    }
    /// Adds some channels of the keys from `first` on of `keys` keys from key j on, which `v` holds, by a packed panel.
    template <class Rows>
    HEED_INLINE void add_packed(const Rows& v, int first, int j, int keys, panel_channels channels) const
    {
        const int vecs = channels.vecs;
        for (int x = first - j, n; x < keys; x += n) {
            n = v.run_from(x, keys - x);
            micro::pack_values(micro::matrix<const E>{v.row(x), v.stride}, n, channels.first, channels.count, vecs,
                               mem_.panel + (x - (first - j)) / each * vecs * lanes);
        }
        for_rows<each>(first, keys - (first - j), [&](const register_block& rows, int lo, int units) {
            micro::outputs(
                {rows.rows, vecs}, weights(rows, lo, units),
                panel_of<Job>(static_cast<const U*>(mem_.panel) + (lo - first) / each * vecs * lanes, vecs * lanes),
                true, o_.at(rows.first, channels.first), micro::line_prefetch(v.row(0)));
        });
    }

    const Tile& t_;
    const scores_memory<U>& p_;
    const outputs_memory<U>& mem_;
    micro::matrix<T> o_;
};

/// o = P V over the keys that have a weight, if these are few, and whether they are; otherwise o = 0.
template <class Tile, class U = typename Tile::U, class T = typename Tile::T>
bool outputs_of_few(const Tile& t, const scores_memory<U>& p, const outputs_memory<U>& mem, micro::matrix<T> o)
{
    micro::fill_zero(o.data, t.block.count * o.stride);
    if constexpr (elements_of<U> == 1) {
        if (t.job.kv.value_dim() % vec<T>::lanes == 0) {
            const int most = static_cast<int>(t.keys * micro::listed_share);
            const int n = list_weights(t.cover, most, p, mem.listed);
            if (n > most) return false;
            if (n > 0) outputs_listed(t, n, p, mem, o);
            return true;
        }
    }
    return false;
}

/// o = P V over all keys, or over the keys that have a weight; `sparse` becomes whether few keys have one.
template <class Tile, class U = typename Tile::U, class T = typename Tile::T>
void outputs_streamed(const Tile& t, const scores_memory<U>& p, const outputs_memory<U>& mem, micro::matrix<T> o,
                      decode_prefetch<Tile>& prefetch, bool& sparse)
{
    sparse = outputs_of_few(t, p, mem, o);
    if (!sparse) streamed_values<Tile>(t, p, mem, o).add(prefetch);
}

}  // namespace kernel
HEED_END
