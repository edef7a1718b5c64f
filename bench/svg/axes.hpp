// SPDX-License-Identifier: MIT
// A rectangle with two axes: numbers to pixels, ticks, grid lines and titles.
#pragma once

#include "svg.hpp"

#include <string>
#include <vector>

namespace plot {

/// 123, 12.3, 1.23: three digits, no zeros behind the point.
std::string number(double);
/// 123, 12, 1.2, 0.1: the whole number, or one digit behind the point.
std::string short_number(double);
/// 1000, 10, 0.1, 1e-5: a power of ten, as short as it is.
std::string power(double);

struct axis {
    double low, high;
    bool logarithmic;
    std::string title;
    std::vector<double> ticks;
    std::string (*written)(double) = number;

    /// 0 at low, 1 at high.
    double share(double x) const;
};

/// From 0 to above `most`, ticks at 1, 2 or 5 times a power of ten.
axis linear_axis(double most, const std::string& title);
/// From a power of `base` at or below `least` to one at or above `most`, ticks at the powers.
axis log_axis(double base, double least, double most, const std::string& title);
/// From low to high; at most `intervals` steps of 1, 2 or 5 times a power of ten between its ticks.
axis linear_axis_between(double low, double high, int intervals, const std::string& title);
/// From low to high, both positive; ticks at the powers of ten and, within few decades, at multiples of them.
axis log_axis_between(double low, double high, const std::string& title);

struct area {
    double left, top, width, height;
    axis x, y;

    double bottom() const { return top + height; }
    double right() const { return left + width; }
    point at(double vx, double vy) const { return {left + width * x.share(vx), bottom() - height * y.share(vy)}; }
};

void draw_y_axis(drawing&, const area&);
void draw_x_axis(drawing&, const area&);

/// A dashed line over the area, with its meaning written over the area's right end, where nothing is drawn.
void draw_ceiling(drawing&, const area&, double value, const std::string& says);

}  // namespace plot
