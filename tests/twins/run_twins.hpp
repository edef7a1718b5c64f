// SPDX-License-Identifier: MIT
// The twins binary from outside.
#pragma once

#include "small_run.hpp"

#include <array>
#include <cstdio>
#include <sys/wait.h>

namespace test {

/// Of models that train in a second or two.
inline const std::string size = " --dim 32 --hidden 48 --layers 2 --heads 2 --context 32 --windows 4 ";

/// Output and exit status; `streams`: where the shell leads stdout and stderr.
inline std::pair<std::string, int> run(const std::string& arguments, const std::string& streams = "2>&1")
{
    std::FILE* const pipe =
        popen(("{ " + std::string(HEED_TWINS) + " " + arguments + " " + streams + "; }").c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    return {text, WEXITSTATUS(pclose(pipe))};
}

}  // namespace test
