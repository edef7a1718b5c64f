// SPDX-License-Identifier: MIT
#include "svg.hpp"

#include "utf8.hpp"

#include <cstdio>

namespace plot {
namespace {

std::string px(double x)
{
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f", x);
    return text;
}

std::string attribute(const char* name, const std::string& value)
{
    return std::string(" ") + name + "=\"" + value + '"';
}

std::string escaped(const std::string& text)
{
    std::string out;
    for (const char c : valid_utf8(text)) {
        if (c == '&') out += "&amp;";
        else if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (static_cast<unsigned char>(c) < ' ') out += ' ';  // XML has no control characters
        else out += c;
    }
    return out;
}

std::string stroked(const stroke& s)
{
    return attribute("stroke", s.colour) + attribute("stroke-width", px(s.width)) +
           (s.dashed ? attribute("stroke-dasharray", "5 4") : "");
}

}  // namespace

drawing::drawing(double width, double height) : width_(width)
{
    body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\"" + attribute("width", px(width)) +
            attribute("height", px(height)) + attribute("viewBox", "0 0 " + px(width) + " " + px(height)) +
            attribute("font-family", "Helvetica, Arial, 'DejaVu Sans', sans-serif") + ">\n";
    bar({0, 0}, width, height, "#ffffff");
}

void drawing::bar(point corner, double width, double height, const std::string& colour)
{
    body_ += "<rect" + attribute("x", px(corner.x)) + attribute("y", px(corner.y)) + attribute("width", px(width)) +
             attribute("height", px(height)) + attribute("fill", colour) + "/>\n";
}

void drawing::line(point from, point to, const stroke& s)
{
    body_ += "<line" + attribute("x1", px(from.x)) + attribute("y1", px(from.y)) + attribute("x2", px(to.x)) +
             attribute("y2", px(to.y)) + stroked(s) + "/>\n";
}

void drawing::path(const std::vector<point>& points, const stroke& s)
{
    std::string list;
    for (const point& p : points) list.append(list.empty() ? "" : " ").append(px(p.x)).append(",").append(px(p.y));
    body_ += "<polyline" + attribute("points", list) + attribute("fill", "none") + stroked(s) + "/>\n";
}

void drawing::dot(point centre, double radius, const std::string& colour, bool filled)
{
    body_ += "<circle" + attribute("cx", px(centre.x)) + attribute("cy", px(centre.y)) + attribute("r", px(radius)) +
             attribute("fill", filled ? colour : "#ffffff") + stroked({colour, 1.6}) + "/>\n";
}

void drawing::text(point at, const std::string& text, anchor where, const font& f) { put_text(at, text, where, f, ""); }

void drawing::upright_text(point at, const std::string& text, const font& f)
{
    put_text(at, text, anchor::middle, f, attribute("transform", "rotate(-90 " + px(at.x) + " " + px(at.y) + ")"));
}

void drawing::put_text(point at, const std::string& text, anchor where, const font& f, const std::string& turn)
{
    const std::string halo =
        f.halo ? attribute("paint-order", "stroke") + stroked({"#ffffff", 2.4}) + attribute("stroke-linejoin", "round")
               : "";
    body_ += "<text" + attribute("x", px(at.x)) + attribute("y", px(at.y)) + attribute("font-size", px(f.size)) +
             attribute("fill", f.colour) + halo + (f.bold ? attribute("font-weight", "bold") : "") +
             attribute("text-anchor", where == anchor::start    ? "start"
                                      : where == anchor::middle ? "middle"
                                                                : "end") +
             turn + ">" + escaped(text) + "</text>\n";
}

double width_of(const std::string& text, double size) { return 0.58 * size * static_cast<double>(characters_in(text)); }

}  // namespace plot
