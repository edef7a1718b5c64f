// SPDX-License-Identifier: MIT
// The draft tree from its command line: rows of a cascade are attention over their paths, accepted rows keep their
// bytes, and bad options say why.
#include <catch2/catch.hpp>

#include <cstdio>
#include <string>

using Catch::Matchers::Contains;

namespace {

/// Output and exit status.
std::pair<std::string, int> draft_tree(const std::string& arguments)
{
    const std::string command = std::string(HEED_DRAFT_TREE) + " " + arguments + " 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {text, WEXITSTATUS(pclose(pipe))};
}

}  // namespace

TEST_CASE("rows of a tree of drafts behind a shared prompt are attention over their paths")
{
    for (const std::string arguments :
         {"", "--batch 1 --prompt 1 --own 0 --nodes 1", "--batch 3 --prompt 700 --own 0 --nodes 40",
          "--batch 2 --prompt 512 --own 600 --nodes 5"}) {
        const auto [text, code] = draft_tree(arguments);
        INFO(text);
        REQUIRE(code == 0);
        REQUIRE_THAT(text, Contains("accepted rows with other bytes: 0"));
    }
}

TEST_CASE("options of the draft tree that make no sense are refused, with the usage")
{
    for (const auto& [arguments, says] : {std::pair<std::string, std::string>{"--nodes 0", "--nodes"},
                                          {"--own", "--own: needs a value"},
                                          {"--prompt x", "--prompt"},
                                          {"--depth 3", "--depth: unknown option"}}) {
        const auto [text, code] = draft_tree(arguments);
        INFO(text);
        REQUIRE(code == 2);
        REQUIRE_THAT(text, Contains(says) && Contains("usage: draft_tree"));
    }
}
