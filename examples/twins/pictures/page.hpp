// SPDX-License-Identifier: MIT
// What the pictures share: width, heading, one colour a twin, and names beside the ends of lines.
#pragma once

#include "../report.hpp"

#include "axes.hpp"

#include <string>
#include <vector>

namespace twins {

inline constexpr double page_width = 800, margin = 16;

/// An empty page with its heading, which ends 68 pixels from the top: a title, what was trained, how to read it.
plot::drawing new_page(double height, const std::string& title, const report&, const std::string& how_to_read);

std::string colour_of(std::size_t twin);
/// The same, mixed with white.
std::string pale_colour_of(std::size_t twin);

/// A square and a name for each twin, from the left.
void draw_names(plot::drawing&, plot::point, const std::vector<twin>&);

/// The twin's name, with the seed where it has several.
std::string name_of_run(const twin&, std::size_t run);

/// Whether a twin has several.
bool has_seeds(const std::vector<twin>&);

/// Lines of several seeds are thin, their mean is strong.
inline constexpr double thin_line = 0.9;

struct end_label {
    double y;
    std::string text, colour;
};

/// Each beside its y, moved only as far as legibility asks for, and between `top` and `bottom`.
void draw_end_labels(plot::drawing&, double x, double top, double bottom, std::vector<end_label>);

/// A bar with the colours of scale_colour(), its ends and what lies between named at their shares of it.
struct scale_mark {
    double share;
    std::string text;
};
void draw_scale(plot::drawing&, plot::point corner, double width, const std::vector<scale_mark>&);

/// A picture each, as SVG; empty: the report holds nothing for it.
std::string draw_attention(const report&);
std::string draw_first_token(const report&);
std::string draw_loss(const report&);
std::string draw_activations(const report&);
std::string draw_bits(const report&);

}  // namespace twins
