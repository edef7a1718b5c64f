// SPDX-License-Identifier: MIT
// How far a run is, on one line of a terminal; elsewhere a line for each point of the loss curve.
#pragma once

#include "trainer.hpp"

#include <chrono>

namespace twins {

class progress {
public:
    progress(const trainer&, std::string name);

    /// After a step with this loss.
    void show(double loss);
    /// Ends the line.
    void finish();

private:
    using clock = std::chrono::steady_clock;

    const trainer& run_;
    const std::string name_;
    const bool terminal_;
    const clock::time_point start_ = clock::now();
    const int64 first_step_;
    clock::time_point shown_{};
    double smooth_ = 0;
    std::size_t points_ = 0;
};

}  // namespace twins
