// SPDX-License-Identifier: MIT
// Bars in groups: every problem on one thread that a peer runs too, in GFLOP/s or, for decode, GB/s of K and V.
#include "pictures.hpp"

#include <algorithm>

namespace plot {
namespace {

constexpr std::size_t groups_a_panel = 10, groups_a_half = 4;
constexpr double panel_height = 230, plot_height = 150, left_margin = 64, right_margin = 16;

struct panel {
    std::string title, unit, ceiling;
    double limit, most;
    family rows;

    /// Two of them share the width of the page.
    bool is_half() const { return rows.size() <= groups_a_half; }
};

/// What a row of results belongs to.
enum class subject { nothing, prefill, bf16_products, contract, decode };

subject subject_of(const row& r)
{
    const entry& heed = r.heed();
    if (heed.threads != 1 || r.entries.size() < 2 || heed.phase == "backward") return subject::nothing;
    if (r.entries[1].impl == "fused") return subject::contract;
    if (heed.phase == "decode") return subject::decode;
    return heed.bf16_products ? subject::bf16_products : subject::prefill;
}

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

void add_panels(const results& r, subject wanted, std::vector<panel>& panels)
{
    const family by_length = rows_by_cache_length(r);
    family rows;
    double most = 0;
    for (const row& candidate : r.rows) {
        if (subject_of(candidate) != wanted) continue;
        if (std::find(by_length.begin(), by_length.end(), &candidate) != by_length.end()) continue;
        rows.push_back(&candidate);
        for (const entry& e : candidate.entries) most = std::max(most, e.speed());
    }
    if (rows.empty()) return;
    const bool decode = wanted == subject::decode, bf16 = wanted == subject::bf16_products;
    const ceilings& roof = r.limits.at(1);
    const double limit = decode ? roof.gbps : bf16 ? roof.bf16_gflops : roof.gflops;
    const std::string title = decode                        ? "Decode"
                              : bf16                        ? "Products of bf16"
                              : wanted == subject::contract ? "The contract: softmax by hand"
                                                            : "Prefill";
    const std::string ceiling = decode ? "read bandwidth " : bf16 ? "bf16 dot products " : "f32 FMA peak ";
    for (const family& part : cut(rows))
        panels.push_back({title, decode ? "GB/s of K and V" : "GFLOP/s", ceiling + number(limit), limit,
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

void draw_panel(drawing& d, const panel& p, point corner, double right)
{
    const area a{corner.x,    corner.y + 26,         right - corner.x,
                 plot_height, {0, 1, false, "", {}}, linear_axis(p.most, p.unit)};
    d.text({a.left, corner.y + 12}, p.title, anchor::start, {13, "#111111", true});
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
    for (const subject s : {subject::prefill, subject::bf16_products, subject::contract, subject::decode})
        add_panels(r, s, panels);
    if (panels.empty()) return draw_nothing(title, "No problem in these results was run by a peer on one thread.", r);
    family all;
    std::vector<point> corners;
    std::vector<double> rights;
    double top = 92;
    for (std::size_t i = 0; i < panels.size(); ++i, top += panel_height) {
        all.insert(all.end(), panels[i].rows.begin(), panels[i].rows.end());
        const bool pair = i + 1 < panels.size() && panels[i].is_half() && panels[i + 1].is_half();
        constexpr double middle = (page_width + left_margin) / 2;
        corners.push_back({left_margin, top});
        rights.push_back(pair ? middle - left_margin : page_width - right_margin);
        if (!pair) continue;
        ++i;
        all.insert(all.end(), panels[i].rows.begin(), panels[i].rows.end());
        corners.push_back({middle, top});
        rights.push_back(page_width - right_margin);
    }
    drawing d(page_width, top + 6);
    draw_heading(d, title, r);
    draw_legend(d, {left_margin, 74}, contestants_of(all), r);
    for (std::size_t i = 0; i < panels.size(); ++i) draw_panel(d, panels[i], corners[i], rights[i]);
    draw_caption(d, top - 4);
    return d.str();
}

}  // namespace plot
