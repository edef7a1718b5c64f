// SPDX-License-Identifier: MIT
#include "pictures.hpp"
#include "labels.hpp"

#include <algorithm>
#include <map>
#include <regex>

namespace plot {
namespace {

struct contestant_style {
    const char *impl, *title, *way, *colour;
};
constexpr contestant_style styles[] = {{"heed", "heed", "", "#c8312b"},
                                       {"openblas", "OpenBLAS", ", blocked", "#2f6fb5"},
                                       {"onednn", "oneDNN", "", "#e39a2d"},
                                       {"eigen", "Eigen", ", textbook", "#8b96a1"},
                                       {"fused", "fused by hand", "", "#e08d88"}};

}  // namespace

std::string colour_of(const std::string& impl)
{
    for (const contestant_style& s : styles)
        if (impl == s.impl) return s.colour;
    return "#3f9b63";
}

std::string title_of(const std::string& impl, const results& r)
{
    const auto library = r.libraries.find(impl);
    std::string is = library == r.libraries.end() ? "" : " " + library->second.version;
    if (impl == "openblas" && !is.empty()) is += " " + library->second.kernel;
    for (const contestant_style& s : styles)
        if (impl == s.impl) return s.title + is + s.way;
    return impl;
}

void draw_heading(drawing& d, const std::string& title, const results& r)
{
    d.text({16, 27}, title, anchor::start, {17, "#111111", true});
    d.text({16, 46}, r.machine, anchor::start, {12, "#666666"});
}

void draw_caption(drawing& d, double bottom)
{
    d.text(
        {page_width - 16, bottom},
        "heed: median fraction of the ceiling beside each sample, times the run's median ceiling; peers: by the median "
        "ratio of samples in turn",
        anchor::end, {10, "#888888"});
}

void draw_legend(drawing& d, point at, const std::vector<std::string>& impls, const results& r)
{
    for (const std::string& impl : impls) {
        const std::string title = title_of(impl, r);
        d.bar({at.x, at.y - 10}, 11, 11, colour_of(impl));
        d.text({at.x + 16, at.y}, title);
        at.x += 16 + width_of(title, 12) + 18;
    }
}

std::string draw_nothing(const std::string& title, const std::string& why, const results& r)
{
    drawing d(page_width, 110);
    draw_heading(d, title, r);
    d.text({16, 84}, why, anchor::start, {13});
    return d.str();
}

std::vector<std::string> contestants_of(const family& rows)
{
    std::vector<std::string> impls;
    for (const row* r : rows)
        for (const entry& e : r->entries)
            if (std::find(impls.begin(), impls.end(), e.impl) == impls.end()) impls.push_back(e.impl);
    return impls;
}

family rows_by_cache_length(const results& r)
{
    static const std::regex keys("_skv[0-9]+_");
    std::map<std::string, std::map<double, const row*>> families;
    for (const row& candidate : r.rows)
        if (const entry& e = candidate.heed(); e.phase == "decode" && e.threads == 1)
            families[std::regex_replace(e.name, keys, "_")][e.keys] = &candidate;
    const std::map<double, const row*>* largest = nullptr;
    for (const auto& [name, members] : families)
        if (!largest || members.size() > largest->size()) largest = &members;
    family rows;
    if (largest && largest->size() > 1)
        for (const auto& [n, member] : *largest) rows.push_back(member);
    return rows;
}

void draw_lines(drawing& d, const area& a, const family& rows, double (*x)(const entry&),
                const std::vector<point>& roof)
{
    std::vector<std::string> impls = contestants_of(rows);
    std::reverse(impls.begin(), impls.end());  // heed on top
    labels beside(a);
    beside.avoid_path(roof);
    for (const std::string& impl : impls) {
        std::vector<point> points;
        for (const row* r : rows)
            for (const entry& e : r->entries)
                if (e.impl == impl) points.push_back(a.at(x(e), e.speed()));
        d.path(points, {colour_of(impl), 2});
        beside.avoid_path(points);
        for (const point& p : points) {
            d.dot(p, 3.5, colour_of(impl));
            beside.avoid(p);
        }
    }
    for (const row* r : rows)
        beside.place(d, a.at(x(r->heed()), r->heed().speed()), number(r->heed().speed()),
                     {11, colour_of("heed"), true});
}

}  // namespace plot
