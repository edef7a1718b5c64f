// SPDX-License-Identifier: MIT
// What a machine says of itself: the types of its registers, and sizes that only change speed. A file in arch/ has a
// struct for its machine. It owes array<T> (a register's lanes), batch<T> (what vec<T> holds), registers<T> (what arch/
// is called with) and words (a register of 32-bit words); it says the sizes that were measured there and takes the rest
// from `unmeasured`.
#pragma once

#include "lane_array.hpp"

HEED_BEGIN
namespace simd::machine {

/// The sizes of a machine that nobody has measured: 16 registers, and caches like those of most.
struct unmeasured {
    /// Whether a * b + c rounds once, as in every build for FMA; where it rounds twice, results have bits of their own.
    static constexpr bool rounds_once = true;

    /// Registers of a register block, of as many keys or channels: 6 rows x 2 fill 16 registers with 12 accumulators.
    static constexpr int register_vecs = 2;

    /// Bytes of packed keys, or values, that stay in the L1 cache while all rows of a block pass them.
    static constexpr int strip_bytes = 16 * 1024;

    /// Query rows of a block: enough to spread the cost of packing K and V, few enough for the scores to stay near; and
    /// where that makes too few blocks to keep all workers busy.
    static constexpr int query_block = 168, small_query_block = 168;

    /// Whether the L2 cache feeds the multipliers: a panel of V is then a whole tile, read where it lies.
    static constexpr bool values_from_l2 = false;

    /// Whether half a strip of keys keeps the multipliers busy, so that a tile's first or last keys may go alone.
    static constexpr bool half_strips = false;

    /// Whether a number of memory at a multiple of 16 bytes takes fewer instructions to be in all lanes.
    static constexpr bool repeats_aligned = false;

    /// Decode, where keys are transposed in registers. Whether two registers of keys share the broadcasts of a query,
    /// and for how many rows their sums find room: with 16 registers the sums would be kept in memory.
    static constexpr bool shares_broadcasts = false;
    static constexpr int most_rows_of_two = 4;
    /// Whether two registers of floats are transposed before they are multiplied, as those of narrower elements are. On
    /// x86 floats wait for memory, which likes the lines of one register of keys after those of the other.
    static constexpr bool takes_two_of_floats = false;
    /// Whether keys are transposed there while the keys before them are multiplied.
    static constexpr bool overlaps_transposition = false;
    /// Whether products of integers do so as well, for the rows of one register block.
    static constexpr bool streams_integers = false;

    /// How decode prefetches K and V: at two distances, into the L1 cache shortly before their use and into the L2
    /// cache long before it; or at one distance, in the order of addresses.
    static constexpr bool two_distances = true;
    /// Two distances: how many rows apart the two rows are that are prefetched together, shortly before their use and
    /// long before it.
    static constexpr int l1_apart = 8, rows_apart = 32;
    /// Whether decode takes kv heads whose rows of a token lie side by side together.
    static constexpr bool takes_bands = true;
    /// Whether it copies their rows side by side where these would share one set of the L1 cache.
    static constexpr bool copies_rows = false;
    /// Lines of one request.
    static constexpr int lines_at_once = 1;
    /// Whether a register is multiplied by one lane of another, so that a factor need not be repeated in all lanes.
    /// Such a machine has accumulate(), dot() and dot_shorts() of one number or pair, and transpose_pairs() for the
    /// latter.
    static constexpr bool multiplies_by_element = false;
    /// Registers of channels of V that decode takes at once: the more of a row, the more in the order of addresses.
    static constexpr int wide_vecs = 2;
};

/// True for a machine that owes nothing; a sentence says what another lacks.
template <class M, class = void>
struct sound : std::false_type {
    static_assert(sizeof(M) == 0, "heed: a machine has types array<T>, batch<T>, registers<T> and words");
};
/// Their sizes are asked for, since gcc warns of a register as a template argument.
template <class M>
struct sound<M, std::enable_if_t<(sizeof(typename M::template array<float>) > 0 &&
                                  sizeof(typename M::template batch<float>) > 0 &&
                                  sizeof(typename M::template registers<float>) > 0 && sizeof(typename M::words) > 0)>>
    : std::true_type {
    static_assert(std::is_base_of_v<unmeasured, M>, "heed: a machine derives from machine::unmeasured, which has every "
                                                    "size that it does not say");
};

/// True for sizes that kernels can use; a sentence says which are not.
template <class S>
struct sound_sizes : std::true_type {
    static_assert(S::register_vecs == 2 || S::register_vecs == 4, "heed: register_vecs is 2 or 4");
    static_assert(S::wide_vecs == S::register_vecs || S::wide_vecs == 2 * S::register_vecs,
                  "heed: wide_vecs is register_vecs or twice that");
    static_assert(S::strip_bytes >= 4096 && S::strip_bytes <= 65536 && S::strip_bytes % 4096 == 0,
                  "heed: strip_bytes is 4 to 64 KiB, in whole 4 KiB");
    static_assert(S::small_query_block >= 12 && S::small_query_block <= S::query_block && S::query_block <= 1024,
                  "heed: 12 <= small_query_block <= query_block <= 1024");
    static_assert(S::l1_apart >= 0 && S::rows_apart >= 0 && S::lines_at_once > 0,
                  "heed: l1_apart and rows_apart are not negative, lines_at_once is 1 at least");
};

/// Arrays of some bytes: plain C++ on any machine. What instruction sets do is compared with what it does.
template <int Bytes>
struct portable : unmeasured {
    /// The lanes of a register of T, what vec<T> holds, and what functions in arch/ are called with.
    template <class T>
    using array = arch::lane_array<T, Bytes / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = array<T>;
    template <class T>
    using registers = array<T>;
    /// A register of 32-bit words.
    using words = array<std::uint32_t>;
};

}  // namespace simd::machine
HEED_END
