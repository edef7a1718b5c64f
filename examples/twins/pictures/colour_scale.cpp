// SPDX-License-Identifier: MIT
#include "colour_scale.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>

namespace twins {
namespace {

int byte_of(double linear)
{
    const double x = std::clamp(linear, 0.0, 1.0);
    return static_cast<int>(std::lround(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055)));
}

/// OKLab (Ottosson 2020) in polar form to sRGB.
std::string oklch(double lightness, double chroma, double degrees)
{
    const double hue = degrees * std::numbers::pi / 180, a = chroma * std::cos(hue), b = chroma * std::sin(hue);
    const double l = std::pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
    const double m = std::pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
    const double s = std::pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
    char text[8];
    std::snprintf(text, sizeof(text), "#%02x%02x%02x", byte_of(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
                  byte_of(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
                  byte_of(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s));
    return text;
}

}  // namespace

std::string scale_colour(double share)
{
    const double t = std::clamp(share, 0.0, 1.0);
    return oklch(0.9 - 0.65 * t, 0.13 - 0.04 * t + 0.28 * t * (1 - t), 95 - 165 * t);
}

std::string letters_on(double share) { return share < 0.5 ? "#111111" : "#ffffff"; }

}  // namespace twins
