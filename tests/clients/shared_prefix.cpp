// SPDX-License-Identifier: MIT
// The shared prefix from its command line: both ways agree, in bits where they should, and bad options say why.
#include <catch2/catch.hpp>

#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

using Catch::Matchers::Contains;

namespace {

/// Output and exit status.
std::pair<std::string, int> shared_prefix(const std::string& arguments)
{
    const std::string command = std::string(HEED_SHARED_PREFIX) + " --seconds 0 " + arguments + " 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {text, WEXITSTATUS(pclose(pipe))};
}

/// The last column of the table's last line.
double difference_in(const std::string& output)
{
    std::istringstream line(output.substr(output.rfind('\n', output.size() - 2) + 1));
    std::string word;
    double number = -1;
    while (line >> word) number = word == "x" ? -1 : std::stod(word);
    return number;
}

}  // namespace

TEST_CASE("a prefix of a multiple of 512 tokens, attended once, gives the bits of each sequence alone")
{
    for (const std::string more : {"--batch 1 --prefix 512", "--batch 5 --prefix 1024 --suffix 600",
                                   "--batch 9 --prefix 512 --heads 2 --kv-heads 2 --threads 2"}) {
        const auto [text, code] = shared_prefix("--heads 6 --kv-heads 2 --dim 40 --suffix 37 " + more);
        INFO(text);
        REQUIRE(code == 0);
        REQUIRE(difference_in(text) == 0);
    }
}

TEST_CASE("a prefix of other lengths gives the same but for roundings")
{
    const auto [text, code] = shared_prefix("--heads 6 --kv-heads 2 --dim 40 --batch 7 --prefix 720 --suffix 500");
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(difference_in(text) > 0);
    REQUIRE(difference_in(text) <= 16);
}

TEST_CASE("the table has a line for each batch size, and nobody names one")
{
    const auto [text, code] = shared_prefix("--heads 2 --kv-heads 1 --dim 16 --prefix 16 --suffix 1");
    INFO(text);
    REQUIRE(code == 0);
    for (const char* batch : {"\n        1 ", "\n        8 ", "\n       32 "}) REQUIRE_THAT(text, Contains(batch));
}

TEST_CASE("the shared prefix's options are checked")
{
    const auto refused = [](const std::string& arguments, const std::string& says) {
        const auto [text, code] = shared_prefix(arguments);
        INFO(text);
        REQUIRE(code == 2);
        REQUIRE_THAT(text, Contains(says) && Contains("usage: shared_prefix"));
    };
    refused("--prefix 100", "--prefix 100: sequences share whole pages, a multiple of 16 tokens");
    refused("--prefix 0", "--prefix 0: a whole number from 16");
    refused("--suffix 0", "--suffix 0: a whole number from 1");
    refused("--batch many", "--batch many: a whole number");
    refused("--heads 6 --kv-heads 4", "--heads 6: is not a multiple of --kv-heads 4");
    refused("--dim", "--dim: needs a value");
    refused("--seconds -1", "--seconds -1: a number from 0");
    refused("--what", "--what: unknown option");
}
