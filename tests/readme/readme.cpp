// SPDX-License-Identifier: MIT
// What the README shows is what the example does.
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::string text_of(const std::string& path)
{
    std::ifstream file(path);
    REQUIRE(file.good());
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string output_of(const std::string& command)
{
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    REQUIRE(pipe);
    std::string text;
    for (int c; (c = std::fgetc(pipe.get())) != EOF;) text += static_cast<char>(c);
    return text;
}

/// The fenced blocks of a text, with their language: "cpp\n...".
std::vector<std::string> blocks_of(const std::string& text)
{
    std::vector<std::string> blocks;
    for (std::size_t at = 0; (at = text.find("```", at)) != std::string::npos;) {
        const std::size_t end = text.find("\n```", at + 3);
        blocks.push_back(text.substr(at + 3, end + 1 - (at + 3)));
        at = end + 4;
    }
    return blocks;
}

/// A line without its comment and the blanks around it.
std::string bare(std::string line)
{
    line = line.substr(0, line.find("   //"));
    const std::size_t first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t");
    return first == std::string::npos ? "" : line.substr(first, last + 1 - first);
}

}  // namespace

TEST_CASE("the README's first lines of code are those of the quick start, and print what it says")
{
    const std::string code = text_of(HEED_ROOT "/examples/guide/01_quickstart.cpp");
    const std::vector<std::string> blocks = blocks_of(text_of(HEED_ROOT "/README.md"));
    REQUIRE(blocks.size() >= 3);
    REQUIRE(blocks[0].rfind("cpp\n#include <heed/heed.hpp>", 0) == 0);
    std::stringstream lines(blocks[0].substr(4));
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK(code.find(bare(line)) != std::string::npos);
    }
    const std::string output = output_of(HEED_QUICKSTART);
    REQUIRE(blocks[1].size() > 60);
    CHECK(output.find(blocks[1].substr(1)) == 0);
}

TEST_CASE("the README's softpick is the library's")
{
    const std::vector<std::string> blocks = blocks_of(text_of(HEED_ROOT "/README.md"));
    const std::string header = text_of(HEED_ROOT "/include/heed/normalizer/softpick.hpp");
    const auto formula = [](const std::string& text) {
        const std::size_t at = text.find("terms(Score s) const");
        REQUIRE(at != std::string::npos);
        std::string only;  // without blanks, comments and heed::
        std::stringstream lines(text.substr(at));
        for (std::string line; std::getline(lines, line) && bare(line) != "}";) only += bare(line);
        for (const std::string drop : {" ", "heed::"})
            for (std::size_t i; (i = only.find(drop)) != std::string::npos;) only.erase(i, drop.size());
        return only;
    };
    CHECK(formula(blocks[2]) == formula(header));
}

#if defined(HEED_TWINS)
namespace {

/// What a picture says in words and numbers, in order; where its marks are depends on the machine's last digits.
std::vector<std::string> labels_of(const std::string& svg)
{
    std::vector<std::string> labels;
    for (std::size_t at = 0; (at = svg.find("<text", at)) != std::string::npos;) {
        const std::size_t first = svg.find('>', at) + 1;
        at = svg.find("</text>", first);
        labels.push_back(svg.substr(first, at - first));
    }
    return labels;
}

/// The numbers of a table's line behind its label, or none where it has another label.
std::vector<double> numbers_behind(const std::string& line, const std::string& label)
{
    std::vector<double> numbers;
    const std::size_t first = line.find_first_not_of(' ');
    if (first == std::string::npos || line.compare(first, label.size(), label) != 0) return numbers;
    std::stringstream rest(line.substr(first + label.size()));
    for (std::string word; rest >> word;) {
        char* end;
        const double number = std::strtod(word.c_str(), &end);
        if (end != word.c_str()) numbers.push_back(number);
        else if (word != "%" && word != "%," && word != "of") return {};  // the label goes on
    }
    return numbers;
}

/// How many lines of a table, two columns of numbers each, are lines of what was printed.
int lines_that_agree(const std::string& table, const std::string& printed_text)
{
    const char* const labels[] = {"training   ", "validation   ", "sinks at 0.2", "dead",  "all layers",
                                  "layer 2   ",  "4 bits",        "3 bits",       "2 bits"};
    int compared = 0;
    for (const char* label : labels) {
        CAPTURE(label);
        std::vector<std::vector<double>> shown, printed;
        const auto collect = [&](const std::string& text, std::vector<std::vector<double>>& to) {
            std::stringstream lines(text);
            for (std::string line; std::getline(lines, line);)
                if (const auto n = numbers_behind(line, label); n.size() >= 2) to.push_back(n);
        };
        collect(table, shown);
        collect(printed_text, printed);
        for (const auto& line : shown) {
            bool found = false;
            for (const auto& other : printed) {
                bool same = line.size() == other.size();
                for (std::size_t i = 0; same && i < line.size(); ++i)
                    same = std::abs(line[i] - other[i]) <= 0.02 * std::abs(line[i]) + 0.02;
                found = found || same;
            }
            CAPTURE(line[0], line[1]);
            CHECK(found);
            ++compared;
        }
    }
    return compared;
}

}  // namespace

TEST_CASE("tables and picture of the twins are what their box prints and draws")
{
    // Another machine's products round otherwise, so numbers agree but for their last digits.
    const std::string output = output_of(HEED_TWINS " box --out " HEED_SCRATCH "/box");
    const auto table_of = [](const std::string& page) {
        for (const std::string& block : blocks_of(text_of(page)))
            if (block.find("validation      ") != std::string::npos) return block;
        return std::string();
    };
    CHECK(lines_that_agree(table_of(HEED_ROOT "/README.md"), output) == 4);
    CHECK(lines_that_agree(table_of(HEED_ROOT "/examples/twins/README.md"), output) == 13);

    const std::vector<std::string> shipped = labels_of(text_of(HEED_ROOT "/examples/twins/box/attention.svg"));
    CHECK(shipped.size() > 20);
    CHECK(shipped == labels_of(text_of(HEED_SCRATCH "/box/attention.svg")));
}
#endif
