// SPDX-License-Identifier: MIT
// What the user asks of twins.
#pragma once

#include "settings.hpp"

namespace twins {

struct command {
    enum class verb { train, report, tell, box } what = verb::train;
    std::vector<std::string> names;  // normalizers to train, or models to report on or to listen to
    settings run;                    // of train; each twin is this with its own normalizer
    double seconds = 0;              // a twin may take; 0: run.steps says it
    std::string out = "twins-out";   // folder
    std::string held_out;            // of report: a text that is all there to validate on
    int threads = 2;
    int64 windows = 64;  // to validate on
    bool resume = false, bf16 = false;
    std::string prompt = "And it came to pass";  // of tell and box
    int64 tokens = 200;
    double temperature = 0.7;
};

extern const char usage[];

/// Throws input_error with one line for what is wrong.
command parse_command(int argc, char** argv);

/// The command line that goes on with a run.
std::string resume_line(const command&);

}  // namespace twins
