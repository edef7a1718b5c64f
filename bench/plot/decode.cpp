// SPDX-License-Identifier: MIT
// Decode bandwidth over the length of the cache, under the read bandwidth of memory; where L2 and L3 end.
#include "pictures.hpp"

#include <algorithm>

namespace plot {
namespace {

void draw_cache(drawing& d, const area& a, double bytes, double bytes_a_key, const std::string& name)
{
    const double keys = bytes / bytes_a_key;
    if (!(keys > a.x.low && keys < a.x.high)) return;
    const double x = a.at(keys, 0).x;
    d.line({x, a.top}, {x, a.bottom()}, {"#bbbbbb", 1, true});
    d.text({x + 4, a.bottom() - 7}, name + ", " + number(bytes / (1 << 20)) + " MiB", anchor::start, {11, "#888888"});
}

}  // namespace

std::string draw_decode(const results& r)
{
    const std::string title = "Decode bandwidth over cache length, one thread";
    const family rows = rows_by_cache_length(r);
    if (rows.empty()) return draw_nothing(title, "These results hold no decode problem at two cache lengths.", r);
    const entry &shortest = rows.front()->heed(), &longest = rows.back()->heed();
    const double limit = r.limits.at(1).gbps, bytes_a_key = longest.kv_bytes / longest.keys;
    double most = limit;
    std::vector<double> lengths;
    for (const row* one : rows) {
        lengths.push_back(one->heed().keys);
        for (const entry& e : one->entries) most = std::max(most, e.speed());
    }
    drawing d(page_width, 456);
    draw_heading(d, title, r);
    draw_legend(d, {64, 74}, contestants_of(rows), r);
    const area a{64,
                 114,
                 page_width - 64 - 24,
                 278,
                 {shortest.keys / 1.6, longest.keys * 1.6, true,
                  "keys in the cache (" + number(bytes_a_key / 1024) + " KiB of K and V a key)", lengths},
                 linear_axis(most, "GB/s of K and V")};
    draw_y_axis(d, a);
    draw_x_axis(d, a);
    draw_cache(d, a, r.l2_bytes, bytes_a_key, "L2");
    draw_cache(d, a, r.l3_bytes, bytes_a_key, "L3");
    draw_ceiling(d, a, limit, "read bandwidth of memory: " + number(limit) + " GB/s");
    draw_lines(d, a, rows, [](const entry& e) { return e.keys; }, {a.at(a.x.low, limit), a.at(a.x.high, limit)});
    draw_caption(d, 448);
    return d.str();
}

}  // namespace plot
