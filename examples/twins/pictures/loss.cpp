// SPDX-License-Identifier: MIT
// Loss over steps: training pale, validation strong, each line named where it ends.
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

struct curves {
    line training, validation;

    /// What the twin's name stands beside.
    const line& named() const { return validation.empty() ? training : validation; }
};

/// All losses but those of the first twentieth, in which they fall from the height of chance.
plot::axis loss_axis(const std::vector<curves>& all, double last_step)
{
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const curves& c : all)
        for (const line* l : {&c.training, &c.validation})
            for (const plot::point& p : *l) {
                low = std::min(low, p.y);
                if (p.x >= last_step / 20) high = std::max(high, p.y);
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
    std::vector<curves> all;
    double last_step = 0;
    for (const twin_report& t : r.twins) {
        all.push_back({points_of(t.curve.step, t.curve.training), points_of(t.curve.step, t.curve.validation)});
        if (!all.back().named().empty()) last_step = std::max(last_step, t.curve.step.back());
    }
    if (!(last_step > 0)) return "";
    const plot::axis losses = loss_axis(all, last_step);
    const std::vector<std::string> names = names_of(r);
    std::vector<std::string> ends;
    double longest = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        char loss[32] = "";
        if (!all[i].named().empty()) std::snprintf(loss, sizeof(loss), " %.3f", all[i].named().back().y);
        ends.push_back(names[i] + loss);
        longest = std::max(longest, plot::width_of(ends.back(), 13));
    }
    const double width = page_width - 64 - 8 - longest - margin;
    const plot::area a{64, 84, width, 284, plot::linear_axis_between(0, last_step, 6, "step"), losses};
    plot::drawing d = new_page(424, "Loss while training", r,
                               "strong: validation; pale: training, on the batches that all twins share");
    plot::draw_y_axis(d, a);
    plot::draw_x_axis(d, a);
    for (std::size_t i = 0; i < all.size(); ++i) draw_line(d, a, all[i].training, {pale_colour_of(i), 1.2});
    std::vector<end_label> labels;
    for (std::size_t i = 0; i < all.size(); ++i) {
        draw_line(d, a, all[i].validation, {colour_of(i), 2.2});
        if (const line& l = all[i].named(); !l.empty())
            labels.push_back({std::max(a.at(0, l.back().y).y, a.top), ends[i], colour_of(i)});
    }
    draw_end_labels(d, a.right() + 8, a.top, a.bottom() - 8, labels);
    return d.str();
}

}  // namespace twins
