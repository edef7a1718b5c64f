// SPDX-License-Identifier: MIT
// Rows of K and V of a tile, as floats: where they lie, or, where they have scales, are quantised or lie in several
// segments, in a copy. A copy costs a tile once what its rows are read for by every block of queries.
#pragma once

#include "../forward/scales.hpp"
#include "../kernel/rows.hpp"
#include "../micro/widen.hpp"

HEED_BEGIN
namespace kernel {

/// Whether the backward pass reads the rows of a source where they lie: they are floats of one segment, without scales.
template <class Kv>
inline constexpr bool reads_in_place_v =
    Kv::contiguous && !is_quantised_v<typename Kv::key_element> && !is_quantised_v<typename Kv::value_element> &&
    !has_key_scales_v<Kv> && !has_value_scales_v<Kv> && !has_channel_scales_v<Kv> && !has_key_blocks_v<Kv>;

/// Rows [token, token + n) of a source as T, one of `dim` channels after the other; behind the last there is room for a
/// register.
template <class T, class Source>
void widen_rows(const Source& source, std::int64_t token, int n, T* to)
{
    if constexpr (Source::widens) {
        (void)widened(source, token, n, to);
    } else {
        for (int i = 0, some; i < n; i += some) {
            const auto segment = source(token + i);
            some = static_cast<int>(min_of(segment.count, n - i));
            for (int x = 0; x < some; ++x) micro::widen(segment.row(x), 0, source.dim, to + (i + x) * source.dim);
        }
    }
}

/// Multiplies each of n rows by a factor, of which a 0 selects: it stands for a row of zeros.
template <class T>
void scale_rows(const T* factors, int n, std::int64_t dim, T* rows)
{
    for (int j = 0; j < n; ++j, rows += dim)
        for (std::int64_t c = 0; c < dim; ++c) rows[c] = factors[j] == T(0) ? T(0) : rows[c] * factors[j];
}

/// The rows of a tile.
template <class Kv, class T>
struct tile_rows {
    static constexpr bool in_place = reads_in_place_v<Kv>;
    using key = std::conditional_t<in_place, typename Kv::key_element, T>;
    using value = std::conditional_t<in_place, typename Kv::value_element, T>;

    T *k_copy, *v_copy;  // [gradient_tile][channels]
    micro::matrix<const key> k;
    micro::matrix<const value> v;

    template <class Carver, class Partition>
    static tile_rows carve(Carver& c, const Partition& p)
    {
        const auto room = [&](std::int64_t dim) {
            return p.copies ? micro::gradient_tile * dim + vec<T>::lanes : std::int64_t{0};
        };
        tile_rows m{};
        m.k_copy = c.template take<T>(room(p.key_dim));
        m.v_copy = c.template take<T>(room(p.value_dim));
        return m;
    }
    /// Finds the rows of the keys [token, token + n) of a head, n > 0, or copies them, those of V where they are
    /// wanted.
    void load(const Kv& kv, std::int64_t batch, std::int64_t kv_head, std::int64_t token, int n, bool wants_values)
    {
        const auto keys = keys_of(kv, batch, kv_head);
        const auto values = values_of(kv, batch, kv_head);
        if constexpr (in_place) {
            k = matrix_of(keys(token));
            v = matrix_of(values(token));
        } else {
            k = {k_copy, keys.dim};
            v = {v_copy, values.dim};
            copy(kv, batch, token, n, keys, k_copy);
            if constexpr (has_key_scales_v<Kv>) scale_by(kv.key_scales(batch, kv_head), token, n, keys.dim, k_copy);
            if constexpr (has_channel_scales_v<Kv>) {
                const float* const factors = kv.key_channel_scales(kv_head);
                for (int j = 0; j < n; ++j)
                    for (std::int64_t c = 0; c < keys.dim; ++c) k_copy[j * keys.dim + c] *= factors[c];
            }
            if (!wants_values) return;
            copy(kv, batch, token, n, values, v_copy);
            if constexpr (has_value_scales_v<Kv>)
                scale_by(kv.value_scales(batch, kv_head), token, n, values.dim, v_copy);
        }
    }

private:
    /// Zeros for the tokens that a ring has lost.
    template <class Source>
    static void copy(const Kv& kv, std::int64_t batch, std::int64_t token, int n, const Source& source, T* to)
    {
        const int lost = static_cast<int>(max_of(kv.held(batch).first - token, 0));
        for (std::int64_t i = 0; i < lost * source.dim; ++i) to[i] = T(0);
        widen_rows(source, token + lost, n - lost, to + lost * source.dim);
    }
    template <class Rows>
    static void scale_by(const Rows& scales, std::int64_t token, int n, std::int64_t dim, T* rows)
    {
        T factors[micro::key_tile];
        gather_scales(scales, token, 0, n, factors);
        scale_rows(factors, n, dim, rows);
    }
};

}  // namespace kernel
HEED_END
