// SPDX-License-Identifier: MIT
// The standard suite: problems under headings, each for heed and for every peer that can do it.
#pragma once

#include "contestants.hpp"

#include <string>
#include <vector>

namespace bench {

/// Whom a row sets beside heed.
enum class rivals { none, peers, fused, observe, dense, policy, compute_op };

struct suite_row {
    std::string section, title;
    std::string tick;    // the title in a few letters, under the bars of a picture; | breaks the line
    bench_case problem;  // heed's
    rivals against = rivals::peers;

    /// About what it takes, peers included, where a core does 100 GFLOP/s and reads 20 GB/s.
    double expected_seconds() const { return 2.3 + 2.5e-10 * problem.flops(); }
};

/// Those of whom one has that name.
rivals rivals_like(const std::string& impl);
/// What heads the column of their ratios.
std::string rival_column(rivals);
/// What a rival is called in that column.
std::string name_of_rival(const std::string& impl);
/// Whether a few percent matter in that column.
bool is_about_percents(rivals);

/// For a machine of so many threads: rows on 2, 4, ... of them are among it.
std::vector<suite_row> standard_suite(int threads);

/// Prefill, decode and decode of one kv head on 1, 2, 3, 4, 6, 8, 12, ... threads, and on all.
std::vector<suite_row> thread_sweep(int threads);

/// Whether somebody is asked to run a row: not where the row is not set against him, where he can not, or where he
/// would take seconds a run because he computes masked pairs too. heed runs all that it can.
bool takes_part(const implementation&, const suite_row&);

}  // namespace bench
