// SPDX-License-Identifier: MIT
#include "pictures.hpp"
#include "invented.hpp"
#include "pictures/colour_scale.hpp"
#include "svg.hpp"
#include "xml.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace {

namespace fs = std::filesystem;

/// A directory of the test's own, gone with it.
struct scratch {
    fs::path path = fs::temp_directory_path() / ("heed-twins-" + std::to_string(std::random_device{}()));
    ~scratch() { fs::remove_all(path); }
};

std::string contents(const fs::path& file)
{
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

using picture = std::vector<xml::element>;

/// By file name.
std::map<std::string, picture> drawn(const twins::report& r)
{
    const scratch directory;
    std::map<std::string, picture> all;
    for (const std::string& file : twins::write_pictures(r, directory.path.string()))
        all[fs::path(file).filename().string()] = xml::read(contents(file));
    return all;
}

std::ptrdiff_t times(const picture& p, const std::string& text)
{
    return std::count_if(p.begin(), p.end(), [&](const xml::element& e) { return e.name == "text" && e.text == text; });
}

std::ptrdiff_t times_begun(const picture& p, const std::string& text)
{
    return std::count_if(p.begin(), p.end(),
                         [&](const xml::element& e) { return e.name == "text" && e.text.rfind(text, 0) == 0; });
}

std::ptrdiff_t bars(const picture& p, const std::string& colour)
{
    return std::count_if(p.begin(), p.end(),
                         [&](const xml::element& e) { return e.name == "rect" && e.attributes.at("fill") == colour; });
}

std::string refusal(const twins::report& r, const fs::path& directory)
{
    try {
        twins::write_pictures(r, directory.string());
    } catch (const std::exception& e) {
        return e.what();
    }
    return "no complaint";
}

}  // namespace

TEST_CASE("the pictures are XML that fits 800 pixels, in letters of 12 pixels at least")
{
    for (const std::size_t n : {1u, 2u, 3u, 4u, 7u}) {
        const auto all = drawn(invented::report(n));
        REQUIRE(all.size() == 5);
        for (const auto& [name, p] : all) {
            INFO(name << " of " << n);
            REQUIRE(p.front().name == "svg");
            REQUIRE(std::stod(p.front().attributes.at("width")) <= 800);
            const double height = std::stod(p.front().attributes.at("height"));
            for (const xml::element& e : p) {
                if (e.name != "text") continue;
                INFO(e.text);
                const double size = std::stod(e.attributes.at("font-size")), x = std::stod(e.attributes.at("x")),
                             y = std::stod(e.attributes.at("y")), width = plot::width_of(e.text, size);
                REQUIRE(size >= 12);
                REQUIRE(y <= height);
                if (e.attributes.count("transform")) continue;
                const std::string anchor = e.attributes.at("text-anchor");
                const double left = anchor == "start" ? x : anchor == "end" ? x - width : x - width / 2;
                REQUIRE(left >= 0);
                REQUIRE(left + width <= 800);
            }
        }
    }
}

TEST_CASE("every twin is named once, and once a map")
{
    for (const std::size_t n : {2u, 3u, 7u}) {
        const twins::report r = invented::report(n);
        auto all = drawn(r);
        for (const twins::twin_report& t : r.twins) {
            INFO(t.normalizer << " of " << n);
            REQUIRE(times(all["first_token.svg"], t.normalizer) == 1);
            REQUIRE(times(all["activations.svg"], t.normalizer) == 1);
            REQUIRE(times(all["bits.svg"], t.normalizer) == 1);
            REQUIRE(times_begun(all["loss.svg"], t.normalizer + " ") == 1);
            REQUIRE(times(all["attention.svg"], t.normalizer + ": layer 1, head 2") == 1);
            REQUIRE(times(all["attention.svg"], t.normalizer + ": layer 2, head 0") == 1);
        }
        REQUIRE(times(all["activations.svg"], "layer 2") == 1);
    }
}

TEST_CASE("a map names every token once and leaves exact zeros without a colour")
{
    twins::report r = invented::report(2);
    r.twins[0].maps.resize(1);
    r.twins[1].maps.resize(1);
    for (std::size_t i = 0; i < r.labels.size(); ++i) r.labels[i] = "<" + std::to_string(i) + "&";
    r.labels[3] = " the";
    r.labels[4] = "\n";
    r.labels[5] = "\xFF";
    r.labels[6] = "interminable";
    std::ptrdiff_t zeros = 0, places = 0;
    for (const twins::twin_report& t : r.twins)
        for (int i = 0; i < invented::tokens; ++i)
            for (int j = 0; j <= i; ++j, ++places)
                zeros += t.maps[0].weights[static_cast<std::size_t>(i * invented::tokens + j)] == 0;
    const picture p = drawn(r)["attention.svg"];
    for (std::size_t i = 0; i < r.labels.size(); ++i)
        if (i < 3 || i > 6) REQUIRE(times(p, r.labels[i]) == 2);  // once a map
    for (const char* shown : {"\u00b7the", "\u21b5", "\uFFFD", "intermi\u2026"}) REQUIRE(times(p, shown) == 2);

    REQUIRE(zeros > 200);
    const std::ptrdiff_t rows = 2 * invented::tokens, legend = 1, scale = 48, page = 1;
    REQUIRE(bars(p, "#eeeeee") == rows + legend);
    const std::ptrdiff_t all =
        std::count_if(p.begin(), p.end(), [](const xml::element& e) { return e.name == "rect"; });
    REQUIRE(all == page + scale + legend + rows + places - zeros);
    REQUIRE(times(p, "not a number") == 0);
    r.twins[0].maps[0].weights[0] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(times(drawn(r)["attention.svg"], "not a number") == 1);
}

TEST_CASE("the cells of the first token say their numbers")
{
    twins::report r = invented::report(2);
    for (twins::twin_report& t : r.twins)
        for (twins::layer_report& layer : t.layers) layer.first_token_weight.assign(4, 0.111);
    r.twins[0].layers[1].first_token_weight[2] = 0.876;
    r.twins[1].layers[1].first_token_weight[2] = 0;
    const picture p = drawn(r)["first_token.svg"];
    REQUIRE(times(p, "0.11") == 2 * 3 * 4 - 2);
    REQUIRE(times(p, "0.88") == 1);
    for (const xml::element& e : p)
        if (e.text == "0.88" || e.text == "0.11") REQUIRE(e.attributes.count("font-weight") == (e.text == "0.88"));
    REQUIRE(bars(p, twins::scale_colour(0.876)) == 1);
}

TEST_CASE("losses that are not there leave no mark, and what explodes stays on the page")
{
    twins::report r = invented::report(2);
    r.twins[1].curve = {};
    r.twins[0].curve.training[100] = std::numeric_limits<double>::infinity();
    r.twins[0].bits = {{32, 1.4}, {8, 1.39}, {2, 5e7}};
    r.twins[1].bits = {{8, 1.5}, {2, std::numeric_limits<double>::quiet_NaN()}};
    auto all = drawn(r);
    for (const auto& [name, p] : all)
        for (const xml::element& e : p)
            for (const auto& [key, value] : e.attributes) {
                INFO(name << ": " << key << " " << value);
                REQUIRE(value.find("nan") == std::string::npos);
                REQUIRE(value.find("inf") == std::string::npos);
            }
    REQUIRE(times_begun(all["loss.svg"], "softpick") == 0);
}

TEST_CASE("the stairs of a coarse histogram end with their axes")
{
    twins::report r = invented::report(1);
    r.twins[0].layers.resize(1);
    r.twins[0].layers[0].activations = {-4, 4, {1, 1, 10, 500, 2000, 0, 0, 0}};
    r.twins[0].layers[0].largest = 9;
    const picture p = drawn(r)["activations.svg"];
    double axis_end = 0;
    for (const xml::element& e : p)
        if (e.name == "line") axis_end = std::max(axis_end, std::stod(e.attributes.at("x2")));
    for (const xml::element& e : p) {
        if (e.name != "polyline") continue;
        std::istringstream points(e.attributes.at("points"));
        double x, y;
        for (char comma; points >> x >> comma >> y;) REQUIRE(x <= axis_end);
    }
    REQUIRE(axis_end < 800);
}

TEST_CASE("a picture without data is not drawn")
{
    twins::report r = invented::report(2);
    for (twins::twin_report& t : r.twins) {
        t.maps.clear();
        t.bits.clear();
        t.curve = {};
    }
    const auto all = drawn(r);
    REQUIRE(all.size() == 2);
    REQUIRE(all.count("first_token.svg") == 1);
    REQUIRE(all.count("activations.svg") == 1);
}

TEST_CASE("a directory that can not be written to is refused with a line, and nothing is left there")
{
    const twins::report r = invented::report(2);
    const scratch s;
    fs::create_directories(s.path / "taken" / "loss.svg");
    std::ofstream(s.path / "file") << "a file";
    const std::string under_a_file = refusal(r, s.path / "file" / "pictures");
    REQUIRE_THAT(under_a_file, Catch::Contains("pictures: can not make the directory " + (s.path / "file").string()));
    REQUIRE(under_a_file.find('\n') == std::string::npos);
    REQUIRE_THAT(refusal(r, s.path / "file"), Catch::Contains("can not make the directory"));
    REQUIRE(refusal(r, s.path / "taken") == "pictures: can not write " + (s.path / "taken" / "loss.svg").string());
    REQUIRE(std::distance(fs::directory_iterator(s.path / "taken"), {}) == 1);
    REQUIRE(refusal({}, s.path / "new") == "report: there are no twins in it");
    REQUIRE_FALSE(fs::exists(s.path / "new"));
    REQUIRE(twins::write_pictures(r, (s.path / "new" / "deep").string()).size() == 5);
    REQUIRE(std::distance(fs::directory_iterator(s.path / "new" / "deep"), {}) == 5);
}

TEST_CASE("the colours of the scale darken step by step")
{
    const auto luminance = [](double share) {
        const std::string colour = twins::scale_colour(share);
        const double weights[] = {0.2126, 0.7152, 0.0722};
        double sum = 0;
        for (std::size_t i = 0; i < 3; ++i)
            sum += weights[i] * std::pow(std::stoi(colour.substr(1 + 2 * i, 2), nullptr, 16) / 255.0, 2.2);
        return sum;
    };
    for (int i = 0; i < 50; ++i) REQUIRE(luminance((i + 1) / 50.0) < luminance(i / 50.0));
    REQUIRE(luminance(0) > 0.7);
    REQUIRE(luminance(1) < 0.03);
    REQUIRE(twins::scale_colour(-1) == twins::scale_colour(0));
    REQUIRE(twins::scale_colour(2) == twins::scale_colour(1));
}
