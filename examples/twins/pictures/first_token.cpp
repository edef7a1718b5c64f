// SPDX-License-Identifier: MIT
// The mean weight on the first token, a cell a layer and head; sinks by the threshold 0.2 have a frame, by 0.3 bold
// numbers too. A panel a run: the heads of two seeds have nothing in common but their numbers.
#include "colour_scale.hpp"
#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace twins {
namespace {

constexpr double row_height = 30, gap = 26, names_of_layers = 58, title_height = 46;

std::string written(double weight)
{
    if (weight == 0) return "0";
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f", weight);
    return text;
}

void draw_frame(plot::drawing& d, plot::point corner, double width, double height)
{
    const double left = corner.x + 1, top = corner.y + 1, right = corner.x + width - 1, bottom = corner.y + height - 1;
    d.path({{left, top}, {right, top}, {right, bottom}, {left, bottom}, {left, top}}, {"#111111", 2});
}

void draw_panel(plot::drawing& d, plot::point corner, double cell, const twin_report& t)
{
    for (std::size_t l = 0; l < t.layers.size(); ++l)
        for (std::size_t h = 0; h < t.layers[l].first_token_weight.size(); ++h) {
            const double weight = t.layers[l].first_token_weight[h];
            const plot::point at{corner.x + static_cast<double>(h) * cell,
                                 corner.y + static_cast<double>(l) * row_height};
            const bool coloured = weight > 0;
            d.bar(at, cell - 1, row_height - 1, coloured ? scale_colour(weight) : "#eeeeee");
            if (weight > 0.2) draw_frame(d, at, cell - 1, row_height - 1);
            d.text({at.x + cell / 2, at.y + 19}, written(weight), plot::anchor::middle,
                   {12, coloured ? letters_on(weight) : "#111111", weight > 0.3, false});
        }
    for (std::size_t h = 0; h < t.layers.front().first_token_weight.size(); ++h)
        d.text({corner.x + (static_cast<double>(h) + 0.5) * cell, corner.y - 7}, std::to_string(h),
               plot::anchor::middle);
}

}  // namespace

std::string draw_first_token(const report& r)
{
    const std::vector<layer_report>& layers = r.twins.front().layers;
    if (layers.empty() || layers.front().first_token_weight.empty()) return "";
    const double heads = static_cast<double>(layers.front().first_token_weight.size()), room = page_width - 2 * margin;
    // As many panels abreast as have cells wide enough for a number, all rows alike.
    const auto cell_of = [&](std::size_t abreast) {
        const double n = static_cast<double>(abreast);
        return std::floor(std::min((room - n * names_of_layers - (n - 1) * gap) / (n * heads), 64.0));
    };
    const std::vector<twin> twins = twins_of(r);
    const std::size_t panels = r.twins.size();
    // The twins of a seed side by side, where they all have as many seeds.
    std::size_t abreast = has_seeds(twins) && panels % twins.size() == 0 ? twins.size() : panels;
    abreast = std::min<std::size_t>(abreast, 4);
    while (abreast > 1 && cell_of(abreast) < 34) --abreast;
    const std::size_t lines = (panels + abreast - 1) / abreast;
    abreast = (panels + lines - 1) / lines;
    const double cell = std::max(cell_of(abreast), 18.0), panel = names_of_layers + heads * cell + gap;
    const double height = title_height + row_height * static_cast<double>(layers.size()) + 18, top = 122;
    plot::drawing d = new_page(top + static_cast<double>(lines) * height, "Weight on the first token", r,
                               "mean over all rows; framed: above 0.2, a sink; bold too: above 0.3");
    draw_scale(d, {margin + 76, 82}, 240, {{0, "0"}, {0.2, "0.2"}, {0.3, "0.3"}, {1, "1"}});
    d.text({margin, 92}, "weight");
    d.bar({margin + 350, 82}, 12, 12, "#eeeeee");
    d.text({margin + 367, 92}, "exactly 0");
    std::size_t most_seeds = 0, panel_at = 0;
    for (const twin& t : twins) most_seeds = std::max(most_seeds, t.runs.size());
    for (std::size_t seed = 0; seed < most_seeds; ++seed)
        for (std::size_t i = 0; i < twins.size(); ++i) {
            if (seed >= twins[i].runs.size()) continue;
            const plot::point corner{margin + names_of_layers + panel * static_cast<double>(panel_at % abreast),
                                     top + title_height + height * static_cast<double>(panel_at / abreast)};
            ++panel_at;
            d.text({corner.x, corner.y - 26}, name_of_run(twins[i], seed), plot::anchor::start,
                   {13, colour_of(i), true});
            d.text({corner.x - 8, corner.y - 7}, "head", plot::anchor::end);
            for (std::size_t l = 0; l < layers.size(); ++l)
                d.text({corner.x - 8, corner.y + static_cast<double>(l) * row_height + 19},
                       "layer " + std::to_string(l), plot::anchor::end);
            draw_panel(d, corner, cell, *twins[i].runs[seed]);
        }
    return d.str();
}

}  // namespace twins
