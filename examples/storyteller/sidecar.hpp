// SPDX-License-Identifier: MIT
// What llama2.c's checkpoint does not say of a model: a text file beside it, MODEL.heed for MODEL.bin.
//
//     heed model 1
//     normalizer sink
//     element bf16                  what the tensors behind the checkpoint's header are made of: f32 or bf16
//     bias -5.545                   sigmoid's
//     sinks 0.25 -1 0.5 0           one line a layer: the logit of each head
//     task text                     and any other fact, kept as it is
#pragma once

#include "llama2c.hpp"

#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>

namespace llama2c {

struct sidecar {
    std::string normalizer = "softmax";
    bool bf16 = false;
    double bias = 0;
    std::vector<std::vector<float>> sinks;                   // [layers][heads]
    std::vector<std::pair<std::string, std::string>> facts;  // everything else, in order

    /// The value of a fact, or an empty string.
    std::string fact(const std::string& key) const
    {
        for (const auto& [k, v] : facts)
            if (k == key) return v;
        return "";
    }
};

inline std::string sidecar_path(const std::string& model)
{
    const bool bin = model.size() > 4 && model.compare(model.size() - 4, 4, ".bin") == 0;
    return (bin ? model.substr(0, model.size() - 4) : model) + ".heed";
}

inline sidecar parse_sidecar(const std::string& text, const std::string& name)
{
    std::istringstream lines(text);
    std::string line;
    int number = 0;
    const auto wrong = [&](const std::string& why) {
        throw input_error(name + ": line " + std::to_string(number) + ": " + why);
    };
    const auto finite = [&](std::istringstream& words, auto& value) {
        std::string word;
        if (!(words >> word)) return false;
        char* end = nullptr;
        using real = std::decay_t<decltype(value)>;
        const double x = std::strtod(word.c_str(), &end);
        if (*end || !(std::abs(x) <= std::numeric_limits<real>::max())) wrong(word + " is not a number");
        value = static_cast<real>(x);  // a float, say: 1e99 is none
        return true;
    };
    sidecar s;
    while (std::getline(lines, line)) {
        ++number;
        if (number == 1) {
            if (line != "heed model 1") throw input_error(name + ": does not begin with \"heed model 1\"");
            continue;
        }
        const std::size_t space = line.find(' ');
        if (space == 0 || space == std::string::npos) wrong("a key, a space and a value are expected");
        const std::string key = line.substr(0, space), value = line.substr(space + 1);
        std::istringstream words(value);
        if (key == "normalizer") s.normalizer = value;
        else if (key == "element") {
            if (value != "f32" && value != "bf16") wrong("element " + value + " is neither f32 nor bf16");
            s.bf16 = value == "bf16";
        } else if (key == "bias") {
            if (!finite(words, s.bias)) wrong("bias without a number");
        } else if (key == "sinks") {
            std::vector<float> logits;
            for (float z; finite(words, z);) logits.push_back(z);
            s.sinks.push_back(logits);
        } else s.facts.emplace_back(key, value);
    }
    if (number == 0) throw input_error(name + ": is empty");
    return s;
}

/// The sidecar of a checkpoint, if there is one.
inline sidecar read_sidecar(const std::string& model)
{
    const std::string path = sidecar_path(model);
    if (!std::filesystem::exists(path)) return {};
    const std::vector<char> bytes = read_file(path);
    return parse_sidecar({bytes.begin(), bytes.end()}, path);
}

/// Throws unless there is a logit for each head of each layer, or the normalizer needs none.
inline void check_sinks(const sidecar& s, const config& c, const std::string& model)
{
    if (s.sinks.empty() && s.normalizer != "sink") return;
    bool fits = static_cast<int64>(s.sinks.size()) == c.layers;
    for (const auto& logits : s.sinks) fits = fits && static_cast<int64>(logits.size()) == c.heads;
    if (!fits)
        throw input_error(sidecar_path(model) + ": sinks: " + std::to_string(c.layers) + " lines of " +
                          std::to_string(c.heads) + " logits are needed");
}

}  // namespace llama2c
