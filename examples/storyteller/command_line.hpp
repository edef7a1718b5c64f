// SPDX-License-Identifier: MIT
// What the storyteller is asked to do.
#pragma once

#include "../program/arguments.hpp"
#include "ranks.hpp"

#include <algorithm>
#include <functional>

namespace llama2c {

inline constexpr char usage[] =
    "usage: storyteller CHECKPOINT TOKENIZER [TASK] [OPTIONS]\n"
    "one task\n"
    "  --prompt TEXT       continues a text, the empty one if there is no task\n"
    "  --batch FILE        continues the lines of a file, all at once\n"
    "  --score FILE        says the perplexity of a text\n"
    "  --compare FILE      says it for every cache and class of products, as a table\n"
    "stories\n"
    "  --tokens N          told of each prompt, at most (256)\n"
    "  --temperature T     0: the likeliest token (0)\n"
    "  --seed N            (1)\n"
    "  --ids               prints tokens as numbers\n"
    "attention\n"
    "  --normalizer NAME   another than the model's sidecar says: softmax, softmax1, softmax_sink, sink, softpick,\n"
    "                      sigmoid, relu1, relu2, relu-softmax, rectified-only\n"
    "  --cache TYPE        of keys and values: f32, bf16, f16, int8, fp8, or blocks of 32 channels, which shorter\n"
    "                      heads fill by repetition: q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, mxfp4 (f32)\n"
    "  --page N            tokens of a page of the cache (the context)\n"
    "  --layout ORDER      of the cache: head is [head][token][channel], token is [token][head][channel] (head)\n"
    "  --products CLASS    float; bf16, with a cache of bf16; int8 and int8_by8, with a cache of int8, q8_0 or q4_0\n"
    "                      and queries and weights of 16 and of 8 bits (float)\n"
    "  --select N          attends the N keys of the highest scores alone, in a cache of f32 or q8_0 (all)\n"
    "  --block N           --select counts blocks of N keys, chosen by the bounds of their scores (1)\n"
    "  --threads N         of each rank (1)\n"
    "  --context N         tokens that a sequence may have (the model's own; behind it, it was not trained)\n"
    "many machines\n"
    "  --ranks             under mpirun: the first rank tells, and all share out a cache of f32\n"
    "  --combine HOW       what they make of their keys, in the order of keys, with the bits of one machine, or as a\n"
    "                      tree: order, tree (order)\n";

struct settings {
    std::string model, vocabulary, normalizer;  // normalizer: empty is the model's own
    std::string prompt, batch, score, compare;
    attention_form form;
    int64 tokens = 256, threads = 1, seed = 1;
    double temperature = 0;
    int64 context = 0;  // 0: the model's
    bool ids = false, ranks = false;
    combining combine = combining::order;

    bool tells() const { return score.empty() && compare.empty(); }
};

/// The first of the options given that is one of `names`, or an empty string.
inline std::string first_given(const std::vector<std::string>& given, const std::vector<std::string>& names)
{
    for (const std::string& option : given)
        if (std::find(names.begin(), names.end(), option) != names.end()) return option;
    return "";
}

/// Throws where options do not go together: none is without effect.
inline void check_together(const settings& s, const std::vector<std::string>& given)
{
    std::vector<std::string> tasks;
    for (const std::string& option : given)
        if (!first_given({option}, {"--prompt", "--batch", "--score", "--compare"}).empty()) tasks.push_back(option);
    if (tasks.size() > 1) throw input_error(tasks[0] + " and " + tasks[1] + ": one is possible");
    if (!s.tells())
        if (const std::string o = first_given(given, {"--tokens", "--temperature", "--seed", "--ids"}); !o.empty())
            throw input_error(o + ": is for stories, and " + tasks[0] + " tells none");
    if (!s.compare.empty())
        if (const std::string o = first_given(given, {"--cache", "--products"}); !o.empty())
            throw input_error(o + ": --compare has a line or column for each");
    if (s.form.select == 0 && !first_given(given, {"--block"}).empty())
        throw input_error("--block: needs --select, the number of blocks");
    if (!s.ranks && !first_given(given, {"--combine"}).empty()) throw input_error("--combine: needs --ranks");
    if (s.ranks)
        if (const std::string o = first_given(given, {"--compare", "--cache", "--page", "--products", "--select"});
            !o.empty())
            throw input_error(o + ": not with --ranks, which share out a cache of f32 and attend to all of it");
}

/// Options without a value.
inline bool is_switch(const std::string& option) { return option == "--ids" || option == "--ranks"; }

/// Whether --ranks is among the options, wherever they may be wrong.
inline bool asks_for_ranks(int argc, char** argv)
{
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a == "--ranks") return true;
        if (a.rfind("--", 0) == 0 && !is_switch(a)) ++i;  // its value
    }
    return false;
}

inline settings parse(int argc, char** argv)
{
    using text = const std::string&;
    settings s;
    attention_form& form = s.form;
    const auto file = [](text o, text v) {
        return v.empty() ? throw input_error(o + ": needs the name of a file") : v;
    };
    const std::pair<const char*, std::function<void(text option, text value)>> options[] = {
        {"--prompt", [&](text, text v) { s.prompt = v; }},
        {"--batch", [&](text o, text v) { s.batch = file(o, v); }},
        {"--score", [&](text o, text v) { s.score = file(o, v); }},
        {"--compare", [&](text o, text v) { s.compare = file(o, v); }},
        {"--tokens", [&](text o, text v) { s.tokens = whole_number(o, v, 0, 1 << 20); }},
        {"--temperature", [&](text o, text v) { s.temperature = number(o, v, 0, 100); }},
        {"--seed", [&](text o, text v) { s.seed = whole_number(o, v, 0, int64{1} << 62); }},
        {"--normalizer", [&](text, text v) { s.normalizer = v; }},
        {"--cache", [&](text o, text v) { form.as = one_of<element>(o, v, element_names); }},
        {"--page", [&](text o, text v) { form.page = whole_number(o, v, 1, 4096); }},
        {"--layout", [&](text o, text v) { form.order = one_of<layout>(o, v, layout_names); }},
        {"--products", [&](text o, text v) { form.multiply = one_of<products>(o, v, products_names); }},
        {"--select", [&](text o, text v) { form.select = whole_number(o, v, 1, 1 << 20); }},
        {"--block", [&](text o, text v) { form.block = whole_number(o, v, 1, heed::key_tile); }},
        {"--threads", [&](text o, text v) { s.threads = whole_number(o, v, 1, 1024); }},
        {"--context", [&](text o, text v) { s.context = whole_number(o, v, 1, 1 << 20); }},
        {"--combine", [&](text o, text v) { s.combine = one_of<combining>(o, v, combining_names); }},
    };
    std::vector<std::string> files, given;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a.rfind("--", 0) != 0) {
            files.push_back(a);
            continue;
        }
        if (!first_given(given, {a}).empty()) throw input_error(a + ": is given twice");
        given.push_back(a);
        if (is_switch(a)) {
            (a == "--ids" ? s.ids : s.ranks) = true;
            continue;
        }
        const auto* const option =
            std::find_if(std::begin(options), std::end(options), [&](const auto& known) { return a == known.first; });
        if (option == std::end(options)) throw input_error(a + ": unknown option");
        if (++i >= argc) throw input_error(a + ": needs a value");
        option->second(a, argv[i]);
    }
    if (files.size() != 2)
        throw input_error(std::to_string(files.size()) + " files given, a checkpoint and a tokenizer are needed");
    check_together(s, given);
    s.model = files[0];
    s.vocabulary = files[1];
    return s;
}

}  // namespace llama2c
