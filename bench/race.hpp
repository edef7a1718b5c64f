// SPDX-License-Identifier: MIT
// Every row of a suite for heed and those set beside it, samples taken in turn.
#pragma once

#include "measurement.hpp"
#include "suite.hpp"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace bench {

struct entry {
    bench_case problem;
    std::string description;
    numbers result;
    spread heed_is_faster;  // time over heed's in the same round; heed itself: 1
};

struct row_results {
    suite_row row;
    std::vector<entry> entries;        // heed first
    std::vector<std::string> refused;  // a peer's name and why it was not timed
    std::string left_out;              // why heed has no such case; then there are no entries

    /// Among those beside heed the one that it is the least ahead of; null where nobody is.
    const entry* best_rival() const;
};

/// All that was measured on so many threads; bf16_peak holds nothing where no case needed it.
struct limits {
    spread peak, bf16_peak, bandwidth;
    std::set<int> cpus;  // that threads sat on
};

/// Signs of a machine that others use.
struct disturbance {
    double load = -1;        // runnable processes when this began; -1: not known
    double neighbours = -1;  // CPUs that others used meanwhile; -1: not known
};

struct table_results {
    std::vector<row_results> rows;
    std::map<int, limits> by_threads;
    disturbance machine;
};

/// A ratio whose quartiles are further apart than this says little.
inline constexpr double wide_spread = 0.2;
/// Why a row's numbers are to be doubted: wide spreads, more than the machine can do; empty if they are not.
std::string doubt_about(const row_results&);
/// Sentences about a whole race that others disturbed; empty for a quiet one.
std::string doubts_about(const table_results&);

/// Measures row by row and hands each to `done`; a line of progress on stderr where that is a terminal.
table_results race(const std::vector<suite_row>&, const std::function<void(const row_results&)>& done);

}  // namespace bench
