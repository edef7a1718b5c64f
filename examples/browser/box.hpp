// SPDX-License-Identifier: MIT
// The files of examples/twins/box that a page needs, as bytes of the program: it fetches nothing.
#pragma once

#include <string>
#include <vector>

namespace page {

/// softmax.bin, softmax.heed, softpick.bin, softpick.heed or tokenizer.bin.
std::vector<char> boxed_file(const std::string& name);

}  // namespace page
