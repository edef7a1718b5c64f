// SPDX-License-Identifier: MIT
#include "settings.hpp"

#include <algorithm>
#include <cstdio>

namespace twins {
namespace {

std::string shortest(double x)
{
    char text[40];
    std::snprintf(text, sizeof(text), "%.12g", x);
    return text;
}

}  // namespace

std::string quoted(const std::string& word)
{
    const auto plain = [](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string("_-./,:=+@%").find(static_cast<char>(c)) != std::string::npos;
    };
    if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
    std::string text = "'";
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

std::string text_name(std::uint64_t hash)
{
    char text[20];
    std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
    return text;
}

std::vector<std::pair<std::string, std::string>> settings::entries() const
{
    const auto whole = [](int64 n) { return std::to_string(n); };
    std::vector<std::pair<std::string, std::string>> all{{"normalizer", normalizer},
                                                         {"task", task},
                                                         {"text", task == "text" ? text_name(file_hash) : "none"},
                                                         {"dim", whole(shape.dim)},
                                                         {"hidden", whole(shape.hidden)},
                                                         {"layers", whole(shape.layers)},
                                                         {"heads", whole(shape.heads)},
                                                         {"kv-heads", whole(shape.kv_heads)},
                                                         {"context", whole(shape.context)},
                                                         {"classifier", shape.shared_classifier ? "tied" : "untied"},
                                                         {"batch", whole(batch)},
                                                         {"steps", whole(steps)},
                                                         {"rate", shortest(rate)},
                                                         {"decay", shortest(decay)},
                                                         {"windows", whole(windows)},
                                                         {"seed", whole(seed)}};
    // Its line is there only where it says something, so that files of runs without it are as they were.
    if (extend > 0) all.emplace_back("extend", whole(extend));
    return all;
}

std::string settings::options_but_seed() const
{
    std::string text = "--task " + task;
    if (task == "text") text += " --file " + quoted(file);
    for (const auto& [name, value] : entries()) {
        if (name == "normalizer" || name == "task" || name == "text" || name == "classifier" || name == "seed")
            continue;
        text += " --" + name + " " + value;
    }
    return shape.shared_classifier ? text : text + " --untied";
}

}  // namespace twins
