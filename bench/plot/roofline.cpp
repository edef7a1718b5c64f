// SPDX-License-Identifier: MIT
// heed's problems on one thread under the roof of this machine: flops for each byte of Q, K, V and the output against
// GFLOP/s. A point above the slope read K and V from a cache.
#include "labels.hpp"
#include "pictures.hpp"

#include <algorithm>

namespace plot {
namespace {

/// Full dots for prefill, squares for backward, rings for decode.
void draw_mark(drawing& d, point p, const std::string& phase)
{
    if (phase == "backward") d.bar({p.x - 3.5, p.y - 3.5}, 7, 7, colour_of("heed"));
    else d.dot(p, 4, colour_of("heed"), phase == "prefill");
}

double intensity(const entry& e) { return e.flops / e.tensor_bytes; }

std::string one_line(std::string tick)
{
    std::replace(tick.begin(), tick.end(), '|', ' ');
    return tick;
}

}  // namespace

std::string draw_roofline(const results& r)
{
    const std::string title = "heed under the roofline of one thread";
    std::vector<const row*> rows;
    for (const row& one : r.rows)
        if (one.heed().threads == 1 && one.heed().gflops > 0) rows.push_back(&one);
    if (rows.empty() || !r.limits.count(1))
        return draw_nothing(title, "No problem in these results ran on one thread.", r);
    const ceilings roof = r.limits.at(1);
    double left = roof.gflops / roof.gbps / 8, right = left * 64, low = roof.gflops / 16;
    for (const row* one : rows) {
        left = std::min(left, intensity(one->heed()));
        right = std::max(right, intensity(one->heed()));
        low = std::min(low, one->heed().gflops);
    }
    drawing d(page_width, 528);
    draw_heading(d, title, r);
    const area a{64,
                 84,
                 page_width - 64 - 24,
                 374,
                 log_axis(2, left / 1.3, right * 1.3, "flops for each byte of Q, K, V and out"),
                 log_axis(2, low / 1.3, std::max(roof.gflops, roof.bf16_gflops) * 1.3, "GFLOP/s")};
    double x = 70;
    for (const std::string phase : {"prefill", "backward", "decode"}) {
        draw_mark(d, {x, 68}, phase);
        d.text({x + 10, 72}, phase);
        x += 40 + width_of(phase, 12);
    }
    draw_y_axis(d, a);
    draw_x_axis(d, a);
    const double ridge = roof.gflops / roof.gbps, start = std::max(a.x.low, a.y.low / roof.gbps);
    d.path({a.at(start, start * roof.gbps), a.at(ridge, roof.gflops), a.at(a.x.high, roof.gflops)}, {"#555555", 1.5});
    labels beside(a);
    const auto name_roof = [&](double y, const std::string& says) {
        d.text({a.right() - 4, y - 7}, says, anchor::end, {11, "#555555"});
        const double half = width_of(says, 11) / 2;
        beside.avoid({a.right() - 4 - half, y - 10}, half, 9);
    };
    name_roof(a.at(ridge, roof.gflops).y, "f32 FMA peak, " + number(roof.gflops) + " GFLOP/s");
    if (roof.bf16_gflops > roof.gflops) {  // for the points of heed::compute<bf16>
        const point corner = a.at(roof.bf16_gflops / roof.gbps, roof.bf16_gflops);
        d.path({a.at(ridge, roof.gflops), corner, {a.right(), corner.y}}, {"#555555", 1.5, true});
        name_roof(corner.y, "bf16 dot products, " + number(roof.bf16_gflops) + " GFLOP/s");
    }
    const point slope = a.at(ridge / 1.4, roof.gflops / 1.4);
    const std::string bandwidth = "read bandwidth, " + number(roof.gbps) + " GB/s";
    d.text({slope.x - 10, slope.y + 4}, bandwidth, anchor::end, {11, "#555555"});
    beside.avoid({slope.x - 10 - width_of(bandwidth, 11) / 2, slope.y}, width_of(bandwidth, 11) / 2, 9);
    beside.avoid_path({a.at(start, start * roof.gbps), a.at(ridge, roof.gflops), a.at(a.x.high, roof.gflops)});
    for (const row* one : rows) beside.avoid(a.at(intensity(one->heed()), one->heed().gflops));
    for (const row* one : rows) {
        const entry& e = one->heed();
        const point p = a.at(intensity(e), e.gflops);
        draw_mark(d, p, e.phase);
        beside.place(d, p, one_line(one->tick), {10, "#444444"});
    }
    draw_caption(d, 520);
    return d.str();
}

}  // namespace plot
