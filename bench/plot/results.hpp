// SPDX-License-Identifier: MIT
// What heed-bench --table wrote, read back. On a shared machine clocks drift from row to row, so heed's speed is the
// fraction of the ceiling that was measured beside its samples, times this run's median ceiling; and a peer's is
// heed's over the ratio of samples taken in turn.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace plot {

struct entry {
    std::string name, impl, phase;
    bool bf16_products;
    int threads;
    double keys, flops, kv_bytes, tensor_bytes;
    double gflops, kv_gbps;  // at the run's ceilings

    /// What bounds the phase: GB/s of K and V in decode, GFLOP/s in prefill.
    double speed() const { return phase == "decode" ? kv_gbps : gflops; }
};

struct row {
    std::string section, title, tick;
    std::vector<entry> entries;  // heed first

    const entry& heed() const { return entries.front(); }
};

/// A peer's library: "0.3.21", "SkylakeX".
struct library {
    std::string version, kernel;
};

struct ceilings {
    double gflops, gbps;
    double bf16_gflops;  // dot products; 0: not measured
};

struct results {
    std::string machine;                       // in a line
    double l2_bytes, l3_bytes;                 // 0: not known
    std::map<int, ceilings> limits;            // by number of threads
    std::map<std::string, library> libraries;  // by contestant
    std::vector<row> rows;
};

/// Throws std::runtime_error with a sentence about the file.
results read_results(const std::string& file);

}  // namespace plot
