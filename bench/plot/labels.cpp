// SPDX-License-Identifier: MIT
#include "labels.hpp"

#include <algorithm>
#include <cmath>

namespace plot {

void labels::avoid(point p, double width, double height)
{
    taken_.push_back({p.x - width, p.y - height, p.x + width, p.y + height});
}

void labels::avoid_path(const std::vector<point>& path)
{
    for (std::size_t i = 1; i < path.size(); ++i) {
        const double dx = path[i].x - path[i - 1].x, dy = path[i].y - path[i - 1].y;
        const int steps = std::max(1, static_cast<int>(std::hypot(dx, dy) / 4));
        for (int s = 0; s <= steps; ++s) avoid({path[i - 1].x + dx * s / steps, path[i - 1].y + dy * s / steps}, 2, 2);
    }
}

void labels::place(drawing& d, point p, const std::string& text, const font& f)
{
    const double w = width_of(text, f.size);
    const struct {
        double x, y;
        anchor where;
    } tries[] = {{0, -9, anchor::middle}, {9, 4, anchor::start},  {-9, 4, anchor::end},  {0, 18, anchor::middle},
                 {8, 15, anchor::start},  {8, -8, anchor::start}, {-8, 15, anchor::end}, {-8, -8, anchor::end}};
    for (const auto& t : tries) {
        const double left = p.x + t.x - (t.where == anchor::start ? 0 : t.where == anchor::end ? w : w / 2);
        const box b{left, p.y + t.y - f.size + 1, left + w, p.y + t.y + 2};
        if (!is_free(b)) continue;
        taken_.push_back(b);
        d.text({p.x + t.x, p.y + t.y}, text, t.where, f);
        return;
    }
}

bool labels::is_free(const box& b) const
{
    if (b.left < area_.left || b.right > area_.right() || b.top < area_.top || b.bottom > area_.bottom()) return false;
    return std::none_of(taken_.begin(), taken_.end(), [&](const box& o) {
        return b.left < o.right && o.left < b.right && b.top < o.bottom && o.top < b.bottom;
    });
}

}  // namespace plot
