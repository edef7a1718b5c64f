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
#include <set>
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
    for (const std::size_t n : {1u, 2u, 3u, 4u, 7u, 12u, 17u}) {  // above 10: of two seeds each
        twins::report r = n < 10 ? invented::report(n) : invented::report_of_seeds(n - 10);
        r.bound = 1.3;
        const auto all = drawn(r);
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

TEST_CASE("every twin is named once")
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
            REQUIRE(times(all["attention.svg"], t.normalizer) == 1);
        }
        REQUIRE(times(all["attention.svg"], "layer 1") == 1);
        REQUIRE(times(all["attention.svg"], "head 2") == static_cast<std::ptrdiff_t>(n));
        REQUIRE(times(all["activations.svg"], "layer 2") == 1);
    }
}

TEST_CASE("maps stand in a column a twin and a line a layer, whatever layers a twin has")
{
    for (const std::size_t n : {2u, 4u, 7u}) {
        twins::report r = invented::report(n);
        r.twins[1].maps.erase(r.twins[1].maps.begin());  // layer 2 alone
        const picture p = drawn(r)["attention.svg"];
        std::map<std::string, std::set<double>> x, y;
        std::map<double, std::string> name_at;
        for (const xml::element& e : p) {
            if (e.name != "text") continue;
            x[e.text].insert(std::stod(e.attributes.at("x")));
            y[e.text].insert(std::stod(e.attributes.at("y")));
            for (const twins::twin_report& t : r.twins)
                if (e.text == t.normalizer) name_at[std::stod(e.attributes.at("x"))] = e.text;
        }
        REQUIRE(name_at.size() == n);
        REQUIRE(name_at.begin()->second == r.twins[0].normalizer);
        REQUIRE(x["head 2"].size() == n - 1);  // of layer 1
        REQUIRE(x["head 0"].size() == n);
        REQUIRE(y["head 2"] == y["layer 1"]);
        REQUIRE(y["head 0"] == y["layer 2"]);
        for (const double at : x["head 0"]) REQUIRE(name_at.count(at) == 1);
        REQUIRE(times_begun(p, "the first 26 of 256 tokens of the first window to validate on: <BOS>In\u00b7the") == 1);
    }
}

TEST_CASE("a map names its tokens beside its rows and over its columns, and leaves exact zeros white")
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
    REQUIRE(times(p, r.labels[0]) == 1);  // beside the first row, once for both maps
    for (std::size_t i = 1; i < r.labels.size(); ++i)
        if (i < 3 || i > 6) REQUIRE(times(p, r.labels[i]) == 1 + 2);  // and over a column of each
    for (const char* shown : {"\u00b7the", "\u21b5", "\uFFFD", "intermi\u2026"}) REQUIRE(times(p, shown) == 3);

    REQUIRE(zeros > 200);
    const std::ptrdiff_t scale = 48, page = 1;
    const std::ptrdiff_t all =
        std::count_if(p.begin(), p.end(), [](const xml::element& e) { return e.name == "rect"; });
    REQUIRE(all == page + scale + places - zeros);
    REQUIRE(times(p, "not a number") == 0);
    r.twins[0].maps[0].weights[0] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(times(drawn(r)["attention.svg"], "not a number") == 1);
}

TEST_CASE("several seeds are thin lines beside a strong mean, and panels where heads are shown")
{
    const auto lines = [](const picture& p, const std::string& width) {
        return std::count_if(p.begin(), p.end(), [&](const xml::element& e) {
            return e.name == "polyline" && e.attributes.at("stroke-width") == width;
        });
    };
    auto one = drawn(invented::report(2)), two = drawn(invented::report_of_seeds(2));
    REQUIRE(lines(one["loss.svg"], "0.9") == 0);
    REQUIRE(lines(two["loss.svg"], "0.9") == 2 * 2);
    REQUIRE(lines(two["loss.svg"], "2.2") == lines(one["loss.svg"], "2.2"));
    REQUIRE(times(one["loss.svg"], "softmax 1.442") == 1);
    REQUIRE(times(two["loss.svg"], "softmax 1.467") == 1);
    REQUIRE(lines(one["bits.svg"], "0.9") == 0);
    REQUIRE(lines(two["bits.svg"], "0.9") == 2 * 2 * 2);
    REQUIRE(lines(two["bits.svg"], "2.0") == lines(one["bits.svg"], "2.0"));
    REQUIRE(lines(two["activations.svg"], "1.6") == lines(one["activations.svg"], "1.6"));
    for (const std::string name : {"softmax, seed 0", "softpick, seed 0", "softmax, seed 2", "softpick, seed 2"})
        REQUIRE(times(two["first_token.svg"], name) == 1);
    REQUIRE(times_begun(one["attention.svg"], "of each layer") == 1);
    REQUIRE(times(one["attention.svg"], "softpick") == times(two["attention.svg"], "softpick"));
    REQUIRE(times(two["attention.svg"], "head 2") == 2);
}

TEST_CASE("the bound is a line under the losses, and other windows than the table's are said")
{
    twins::report r = invented::report(2);
    REQUIRE(times_begun(drawn(r)["loss.svg"], "1.3000: nothing") == 0);
    r.bound = 1.3;
    picture p = drawn(r)["loss.svg"];
    REQUIRE(times(p, "1.3000: nothing can be lower") == 1);
    const auto dashed = std::find_if(p.begin(), p.end(), [](const xml::element& e) {
        return e.name == "line" && e.attributes.count("stroke-dasharray") == 1;
    });
    REQUIRE(dashed != p.end());
    const double bound = std::stod(dashed->attributes.at("y1"));
    REQUIRE(bound < 100 + 284);
    for (const xml::element& e : p)
        if (e.name == "polyline") {
            std::istringstream points(e.attributes.at("points"));
            double x, y;
            for (char comma; points >> x >> comma >> y;) REQUIRE(y < bound);
        }
    REQUIRE(times_begun(p, "strong: validation; pale") == 1);
    r.twins[1].curve_windows = 16;
    REQUIRE(times_begun(drawn(r)["loss.svg"], "strong: validation on 16 windows (the table: 64); pale") == 1);
}

TEST_CASE("the cells of the first token say their numbers")
{
    twins::report r = invented::report(2);
    for (twins::twin_report& t : r.twins)
        for (twins::layer_report& layer : t.layers) layer.first_token_weight.assign(4, 0.111);
    r.twins[0].layers[1].first_token_weight[2] = 0.876;
    r.twins[0].layers[1].first_token_weight[1] = 0.25;
    r.twins[1].layers[1].first_token_weight[2] = 0;
    const picture p = drawn(r)["first_token.svg"];
    REQUIRE(times(p, "0.11") == 2 * 3 * 4 - 3);
    REQUIRE(times(p, "0.88") == 1);
    for (const xml::element& e : p)
        if (e.text == "0.88" || e.text == "0.25" || e.text == "0.11")
            REQUIRE(e.attributes.count("font-weight") == (e.text == "0.88"));
    REQUIRE(bars(p, twins::scale_colour(0.876)) == 1);
    REQUIRE(std::count_if(p.begin(), p.end(), [](const xml::element& e) { return e.name == "polyline"; }) == 2);
    for (const char* threshold : {"0.2", "0.3"}) REQUIRE(times(p, threshold) == 1);
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

TEST_CASE("of more than seven twins the others are in further pictures")
{
    twins::report r = invented::report(7);
    for (const std::string name : {"mine", "yours"}) {
        r.twins.push_back(r.twins[0]);
        r.twins.back().normalizer = name;
    }
    auto all = drawn(r);
    REQUIRE(all.size() == 10);
    REQUIRE(times_begun(all["loss.svg"], "softpick") > 0);
    REQUIRE(times_begun(all["loss.svg"], "mine") == 0);
    REQUIRE(times_begun(all["loss-2.svg"], "mine") > 0);
    REQUIRE(times_begun(all["loss-2.svg"], "softpick") == 0);
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
