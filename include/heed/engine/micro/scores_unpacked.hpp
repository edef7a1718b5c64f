// SPDX-License-Identifier: MIT
// S = Q K^T where few query rows share the keys: they are not packed, which would cost more than it saves, but
// transposed in registers as they come from memory. The bits are those of packed keys.
#pragma once

#include "coded_keys.hpp"
#include "pack.hpp"

HEED_BEGIN
namespace micro {

/// Registers of keys whose scores are taken at a time where keys are not packed: the sums of one would wait for each
/// other, channel after channel.
inline constexpr int unpacked_vecs = 2;

/// Whether the next ones are transposed there while these are multiplied. Floats wait for memory anyway, and like its
/// lines in another order.
template <class E>
inline constexpr bool overlaps_transposition = native_sizes::overlaps_transposition && !std::is_floating_point_v<E>;

/// Query rows as pack_query() leaves them, query_stride apart: row x of `parts` is part x of the first one.
template <class U>
struct packed_queries {
    matrix<const U> parts;
    std::int64_t dim;  // channels of a row
};

/// Adds the products of one unit, whose keys are collected one by one.
template <int Rows, class U, class E, class T>
HEED_INLINE void add_odd_unit(const U* q, matrix<const E> k, std::int64_t channel, std::int64_t dim,
                              vec<T> (&acc)[Rows])
{
    constexpr int lanes = vec<T>::lanes;
    U lane[lanes];
    for (int j = 0; j < lanes; ++j) lane[j] = unit_of<U>(k.row(j), channel, dim);
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r) accumulate(acc[r], lane_factor<U>(q[r * query_stride<T>]), load(lane));
}

/// Adds the products of N registers of keys in turns of some units: first of one register, then of the next. AVX2 would
/// keep its sums in memory if they took turns unit by unit.
template <int Rows, int N, class U, class Keys, class T>
HEED_INLINE void add_keys_in_turns(const U* q, const Keys* k, vec<T> (*acc)[Rows])
{
    constexpr int turn = 4;
    HEED_UNROLL
    for (int u = 0; u < Keys::units; u += turn) {
        HEED_UNROLL
        for (int i = 0; i < N; ++i) {
            HEED_UNROLL
            for (int x = u; x < u + turn; ++x) {
                const vec<U> b = in_register(k[i][x]);
                HEED_UNROLL
                for (int r = 0; r < Rows; ++r) accumulate(acc[i][r], lane_factor<U>(q[r * query_stride<T> + x]), b);
            }
            __asm__ volatile("" ::: "memory");  // as in add_keys()
        }
    }
}

/// Adds the products of N registers of keys, whose sums are acc[0] and the next ones.
template <int Rows, int N, class U, class Keys, class T>
HEED_INLINE void add_keys(const U* q, const Keys* k, vec<T> (*acc)[Rows])
{
    if constexpr (!native_sizes::shares_broadcasts && N > 1) {
        add_keys_in_turns<Rows, N>(q, k, acc);
    } else {  // registers of keys share the broadcasts of a query
        HEED_UNROLL
        for (int u = 0; u < Keys::units; ++u) {
            vec<U> b[N];
            HEED_UNROLL
            for (int i = 0; i < N; ++i) b[i] = in_register(k[i][u]);
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const lane_factor<U> a(q[r * query_stride<T> + u]);
                HEED_UNROLL
                for (int i = 0; i < N; ++i) accumulate(acc[i][r], a, b[i]);
            }
        }
    }
    __asm__ volatile("" ::: "memory");  // or gcc keeps all q for the next keys, and spills the sums
}

/// What both schedules below go through: registers of keys of a panel, Vecs at a time, all parts of the queries, and of
/// a part as many channels at a time as are transposed together.
template <int Vecs, class U, class Panel>
struct unpacked_keys {
    using T = sum_t<U>;
    using E = typename Panel::element;
    using transposed_keys = transposed<U, E>;
    static constexpr int lanes = vec<T>::lanes, each = elements_of<U>;

    Panel panel;
    std::int64_t dim;
    row_parts<T> parts;

    HEED_INLINE unpacked_keys from_group(int g) const { return {panel.template from_group<lanes>(g), dim, parts}; }
    HEED_INLINE row_of_t<E> rows_of_group(int g) const { return panel.template group<lanes>(g); }
    HEED_INLINE std::int64_t begin_of(std::int64_t part) const { return parts.begin(part) * each; }
    HEED_INLINE std::int64_t end_of(std::int64_t part) const { return min_of(parts.end(part) * each, dim); }
};

/// The first rows of Vecs registers of keys; each is followed by the others of its register.
template <int Vecs, class E>
struct key_registers {
    row_of_t<E> rows[Vecs];
    std::int64_t row_stride;
};

/// One schedule: transposes the channels from c on, and adds their products. `last` are the keys of the channels
/// before.
template <int Rows, int Vecs, class U, class E, class T, class Prefetch>
HEED_INLINE void add_in_order(const U* q, const key_registers<Vecs, E>& from, std::int64_t c,
                              transposed<U, E> (&last)[Vecs], vec<T> (&acc)[Vecs][Rows], Prefetch& ahead)
{
    using keys = transposed<U, E>;
    constexpr int together = is_quantised_v<E> || native_arch::takes_two_of_floats ? Vecs : 1, lanes = vec<T>::lanes;
    HEED_UNROLL
    for (int i = 0; i < Vecs; i += together) {
        if (!two_distances) ahead.next(together * lanes * keys::channels);
        else if (i == 0) ahead.next(Vecs * lanes * keys::channels);
        HEED_UNROLL
        for (int x = i; x < i + together; ++x) last[x] = keys(from.rows[x], c, from.row_stride, last[x]);
        add_keys<Rows, together>(q, last + i, acc + i);
    }
}

/// The other schedule: each step multiplies keys that the one before transposed, and transposes those of the next. The
/// end of a part is the rare branch: laid out as the likely one, it took 3 % of decode over bf16 (Zen 5).
template <int Vecs, class U, class Panel>
class keys_ahead {
    using source = unpacked_keys<Vecs, U, Panel>;
    using keys = typename source::transposed_keys;

public:
    template <class Prefetch>
    HEED_INLINE keys_ahead(const source& from, int groups, Prefetch& ahead)
        : from_(from), groups_(groups), part_(from.parts.count - 1)
    {
        take_next(ahead);
    }
    /// Adds the products of the next channels.
    template <int Rows, class T, class Prefetch>
    HEED_INLINE void add(const U* q, vec<T> (&acc)[Vecs][Rows], Prefetch& ahead)
    {
        keys now[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) now[i] = next_[i];
        take_next(ahead);
        add_keys<Rows, Vecs>(q, now, acc);
    }

private:
    template <class Prefetch>
    HEED_INLINE void take_next(Prefetch& ahead)
    {
        for (channel_ += keys::channels; __builtin_expect(channel_ + keys::channels > end_, false);)
            if (!begin_next_part()) return;
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            ahead.next(source::lanes * keys::channels);
            next_[i] = keys(rows_[i], channel_, from_.panel.row_stride, next_[i]);
        }
    }
    /// The next part of the queries, or the first one for the next groups; false where there are none.
    HEED_INLINE bool begin_next_part()
    {
        if (++part_ == from_.parts.count) {
            part_ = 0;
            group_ += Vecs;
            if (group_ + Vecs > groups_) return false;
            for (int i = 0; i < Vecs; ++i) rows_[i] = from_.rows_of_group(group_ + i);
        }
        channel_ = from_.begin_of(part_);
        end_ = from_.end_of(part_);
        return true;
    }

    const source& from_;
    int groups_;
    keys next_[Vecs] = {};
    row_of_t<typename Panel::element> rows_[Vecs] = {};
    // Where next_ was taken; at first, at the end of the groups before these.
    int group_ = -Vecs;
    std::int64_t part_, channel_ = 0, end_ = 0;
};

/// Adds the products of the channels [c, end), which are too few to be transposed.
template <int Rows, int Vecs, class U, class Panel, class T>
HEED_INLINE void add_odd_channels(const U* q, unpacked_keys<Vecs, U, Panel> from, std::int64_t c, std::int64_t end,
                                  vec<T> (&acc)[Vecs][Rows])
{
    using E = typename Panel::element;
    if constexpr (std::is_pointer_v<row_of_t<E>>) {  // rows of codes have none
        const auto keys = [&](int i) HEED_INLINE_LAMBDA {
            return matrix<const E>{from.rows_of_group(i), from.panel.row_stride};
        };
        for (; c < end; c += elements_of<U>, ++q) {
            // An i that is no constant keeps all sums in memory. Floats, which wait for memory anyway, come 2 to 4 %
            // faster so; narrower elements 8 % slower (Zen 5).
            if constexpr (std::is_same_v<E, T> && !native_arch::takes_two_of_floats) {
                for (int i = 0; i < Vecs; ++i) add_odd_unit(q, keys(i), c, from.dim, acc[i]);
            } else {
                HEED_UNROLL
                for (int i = 0; i < Vecs; ++i) add_odd_unit(q, keys(i), c, from.dim, acc[i]);
            }
        }
    }
}

/// The scores of `groups` registers of keys, Vecs at a time: all groups of rows of `panel`.
template <int Rows, int Vecs, class U, class Panel, class Prefetch>
HEED_NOINLINE inline void scores_unpacked_block(const U* q, std::int64_t part_stride, std::int64_t dim, Panel panel,
                                                int groups, sum_t<U>* s, Prefetch& reader)
{
    using T = sum_t<U>;
    using keys = transposed<U, typename Panel::element>;
    constexpr bool overlaps = overlaps_transposition<typename Panel::element>;
    constexpr int lanes = vec<T>::lanes;
    Prefetch ahead = reader;
    const unpacked_keys<Vecs, U, Panel> from{panel, dim, row_parts<T>(ceil_div(dim, elements_of<U>))};
    [[maybe_unused]] keys last[Vecs] = {};
    [[maybe_unused]] std::conditional_t<overlaps, keys_ahead<Vecs, U, Panel>, no_prefetch> next(from, groups, ahead);
    for (int g = 0; g + Vecs <= groups; g += Vecs, s += Vecs * lanes) {
        const auto here = from.from_group(g);
        key_registers<Vecs, typename Panel::element> first{{}, panel.row_stride};
        for (int i = 0; i < Vecs; ++i) first.rows[i] = here.rows_of_group(i);
        vec<T> acc[Vecs][Rows];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) acc[i][r] = vec<T>(0);
        }
        for (std::int64_t part = 0; part < from.parts.count; ++part) {
            const U* a = q + part * part_stride;
            std::int64_t c = from.begin_of(part);
            const std::int64_t end = from.end_of(part);
            for (; c + keys::channels <= end; c += keys::channels, a += keys::units) {
                if constexpr (overlaps) next.add(a, acc, ahead);
                else add_in_order(a, first, c, last, acc, ahead);
            }
            add_odd_channels(a, here, c, end, acc);
        }
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) {
            HEED_UNROLL
            for (int r = 0; r < Rows; ++r) store(s + r * score_stride + i * lanes, acc[i][r]);
        }
    }
    reader = ahead;
}

/// s[r][j] = q[r] . k[j] for `groups` registers of keys.
template <class U, class Panel, class Prefetch>
HEED_INLINE void scores_unpacked(int rows, packed_queries<U> q, Panel panel, int groups, sum_t<U>* s, Prefetch& ahead)
{
    constexpr int lanes = vec<U>::lanes;
    with_rows(rows, [&](auto n) HEED_INLINE_LAMBDA {
        int done = 0;
        if constexpr (n.value <= native_sizes::most_rows_of_two) {
            done = groups / unpacked_vecs * unpacked_vecs;
            if (done > 0)
                scores_unpacked_block<n.value, unpacked_vecs>(q.parts.data, q.parts.stride, q.dim, panel, done, s,
                                                              ahead);
        }
        if (done < groups)
            scores_unpacked_block<n.value, 1>(q.parts.data, q.parts.stride, q.dim,
                                              panel.template from_group<lanes>(done), groups - done, s + done * lanes,
                                              ahead);
    });
}

}  // namespace micro
HEED_END
