// SPDX-License-Identifier: MIT
// heed-bench --table: a race printed row by row, with what it is worth at its foot; and the same as JSON and CSV.
#pragma once

#include "race.hpp"

#include <string>
#include <vector>

namespace bench {

/// Measures and prints to stdout.
table_results run_table(const std::vector<suite_row>&);

/// The row's title in the table, with what was found in planted scores.
std::string title_of(const row_results&);

std::string json_of(const table_results&);
/// A line for each contestant of a row.
std::string csv_of(const table_results&);

}  // namespace bench
