// SPDX-License-Identifier: MIT
// Loss over steps: training pale, validation strong (of several seeds the mean, and thin lines for each), each twin
// named where its line ends; and what no loss can fall below.
#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace twins {
namespace {

using line = std::vector<plot::point>;  // step, loss

/// The finite losses; of more than 150 the means of as many neighbours as it takes.
line points_of(const std::vector<double>& step, const std::vector<double>& loss)
{
    line finite, means;
    for (std::size_t i = 0; i < loss.size(); ++i)
        if (std::isfinite(loss[i])) finite.push_back({step[i], loss[i]});
    const std::size_t width = (finite.size() + 149) / 150;
    for (std::size_t first = 0; first < finite.size(); first += width) {
        const std::size_t n = std::min(width, finite.size() - first);
        plot::point mean{0, 0};
        for (std::size_t i = first; i < first + n; ++i) {
            mean.x += finite[i].x / static_cast<double>(n);
            mean.y += finite[i].y / static_cast<double>(n);
        }
        means.push_back(mean);
    }
    return means;
}

/// The parts of a line at or below `top`.
std::vector<line> below(const line& whole, double top)
{
    std::vector<line> parts(1);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        const bool in = whole[i].y <= top;
        if (i > 0 && in != (whole[i - 1].y <= top)) {
            const plot::point a = whole[i - 1], b = whole[i];
            parts.back().push_back({a.x + (top - a.y) / (b.y - a.y) * (b.x - a.x), top});
        }
        if (in) parts.back().push_back(whole[i]);
        else if (!parts.back().empty()) parts.emplace_back();
    }
    return parts;
}

/// Of several seeds, which check() has found to have points at the same steps.
line mean_of(const std::vector<line>& seeds)
{
    line mean = seeds.front();
    for (std::size_t i = 0; i < mean.size(); ++i) {
        mean[i].y = 0;
        for (const line& l : seeds) mean[i].y += l[i].y / static_cast<double>(seeds.size());
    }
    return mean;
}

struct curves {
    line training, validation;  // means
    std::vector<line> seeds;    // validation, where there are several

    /// What the twin's name stands beside.
    const line& named() const { return validation.empty() ? training : validation; }
};

curves curves_of(const twin& t)
{
    std::vector<line> training, validation;
    for (const twin_report* run : t.runs) {
        training.push_back(points_of(run->curve.step, run->curve.training));
        validation.push_back(points_of(run->curve.step, run->curve.validation));
    }
    const auto mean = [](const std::vector<line>& seeds) {  // a loss that is no number leaves a seed without points
        const bool alike =
            std::all_of(seeds.begin(), seeds.end(), [&](const line& l) { return l.size() == seeds.front().size(); });
        return alike ? mean_of(seeds) : line{};
    };
    return {mean(training), mean(validation), t.runs.size() > 1 ? validation : std::vector<line>{}};
}

/// All losses but those of the first tenth, in which they fall from the height of chance: of what follows differences
/// are to be seen.
plot::axis loss_axis(const std::vector<curves>& all, double last_step, double bound)
{
    double low = std::isfinite(bound) ? bound : std::numeric_limits<double>::infinity(), high = -std::abs(low);
    const auto include = [&](const line& l) {
        for (const plot::point& p : l) {
            low = std::min(low, p.y);
            if (p.x >= last_step / 10) high = std::max(high, p.y);
        }
    };
    for (const curves& c : all) {
        include(c.training);
        include(c.validation);
        for (const line& l : c.seeds) include(l);
    }
    const double room = high > low ? 0.05 * (high - low) : 0.05 * std::abs(low) + 1e-3;
    return plot::linear_axis_between(low - room, std::max(high, low) + room, 8, "loss, nats a token");
}

void draw_line(plot::drawing& d, const plot::area& a, const line& whole, const plot::stroke& s)
{
    for (const line& part : below(whole, a.y.high)) {
        std::vector<plot::point> pixels;
        for (const plot::point& p : part) pixels.push_back(a.at(p.x, p.y));
        if (pixels.size() > 1) d.path(pixels, s);
    }
}

}  // namespace

std::string draw_loss(const report& r)
{
    const std::vector<twin> twins = twins_of(r);
    std::vector<curves> all;
    double last_step = 0;
    std::int64_t windows = r.windows;
    for (const twin& t : twins) {
        all.push_back(curves_of(t));
        for (const twin_report* run : t.runs) {
            if (all.back().named().empty()) continue;
            last_step = std::max(last_step, run->curve.step.back());
            if (run->curve_windows != r.windows) windows = run->curve_windows;
        }
    }
    if (!(last_step > 0)) return "";
    const plot::axis losses = loss_axis(all, last_step, r.bound);
    std::vector<std::string> ends;
    double longest = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        char loss[32] = "";
        if (!all[i].named().empty()) std::snprintf(loss, sizeof(loss), " %.3f", all[i].named().back().y);
        ends.push_back(twins[i].name + loss);
        longest = std::max(longest, plot::width_of(ends.back(), 13));
    }
    const double width = page_width - 64 - 8 - longest - margin;
    const plot::area a{64, 100, width, 284, plot::linear_axis_between(0, last_step, 6, "step"), losses};
    std::string how = "strong: validation";
    if (windows != r.windows)
        how += " on " + std::to_string(windows) + " windows (the table: " + std::to_string(r.windows) + ")";
    how += has_seeds(twins) ? ", mean of seeds; thin: each; pale: training"
                            : "; pale: training, on batches that all twins share";
    plot::drawing d = new_page(440, "Loss while training", r, how);
    plot::draw_y_axis(d, a);
    plot::draw_x_axis(d, a);
    if (std::isfinite(r.bound)) {
        char says[64];
        std::snprintf(says, sizeof(says), "%.4f: nothing can be lower", r.bound);
        plot::draw_ceiling(d, a, r.bound, says);
    }
    for (std::size_t i = 0; i < all.size(); ++i) draw_line(d, a, all[i].training, {pale_colour_of(i), 1.2});
    std::vector<end_label> labels;
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (const line& seed : all[i].seeds) draw_line(d, a, seed, {colour_of(i), thin_line});
        draw_line(d, a, all[i].validation, {colour_of(i), 2.2});
        if (const line& l = all[i].named(); !l.empty())
            labels.push_back({std::max(a.at(0, l.back().y).y, a.top), ends[i], colour_of(i)});
    }
    draw_end_labels(d, a.right() + 8, a.top, a.bottom() - 8, labels);
    return d.str();
}

}  // namespace twins
