// SPDX-License-Identifier: MIT
// Attention maps: a column a twin, a row a layer, so that a layer is compared at a glance. In a map, a row of cells is
// a query and a column a key; tokens stand beside the rows of the first map and over the columns, on the diagonal.
#include "colour_scale.hpp"
#include "page.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace twins {
namespace {

constexpr double least = 1e-3;  // weights below it look like it
constexpr double title_height = 30, gap = 14, letter = 12;
constexpr const char *colour_of_outline = "#b4b4b4", *colour_of_nan = "#19c8e6";

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

/// As much of a text as fits.
std::string clipped(std::string text, double width, double size)
{
    if (plot::width_of(text, size) <= width) return text;
    while (!text.empty() && plot::width_of(text + ".", size) > width) {
        while (text.size() > 1 && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
        text.pop_back();
    }
    return text + "\u2026";
}

/// A map and its place on the grid.
struct placed {
    const attention_picture* map;
    std::size_t column, row, twin;
    std::string title;
};

struct grid {
    std::vector<placed> maps;
    std::vector<std::string> columns, rows;  // their names
    std::size_t tokens = 0;
};

/// Of several twins a column each, a row a layer (more where it has several maps); of one alone the maps side by side.
grid grid_of(const std::vector<twin>& twins)
{
    grid g;
    std::vector<std::pair<int, std::size_t>> rows;  // layer, and which of its maps
    const auto each = [&](auto f) {
        for (std::size_t i = 0; i < twins.size(); ++i) {
            std::map<int, std::size_t> seen;
            for (const attention_picture& m : twins[i].runs[0]->maps) f(i, m, std::pair{m.layer, seen[m.layer]++});
        }
    };
    each([&](std::size_t, const attention_picture& m, const auto& row) {
        rows.push_back(row);
        g.tokens = std::max(g.tokens, static_cast<std::size_t>(m.tokens));
    });
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    const bool lonely = twins.size() == 1;
    each([&](std::size_t i, const attention_picture& m, const auto& row) {
        const auto at = static_cast<std::size_t>(std::find(rows.begin(), rows.end(), row) - rows.begin());
        const std::string head = "head " + std::to_string(m.head), layer = "layer " + std::to_string(m.layer);
        if (lonely) g.maps.push_back({&m, at % 3, at / 3, i, layer + ", " + head});
        else g.maps.push_back({&m, i, at, i, head});
    });
    if (lonely) {
        g.columns.assign(std::min<std::size_t>(rows.size(), 3), "");
        g.rows.assign((rows.size() + 2) / 3, "");
        if (!g.columns.empty()) g.columns[0] = twins[0].name;
    } else {
        for (const twin& t : twins) g.columns.push_back(t.name);
        for (const auto& row : rows) g.rows.push_back("layer " + std::to_string(row.first));
    }
    return g;
}

void draw_map(plot::drawing& d, plot::point corner, double cell, const attention_picture& map,
              const std::vector<std::string>& labels)
{
    const std::size_t n = static_cast<std::size_t>(map.tokens);
    const auto place = [&](std::size_t i, std::size_t j) {
        return plot::point{corner.x + static_cast<double>(j) * cell, corner.y + static_cast<double>(i) * cell};
    };
    std::vector<plot::point> outline{place(0, 0)};
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j)
            if (const float w = map.weights[i * n + j]; w > 0 || std::isnan(w))
                d.bar(place(i, j), cell, cell, cell_colour(w));
        outline.push_back(place(i, i + 1));
        outline.push_back(place(i + 1, i + 1));
    }
    outline.push_back(place(n, 0));
    outline.push_back(place(0, 0));
    d.path(outline, {colour_of_outline, 0.8});
    if (cell < letter) return;
    for (std::size_t j = 1; j < n; ++j)  // over the first there is the title
        d.text({place(j, j).x + cell / 2, place(j, j).y - 3}, shown(labels[j]), plot::anchor::middle);
}

/// The tokens of the queries, as many as are legible.
void draw_queries(plot::drawing& d, plot::point corner, double cell, std::size_t tokens,
                  const std::vector<std::string>& labels)
{
    const auto step = static_cast<std::size_t>(std::ceil(letter / cell));
    for (std::size_t i = 0; i < tokens; i += step)
        d.text({corner.x - 6, corner.y + (static_cast<double>(i) + 0.5) * cell + 4}, shown(labels[i]),
               plot::anchor::end);
}

void draw_legend(plot::drawing& d, double top, bool any_nan)
{
    d.text({margin, top + 10}, "weight");
    draw_scale(d, {margin + 76, top}, 240, {{0, "\u2264 0.001"}, {1.0 / 3, "0.01"}, {2.0 / 3, "0.1"}, {1, "1"}});
    const double x = margin + 350;
    d.path({{x, top}, {x + 12, top}, {x + 12, top + 12}, {x, top + 12}, {x, top}}, {colour_of_outline, 0.8});
    d.text({x + 17, top + 10}, "white: exactly 0");
    if (!any_nan) return;
    d.bar({margin + 490, top}, 12, 12, colour_of_nan);
    d.text({margin + 507, top + 10}, "not a number");
}

}  // namespace

std::string draw_attention(const report& r)
{
    const std::vector<twin> twins = twins_of(r);
    const grid g = grid_of(twins);
    if (g.maps.empty()) return "";
    double gutter = plot::width_of("layer 00", letter);
    std::string sample;
    for (std::size_t i = 0; i < g.tokens; ++i) {
        gutter = std::max(gutter, plot::width_of(shown(r.labels[i]), letter) + 6);
        sample += shown(r.labels[i]);
    }
    // Whole numbers of pixels: no seams between cells.
    const double columns = static_cast<double>(g.columns.size()), left = margin + std::ceil(gutter),
                 column = std::floor((page_width - margin - left + gap) / columns);
    const double cell =
        std::clamp(std::floor((column - gap) / static_cast<double>(std::max<std::size_t>(g.tokens, 1))), 2.0, 22.0);
    const double row = title_height + cell * static_cast<double>(g.tokens) + gap, top = 158;
    std::string how = "of each layer the head that gives the first token most; rows: queries, columns: keys";
    if (has_seeds(twins)) how += "; the first seed";
    plot::drawing d = new_page(top + static_cast<double>(g.rows.size()) * row, "Attention maps", r, how);
    d.text({margin, 81},
           clipped("the first " + std::to_string(g.tokens) + " of " + std::to_string(r.context) +
                       " tokens of the first window to validate on: " + sample,
                   page_width - 2 * margin, letter),
           plot::anchor::start, {letter, "#666666"});
    draw_legend(d, 98, std::any_of(g.maps.begin(), g.maps.end(), [](const placed& p) {
                    return std::any_of(p.map->weights.begin(), p.map->weights.end(),
                                       [](float w) { return std::isnan(w); });
                }));
    for (std::size_t i = 0; i < g.columns.size(); ++i)
        d.text({left + column * static_cast<double>(i), top - 6}, clipped(g.columns[i], column - 4, letter),
               plot::anchor::start, {letter, colour_of(i), true});
    for (std::size_t i = 0; i < g.rows.size(); ++i) {
        const double y = top + row * static_cast<double>(i);
        d.text({margin, y + 12}, g.rows[i], plot::anchor::start, {letter, "#111111", true});
        draw_queries(d, {left, y + title_height}, cell, g.tokens, r.labels);
    }
    for (const placed& p : g.maps) {
        const plot::point corner{left + column * static_cast<double>(p.column), top + row * static_cast<double>(p.row)};
        d.text({corner.x, corner.y + 12}, p.title, plot::anchor::start, {letter, colour_of(p.twin)});
        draw_map(d, {corner.x, corner.y + title_height}, cell, *p.map, r.labels);
    }
    return d.str();
}

}  // namespace twins
