// SPDX-License-Identifier: MIT
// Colours from pale yellow to dark violet for numbers from 0 to 1. Lightness falls linearly in OKLab, so that the
// order of the numbers is seen, on paper without colours too.
#pragma once

#include <string>

namespace twins {

/// Of a share of the scale; what lies outside of 0 to 1 has the colour of its end.
std::string scale_colour(double share);

/// Black or white, whichever can be read on scale_colour(share).
std::string letters_on(double share);

}  // namespace twins
