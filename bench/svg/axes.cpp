// SPDX-License-Identifier: MIT
#include "axes.hpp"

#include <cmath>
#include <cstdio>

namespace plot {

double axis::share(double x) const
{
    return logarithmic ? std::log(x / low) / std::log(high / low) : (x - low) / (high - low);
}

axis linear_axis(double most, const std::string& title)
{
    if (!(most > 0)) most = 1;
    double step = std::pow(10, std::floor(std::log10(most)));
    if (most / step >= 8) step *= 2;
    else if (most / step < 2) step /= 5;
    else if (most / step < 5) step /= 2;
    axis a{0, most * 1.12, false, title, {}};
    for (int i = 0; i * step <= a.high; ++i) a.ticks.push_back(i * step);
    return a;
}

axis log_axis(double base, double least, double most, const std::string& title)
{
    const auto power_of = [&](double x) { return std::log(x) / std::log(base); };
    const double first = std::floor(power_of(least) + 1e-9),
                 last = std::max(std::ceil(power_of(most) - 1e-9), first + 1);
    axis a{std::pow(base, first), std::pow(base, last), true, title, {}};
    for (double i = first; i <= last; ++i) a.ticks.push_back(std::pow(base, i));
    return a;
}

axis linear_axis_between(double low, double high, int intervals, const std::string& title)
{
    const double wished = (high - low) / intervals, power_of_ten = std::pow(10, std::floor(std::log10(wished)));
    double step = 10 * power_of_ten;
    for (const int digit : {5, 2, 1})
        if (digit * power_of_ten >= wished) step = digit * power_of_ten;
    axis a{low, high, false, title, {}};
    for (double i = std::ceil(low / step - 1e-6) + 0.0; i * step <= high + 1e-6 * step; ++i)  // + 0.0: no -0
        a.ticks.push_back(i * step);
    return a;
}

axis log_axis_between(double low, double high, const std::string& title)
{
    const double decades = std::log10(high / low);
    axis a{low, high, true, title, {}};
    for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
        for (int digit = 1; digit < 10; ++digit) {
            const bool wanted = digit == 1 || decades < 1 || (decades < 2.5 && (digit == 2 || digit == 5));
            const double tick = digit * decade;
            if (wanted && tick >= low * (1 - 1e-6) && tick <= high * (1 + 1e-6)) a.ticks.push_back(tick);
        }
    return a;
}

namespace {

std::string fixed(double x, int digits)
{
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f", digits, x);
    return text;
}

}  // namespace

std::string short_number(double x) { return fixed(x, x >= 9.95 ? 0 : 1); }

std::string power(double x)
{
    char text[32];
    std::snprintf(text, sizeof(text), "%g", x);
    std::string s = text;
    if (const std::size_t exponent = s.find("e-0"); exponent != std::string::npos) s.erase(exponent + 2, 1);
    return s;
}

std::string number(double x)
{
    std::string s = fixed(x, x == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2);
    if (s.find('.') == std::string::npos) return s;
    while (s.back() == '0') s.pop_back();
    if (s.back() == '.') s.pop_back();
    return s;
}

void draw_y_axis(drawing& d, const area& a)
{
    for (const double t : a.y.ticks) {
        const double y = a.at(a.x.low, t).y;
        d.line({a.left, y}, {a.right(), y}, {"#e6e6e6"});
        d.text({a.left - 7, y + 4}, a.y.written(t), anchor::end);
    }
    d.line({a.left, a.top}, {a.left, a.bottom()}, {"#777777"});
    d.upright_text({a.left - 44, a.top + a.height / 2}, a.y.title);
}

void draw_x_axis(drawing& d, const area& a)
{
    for (const double t : a.x.ticks) {
        const double x = a.at(t, a.y.low).x;
        d.line({x, a.bottom()}, {x, a.bottom() + 4}, {"#777777"});
        d.text({x, a.bottom() + 17}, a.x.written(t), anchor::middle);
    }
    d.line({a.left, a.bottom()}, {a.right(), a.bottom()}, {"#777777"});
    d.text({a.left + a.width / 2, a.bottom() + 36}, a.x.title, anchor::middle);
}

void draw_ceiling(drawing& d, const area& a, double value, const std::string& says)
{
    const double y = a.at(a.x.low, value).y;
    d.line({a.left, y}, {a.right(), y}, {"#555555", 1.3, true});
    const double key_y = a.top - 14, key_x = a.right() - width_of(says, 12) - 10;
    d.line({key_x - 26, key_y - 4}, {key_x, key_y - 4}, {"#555555", 1.3, true});
    d.text({a.right(), key_y}, says, anchor::end, {12, "#555555"});
}

}  // namespace plot
