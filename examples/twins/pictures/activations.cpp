// SPDX-License-Identifier: MIT
// How large the activations are: their shares by magnitude, both axes logarithmic, so that a few huge ones are seen.
#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace twins {
namespace {

constexpr double panel_height = 214, plot_height = 136;

double total(const histogram& h)
{
    double sum = 0;
    for (const double n : h.count) sum += n;
    return sum;
}

double width_of_part(const histogram& h) { return (h.high - h.low) / static_cast<double>(h.count.size()); }

/// What of log10 |x| the picture shows: all that is counted but the smallest 1 %; and the smallest share of a part.
struct extent {
    double low = std::numeric_limits<double>::infinity(), high = -low, least = 1;

    bool empty() const { return !(low < high); }
    void include(const histogram& h, double largest)
    {
        const double all = total(h);
        double below = 0;
        for (std::size_t i = 0; i < h.count.size(); ++i) {
            const double from = h.low + static_cast<double>(i) * width_of_part(h);
            below += h.count[i];
            if (!(h.count[i] > 0) || below < 0.01 * all) continue;
            low = std::min(low, from);
            high = std::max(high, from + width_of_part(h));
            least = std::min(least, h.count[i] / all);
        }
        if (all > 0 && largest > 0 && std::isfinite(largest)) high = std::max(high, std::log10(largest));
    }
};

/// Stairs, which stand on the axis where nothing was counted.
std::vector<plot::point> stairs(const plot::area& a, const histogram& h)
{
    const double all = total(h), width = width_of_part(h);
    std::vector<plot::point> points;
    for (std::size_t i = 0; i < h.count.size(); ++i) {
        const double from = h.low + static_cast<double>(i) * width, share = std::max(h.count[i] / all, a.y.low);
        if (from + width < a.x.low + 1e-9 || from > a.x.high - 1e-9) continue;
        const double left = std::max(from, a.x.low), right = std::min(from + width, a.x.high);
        if (points.empty()) points.push_back(a.at(left, a.y.low));
        points.push_back(a.at(left, share));
        points.push_back(a.at(right, share));
    }
    points.push_back({points.back().x, a.bottom()});
    return points;
}

plot::axis magnitudes(const extent& e, const std::string& title)
{
    plot::axis x{e.low, e.high + 0.15, false, title, {}, [](double t) { return plot::power(std::pow(10, t)); }};
    for (double t = std::ceil(x.low) + 0.0; t <= x.high; ++t) x.ticks.push_back(t);
    return x;
}

plot::axis shares(double least)
{
    plot::axis y = plot::log_axis(10, least / 1.5, 1, "");
    y.written = plot::power;
    if (y.ticks.size() > 5)  // hundreds, not tens
        std::erase_if(y.ticks, [](double t) { return std::lround(std::log10(t)) % 2 != 0; });
    return y;
}

}  // namespace

std::string draw_activations(const report& r)
{
    extent e;
    for (const twin_report& t : r.twins)
        for (const layer_report& layer : t.layers) e.include(layer.activations, layer.largest);
    if (e.empty()) return "";
    const std::size_t layers = r.twins.front().layers.size(), abreast = std::min<std::size_t>(layers, 3),
                      lines = (layers + abreast - 1) / abreast;
    const double panel = (page_width - margin - 8) / static_cast<double>(abreast), top = 104;
    plot::drawing d = new_page(top + panel_height * static_cast<double>(lines), "Activations", r,
                               "residual stream after each layer: shares by magnitude, without the smallest 1 %; a "
                               "dot at the largest");
    draw_names(d, {64, 90}, r);
    for (std::size_t l = 0; l < layers; ++l) {
        const std::size_t column = l % abreast, line = l / abreast;
        const plot::area a{margin + 48 + panel * static_cast<double>(column),
                           top + 24 + panel_height * static_cast<double>(line),
                           panel - 58,
                           plot_height,
                           magnitudes(e, l + abreast >= layers ? "|x|" : ""),
                           shares(e.least)};
        d.text({a.left, a.top - 8}, "layer " + std::to_string(l), plot::anchor::start, {12, "#111111", true});
        plot::draw_y_axis(d, a);
        plot::draw_x_axis(d, a);
        for (std::size_t i = r.twins.size(); i-- > 0;) {
            const layer_report& layer = r.twins[i].layers[l];
            if (total(layer.activations) > 0) d.path(stairs(a, layer.activations), {colour_of(i), 1.6});
            if (layer.largest > 0 && std::isfinite(layer.largest))
                d.dot(a.at(std::log10(layer.largest), a.y.low), 3.5, colour_of(i));
        }
    }
    return d.str();
}

}  // namespace twins
