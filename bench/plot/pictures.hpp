// SPDX-License-Identifier: MIT
// The pictures, each as SVG text, and what they share: size, heading, and one colour a contestant.
#pragma once

#include "axes.hpp"
#include "results.hpp"

#include <string>
#include <vector>

namespace plot {

inline constexpr double page_width = 860;

std::string draw_roofline(const results&);
std::string draw_peers(const results&);
std::string draw_decode(const results&);
std::string draw_threads(const results&);

std::string colour_of(const std::string& impl);
/// "OpenBLAS 0.3.21 SkylakeX, blocked".
std::string title_of(const std::string& impl, const results&);

/// Title, and the machine below it; they end 52 pixels from the top.
void draw_heading(drawing&, const std::string& title, const results&);
/// How the speeds were taken, in small letters that end at `bottom`.
void draw_caption(drawing&, double bottom);
/// A square and a name for each contestant, from the left.
void draw_legend(drawing&, point, const std::vector<std::string>& impls, const results&);
/// For a picture that this file of results has nothing for.
std::string draw_nothing(const std::string& title, const std::string& why, const results&);

/// Rows of the same problem but for one number, in its ascending order.
using family = std::vector<const row*>;

/// The contestants of these rows, heed first.
std::vector<std::string> contestants_of(const family&);

/// The cache lengths of the decode picture: the largest family of decode rows on one thread that differ in keys alone.
family rows_by_cache_length(const results&);

/// A line with dots for each contestant of a family; `x` says where an entry stands. heed's numbers are written where
/// they meet neither these lines nor the roof.
void draw_lines(drawing&, const area&, const family&, double (*x)(const entry&), const std::vector<point>& roof);

}  // namespace plot
