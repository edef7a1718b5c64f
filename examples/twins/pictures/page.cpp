// SPDX-License-Identifier: MIT
#include "page.hpp"

#include "colour_scale.hpp"

#include <algorithm>
#include <cstdio>

namespace twins {
namespace {

constexpr unsigned colours[most_twins] = {0x2f6fb5, 0xc8312b, 0xcb8316, 0x2a9183, 0x7d4fa8, 0x4a9bc7, 0x6b5a4e};

std::string hexadecimal(unsigned rgb)
{
    char text[8];
    std::snprintf(text, sizeof(text), "#%06x", rgb);
    return text;
}

}  // namespace

plot::drawing new_page(double height, const std::string& title, const report& r, const std::string& how_to_read)
{
    plot::drawing d(page_width, height);
    d.text({margin, 27}, title, plot::anchor::start, {17, "#111111", true});
    d.text({margin, 47}, r.task + ", " + plot::number(static_cast<double>(r.parameters) / 1000) + " k parameters",
           plot::anchor::start, {12, "#666666"});
    d.text({margin, 64}, how_to_read, plot::anchor::start, {12, "#666666"});
    return d;
}

std::string colour_of(std::size_t twin) { return hexadecimal(colours[twin % most_twins]); }

std::string pale_colour_of(std::size_t twin)
{
    unsigned pale = 0;
    for (const int shift : {16, 8, 0}) {
        const unsigned channel = colours[twin % most_twins] >> shift & 0xff;
        pale |= (channel * 2 + 0xff * 3) / 5 << shift;
    }
    return hexadecimal(pale);
}

void draw_names(plot::drawing& d, plot::point at, const std::vector<twin>& twins)
{
    for (std::size_t i = 0; i < twins.size(); ++i) {
        d.bar({at.x, at.y - 10}, 11, 11, colour_of(i));
        d.text({at.x + 16, at.y}, twins[i].name);
        at.x += 16 + plot::width_of(twins[i].name, 12) + 18;
    }
}

std::string name_of_run(const twin& t, std::size_t run)
{
    return t.runs.size() == 1 ? t.name : t.name + ", seed " + std::to_string(t.runs[run]->seed);
}

bool has_seeds(const std::vector<twin>& twins)
{
    return std::any_of(twins.begin(), twins.end(), [](const twin& t) { return t.runs.size() > 1; });
}

void draw_end_labels(plot::drawing& d, double x, double top, double bottom, std::vector<end_label> labels)
{
    constexpr double line = 15;
    std::stable_sort(labels.begin(), labels.end(), [](const end_label& a, const end_label& b) { return a.y < b.y; });
    double free = top;
    for (end_label& l : labels) {
        l.y = std::max(l.y, free);
        free = l.y + line;
    }
    double limit = bottom;
    for (auto l = labels.rbegin(); l != labels.rend(); ++l) {
        l->y = std::min(l->y, limit);
        limit = l->y - line;
    }
    for (const end_label& l : labels) d.text({x, l.y + 4}, l.text, plot::anchor::start, {12, l.colour, true});
}

void draw_scale(plot::drawing& d, plot::point corner, double width, const std::vector<scale_mark>& marks)
{
    constexpr int steps = 48;
    const double step = width / steps;
    for (int i = 0; i < steps; ++i)
        d.bar({corner.x + i * step, corner.y}, step + (i + 1 < steps ? 0.5 : 0), 12, scale_colour((i + 0.5) / steps));
    for (const scale_mark& m : marks) {
        const double x = corner.x + m.share * width;
        d.line({x, corner.y + 12}, {x, corner.y + 16}, {"#777777"});
        d.text({x, corner.y + 28}, m.text, plot::anchor::middle);
    }
}

}  // namespace twins
