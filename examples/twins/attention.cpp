// SPDX-License-Identifier: MIT
#include "attention.hpp"

#include "normalizers.hpp"

#include <algorithm>
#include <stdexcept>

namespace twins {
namespace {

const normalizer_table<float>& table()
{
    static const auto all = [] {
        normalizer_table<float> lines;
        add_normalizers(lines);
        add_extra(lines);
        return lines;
    }();
    return all;
}

std::size_t index_of(const std::string& name)
{
    const std::vector<normalizer>& all = table().lines();
    const auto found = std::find_if(all.begin(), all.end(), [&](const normalizer& n) { return n.name == name; });
    if (found == all.end())
        throw input_error("normalizer " + name + ": is none of " + normalizer_names(", ") +
                          "; one of your own is built in by cmake -DTWINS_EXTRA=FILE.cpp");
    return static_cast<std::size_t>(found - all.begin());
}

}  // namespace

void check_line(const std::vector<normalizer>& before, const normalizer& n, bool has_parameter)
{
    const auto wrong = [&](const std::string& why) {
        throw std::logic_error("the table of normalizers: \"" + n.name + "\" " + why);
    };
    const auto plain = [](unsigned char c) {  // it is a file's name, and a word of a shell
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    };
    if (n.name.empty() || n.name[0] < 'a' || n.name[0] > 'z' || !std::all_of(n.name.begin(), n.name.end(), plain))
        wrong("is no name: a small letter, then small letters, digits, - . and _");
    if (n.name == "tokenizer") wrong("is the name of another file");
    if (std::any_of(before.begin(), before.end(), [&](const normalizer& other) { return other.name == n.name; }))
        wrong("is there twice");
    if (n.formula.empty()) wrong("has no formula, which --help and reports show");
    if (std::any_of(n.formula.begin(), n.formula.end(), [](unsigned char c) { return c < ' '; }))
        wrong("has a formula of more than one line");
    if (n.learned_from && !has_parameter)
        wrong("learns a number a head, but neither its normalizer has a log_offset() nor a score map a parameter");
}

const std::vector<normalizer>& normalizers() { return table().lines(); }

const normalizer& normalizer_named(const std::string& name) { return normalizers()[index_of(name)]; }

std::string normalizer_names(const std::string& between)
{
    std::string names;
    for (const normalizer& n : normalizers()) names += (names.empty() ? "" : between) + n.name;
    return names;
}

layout layout_of(const config& c, const std::string& name)
{
    const normalizer& n = normalizer_named(name);
    return n.learned_from ? layout(c, true, n.learned_from(c.context)) : layout(c, false);
}

std::unique_ptr<attention<float>> make_attention(const std::string& normalizer, int64 context)
{
    return table().kernels_at(index_of(normalizer)).make(context);
}

}  // namespace twins
