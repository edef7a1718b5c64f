// SPDX-License-Identifier: MIT
// What the user asks of twins.
#pragma once

#include "settings.hpp"

namespace twins {

struct command {
    enum class verb { train, report, compare, tell, box } what = verb::train;
    std::vector<std::string> names;   // normalizers to train, or models to report on, to compare or to listen to
    settings run;                     // of train; each twin is this with its own normalizer
    std::vector<std::int64_t> seeds;  // of train: each twin once with each; empty: run.seed alone
    double seconds = 0;               // a run may take; 0: run.steps says it
    double sitting = 0;               // seconds that all runs may take before they stop; 0: they do not
    std::string out = "twins-out";    // folder
    std::string held_out;             // of report and compare: a text that is all there to validate on
    int threads = 2;
    int64 windows = 0;  // of report, compare and box, to validate on; 0: as many as in the models' training
    bool resume = false, bf16 = false;
    std::string prompt = "And it came to pass";  // of tell and box
    int64 tokens = 200;
    double temperature = 0.7;
};

/// Of one of train, report, compare, tell and box; of all of twins for anything else.
std::string usage(const std::string& verb);

/// Whether one of the arguments asks for help, which is usage(argv[1]).
bool asks_for_help(int argc, char** argv);

/// Throws input_error with one line for what is wrong.
command parse_command(int argc, char** argv);

/// What train makes, in its order: settings, and the name of the files without their ending.
std::vector<std::pair<settings, std::string>> runs_of(const command&);

/// The command line that goes on with a run.
std::string resume_line(const command&);

}  // namespace twins
