// SPDX-License-Identifier: MIT
// Bars in groups: every problem on one thread that a peer runs too, in GFLOP/s or, for decode, GB/s of K and V.
#include "pictures.hpp"

#include <algorithm>

namespace plot {
namespace {

constexpr std::size_t groups_a_panel = 10;
constexpr double panel_height = 230, plot_height = 150;

struct panel {
    std::string title, unit, ceiling;
    double limit, most;
    family rows;
};

/// Rows cut into panels, at the beginnings of sections where that is possible.
std::vector<family> cut(const family& rows)
{
    std::vector<family> parts;
    for (std::size_t first = 0, next = 0; first < rows.size(); first = next) {
        for (next = first; next < rows.size() && rows[next]->section == rows[first]->section;) ++next;
        const std::size_t size = next - first, pieces = (size + groups_a_panel - 1) / groups_a_panel;
        if (!parts.empty() && parts.back().size() + size <= groups_a_panel) {
            parts.back().insert(parts.back().end(), rows.begin() + static_cast<std::ptrdiff_t>(first),
                                rows.begin() + static_cast<std::ptrdiff_t>(next));
            continue;
        }
        for (std::size_t i = 0; i < pieces; ++i)
            parts.push_back({rows.begin() + static_cast<std::ptrdiff_t>(first + size * i / pieces),
                             rows.begin() + static_cast<std::ptrdiff_t>(first + size * (i + 1) / pieces)});
    }
    return parts;
}

void add_panels(const results& r, const std::string& phase, std::vector<panel>& panels)
{
    const family by_length = rows_by_cache_length(r);
    family rows;
    double most = 0;
    for (const row& candidate : r.rows) {
        const entry& heed = candidate.heed();
        if (heed.phase != phase || heed.threads != 1 || candidate.entries.size() < 2) continue;
        if (std::find(by_length.begin(), by_length.end(), &candidate) != by_length.end()) continue;
        rows.push_back(&candidate);
        for (const entry& e : candidate.entries) most = std::max(most, e.speed());
    }
    if (rows.empty()) return;
    const bool decode = phase == "decode";
    const double limit = decode ? r.limits.at(1).gbps : r.limits.at(1).gflops;
    for (const family& part : cut(rows))
        panels.push_back({decode ? "Decode" : "Prefill", decode ? "GB/s of K and V" : "GFLOP/s",
                          decode ? "read bandwidth " + number(limit) : "f32 FMA peak " + number(limit), limit,
                          std::max(most, limit), part});
}

void draw_group(drawing& d, const area& a, const row& r, double left, double width, std::size_t most_bars)
{
    const double bar = std::min(width * 0.86 / static_cast<double>(most_bars), 26.0);
    double x = left + (width - bar * static_cast<double>(r.entries.size())) / 2;
    for (const entry& e : r.entries) {
        const double y = a.at(0, e.speed()).y;
        d.bar({x, y}, bar - 1.5, a.bottom() - y, colour_of(e.impl));
        const bool ours = e.impl == "heed";
        d.text({x + bar / 2 - 0.7, y - 3}, short_number(e.speed()), anchor::middle,
               {10, ours ? colour_of("heed") : "#444444", ours});
        x += bar;
    }
    double y = a.bottom() + 15;
    for (std::size_t from = 0; from != std::string::npos;) {
        const std::size_t to = r.tick.find('|', from);
        d.text({left + width / 2, y}, r.tick.substr(from, to - from), anchor::middle, {11});
        from = to == std::string::npos ? to : to + 1;
        y += 14;
    }
}

void draw_panel(drawing& d, const panel& p, double top)
{
    const area a{64, top + 26, page_width - 64 - 16, plot_height, {0, 1, false, "", {}}, linear_axis(p.most, p.unit)};
    d.text({a.left, top + 12}, p.title + ", " + p.unit, anchor::start, {13, "#111111", true});
    draw_y_axis(d, a);
    draw_ceiling(d, a, p.limit, p.ceiling);
    std::size_t most_bars = 1;
    for (const row* r : p.rows) most_bars = std::max(most_bars, r->entries.size());
    const double width = std::min(a.width / static_cast<double>(p.rows.size()), 140.0);
    for (std::size_t i = 0; i < p.rows.size(); ++i)
        draw_group(d, a, *p.rows[i], a.left + width * static_cast<double>(i), width, most_bars);
    d.line({a.left, a.bottom()}, {a.right(), a.bottom()}, {"#777777"});
}

}  // namespace

std::string draw_peers(const results& r)
{
    const std::string title = "heed and its peers on one thread: taller is better";
    std::vector<panel> panels;
    add_panels(r, "prefill", panels);
    add_panels(r, "decode", panels);
    if (panels.empty()) return draw_nothing(title, "No problem in these results was run by a peer on one thread.", r);
    family all;
    for (const panel& p : panels) all.insert(all.end(), p.rows.begin(), p.rows.end());
    drawing d(page_width, 98 + panel_height * static_cast<double>(panels.size()));
    draw_heading(d, title, r);
    draw_legend(d, {64, 74}, contestants_of(all));
    double top = 92;
    for (const panel& p : panels) {
        draw_panel(d, p, top);
        top += panel_height;
    }
    draw_caption(d, top - 4);
    return d.str();
}

}  // namespace plot
