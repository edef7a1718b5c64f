// SPDX-License-Identifier: MIT
// What heed-bench is asked for.
#pragma once

#include <string>
#include <vector>

namespace bench {

struct options {
    enum class task { suite, card, table, sweep, compare, help } what = task::suite;
    std::vector<std::string> cases;
    std::string rows, json, csv;  // of a table or a sweep
    std::string before, after;    // files to compare
};

/// Takes heed-bench's own arguments out of argv; Google Benchmark's stay. Throws a failure for what does not go
/// together.
options read_options(int& argc, char** argv);

/// Its own options first, then those of Google Benchmark, to stdout.
void print_help();

}  // namespace bench
