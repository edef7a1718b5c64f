// SPDX-License-Identifier: MIT
// twins with the file to copy: its normalizers are names like any other.
#include "../twins/run_twins.hpp"

#include "../../examples/twins/attention.hpp"

#include <sstream>

using test::folder;
using test::run;
using test::size;

namespace {

const std::vector<std::string> extra{"elu", "entmax133", "softmax-kerple"};

}  // namespace

TEST_CASE("the code in the README of twins is that of the file to copy")
{
    const auto text_of = [](const std::string& path) {
        const std::vector<char> bytes = llama2c::read_file(HEED_ROOT "/examples/twins/" + path);
        return std::string(bytes.begin(), bytes.end());
    };
    const std::string readme = text_of("README.md"), file = text_of("extra.cpp");
    const std::size_t begin = readme.find("```cpp\n") + 7, end = readme.find("```", begin);
    std::istringstream lines(readme.substr(begin, end - begin));
    int compared = 0;
    for (std::string line; std::getline(lines, line); ++compared) CHECK(file.find(line + "\n") != std::string::npos);
    CHECK(compared > 20);
}

TEST_CASE("normalizers of one's own are trained, resumed, measured and compared by their names")
{
    REQUIRE(twins::normalizers().size() > extra.size());
    const std::string help = run("train --help").first;
    for (const std::string& name : extra)
        CHECK(help.find("\n  " + name + " ") < help.find(twins::normalizer_named(name).formula + "\n"));

    const folder out("twins-extra"), whole("twins-extra-whole");
    const std::string arguments = "train softmax elu entmax133 softmax-kerple --rate 0.01 --steps 60" + size;
    const auto [table, code] = run(arguments + "--out " + whole.path);
    INFO(table);
    REQUIRE(code == 0);
    for (const std::string& name : extra) {
        CHECK(table.find(" " + name) != std::string::npos);
        CHECK(table.find(twins::normalizer_named(name).formula + "\n") != std::string::npos);
        const twins::trained_model m = twins::read_model(whole / (name + ".bin"));
        CHECK(m.beside.normalizer == name);
        CHECK(m.curve.validation.back() < m.curve.validation.front() - 0.5);
    }
    const std::vector<char> svg = llama2c::read_file(whole / "loss.svg");
    CHECK(std::string(svg.begin(), svg.end()).find("softmax-kerple") != std::string::npos);

    // What a head learns comes back from the files, and has moved.
    const twins::trained_model m = twins::read_model(whole / "softmax-kerple.bin");
    const twins::tensor_place& learned = m.at.of(twins::tensor::of_heads);
    REQUIRE(learned.size() == 4);
    for (twins::int64 i = learned.offset; i < learned.end(); ++i) CHECK(m.parameters[static_cast<std::size_t>(i)] != 1);

    REQUIRE(run("train elu --rate 0.01 --steps 40" + size + "--out " + out.path).second == 0);
    REQUIRE(run("train elu --rate 0.01 --steps 40 --extend 8" + size + "--out " + out.path).second == 0);
    const auto [pair, status] = run("compare " + (whole / "elu.bin") + " " + (whole / "entmax133.bin"));
    INFO(pair);
    REQUIRE(status == 0);
    CHECK(pair.find("difference") != std::string::npos);
}
