// SPDX-License-Identifier: MIT
// heed-bench --table: every row of a suite for heed and its peers, samples taken in turn.
#pragma once

#include "measurement.hpp"
#include "suite.hpp"

#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace bench {

struct entry {
    bench_case problem;
    std::string description;
    std::size_t samples;
    numbers result;
    double heed_is_faster;  // the median of time over heed's in the same round; heed itself: 1
};

struct row_results {
    suite_row row;
    std::vector<entry> entries;        // heed first
    std::vector<std::string> refused;  // a peer's name and why it was not timed
};

/// Medians over all that was measured on so many threads; bf16_peak is 0 where no case needed it.
struct limits {
    double peak, bf16_peak, bandwidth;
};

struct table_results {
    std::vector<row_results> rows;
    std::map<int, limits> by_threads;
};

/// Measures and prints row by row to stdout; a line of progress on stderr where that is a terminal.
table_results run_table(const std::vector<suite_row>&);

/// Writes everything as JSON. Returns false where the file can not be written.
bool write_json(const table_results&, std::FILE* to);

}  // namespace bench
