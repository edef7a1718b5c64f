// SPDX-License-Identifier: MIT
// A report as pictures, in SVG for a README: attention.svg, first_token.svg, loss.svg, activations.svg and
// bits.svg; of more than most_twins twins the others in attention-2.svg and so on.
#pragma once

#include "report.hpp"

#include <string>
#include <vector>

namespace twins {

/// Writes the pictures for which the report has data, all or none, into `directory`, which is made where it is
/// missing. Returns their paths. Throws std::invalid_argument as check(), and std::runtime_error with a line that
/// names the path which can not be written.
std::vector<std::string> write_pictures(const report&, const std::string& directory);

}  // namespace twins
