// SPDX-License-Identifier: MIT
// What else this machine did meanwhile, and where this process' threads sat. Linux says so; elsewhere nothing is known.
#pragma once

#include <map>
#include <set>
#include <string>

namespace bench {

/// Runnable processes, a mean over the last minute; -1 where it is not known.
double system_load();

/// CPUs of those that this process may run on which others used, on average since this object was made: processes, and
/// the host of a virtual machine where the kernel is told of it.
class neighbours {
public:
    neighbours() : start_(now()) {}
    /// -1 where it is not known.
    double busy_cpus() const;

private:
    struct reading {
        double all = -1, own = 0, wall = 0;  // seconds
    };
    static reading now();
    reading start_;
};

/// CPUs that the threads of this process were last seen on, of those that ran since the last look.
class seats {
public:
    std::set<int> look();

private:
    std::map<std::string, std::string> time_of_;  // by thread
};

/// "CPU 1", "CPUs 0, 1".
std::string cpus_text(const std::set<int>&);

}  // namespace bench
