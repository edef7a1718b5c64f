// SPDX-License-Identifier: MIT
// The main() of a program that prints: help, errors as one line on stderr, and output that arrives.
#pragma once

#include "input_error.hpp"
#include "standard_output.hpp"

#include <cstdio>
#include <exception>
#include <new>
#include <string>

namespace llama2c {

/// Prints `usage` where --help or -h is among the arguments; else returns run(argc, argv), the exit status, or 2 behind
/// a line on stderr: what the program threw, and the usage where an argument was at fault.
template <class Run>
int guarded_main(const char* program, const char* usage, int argc, char** argv, Run run)
{
    occupy_standard_streams();
    try {
        for (int i = 1; i < argc; ++i)
            if (const std::string a = argv[i]; a == "--help" || a == "-h") {
                std::fputs(usage, stdout);
                flush_standard_output();
                return 0;
            }
        const int code = run(argc, argv);
        flush_standard_output();
        return code;
    } catch (const input_error& e) {
        std::fprintf(stderr, "%s: %s\n%s", program, e.what(), usage);
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "%s: too large for this machine's memory\n", program);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", program, e.what());
    }
    return 2;
}

}  // namespace llama2c
