// SPDX-License-Identifier: MIT
#include "invented.hpp"

#include "../../examples/program/input_error.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

using nlohmann::json;

TEST_CASE("the JSON of a report reads back as the same numbers")
{
    twins::report r = invented::report(7);
    r.twins[3].formula = "e^s / (e^z + sum e^s)";
    r.twins[4].training_tokens = 12345;
    const json j = json::parse(twins::to_json(r));
    REQUIRE(j["task"] == r.task);
    REQUIRE(j["command"] == r.command);
    REQUIRE(j["machine"] == r.machine);
    REQUIRE(j["parameters"] == r.parameters);
    REQUIRE(j["context"] == r.context);
    REQUIRE(j["training_tokens"] == r.training_tokens);
    REQUIRE(j["labels"] == r.labels);
    REQUIRE(j["windows"] == r.windows);
    REQUIRE(j["bound"].is_null());
    REQUIRE(j["twins"].size() == 7);
    for (std::size_t i = 0; i < 7; ++i) {
        const twins::twin_report& t = r.twins[i];
        const json& k = j["twins"][i];
        REQUIRE(k["normalizer"] == t.normalizer);
        REQUIRE(k["formula"] == t.formula);
        REQUIRE(k["training_tokens"] == t.training_tokens);
        REQUIRE(k["checkpoint"] == t.checkpoint);
        REQUIRE(k["settings"] == t.settings);
        REQUIRE(k["seed"] == t.seed);
        REQUIRE(k["curve_windows"] == t.curve_windows);
        REQUIRE(k["training_loss"] == t.training_loss);
        REQUIRE(k["validation_loss"] == t.validation_loss);
        REQUIRE(k["sink_rate_02"] == t.sink_rate_02);
        REQUIRE(k["sink_rate_03"] == t.sink_rate_03);
        REQUIRE(k["normalised_sink_rate_02"] == t.normalised_sink_rate_02);
        REQUIRE(k["normalised_sink_rate_03"] == t.normalised_sink_rate_03);
        REQUIRE(k["dead_heads"] == t.dead_heads);
        REQUIRE(k["layers"].size() == t.layers.size());
        for (std::size_t l = 0; l < t.layers.size(); ++l) {
            REQUIRE(k["layers"][l]["sparsity"] == t.layers[l].sparsity);
            REQUIRE(k["layers"][l]["kurtosis"] == t.layers[l].kurtosis);
            REQUIRE(k["layers"][l]["largest"] == t.layers[l].largest);
            REQUIRE(k["layers"][l]["first_token_weight"] == t.layers[l].first_token_weight);
            REQUIRE(k["layers"][l]["activations"]["low"] == t.layers[l].activations.low);
            REQUIRE(k["layers"][l]["activations"]["high"] == t.layers[l].activations.high);
            REQUIRE(k["layers"][l]["activations"]["count"] == t.layers[l].activations.count);
        }
        REQUIRE(k["bits"].size() == t.bits.size());
        for (std::size_t b = 0; b < t.bits.size(); ++b) {
            REQUIRE(k["bits"][b]["bits"] == t.bits[b].bits);
            REQUIRE(k["bits"][b]["loss"] == t.bits[b].loss);
        }
        REQUIRE(k["curve"]["step"] == t.curve.step);
        REQUIRE(k["curve"]["training"] == t.curve.training);
        REQUIRE(k["curve"]["validation"].size() == t.curve.validation.size());
        for (std::size_t s = 0; s < t.curve.validation.size(); ++s)
            if (std::isnan(t.curve.validation[s])) REQUIRE(k["curve"]["validation"][s].is_null());
            else REQUIRE(k["curve"]["validation"][s] == t.curve.validation[s]);
        REQUIRE(k["maps"].size() == t.maps.size());
        for (std::size_t m = 0; m < t.maps.size(); ++m) {
            REQUIRE(k["maps"][m]["layer"] == t.maps[m].layer);
            REQUIRE(k["maps"][m]["head"] == t.maps[m].head);
            REQUIRE(k["maps"][m]["tokens"] == t.maps[m].tokens);
            REQUIRE(k["maps"][m]["weights"].get<std::vector<float>>() == t.maps[m].weights);
        }
    }
}

TEST_CASE("JSON has no NaN, no infinity and no bytes that are no text")
{
    twins::report r = invented::report(1);
    r.task = std::string("quotes \" and \\ and\nlines\t\x01");
    r.labels[1] = std::string("\xC3");  // the first byte of an umlaut, as byte-level tokens are
    r.labels[2] = std::string("\xC3\xA4");
    r.twins[0].training_loss = std::numeric_limits<double>::quiet_NaN();
    r.twins[0].validation_loss = -std::numeric_limits<double>::infinity();
    r.twins[0].sink_rate_02 = 0.1 + 0.2;
    r.twins[0].sink_rate_03 = 5e-324;
    const json j = json::parse(twins::to_json(r));
    REQUIRE(j["task"] == r.task);
    REQUIRE(j["labels"][1] == "\xEF\xBF\xBD");
    REQUIRE(j["labels"][2] == r.labels[2]);
    REQUIRE(j["twins"][0]["training_loss"].is_null());
    REQUIRE(j["twins"][0]["validation_loss"].is_null());
    REQUIRE(j["twins"][0]["sink_rate_02"] == 0.1 + 0.2);
    REQUIRE(j["twins"][0]["sink_rate_03"] == 5e-324);
}

TEST_CASE("a report is read as it was written, and what is none is refused with a line")
{
    const std::string path = std::filesystem::temp_directory_path() / "heed-twins-report.json";
    const auto write = [&](const std::string& text) { std::ofstream(path, std::ios::binary) << text; };
    const auto refusal = [&] {
        try {
            twins::read_report(path);
        } catch (const llama2c::input_error& e) {
            CHECK(std::string(e.what()).find('\n') == std::string::npos);
            return std::string(e.what());
        }
        return std::string();
    };
    twins::report r = invented::report(7);
    r.twins[1].dead_heads = std::numeric_limits<double>::quiet_NaN();
    r.twins[2].formula = "a \"quoted\" formula";
    r.bound = 1.25;
    r.twins[0].dead_heads = -0.;
    const std::string whole = twins::to_json(r);
    write(whole);
    REQUIRE(twins::to_json(twins::read_report(path)) == whole);
    REQUIRE(twins::table(twins::read_report(path)) == twins::table(r));

    json j = json::parse(whole);
    const auto without = [&](const char* key) {
        json less = j;
        less["twins"][0].erase(key);
        return less.dump();
    };
    write(without("formula"));  // as reports were before they said it
    REQUIRE(refusal().empty());
    write(without("seed"));
    REQUIRE(refusal().find(path + ": is no report.json of twins: ") == 0);
    REQUIRE(refusal().find("seed") != std::string::npos);
    write(whole.substr(0, whole.size() / 2));
    REQUIRE(refusal().find(path + ": is no report.json of twins: ") == 0);
    write("[1, 2]");
    REQUIRE(refusal() == path + ": is no report.json of twins");
    j["twins"][1]["layers"].erase(1);
    write(j.dump());
    REQUIRE(refusal() == path + ": report: 2 layers of softpick, 3 of softmax");
    std::filesystem::remove(path);
    REQUIRE(refusal() == path + ": cannot be opened");
}
