// SPDX-License-Identifier: MIT
// What the two products are made of. A unit U is an element T, or a bf16_pair of two neighbours, of which a register
// has as many lanes; products of units are summed in sum_t<U>. The micro kernels are written once, for both.
#pragma once

#include "../simd/bf16_pairs.hpp"
#include "widen.hpp"

HEED_BEGIN
namespace micro {

/// Rows at a constant stride: in elements, and of quantised blocks in bytes, since padded rows need not be a whole
/// number of them. As small as its two numbers: it is passed in their registers.
template <class E>
struct matrix {
    E* data;
    std::int64_t stride;

    HEED_INLINE E* row(std::int64_t i) const { return row_after(data, i, stride); }
    /// What begins at column c of row i.
    HEED_INLINE matrix at(std::int64_t i, std::int64_t c) const { return {row(i) + c, stride}; }
};

/// What brings the sum of a row, and the outputs of a tile, to their common shift: powers of two, of which a 0 selects.
template <class T>
struct fold_factors {
    T mine, theirs;
};

/// Rows x registers of a register block.
struct block_shape {
    int rows, vecs;
};

/// The unit that starts at channel c of a row of `dim`; 0 beyond it.
template <class U, class E>
HEED_INLINE U unit_of(const E* row, std::int64_t c, std::int64_t dim)
{
    if constexpr (elements_of<U> == 2) return {row[c], c + 1 < dim ? row[c + 1] : E(0.f)};
    else return static_cast<U>(channel_of(row, c));
}

/// Units of V for vec<U>::lanes channels from c on: of one row, or two that are `stride` apart. Packed ones are loaded.
template <class U, class E>
HEED_INLINE vec<U> load_values(const E* v, int c, std::int64_t stride)
{
    if constexpr (std::is_same_v<U, E>) return load(v + c);
    else if constexpr (elements_of<U> == 2) return pair_rows(v + c, v + c + stride);
    else return load_channels<U>(v, c);
}

/// The same for N registers in a row, which stay in their registers.
template <class U, class E, int N>
HEED_INLINE void load_values(const E* v, int c, std::int64_t stride, vec<U> (&out)[N])
{
    constexpr int lanes = vec<U>::lanes;
    if constexpr (is_quantised_v<E>) {
        load_channels(v, c, out);
    } else {
        HEED_UNROLL
        for (int i = 0; i < N; ++i) out[i] = load_values<U>(v, c + i * lanes, stride);
    }
    HEED_UNROLL
    for (int i = 0; i < N; ++i) out[i] = in_register(out[i]);
}

/// Where in an element a row of a panel starts: a channel within a block, while the blocks before it are skipped.
template <class E, bool = (channels_of<E> > 1)>
struct place_in_block {
    static constexpr int channel = 0;
    /// Elements to skip for n channels.
    HEED_INLINE std::int64_t skip(std::int64_t n) { return n; }
};
template <class E>
struct place_in_block<E, true> {
    int channel = 0;
    HEED_INLINE std::int64_t skip(std::int64_t n)
    {
        n += channel;
        channel = static_cast<int>(n % channels_of<E>);
        return n / channels_of<E>;
    }
};

/// What outputs() and scores_unpacked() pass, in groups of rows at a constant step. A packed panel of units; its rows
/// are as many units as it is wide.
template <class U>
struct packed_panel {
    using element = U;
    const U* data;
    static constexpr place_in_block<U> place{};

    template <int Width>
    HEED_INLINE std::int64_t stride() const
    {
        return Width;
    }
    HEED_INLINE const U* first() const { return data; }
    HEED_INLINE const U* next_group(const U* here) { return here; }
};

/// Rows of K or V where they lie, all at one step.
template <class E>
struct row_panel {
    using element = E;
    const E* data;
    std::int64_t row_stride;
    place_in_block<E> place;

    template <int>
    HEED_INLINE std::int64_t stride() const
    {
        return row_stride;
    }
    HEED_INLINE const E* first() const { return data; }
    HEED_INLINE const E* next_group(const E* here) { return here; }
    HEED_INLINE void skip(std::int64_t channels) { data += place.skip(channels); }
    template <int Size>
    HEED_INLINE const E* group(int i) const
    {
        return row_after(data, i * Size, row_stride);
    }
    template <int Size>
    HEED_INLINE row_panel from_group(int i) const
    {
        return {group<Size>(i), row_stride, place};
    }
};

/// The same where only the rows of a group are at one step: starts[i] is the first row of group i.
template <class E>
struct row_groups {
    using element = E;
    const E* const* starts;
    std::int64_t row_stride;
    place_in_block<E> place;
    std::int64_t skipped = 0;  // elements

    template <int>
    HEED_INLINE std::int64_t stride() const
    {
        return row_stride;
    }
    HEED_INLINE const E* first() const { return nullptr; }
    HEED_INLINE const E* next_group(const E*) { return *starts++ + skipped; }
    template <int>
    HEED_INLINE const E* group(int i) const
    {
        return starts[i] + skipped;
    }
    template <int>
    HEED_INLINE row_groups from_group(int i) const
    {
        return {starts + i, row_stride, place, skipped};
    }
    HEED_INLINE void skip(std::int64_t channels) { skipped += place.skip(channels); }
};

/// Rows of what V is made of that a unit takes.
template <class U, class E>
inline constexpr int rows_of = std::is_same_v<U, E> ? 1 : elements_of<U>;

/// p[0, n) = 0 in whole registers.
template <class T>
HEED_INLINE void fill_zero(T* p, std::int64_t n)
{
    for (std::int64_t i = 0; i < n; i += vec<T>::lanes) store(p + i, vec<T>(0));
}

/// The sums of a register block, from and to memory; where there are no `more` to go on with, 0.
template <int Rows, int Vecs, class T>
HEED_INLINE void load_block(vec<T> (&acc)[Rows][Vecs], bool more, matrix<T> sums)
{
    const T* o = sums.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, o = opaque(o + sums.stride)) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) acc[r][i] = more ? load(o + i * vec<T>::lanes) : vec<T>(0);
    }
}
template <int Rows, int Vecs, class T>
HEED_INLINE void store_block(const vec<T> (&acc)[Rows][Vecs], matrix<T> sums)
{
    T* o = sums.data;
    HEED_UNROLL
    for (int r = 0; r < Rows; ++r, o = opaque(o + sums.stride)) {
        HEED_UNROLL
        for (int i = 0; i < Vecs; ++i) store(o + i * vec<T>::lanes, acc[r][i]);
    }
}

}  // namespace micro
HEED_END
