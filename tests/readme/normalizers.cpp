// SPDX-License-Identifier: MIT
// The guide's page about normalizers shows code that stands in headers, and names what is there.
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

namespace {

std::string text_of(const std::filesystem::path& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// What is declared in heed's own policies.
std::string policies()
{
    std::string all;
    for (const char* folder : {"normalizer", "score"})
        for (const auto& file : std::filesystem::directory_iterator(HEED_ROOT "/include/heed/" + std::string(folder)))
            all += text_of(file.path());
    return all;
}

std::vector<std::smatch> matches(const std::string& text, const std::regex& pattern)
{
    return {std::sregex_iterator(text.begin(), text.end(), pattern), {}};
}

/// The lines of a struct or a function, from its name to the brace at the line's beginning; 0 where it is not there.
long lines_of(const std::string& name, const std::string& header)
{
    std::smatch found;
    if (!std::regex_search(header, found, std::regex("\n(struct " + name + "|inline auto " + name + "\\()"))) return 0;
    const auto from = static_cast<std::size_t>(found.position()) + 1;
    const std::string body = header.substr(from, header.find("\n}", from) + 1 - from);
    return 1 + std::count(body.begin(), body.end(), '\n');
}

const std::string page = text_of(HEED_ROOT "/examples/guide/normalizers.md"),
                  recipes = text_of(HEED_ROOT "/examples/guide/recipes.hpp");

}  // namespace

TEST_CASE("the page about normalizers shows recipes as they are")
{
    const std::regex block("```cpp\n([^`]*)```");
    const auto blocks = matches(page, block);
    REQUIRE(blocks.size() >= 2);
    for (const auto& code : blocks) {
        INFO(code.str(1));
        CHECK(recipes.find(code.str(1)) != std::string::npos);
    }
}

TEST_CASE("what the table of normalizers names is there, and its recipes are as short as it says")
{
    const std::string shipped = policies();
    // | normalizer | formula | kind | here | lines | from |
    const std::regex row("\n\\| [^|]* \\| [^|]* \\| (?:ratio|threshold|ordered|score map) \\| ([^|]*) \\| (\\d*) ?\\|");
    const auto rows = matches(page, row);
    REQUIRE(rows.size() >= 25);
    for (const auto& line : rows) {
        const std::string here = line.str(1);
        INFO(here);
        for (const auto& name : matches(here, std::regex("`(recipe::)?([a-z_0-9]+)"))) {
            INFO(name.str(2));
            if (!name.str(1).empty()) CHECK(std::to_string(lines_of(name.str(2), recipes)) == line.str(2));
            else
                CHECK(std::regex_search(shipped, std::regex("(struct|double) " + name.str(2) + "\\b")));
        }
    }
}
