// SPDX-License-Identifier: MIT
// Attention maps: a row of cells a query, and the token itself where the row ends, on the diagonal, so that it names
// its row and its column.
#include "colour_scale.hpp"
#include "page.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <cmath>

namespace twins {
namespace {

constexpr double least = 1e-3;  // weights below it look like it
constexpr double title_height = 24, gap = 18;
constexpr const char *colour_of_zero = "#eeeeee", *colour_of_nan = "#19c8e6";

std::string cell_colour(float weight)
{
    if (std::isnan(weight)) return colour_of_nan;
    return scale_colour(std::log(static_cast<double>(weight) / least) / std::log(1 / least));
}

/// A token as it can be shown: blanks and control characters visible, eight characters at most.
std::string shown(const std::string& token)
{
    std::string text;
    for (const char c : plot::valid_utf8(token)) {
        if (c == ' ') text += "\u00b7";
        else if (c == '\n') text += "\u21b5";
        else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) text += "\u25a1";
        else text += c;
    }
    if (plot::characters_in(text) <= 8) return text;
    std::size_t end = 0;
    for (std::size_t n = 0; n < 7; ++n) do
            ++end;
        while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
    return text.substr(0, end) + "\u2026";
}

std::size_t tokens_of(const attention_picture& map) { return static_cast<std::size_t>(map.tokens); }

/// Pixels a cell, a whole number (no seams between cells), with which a map and the labels beside its diagonal fit.
double cell_within(double width, std::size_t tokens, const std::vector<std::string>& labels)
{
    double cell = 22;
    for (std::size_t i = 0; i < tokens; ++i)
        cell = std::min(cell, (width - 4 - plot::width_of(shown(labels[i]), 12)) / static_cast<double>(i + 1));
    return std::max(std::floor(cell), 2.0);
}

void draw_map(plot::drawing& d, plot::point corner, double cell, const attention_picture& map,
              const std::vector<std::string>& labels)
{
    const std::size_t n = tokens_of(map);
    const auto place = [&](std::size_t i, std::size_t j) {
        return plot::point{corner.x + static_cast<double>(j) * cell, corner.y + static_cast<double>(i) * cell};
    };
    for (std::size_t i = 0; i < n; ++i) {
        d.bar(place(i, 0), static_cast<double>(i + 1) * cell, cell, colour_of_zero);
        for (std::size_t j = 0; j <= i; ++j)
            if (const float w = map.weights[i * n + j]; w > 0 || std::isnan(w))
                d.bar(place(i, j), cell, cell, cell_colour(w));
    }
    plot::point last{0, 0};  // where the last label ends, and its line: the next one stands right of it or below
    for (std::size_t i = 0; i < n; ++i) {
        const plot::point at{place(i, i + 1).x + 4, place(i, i + 1).y + cell / 2 + 4};
        if (at.x < last.x && at.y < last.y + 12) continue;
        d.text(at, shown(labels[i]));
        last = {at.x + plot::width_of(shown(labels[i]), 12), at.y};
    }
}

void draw_legend(plot::drawing& d, double top, bool any_nan)
{
    d.text({margin, top + 10}, "weight");
    draw_scale(d, {margin + 76, top}, 240, {{0, "\u2264 0.001"}, {1.0 / 3, "0.01"}, {2.0 / 3, "0.1"}, {1, "1"}});
    d.bar({margin + 350, top}, 12, 12, colour_of_zero);
    d.text({margin + 367, top + 10}, "exactly 0");
    if (!any_nan) return;
    d.bar({margin + 450, top}, 12, 12, colour_of_nan);
    d.text({margin + 467, top + 10}, "not a number");
}

}  // namespace

std::string draw_attention(const report& r)
{
    std::size_t heads = 0, tokens = 0;
    bool any_nan = false;
    for (const twin_report& t : r.twins) {
        heads = std::max(heads, t.maps.size());
        for (const attention_picture& map : t.maps) {
            tokens = std::max(tokens, tokens_of(map));
            any_nan = any_nan || std::any_of(map.weights.begin(), map.weights.end(), [](float w) { return w != w; });
        }
    }
    if (heads == 0) return "";

    // The twins stand side by side, a line or more a head; the heads of a lonely twin do.
    const bool lonely = r.twins.size() == 1;
    const std::size_t abreast = lonely ? heads : r.twins.size();
    const std::size_t columns = abreast <= 3   ? abreast
                                : abreast == 4 ? 2
                                               : 3,
                      lines = (abreast + columns - 1) / columns;
    const double column = (page_width - 2 * margin + gap) / static_cast<double>(columns);
    const double cell = cell_within(column - gap, tokens, r.labels);
    const double row = title_height + cell * static_cast<double>(tokens) + gap, top = 124;
    const double rows = static_cast<double>(lonely ? lines : lines * heads);
    plot::drawing d = new_page(top + rows * row, "Attention maps", r,
                               "a row a query, a column a key; the token of both stands on the diagonal");
    draw_legend(d, 82, any_nan);
    const std::vector<std::string> names = names_of(r);
    for (std::size_t i = 0; i < r.twins.size(); ++i)
        for (std::size_t k = 0; k < r.twins[i].maps.size(); ++k) {
            const attention_picture& map = r.twins[i].maps[k];
            const std::size_t place = lonely ? k : i, line = (lonely ? 0 : k * lines) + place / columns;
            const plot::point corner{margin + column * static_cast<double>(place % columns),
                                     top + row * static_cast<double>(line)};
            const std::string head = "layer " + std::to_string(map.layer) + ", head " + std::to_string(map.head);
            d.text({corner.x, corner.y + 14}, names[i] + ": " + head, plot::anchor::start, {13, colour_of(i), true});
            draw_map(d, {corner.x, corner.y + title_height}, cell, map, r.labels);
        }
    return d.str();
}

}  // namespace twins
