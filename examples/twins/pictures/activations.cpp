// SPDX-License-Identifier: MIT
// How large the activations are: their shares by magnitude, both axes logarithmic, so that a few huge ones are seen. Of
// several seeds thin lines for each, and a strong one for all of their numbers.
#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace twins {
namespace {

constexpr double panel_height = 214, plot_height = 136;
constexpr double dot_distance = 9;  // the dots of twins stand one above the other

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
    plot::axis y = plot::log_axis(10, least / 1.5, 1, "share");
    y.written = [](double t) { return t < 0.005 ? "1e" + std::to_string(std::lround(std::log10(t))) : plot::power(t); };
    if (y.ticks.size() > 5)  // hundreds, not tens
        std::erase_if(y.ticks, [](double t) { return std::lround(std::log10(t)) % 2 != 0; });
    return y;
}

/// The numbers of all seeds together; nothing where their parts differ.
histogram all_seeds(const twin& t, std::size_t layer)
{
    histogram all = t.runs[0]->layers[layer].activations;
    for (std::size_t run = 1; run < t.runs.size(); ++run) {
        const histogram& more = t.runs[run]->layers[layer].activations;
        if (more.count.size() != all.count.size() || more.low < all.low || more.low > all.low || more.high < all.high ||
            more.high > all.high)
            return {0, 1, {}};
        for (std::size_t i = 0; i < all.count.size(); ++i) all.count[i] += more.count[i];
    }
    return all;
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
    const std::vector<twin> twins = twins_of(r);
    std::string how = "share of the numbers in each " + plot::number(width_of_part(r.twins[0].layers[0].activations)) +
                      " of log10 |x|, after each layer; a dot at the largest";
    if (has_seeds(twins)) how += "; thin: each seed";
    plot::drawing d =
        new_page(top + panel_height * static_cast<double>(lines), "Activations: the residual stream", r, how);
    draw_names(d, {64, 90}, twins);
    for (std::size_t l = 0; l < layers; ++l) {
        const std::size_t column = l % abreast, line = l / abreast;
        const plot::area a{margin + 48 + panel * static_cast<double>(column),
                           top + 24 + panel_height * static_cast<double>(line),
                           panel - 58,
                           plot_height,
                           magnitudes(e, l + abreast >= layers ? "|x|, all but the smallest 1 %" : ""),
                           shares(e.least)};
        d.text({a.left, a.top - 8}, "layer " + std::to_string(l), plot::anchor::start, {12, "#111111", true});
        plot::draw_y_axis(d, a);
        plot::draw_x_axis(d, a);
        for (std::size_t i = twins.size(); i-- > 0;) {
            const std::vector<const twin_report*>& runs = twins[i].runs;
            if (const histogram all = all_seeds(twins[i], l); total(all) > 0)
                d.path(stairs(a, all), {colour_of(i), 1.6});
            for (const twin_report* run : runs) {
                const layer_report& layer = run->layers[l];
                if (runs.size() > 1 && total(layer.activations) > 0)
                    d.path(stairs(a, layer.activations), {colour_of(i), thin_line / 2});
                if (!(layer.largest > 0) || !std::isfinite(layer.largest)) continue;
                const plot::point foot = a.at(std::log10(layer.largest), a.y.low);
                const plot::point dot{foot.x, foot.y - dot_distance * static_cast<double>(i)};
                d.line(foot, dot, {colour_of(i), 1.2});
                d.dot(dot, 3.5, colour_of(i));
            }
        }
    }
    return d.str();
}

}  // namespace twins
