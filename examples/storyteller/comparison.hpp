// SPDX-License-Identifier: MIT
// The perplexity of a text with every cache and every class of products, as a table.
#pragma once

#include "transformer.hpp"

#include <array>
#include <cstdio>
#include <optional>

namespace llama2c {

/// A line of the table: what a token takes in the caches of all layers, and the perplexity by each of the classes,
/// where there is such a product.
struct comparison_line {
    element as;
    int64 token_bytes;
    std::array<std::optional<double>, std::size(products_names)> perplexity;
};

/// All lines, that of f32 first. Of `form` element and products do not count. Throws input_error where the rest of it
/// does not even suit f32.
inline std::vector<comparison_line> compare(const checkpoint& model, const sidecar& beside, attention_form form,
                                            const std::vector<int>& ids, heed::executor_ref executor)
{
    form.as = element::f32;
    form.multiply = products::floats;
    if (const std::string why = why_not(beside.normalizer, form); !why.empty()) throw input_error(why);
    std::vector<comparison_line> lines;
    for (std::size_t e = 0; e < std::size(element_names); ++e) {
        comparison_line line{static_cast<element>(e), 0, {}};
        form.as = line.as;
        for (std::size_t p = 0; p < std::size(products_names); ++p) {
            form.multiply = static_cast<products>(p);
            if (!why_not(beside.normalizer, form).empty()) continue;
            const auto attention = make_attention(beside.normalizer, beside, model.c, form, executor);
            line.perplexity[p] = perplexity(transformer(model, *attention).forward({ids}), ids);
            line.token_bytes = attention->size().bytes / attention->size().room;
        }
        if (line.token_bytes > 0) lines.push_back(line);
    }
    return lines;
}

/// Prints a line without the blanks at its end.
inline void print_line(const std::string& line)
{
    std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
}

/// Prints them, each perplexity with what it exceeds the first by.
inline void print(const std::vector<comparison_line>& lines)
{
    char text[64];
    std::snprintf(text, sizeof(text), "%-8s%14s", "cache", "bytes a token");
    std::string line = text;
    for (const char* name : products_names) {
        std::snprintf(text, sizeof(text), "%12s%11s", name, "");
        line += text;
    }
    print_line(line);
    const double least = lines.at(0).perplexity[0].value();
    for (const comparison_line& l : lines) {
        std::snprintf(text, sizeof(text), "%-8s%14lld", name_of(l.as), static_cast<long long>(l.token_bytes));
        line = text;
        for (const std::optional<double>& x : l.perplexity) {
            if (x) std::snprintf(text, sizeof(text), "%12.4f%+9.3f %%", *x, 100 * (*x / least - 1));
            else std::snprintf(text, sizeof(text), "%12s%11s", "-", "");
            line += text;
        }
        print_line(line);
    }
}

}  // namespace llama2c
