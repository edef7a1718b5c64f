// SPDX-License-Identifier: MIT
// A run of a second or two, and a folder for its files.
#pragma once

#include "../../examples/twins/model_file.hpp"
#include "../../examples/twins/trainer.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

namespace test {

inline twins::settings small_run(const std::string& normalizer, std::int64_t steps)
{
    twins::settings s;
    s.normalizer = normalizer;
    s.shape = {32, 48, 2, 2, 1, twins::byte_vocabulary, 32, true};
    s.batch = 10;  // no multiple of the shards
    s.steps = steps;
    s.rate = 0.01;
    return s;
}

/// Removed at the end.
struct folder {
    std::string path;

    explicit folder(const std::string& name) : path(std::filesystem::temp_directory_path() / ("heed-" + name))
    {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
    std::string operator/(const std::string& file) const { return path + "/" + file; }
};

/// What `f` throws, which must be an input_error of one line.
template <class F>
std::string refusal(F f)
{
    try {
        f();
    } catch (const llama2c::input_error& e) {
        const std::string text = e.what();
        CHECK(text.find('\n') == std::string::npos);
        return text;
    }
    return "";
}

}  // namespace test
