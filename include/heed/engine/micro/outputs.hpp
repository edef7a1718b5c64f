// SPDX-License-Identifier: MIT
// O (+)= P V for a register block of query rows and channels: one lane a channel, fma over keys in ascending order.
// A weight of exactly 0 contributes exactly nothing, so leaving its key out changes no bit.
#pragma once

#include "aligned_units.hpp"
#include "prefetch.hpp"
#include "units.hpp"

HEED_BEGIN
namespace micro {

/// The weights of a register block: `units` units of each of its rows, which are score_stride apart.
template <class U>
struct weight_rows {
    const U* data;
    int units;

    HEED_INLINE weight_rows from_row(int r) const { return {data + r * score_stride, units}; }
};

/// The sums of one panel, from o or from 0. `panel` is packed, or rows of V that are made into units on the way.
template <int Rows, int Vecs, class U, class Panel, class Prefetch>
HEED_INLINE void add_panel(const U* p, Panel panel, int units, bool more, sum_t<U>* o, std::int64_t o_stride,
                           Prefetch& ahead)
{
    using T = sum_t<U>;
    using E = typename Panel::element;
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t v_stride = panel.template stride<Vecs * lanes>();
    const int channel = Vecs * lanes % channels_of<E> == 0 ? 0 : panel.place.channel;
    const E* v = panel.first();
    vec<T> acc[Rows][Vecs];
    load_block(acc, more, matrix<T>{o, o_stride});
    const auto unit = [&](int x) HEED_INLINE_LAMBDA {
        vec<U> b[Vecs];
        load_values<U>(v, channel, v_stride, b);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const lane_factor<U> a(p[r * score_stride + x]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
        v = row_after(v, rows_of<U, E>, v_stride);
    };
    int j = 0;
    if constexpr (takes_aligned_units<U> && std::is_same_v<Panel, packed_panel<U>>) {
        for (; j < units && reinterpret_cast<std::uintptr_t>(p) % 16 != 0; ++j, ++p) unit(0);
        j += add_aligned_units<score_stride, Vecs * lanes>(acc, p, v, units - j, [&] {
            for (int x = 0; x < ahead_every; x += Prefetch::every) ahead.next(Prefetch::share * Vecs * lanes);
        });
    }
    for (; j + ahead_every <= units; j += ahead_every) {
        v = panel.next_group(v);
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) {
            constexpr int used = Prefetch::share * rows_of<U, E> * Vecs * lanes;
            if (x == 0 && Prefetch::every == ahead_every) ahead.next(used);
            unit(x);
            if (Prefetch::every < ahead_every && (x + 1) % Prefetch::every == 0) ahead.next(used);
        }
        p += ahead_every;
    }
    if (j < units) v = panel.next_group(v);
    for (; j < units; ++j) {
        unit(0);
        ++p;
    }
    store_block(acc, matrix<T>{o, o_stride});
}

template <int Rows, int Vecs, class U, class Panel, class Prefetch>
HEED_NOINLINE inline void outputs_block(const U* p, Panel panel, int units, bool more, sum_t<U>* o,
                                        std::int64_t o_stride, Prefetch ahead)
{
    add_panel<Rows, Vecs>(p, panel, units, more, o, o_stride, ahead);
}

/// o[r][c] (+)= sum_j p[r][j] v[j][c] for at most register_rows rows and register_vecs registers of channels; `more`
/// goes on with the sums in o.
template <class U, class Panel, class Prefetch>
HEED_INLINE void outputs(block_shape shape, weight_rows<U> p, Panel panel, bool more, matrix<sum_t<U>> o,
                         Prefetch ahead)
{
    with_rows(shape.rows, [&](auto r) HEED_INLINE_LAMBDA {
        with_vecs(shape.vecs, [&](auto n) HEED_INLINE_LAMBDA {
            outputs_block<r.value, n.value>(p.data, panel, p.units, more, o.data, o.stride, ahead);
        });
    });
}

/// All panels of a few rows of V, one after the other: `vecs` whole registers of channels.
template <int Rows, class U, class Panel, class Prefetch>
HEED_NOINLINE inline void outputs_rows_block(const U* p, Panel panel, int units, int vecs, sum_t<U>* o,
                                             std::int64_t o_stride, Prefetch& reader)
{
    constexpr int lanes = vec<sum_t<U>>::lanes;
    Prefetch ahead = reader;
    const auto add_panels = [&](auto width) HEED_INLINE_LAMBDA {
        for (; vecs >= width.value; vecs -= width.value) {
            if constexpr (width.value > register_vecs && Rows > wide_rows) {
                constexpr int upper = (Rows + 1) / 2;
                half_prefetch<Prefetch> half{ahead};
                add_panel<upper, width.value>(p, panel, units, true, o, o_stride, half);
                add_panel<Rows - upper, width.value>(p + upper * score_stride, panel, units, true, o + upper * o_stride,
                                                     o_stride, half);
            } else {
                add_panel<Rows, width.value>(p, panel, units, true, o, o_stride, ahead);
            }
            panel.skip(width.value * lanes);
            o += width.value * lanes;
        }
    };
    if constexpr (wide_vecs > register_vecs && !(is_quantised_v<typename Panel::element> && Rows > wide_rows))
        add_panels(std::integral_constant<int, wide_vecs>{});
    add_panels(std::integral_constant<int, register_vecs>{});
    add_panels(std::integral_constant<int, 1>{});
    reader = ahead;
}

/// Adds to o for rows of V where they lie, over any number of registers of channels.
template <class U, class Panel, class Prefetch>
HEED_INLINE void outputs_rows(block_shape shape, weight_rows<U> p, Panel panel, matrix<sum_t<U>> o, Prefetch& ahead)
{
    with_rows(shape.rows, [&](auto r) HEED_INLINE_LAMBDA {
        outputs_rows_block<r.value>(p.data, panel, p.units, shape.vecs, o.data, o.stride, ahead);
    });
}

template <int Rows, int Vecs, class T>
HEED_NOINLINE inline void outputs_transposed_block(const T* p, const T* v, int units, T* o, std::int64_t o_stride)
{
    constexpr int lanes = vec<T>::lanes;
    vec<T> acc[Rows][Vecs];
    load_block(acc, true, matrix<T>{o, o_stride});
    const auto unit = [&](int x) HEED_INLINE_LAMBDA {
        vec<T> b[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) b[i] = in_register(load(v + (x * Vecs + i) * lanes));
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const lane_factor<T> a(p[x * score_stride + r]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
    };
    int u = 0;
    for (; u + ahead_every <= units; u += ahead_every) {
        HEED_UNROLL
        for (int x = 0; x < ahead_every; ++x) unit(x);
        p += ahead_every * score_stride;
        v += ahead_every * Vecs * lanes;
    }
    for (; u < units; ++u) {
        unit(0);
        p += score_stride;
        v += Vecs * lanes;
    }
    store_block(acc, matrix<T>{o, o_stride});
}

/// o[j][c] += sum_i p[i][j] v[i][c] for at most register_rows keys j: fma over query rows i, the units of p, in
/// ascending order. v is a packed panel.
template <class T>
HEED_INLINE void outputs_transposed(block_shape shape, weight_rows<T> p, const T* v, matrix<T> o)
{
    with_rows(shape.rows, [&](auto r) HEED_INLINE_LAMBDA {
        with_vecs(shape.vecs, [&](auto n) HEED_INLINE_LAMBDA {
            outputs_transposed_block<r.value, n.value>(p.data, v, p.units, o.data, o.stride);
        });
    });
}

/// Rows of V that do not follow each other: rows[x] is the row of key keys[x] of the tile, x in [0, count). Another
/// listed_ahead pointers follow for the prefetch.
template <class E>
struct listed_values {
    const int* keys;
    const E* const* rows;
    int count;
};

template <int Rows, int Vecs, class T, class E>
HEED_NOINLINE inline void outputs_listed_block(const T* p, listed_values<E> v, std::int64_t channel, T* o,
                                               std::int64_t o_stride)
{
    constexpr int lanes = vec<T>::lanes;
    const int* const keys = v.keys;
    const E* const* const rows = v.rows;
    const int n = v.count;
    vec<T> acc[Rows][Vecs];
    load_block(acc, true, matrix<T>{o, o_stride});
    for (int x = 0; x < n; ++x) {
        const E* row = rows[x];
        const E* ahead = rows[x + listed_ahead] + elements_for<E>(channel);
        vec<T> b[Vecs];
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) b[i] = in_register(load_channels<T>(row, channel + i * lanes));
        for (int i = 0; i < elements_for<E>(Vecs * lanes); i += line_of<E>) __builtin_prefetch(ahead + i);
        HEED_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const lane_factor<T> a(p[r * score_stride + keys[x]]);
            HEED_UNROLL
            for (int i = 0; i < Vecs; ++i) accumulate(acc[r][i], a, b[i]);
        }
    }
    store_block(acc, matrix<T>{o, o_stride});
}

/// Adds to o for the listed rows of V, from `channel` on; p[r][j] is the weight of key j of the tile.
template <class T, class E>
HEED_INLINE void outputs_listed(block_shape shape, const T* p, listed_values<E> v, std::int64_t channel, matrix<T> o)
{
    with_rows(shape.rows, [&](auto r) HEED_INLINE_LAMBDA {
        with_vecs(shape.vecs, [&](auto w) HEED_INLINE_LAMBDA {
            outputs_listed_block<r.value, w.value>(p, v, channel, o.data, o.stride);
        });
    });
}

/// o[c] += p v[c] for one row and the `keys` keys of one unit, of which a weight of 0 leaves a key out, whatever its V
/// holds.
template <class U, class E>
HEED_NOINLINE inline void outputs_selected(U p, matrix<const E> rows, int keys, std::int64_t dim, sum_t<U>* o)
{
    using T = sum_t<U>;
    constexpr int lanes = vec<T>::lanes;
    const E* const v = rows.data;
    for (std::int64_t c = 0; c < dim; c += lanes) {
        const int n = static_cast<int>(min_of(lanes, dim - c));
        U values[lanes];
        bool any = false;
        for (int i = 0; i < lanes; ++i) {
            if constexpr (elements_of<U> == 2) {
                const bool first = float(p.first) != 0, second = keys > 1 && float(p.second) != 0;
                values[i] = {first && i < n ? v[c + i] : E(0.f), second && i < n ? v[rows.stride + c + i] : E(0.f)};
                any = first || second;
            } else {
                values[i] = i < n ? static_cast<T>(channel_of(v, c + i)) : T(0);
                any = p != T(0);
            }
        }
        if (!any) return;
        vec<T> sum = load_n(o + c, n);
        accumulate(sum, lane_factor<U>(p), load(values));
        store_n(o + c, sum, n);
    }
}

}  // namespace micro
HEED_END
