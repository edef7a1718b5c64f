// SPDX-License-Identifier: MIT
// Sizes of AVX-512 machines. Instruction sets tell two families apart: AVX512-FP16 is Intel's, since Sapphire Rapids.
#pragma once

#include "../machine.hpp"

HEED_BEGIN
namespace simd::machine {

/// Measured on Zen 5.
struct zen5 : unmeasured {
    // 24 accumulators of 32 registers.
    static constexpr int register_vecs = 4;
    static constexpr int strip_bytes = 32 * 1024;

    // 336 to 480 query rows are equal and 2 to 3 % faster than 192, although their scores fill the L2 cache of 1 MiB.
    static constexpr int query_block = 384, small_query_block = 192;

    // A tile of V in the L2 cache is fast enough, and sums are stored once a tile: 1 % of prefill.
    static constexpr bool values_from_l2 = true;
    static constexpr bool half_strips = true;

    static constexpr bool shares_broadcasts = true;
    static constexpr int most_rows_of_two = 6;
    static constexpr bool overlaps_transposition = true;

    // Decode reads fastest where the CPU sees one stream of lines in the order of addresses, which its own prefetchers
    // follow: with a second distance it took 1.1 to 1.25 times as long.
    static constexpr bool two_distances = false;
    static constexpr int l1_apart = 0, rows_apart = 0;
    static constexpr int lines_at_once = 4;
    static constexpr int wide_vecs = 8;

    // Rows of 8 heads of 128 floats are 4096 bytes apart: 1.6 instead of 1.8 times [head][token], from the L3
    // cache 1.45 instead of 2.2 times.
    static constexpr bool copies_rows = true;
};

/// Decode was measured on Emerald Rapids, the rest is Zen 5's. A core has 16 requests of its L1 cache under way, which
/// end one stream at 9 GB/s; requests of the L2 cache reach further. At 8192 keys and D 128 two distances took 0.66 of
/// the time of one over floats with four query heads a kv head, 0.85 with one, 0.67 over bf16; over q8_0, which waits
/// for arithmetic, 1.0 to 1.1, and 1.13 over floats with 12 query rows.
struct emerald_rapids : zen5 {
    static constexpr bool two_distances = unmeasured::two_distances;
    static constexpr int l1_apart = unmeasured::l1_apart, rows_apart = unmeasured::rows_apart;
    static constexpr int lines_at_once = unmeasured::lines_at_once;
    // With 8, floats take 1.2 times and bf16 1.4 times as long.
    static constexpr int wide_vecs = 4;
    static constexpr bool copies_rows = unmeasured::copies_rows;  // 1.32 instead of 1.29 times [head][token]
};

}  // namespace simd::machine
HEED_END
