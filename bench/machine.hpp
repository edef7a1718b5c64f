// SPDX-License-Identifier: MIT
// Where this process runs.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bench {

struct machine {
    std::string cpu, isa, compiler;
    int threads;                      // that this process may run on: taskset counts
    std::int64_t l2_bytes, l3_bytes;  // 0 where the system does not say
};

const machine& this_machine();

/// Of memory; 0 where the system does not say.
std::int64_t memory_bytes_of_machine();

/// The machine, the peers and what was changed for them, in key and value; with the ceilings, measured for 0.3 s each.
std::vector<std::pair<std::string, std::string>> card();

/// x with so many digits behind the point.
std::string fixed(double x, int digits);

/// "1 thread", "2 threads".
std::string thread_count(int n);

}  // namespace bench
