// SPDX-License-Identifier: MIT
// What a test does that lacks its data: it says so and returns, and its program does not pass.
#pragma once

#include <catch2/catch.hpp>

#include <filesystem>
#include <string>

namespace test {

inline constexpr int rc_skipped = 77;  // as tests/CMakeLists.txt tells ctest
inline int skipped = 0;

/// Whether a file or folder is there; counts the test as skipped where it is not.
inline bool has_data(const std::string& path)
{
    if (std::filesystem::exists(path)) return true;
    ++skipped;
    WARN("skipped: no " << path);
    return false;
}

}  // namespace test
