// SPDX-License-Identifier: MIT
// Text for those who insist on UTF-8 (XML, JSON), made of bytes that may be none: a byte-level token, say.
#pragma once

#include <string>

namespace plot {

/// The text with U+FFFD for every byte that belongs to no well-formed character (Unicode 15, table 3-7).
std::string valid_utf8(const std::string& text);

/// How many characters a text of valid UTF-8 has.
std::size_t characters_in(const std::string& text);

}  // namespace plot
