// SPDX-License-Identifier: MIT
// The model stories260K, what is known of it, and the program that runs it.
#pragma once

#include "../../examples/storyteller/transformer.hpp"
#include "skip.hpp"

#include <array>
#include <cstdio>
#include <iterator>

namespace stories260k {

inline const std::string folder = HEED_TEST_DATA "/stories260k/";
inline const std::string files = folder + "stories260K.bin " + folder + "tok512.bin ";

inline bool data_is_there() { return test::has_data(folder); }

inline std::vector<int> golden_tokens()
{
    std::ifstream file(folder + "golden_tokens.txt");
    return {std::istream_iterator<int>(file), {}};
}

inline std::unique_ptr<llama2c::cached_attention>
softmax_over(const llama2c::checkpoint& model, const llama2c::attention_form& form, heed::executor_ref executor)
{
    return llama2c::make_attention("softmax", {}, model.c, form, executor);
}

inline std::vector<int> greedy(const llama2c::checkpoint& model, llama2c::cached_attention& attention,
                               std::vector<int> ids, std::size_t total)
{
    llama2c::transformer story(model, attention);
    llama2c::matrix logits = story.forward({ids});
    while (ids.size() < total) {
        Eigen::Index best;
        logits.row(logits.rows() - 1).maxCoeff(&best);
        ids.push_back(static_cast<int>(best));
        if (ids.size() < total) logits = story.forward({{ids.back()}});
    }
    return ids;
}

/// Output and exit status of the storyteller binary.
inline std::pair<std::string, int> tell(const std::string& arguments)
{
    const std::string command = "{ " HEED_STORYTELLER " " + arguments + "; } 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    return {text, WEXITSTATUS(pclose(pipe))};
}

inline void refused(const std::string& arguments, const std::string& says)
{
    const auto [text, code] = tell(arguments);
    INFO(text);
    REQUIRE(code == 2);
    REQUIRE(text.find(says) != std::string::npos);
}

}  // namespace stories260k
