// SPDX-License-Identifier: MIT
// The same problem on more threads, beside what as many threads can do at all: prefill on the left, decode on the
// right.
#include "pictures.hpp"

#include <algorithm>
#include <map>

namespace plot {
namespace {

/// The first problem of a phase that was run on the most thread counts.
family rows_by_threads(const results& r, const std::string& phase)
{
    std::map<std::string, std::map<int, const row*>> families;
    std::vector<std::string> order;
    for (const row& candidate : r.rows) {
        const entry& e = candidate.heed();
        if (e.phase != phase) continue;
        const std::string problem = e.name.substr(0, e.name.rfind("/t"));
        order.push_back(problem);
        // A problem may stand in the results twice: with its peers, and again as heed alone.
        const row*& place = families[problem][e.threads];
        if (!place || place->entries.size() < candidate.entries.size()) place = &candidate;
    }
    const std::map<int, const row*>* longest = nullptr;
    for (const std::string& problem : order)
        if (!longest || families[problem].size() > longest->size()) longest = &families[problem];
    family rows;
    if (longest && longest->size() > 1)
        for (const auto& [n, member] : *longest) rows.push_back(member);
    return rows;
}

void draw_panel(drawing& d, const results& r, const family& rows, double left, double width)
{
    const bool decode = rows.front()->heed().phase == "decode";
    const auto limit = [&](int n) { return decode ? r.limits.at(n).gbps : r.limits.at(n).gflops; };
    double most = 0;
    std::vector<double> counts;
    for (const row* one : rows) {
        counts.push_back(one->heed().threads);
        most = std::max(most, limit(one->heed().threads));
        for (const entry& e : one->entries) most = std::max(most, e.speed());
    }
    const std::string unit = decode ? "GB/s of K and V" : "GFLOP/s";
    area a{left,
           126,
           width,
           232,
           {counts.front() / 1.3, counts.back() * 1.3, true, "threads", counts},
           linear_axis(most, unit)};
    std::string what = rows.front()->title;
    what.erase(0, what.find_first_not_of(' '));
    d.text({a.left, 100}, (decode ? "Decode: " : "Prefill: ") + what, anchor::start, {12, "#111111", true});
    draw_y_axis(d, a);
    draw_x_axis(d, a);
    std::vector<point> roof;
    for (const double n : counts) roof.push_back(a.at(n, limit(static_cast<int>(n))));
    d.path(roof, {"#555555", 1.3, true});
    const std::string says = decode ? "read bandwidth of as many" : "f32 FMA peak of as many";
    const point key{a.right() - width_of(says, 11) - 8, a.top - 6};
    d.line({key.x - 26, key.y - 4}, {key.x - 4, key.y - 4}, {"#555555", 1.3, true});
    d.text({a.right(), key.y}, says, anchor::end, {11, "#555555"});
    draw_lines(
        d, a, rows, [](const entry& e) { return static_cast<double>(e.threads); }, roof);
}

}  // namespace

std::string draw_threads(const results& r)
{
    const std::string title = "More threads, the same problem";
    const family prefill = rows_by_threads(r, "prefill"), decode = rows_by_threads(r, "decode");
    if (prefill.empty() && decode.empty())
        return draw_nothing(title, "These results hold no problem on two numbers of threads.", r);
    family all = prefill;
    all.insert(all.end(), decode.begin(), decode.end());
    drawing d(page_width, 424);
    draw_heading(d, title, r);
    draw_legend(d, {64, 74}, contestants_of(all), r);
    if (!prefill.empty()) draw_panel(d, r, prefill, 64, 340);
    if (!decode.empty()) draw_panel(d, r, decode, 500, 336);
    draw_caption(d, 416);
    return d.str();
}

}  // namespace plot
