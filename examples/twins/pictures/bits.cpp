// SPDX-License-Identifier: MIT
// What rounding the weights to fewer bits does to the validation loss: the loss itself, and how much it grew,
// on logarithmic axes, for two bits may multiply what eight bits leave alone. Of several seeds the mean, and thin lines
// for each.
#include "page.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

namespace twins {
namespace {

constexpr double least_growth = 1e-4;  // smaller ones, and what fell, are drawn here

double loss_at(const twin_report& t, int bits)
{
    for (const quantised& q : t.bits)
        if (q.bits == bits) return q.loss;
    return bits == 32 ? t.validation_loss : std::numeric_limits<double>::quiet_NaN();
}

double growth_at(const twin_report& t, int bits)
{
    return std::max(loss_at(t, bits) / loss_at(t, 32) - 1, least_growth);
}

std::string written(double growth)
{
    return growth < 100 ? plot::number(100 * growth) + " %" : plot::number(growth + 1) + " x";
}

struct series {
    std::vector<int> bits;  // from the left
    double (*value)(const twin_report&, int);
    std::string (*end)(double);  // how the last value is written
};

double mean_of(const twin& t, const series& s, int bits)
{
    double sum = 0;
    for (const twin_report* run : t.runs) sum += s.value(*run, bits);
    return sum / static_cast<double>(t.runs.size());
}

void draw_panel(plot::drawing& d, plot::area a, const series& s, const std::vector<twin>& twins)
{
    d.text({a.left, a.top - 10}, a.y.title, plot::anchor::start, {12, "#111111", true});
    a.y.title = "";
    a.x = {-0.3, static_cast<double>(s.bits.size()) - 0.7, false, "bits a weight", {}};
    plot::draw_y_axis(d, a);
    plot::draw_x_axis(d, a);
    for (std::size_t k = 0; k < s.bits.size(); ++k) {
        const double x = a.at(static_cast<double>(k), a.y.low).x;
        d.line({x, a.bottom()}, {x, a.bottom() + 4}, {"#777777"});
        d.text({x, a.bottom() + 17}, std::to_string(s.bits[k]), plot::anchor::middle);
    }
    std::vector<end_label> ends;
    for (std::size_t i = twins.size(); i-- > 0;) {
        const auto points_of = [&](auto value) {
            std::vector<plot::point> points;
            for (std::size_t k = 0; k < s.bits.size(); ++k)
                if (const double y = value(s.bits[k]); std::isfinite(y) && y > 0)
                    points.push_back(a.at(static_cast<double>(k), y));
            return points;
        };
        if (twins[i].runs.size() > 1)
            for (const twin_report* run : twins[i].runs)
                d.path(points_of([&](int bits) { return s.value(*run, bits); }), {colour_of(i), thin_line});
        const auto points = points_of([&](int bits) { return mean_of(twins[i], s, bits); });
        d.path(points, {colour_of(i), 2});
        for (const plot::point& p : points) d.dot(p, 3.2, colour_of(i));
        if (const double last = mean_of(twins[i], s, s.bits.back()); std::isfinite(last) && last > 0)
            ends.push_back({points.back().y, s.end(last), colour_of(i)});
    }
    draw_end_labels(d, a.right() + 2, a.top, a.bottom() - 8, ends);
}

}  // namespace

std::string draw_bits(const report& r)
{
    std::set<int, std::greater<>> rounded;
    double low = std::numeric_limits<double>::infinity(), high = 0, most_growth = 10 * least_growth;
    for (const twin_report& t : r.twins)
        for (const quantised& q : t.bits) {
            if (!std::isfinite(q.loss) || !(q.loss > 0)) continue;
            if (q.bits != 32) rounded.insert(q.bits);
            low = std::min({low, q.loss, loss_at(t, 32)});
            high = std::max({high, q.loss, loss_at(t, 32)});
            most_growth = std::max(most_growth, growth_at(t, q.bits));
        }
    if (rounded.empty()) return "";
    series loss{{32}, loss_at, plot::number}, growth{{}, growth_at, written};
    loss.bits.insert(loss.bits.end(), rounded.begin(), rounded.end());
    growth.bits.assign(rounded.begin(), rounded.end());
    const std::vector<twin> twins = twins_of(r);
    std::string how = "validation loss with weights rounded to nearest, row by row; 32 bits: as trained";
    if (has_seeds(twins)) how += "; thin: each seed";
    plot::drawing d = new_page(414, "Weights of fewer bits", r, how);
    draw_names(d, {margin + 40, 90}, twins);
    const std::string says = "loss, nats a token";
    const plot::axis losses = high < 2 * low ? plot::linear_axis_between(low - 0.1 * (high - low), 1.05 * high, 6, says)
                                             : plot::log_axis_between(low / 1.08, 1.08 * high, says);
    plot::axis growths = plot::log_axis_between(least_growth, most_growth * 1.5, "growth over the loss as trained");
    growths.written = [](double t) { return (t > least_growth * 1.01 ? "" : "\u2264 ") + plot::power(100 * t) + " %"; };
    draw_panel(d, {margin + 40, 128, 288, 234, {}, losses}, loss, twins);
    draw_panel(d, {464, 128, 260, 234, {}, growths}, growth, twins);
    return d.str();
}

}  // namespace twins
