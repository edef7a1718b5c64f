// SPDX-License-Identifier: MIT
// Sizes. key_tile and mass_lanes are part of the arithmetic and do not differ between machines; the rest only changes
// speed, and is said by the machine where that makes a difference: engine/simd/machine.hpp.
#pragma once

#include "../../base/element.hpp"
#include "../../base/place.hpp"
#include "../simd/vec.hpp"

HEED_BEGIN
namespace micro {

using heed::key_tile;

/// The stride of rows of n elements without gaps. Strides count elements, but of quantised blocks bytes: a padded row
/// need not be a whole number of blocks.
template <class E>
HEED_INLINE constexpr std::int64_t stride_of(std::int64_t n)
{
    return channels_of<std::remove_const_t<E>> > 1 ? n * static_cast<std::int64_t>(sizeof(E)) : n;
}
/// The row that is n rows after `row`.
template <class E>
HEED_INLINE E* row_after(E* row, std::int64_t n, std::int64_t stride)
{
    if constexpr (channels_of < std::remove_const_t < E >>> 1) {
        using byte = std::conditional_t<std::is_const_v<E>, const char, char>;
        return reinterpret_cast<E*>(reinterpret_cast<byte*>(row) + n * stride);
    } else {
        return row + n * stride;
    }
}

/// Lanes of the mass sum, whatever the register width: key j adds to lane j mod 16.
inline constexpr int mass_lanes = 16;

/// Step of a row of scores: a power of two would map all rows of a register block to the same cache sets.
inline constexpr int score_stride = key_tile + 16;

/// Register block of the two products: rows x vectors.
inline constexpr int register_rows = 6;
inline constexpr int register_vecs = native_sizes::register_vecs;

/// Keys that are packed and scored at a time, one register block wide; and the units of channels of a packed strip,
/// which stays in the L1 cache while all rows of a block pass it.
template <class T>
inline constexpr int key_strip = register_vecs* vec<T>::lanes;
template <class T>
inline constexpr int strip_units = native_sizes::strip_bytes / static_cast<int>(sizeof(T)) / key_strip<T>;

/// The cut of a row of `units` units into parts that fit a strip, of whole blocks of quantised channels.
template <class T>
struct row_parts {
    std::int64_t units, count, width;

    explicit row_parts(std::int64_t n)
        : units(n), count(ceil_div(n, strip_units<T>)), width(round_up(count > 1 ? ceil_div(n, count) : n, 32))
    {}
    std::int64_t begin(std::int64_t part) const { return part * width; }
    std::int64_t end(std::int64_t part) const { return min_of((part + 1) * width, units); }
};

/// Parts of query rows lie at this step: a constant, so that a register block needs one pointer, and no power of two.
template <class T>
inline constexpr int query_stride = strip_units<T> + 16;

/// Keys of a panel of V, which stays in the L1 cache in the same way; or a tile of them, in the L2 cache.
template <class T>
inline constexpr int value_depth =
    native_sizes::values_from_l2 || strip_units<T> > key_tile ? key_tile : strip_units<T>;

/// Query rows of a block; of a smaller one, where that makes too few blocks to keep all workers busy.
inline constexpr std::int64_t query_block = native_sizes::query_block;
inline constexpr std::int64_t small_query_block = native_sizes::small_query_block;

/// Query rows and keys of a step of the backward pass: at D 128 its operands take 1.7 MB, of which each product has the
/// L2 cache for the half that it needs. 192 x 192 to 96 x 480 are within 4 % of each other (Zen 3). Keys are
/// taken by spans of three strips, whole numbers of register blocks, of which a tile is a multiple. A learned
/// parameter's gradient is summed by such tiles, so their size is part of the arithmetic.
inline constexpr std::int64_t gradient_block = 96;
inline constexpr int gradient_tile = 384;

/// Rows of a panel of its products, which stays in the L1 cache.
template <class T>
inline constexpr int gradient_depth = strip_units<T>;

/// With no more rows than this, two register blocks, K and V are streamed from memory: keys are transposed in registers
/// for each register block instead of being packed once, and V is read in short runs, so that it is still in the L1
/// cache for what comes second: half of its channels, or of the query rows.
inline constexpr std::int64_t streaming_rows = 2 * register_rows;
inline constexpr int streaming_depth = 32;

/// With no more rows than this, products of integers are products of bytes where the machine has them, whose keys are
/// transposed for each register block. By 16 bits, two bytes each, only as long as K and V are streamed. Beside
/// products in pairs over q8_0 by 8 bits 16, 32 and 64 rows took 0.83, 0.85 and 0.91 of the time, and 0.93, 0.97
/// and 1.06 where another thread had the core's other half (Zen 5).
template <int Bits>
inline constexpr std::int64_t byte_rows = Bits > 8 ? streaming_rows : 6 * register_rows;

/// Keys that are scored in one call where keys are transposed while the keys before them are multiplied: the first ones
/// of a call overlap with nothing. As many as stay in the L1 cache for a second register block.
inline constexpr int overlapped_keys = 128;

/// If at most `listed_share` of a tile's keys have a weight in any row, only their rows of V are read, and prefetched
/// `listed_ahead` entries of the list ahead. With half of the keys, scattered, a pass over the list reached 0.61 of the
/// read bandwidth and a pass over all rows 0.73 (D 128, Zen 3).
inline constexpr double listed_share = 0.4;
inline constexpr int listed_ahead = 24;

/// Whether decode prefetches K and V at two distances.
inline constexpr bool two_distances = native_sizes::two_distances;

/// How many rows ahead of their use rows are prefetched into the L1 cache (queries, copied rows and, with two
/// distances, K and V), and how many at least into the L2 cache.
inline constexpr int l1_rows = 16;
inline constexpr int least_lead = 48;

/// Two distances: how many rows apart the two rows are that are prefetched together, into the L1 and into the L2 cache.
/// The second of the two leads by that many rows less.
inline constexpr int l1_apart = native_sizes::l1_apart;
inline constexpr int rows_apart = native_sizes::rows_apart;
inline constexpr int lead_rows = least_lead + rows_apart;

/// One distance: bytes. Keys are used column by column of 32 rows, so that the whole next 32 have to be there. Values
/// come row by row, and a short lead is best as long as multiply-adds take less time than memory: for one query row and
/// floats 4 KiB took V at 0.92 of the read bandwidth and 12 KiB at 0.83; for four 0.73 and 0.94 (Zen 5).
inline constexpr std::int64_t key_lead = 16 * 1024;
template <class E>
constexpr std::int64_t value_lead(bool light)
{
    return light && sizeof(E) >= sizeof(float) ? 6 * 1024 : 12 * 1024;
}

/// Whether decode takes kv heads whose rows of a token lie side by side together, in bands of so many heads and bytes
/// of a token at most; and about how many bytes of them before it turns to the next head. Those are prefetched that far
/// ahead and come from the L2 cache: 64 to 256 KiB are within 4 % of each other. Head by head, [token][head] took 1.5
/// to 2.0 times as long as [head][token]; in bands 1.03 to 1.16 times (Emerald Rapids, f32 to q8_0, at one distance; at
/// two, f32 went from 3.0 to 1.3).
inline constexpr bool takes_bands = native_sizes::takes_bands;
inline constexpr int most_heads_of_band = 16;
inline constexpr std::int64_t band_row_bytes = 4 * 1024, band_bytes = 128 * 1024;

/// Whether it also takes heads together whose rows of a page lie behind each other: one distance.
inline constexpr bool takes_pages = takes_bands && !two_distances;

/// Whether rows of a band are copied side by side before they are used where they lie at multiples of so many bytes:
/// lines of one column then share one set of the L1 cache. At multiples of 2 KB copies lost (Zen 5): bf16 1.36 instead
/// of 1.21 times [head][token].
inline constexpr bool copies_rows = native_arch::copies_rows;
inline constexpr std::int64_t set_bytes = 4 * 1024;

/// Bytes of memory that have an address translation of their own, at least.
inline constexpr std::int64_t translated_bytes = 4 * 1024;

/// Registers of channels of V that decode takes at once. Of more query rows than `wide_rows` half take their turn after
/// the other, with V from the L1 cache.
inline constexpr int wide_vecs = native_sizes::wide_vecs;
inline constexpr int wide_rows = register_rows * register_vecs / wide_vecs;

/// Channels, or keys, that the register blocks take between two requests for what comes next, and the lines of one.
inline constexpr int ahead_every = 8;
inline constexpr int lines_at_once = native_sizes::lines_at_once;

/// f(std::integral_constant<int, rows>{}) for a number of rows of a register block.
template <class F>
HEED_INLINE void with_rows(int rows, F f)
{
    static_assert(register_rows == 6);
    switch (rows) {
    case 1: return f(std::integral_constant<int, 1>{});
    case 2: return f(std::integral_constant<int, 2>{});
    case 3: return f(std::integral_constant<int, 3>{});
    case 4: return f(std::integral_constant<int, 4>{});
    case 5: return f(std::integral_constant<int, 5>{});
    default: return f(std::integral_constant<int, 6>{});
    }
}

/// The same for a number of registers of channels.
template <class F>
HEED_INLINE void with_vecs(int vecs, F f)
{
    static_assert(register_vecs == 2 || register_vecs == 4);
    if constexpr (register_vecs > 2) {
        if (vecs == 4) return f(std::integral_constant<int, 4>{});
        if (vecs == 3) return f(std::integral_constant<int, 3>{});
    }
    if (vecs == 2) return f(std::integral_constant<int, 2>{});
    return f(std::integral_constant<int, 1>{});
}

}  // namespace micro
HEED_END
