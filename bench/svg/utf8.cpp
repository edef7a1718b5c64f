// SPDX-License-Identifier: MIT
#include "utf8.hpp"

#include <algorithm>

namespace plot {
namespace {

bool continues(unsigned char c) { return (c & 0xC0) == 0x80; }

/// Bytes of the well-formed character that begins at `at`; 0: there is none.
std::size_t character_at(const std::string& text, std::size_t at)
{
    const auto byte = [&](std::size_t i) {
        return static_cast<unsigned char>(at + i < text.size() ? text[at + i] : 0);
    };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t bytes = first >= 0xC2 && first <= 0xDF   ? 2
                              : first >= 0xE0 && first <= 0xEF ? 3
                              : first >= 0xF0 && first <= 0xF4 ? 4
                                                               : 0;
    for (std::size_t i = 1; i < bytes; ++i)
        if (!continues(byte(i))) return 0;
    // Neither a longer spelling than needed, nor a surrogate, nor beyond U+10FFFF.
    const bool legal = !(first == 0xE0 && byte(1) < 0xA0) && !(first == 0xED && byte(1) > 0x9F) &&
                       !(first == 0xF0 && byte(1) < 0x90) && !(first == 0xF4 && byte(1) > 0x8F);
    return legal ? bytes : 0;
}

}  // namespace

std::string valid_utf8(const std::string& text)
{
    std::string valid;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = character_at(text, at);
        if (bytes) valid.append(text, at, bytes);
        else valid += "\xEF\xBF\xBD";
        at += std::max<std::size_t>(bytes, 1);
    }
    return valid;
}

std::size_t characters_in(const std::string& text)
{
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues(static_cast<unsigned char>(c)); }));
}

}  // namespace plot
