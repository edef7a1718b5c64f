// SPDX-License-Identifier: MIT
// A drawing as SVG text: shapes in pixels from the upper left corner.
#pragma once

#include <string>
#include <vector>

namespace plot {

struct point {
    double x, y;
};

struct stroke {
    std::string colour;
    double width = 1;
    bool dashed = false;
};

enum class anchor { start, middle, end };

struct font {
    double size = 12;
    std::string colour = "#333333";
    bool bold = false;
    bool halo = true;  // white around the letters, which keeps them legible on a line
};

class drawing {
public:
    drawing(double width, double height);

    void bar(point corner, double width, double height, const std::string& colour);
    void line(point from, point to, const stroke&);
    void path(const std::vector<point>&, const stroke&);
    void dot(point centre, double radius, const std::string& colour, bool filled = true);
    void text(point, const std::string&, anchor = anchor::start, const font& = {});
    /// Reads upwards.
    void upright_text(point, const std::string&, const font& = {});

    double width() const { return width_; }
    std::string str() const { return body_ + "</svg>\n"; }

private:
    void put_text(point, const std::string&, anchor, const font&, const std::string& turn);

    double width_;
    std::string body_;
};

/// About how wide a sans-serif text is.
double width_of(const std::string& text, double size);

}  // namespace plot
