// SPDX-License-Identifier: MIT
#include "invented.hpp"

#include <catch2/catch.hpp>

#include <sstream>

namespace {

std::vector<std::string> lines_of(const std::string& text)
{
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

/// The cells of the n-th row (from 0) that begins with this label.
std::vector<std::string> cells(const std::string& table, const std::string& label, int nth = 0)
{
    for (const std::string& line : lines_of(table)) {
        if (line.rfind("  " + label + "  ", 0) != 0 || nth-- > 0) continue;
        std::vector<std::string> found;  // two blanks or more are between them
        for (std::size_t at = label.size() + 2; (at = line.find_first_not_of(' ', at)) != std::string::npos;) {
            const std::size_t end = std::min(line.find("  ", at), line.size());
            found.push_back(line.substr(at, end - at));
            at = end;
        }
        return found;
    }
    return {};
}

using row = std::vector<std::string>;

}  // namespace

TEST_CASE("the table says what was measured, a column a twin")
{
    twins::report r = invented::report(2);
    r.twins[0].layers[2].kurtosis = 33511.23;
    r.twins[1].layers[2].kurtosis = 341;
    r.twins[0].layers[1].largest = 1234567.891;
    r.twins[0].bits = {{32, 2.0}, {8, 2.001}, {2, 9.0}};
    r.twins[1].bits = {{8, 1.5}, {2, 1e9}};
    r.twins[1].validation_loss = 1.6;
    const std::string table = twins::table(r);
    INFO(table);
    REQUIRE_THAT(table,
                 Catch::Contains("next byte of bible.txt: 619,776 parameters, context 256, 24,576,000 training"));
    REQUIRE(cells(table, "training") == row{"1.3871", "1.3991"});
    REQUIRE(cells(table, "validation") == row{"1.4418", "1.6000"});
    REQUIRE(cells(table, "sinks at 0.2") == row{"58.3 %, 7 of 12", "0.0 %, 0 of 12"});
    REQUIRE(cells(table, "sinks at 0.3") == row{"41.7 %, 5 of 12", "0.0 %, 0 of 12"});
    REQUIRE(cells(table, "sinks at 0.2, by sum") == row{"58.3 %, 7 of 12", "16.7 %, 2 of 12"});
    REQUIRE(cells(table, "sinks at 0.3, by sum") == row{"41.7 %, 5 of 12", "8.3 %, 1 of 12"});
    REQUIRE(cells(table, "dead") == row{"0.0 %, 0 of 12", "8.3 %, 1 of 12"});
    REQUIRE(cells(table, "all layers") == row{"0.00 %", "94.30 %"});
    REQUIRE(cells(table, "layer 0") == row{"0.00 %", "91.20 %"});
    REQUIRE(cells(table, "layer 2", 1) == row{"33,511.2", "341.0"});
    REQUIRE(cells(table, "layer 1", 2) == row{"1,234,567.89", "6.40"});
    REQUIRE(cells(table, "as trained") == row{"2.0000", "-"});
    REQUIRE(cells(table, "8 bits") == row{"2.0010", "1.5000"});
    REQUIRE(cells(table, "2 bits") == row{"9.0000", "1.00e+09"});
    REQUIRE(cells(table, "8 bits", 1) == row{"+0.05 %", "-6.25 %"});
    REQUIRE(cells(table, "2 bits", 1) == row{"+350.00 %", "+6.25e+10 %"});
}

TEST_CASE("one to seven twins stand in aligned columns on 100 columns of text")
{
    for (std::size_t n = 1; n <= twins::most_twins; ++n) {
        twins::report r = invented::report(n);
        r.task = std::string(150, 'x') + " and more";
        const std::string table = twins::table(r);
        INFO(table);
        std::size_t width = 0, rows = 0;
        for (const std::string& line : lines_of(table)) {
            REQUIRE(line.size() <= 100);
            if (line.rfind("  ", 0) != 0 || line.rfind("    ", 0) == 0) continue;
            REQUIRE((width == 0 || line.size() == width));  // cells end at the right
            width = line.size();
            ++rows;
        }
        REQUIRE(rows == 2 + 5 + 1 + 3 * 3 + 5 + 4);
        REQUIRE(cells(table, "validation").size() == n);
        for (const std::string& line : lines_of(table))
            if (line.find("softmax") != std::string::npos && line[0] == ' ' && line.find("--") == std::string::npos)
                REQUIRE(line.size() <= width);
    }
}

TEST_CASE("what was not measured is nan, and a long command continues on the next line")
{
    twins::report r = invented::report(2);
    r.twins[1].dead_heads = std::numeric_limits<double>::quiet_NaN();
    r.twins[1].validation_loss = std::numeric_limits<double>::infinity();
    const std::string table = twins::table(r);
    INFO(table);
    REQUIRE(cells(table, "dead") == row{"0.0 %, 0 of 12", "nan %"});
    REQUIRE(cells(table, "validation") == row{"1.4418", "inf"});
    std::string command;
    for (const std::string& line : lines_of(table)) {
        if (line.rfind("$ ", 0) == 0) command = line.substr(2);
        else if (!command.empty() && command.back() == '\\')
            command = command.substr(0, command.size() - 1) + line.substr(4);
    }
    REQUIRE(command == r.command);
}

TEST_CASE("twins of one normalizer are told apart by their checkpoints")
{
    twins::report r = invented::report(3);
    r.twins[2].normalizer = "softmax";
    r.twins[2].checkpoint = "runs/seed8.bin";
    row names;
    for (const twins::twin& t : twins::twins_of(r)) names.push_back(t.name);
    REQUIRE(names == row{"softmax softmax", "softpick", "softmax seed8"});
    REQUIRE_THAT(twins::table(r), Catch::Contains("seed8"));
}

TEST_CASE("runs that differ in their seed alone are one column, with mean and range")
{
    twins::report r = invented::report(2);
    for (const int seed : {2, 3})
        for (std::size_t i = 0; i < 2; ++i) {
            r.twins.push_back(r.twins[i]);
            r.twins.back().seed = seed;
        }
    r.twins[0].validation_loss = 1.25, r.twins[2].validation_loss = 1.5, r.twins[4].validation_loss = 1.3;
    r.twins[3].dead_heads = 2.0 / 12;
    r.twins[3].bits.clear();
    r.twins[0].bits = {{32, 2.0}, {2, 2.5}}, r.twins[2].bits = {{32, 1.0}, {2, 1.75}},
    r.twins[4].bits = {{32, 1}, {2, 1.5}};
    const std::string table = twins::table(r);
    INFO(table);
    REQUIRE_THAT(table, Catch::Contains("\nmean (lowest to highest) of 3 seeds\n"));
    REQUIRE(cells(table, "validation") == row{"1.3500 (1.2500 to 1.5000)", "1.4538"});
    REQUIRE(cells(table, "dead") == row{"0.0 %, 0 of 12", "11.1 % (8.3 to 16.7), 1.3 of 12"});
    REQUIRE(cells(table, "2 bits", 1)[0] == "+50.00 % (+25.00 to +75.00)");
    REQUIRE(cells(table, "3 bits").size() == 2);
    REQUIRE(cells(table, "3 bits")[0] == "-");

    r.twins[4].settings = "others";  // a twin of its own
    REQUIRE(cells(twins::table(r), "validation").size() == 3);
    REQUIRE_THAT(twins::table(r), Catch::Contains("of 1 to 3 seeds"));
    r.twins[4].settings = "";
    r.twins[4].seed = 2;  // the same run twice
    REQUIRE(cells(twins::table(r), "validation").size() == 3);
    r.twins[2].curve.step.back() += 1;
    REQUIRE_THROWS_WITH(twins::table(r), Catch::Contains("have other steps in seed 2 than in seed 0"));
}

TEST_CASE("seven twins of several seeds fit the page")
{
    twins::report r = invented::report(7);
    for (std::size_t i = 0; i < 7; ++i) {
        r.twins.push_back(r.twins[i]);
        r.twins.back().seed = 2;
    }
    const std::string table = twins::table(r);
    INFO(table);
    for (const std::string& line : lines_of(table)) REQUIRE(line.size() <= 100);
}

TEST_CASE("of more than seven twins the others go on below, in parts of about one size")
{
    twins::report r = invented::report(7);
    for (const std::string name : {"mine", "yours"}) {
        r.twins.push_back(r.twins[0]);
        r.twins.back().normalizer = name;
        r.twins.back().validation_loss = 2;
    }
    const std::string table = twins::table(r);
    INFO(table);
    for (const std::string& line : lines_of(table)) REQUIRE(line.size() <= 100);
    REQUIRE(cells(table, "validation").size() == 4);
    REQUIRE(cells(table, "validation", 1).size() == 5);
    REQUIRE(cells(table, "validation", 1).back() == "2.0000");
    REQUIRE(cells(table, "validation", 2).empty());
    REQUIRE(table.find("parameters") == table.rfind("parameters"));  // one heading
    REQUIRE(table.find("sink: the mean") == table.rfind("sink: the mean"));
    REQUIRE(twins::parts_of(invented::report(7)).size() == 1);
}

TEST_CASE("the table names each formula once, and tokens where runs have others")
{
    twins::report r = invented::report(3);
    r.twins[0].formula = "e^s / sum e^s";
    r.twins[2].formula = "e^s / (1 + sum e^s)";
    r.twins.push_back(r.twins[0]);
    r.twins.back().seed = 2;
    const std::string plain = twins::table(r);
    INFO(plain);
    REQUIRE(plain.find("  softmax   e^s / sum e^s\n  softmax1  e^s / (1 + sum e^s)\n") != std::string::npos);
    REQUIRE(cells(plain, "tokens").empty());
    for (twins::twin_report& t : r.twins) t.training_tokens = 1000;
    r.twins[2].training_tokens = 2500;
    const std::string longer = twins::table(r);
    INFO(longer);
    REQUIRE(cells(longer, "tokens") == row{"1,000", "1,000", "2,500"});
    REQUIRE(longer.find("training tokens") == std::string::npos);
}

TEST_CASE("two twins may have a column of what the second has more, by pairs of one seed")
{
    twins::report r = invented::report(2);
    REQUIRE(cells(twins::table(r), "validation").size() == 2);
    const auto difference = [&](const std::string& label) {
        const std::string table = twins::table(r, twins::columns::twins_and_difference);
        INFO(table);
        for (const std::string& line : lines_of(table)) REQUIRE(line.size() <= 100);
        const row all = cells(table, label);
        REQUIRE(all.size() == 3);
        return all[2];
    };
    CHECK(difference("validation") == "+0.0120");
    CHECK(difference("sinks at 0.2") == "-58.3 %");
    CHECK(difference("all layers") == "+94.30 %");
    CHECK(difference("dead") == "+8.3 %");

    // Three seeds of the first, of which the second has two: pairs of those, not differences of means.
    r.twins[0].validation_loss = 1;
    r.twins[0].seed = r.twins[1].seed = 1;
    r.twins[1].validation_loss = 1.5;
    const auto add = [&](std::size_t like, std::int64_t seed, double loss) {
        r.twins.push_back(r.twins[like]);
        r.twins.back().seed = seed;
        r.twins.back().validation_loss = loss;
    };
    add(0, 2, 3), add(1, 2, 3.1), add(0, 3, 100);
    CHECK(difference("validation") == "+0.3000 (0.1000 to");
    r.twins[1].seed = 7;
    r.twins[3].seed = 8;  // no seed of both: of means
    CHECK(difference("validation") == "-32.3667");
    CHECK(cells(twins::table(invented::report(3), twins::columns::twins_and_difference), "dead").size() == 3);
}

TEST_CASE("a report that can not be read side by side is refused with a line")
{
    const auto refusal = [](const twins::report& r) {
        try {
            (void)twins::table(r);
        } catch (const std::invalid_argument& e) {
            REQUIRE(std::string(e.what()).find('\n') == std::string::npos);
            return std::string(e.what());
        }
        return std::string("no complaint");
    };
    REQUIRE(refusal({}) == "report: there are no twins in it");
    REQUIRE_THROWS_AS(twins::to_json({}), std::invalid_argument);

    twins::report r = invented::report(2);
    r.twins[1].layers.pop_back();
    REQUIRE(refusal(r) == "report: 2 layers of softpick, 3 of softmax");
    r = invented::report(2);
    r.twins[1].layers[1].first_token_weight.push_back(0);
    REQUIRE(refusal(r) == "report: 5 heads in a layer of softpick, 4 of softmax");
    r = invented::report(2);
    r.twins[0].curve.validation.pop_back();
    REQUIRE(refusal(r) == "report: the loss curve of softmax has 300 steps, 300 training and 299 validation losses");
    r = invented::report(2);
    r.twins[1].maps[0].weights.pop_back();
    REQUIRE(refusal(r) == "report: the map of layer 1, head 2 of softpick has 26 tokens and 675 weights");
    r = invented::report(2);
    r.labels.pop_back();
    REQUIRE(refusal(r) == "report: the map of layer 1, head 2 of softmax has 26 tokens, but there are 25 labels");
    r = invented::report(2);
    r.twins[0].layers[0].activations.high = r.twins[0].layers[0].activations.low;
    REQUIRE(refusal(r) == "report: a histogram of softmax ends where it begins");
    r = invented::report(2);
    r.twins[0].normalizer.clear();
    REQUIRE(refusal(r) == "report: a twin names no normalizer");
}
