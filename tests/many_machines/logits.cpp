// SPDX-License-Identifier: MIT
// The models of the box over ranks: logits have the bits of one machine, of a prompt over several key tiles, of one
// that ends on an earlier rank, and of the tokens behind them, which go on into another tile.
#include "examples/many_machines/world.hpp"
#include "examples/storyteller/ranks.hpp"
#include "examples/storyteller/transformer.hpp"

#include <heed/executor/threads.hpp>

#include <cstdio>

namespace {

using namespace llama2c;

constexpr int64 longest = 1530, shorter = 700, told = 10;

using tokens_of_steps = std::vector<std::vector<std::vector<int>>>;  // [step][sequence]

/// Both prompts, and the tokens that follow; the shorter sequence ends before the longer one.
tokens_of_steps steps_of(const std::vector<int>& ids)
{
    tokens_of_steps steps{{{ids.begin(), ids.begin() + longest}, {ids.begin(), ids.begin() + shorter}}};
    for (int64 i = 0; i < told; ++i) {
        steps.push_back({{ids[static_cast<std::size_t>(longest + i)]}, {ids[static_cast<std::size_t>(shorter + i)]}});
        if (i > told / 2) steps.back()[1].clear();
    }
    return steps;
}

std::vector<matrix> logits_of(const checkpoint& model, cached_attention& attention, const tokens_of_steps& steps)
{
    std::vector<matrix> all;
    transformer reader(model, attention);
    for (const auto& step : steps) {
        if (step[1].empty() && attention.length(1) > 0) attention.release(1);
        all.push_back(reader.forward(step));
    }
    return all;
}

/// What a rank sends whose keys are not the last ones: a state of each row.
int64 state_bytes(const config& c, const tokens_of_steps& steps)
{
    std::size_t rows = 0;
    for (const auto& step : steps)
        for (const auto& ids : step) rows += ids.size();
    return static_cast<int64>(rows) * c.layers * c.heads * (c.head_dim() + 2) * int64{sizeof(float)};
}

bool compare(ranks& all, const std::string& folder, const std::string& file, sidecar beside, combining how)
{
    checkpoint model(read_file(folder + "/" + file), file, true);
    model.c.context = longest + told;
    const tokenizer words(read_file(folder + "/tokenizer.bin"), model.c.vocabulary, "tokenizer");
    const std::vector<char> text = read_file(folder + "/held_out.txt");
    const tokens_of_steps steps = steps_of(words.encode({text.data(), static_cast<std::size_t>(longest + told)}));
    attention_form form;
    form.sequences = 2;
    heed::thread_pool pool(2);
    const auto one = make_attention(beside.normalizer, beside, model.c, form, pool);
    const std::vector<matrix> expected = logits_of(model, *one, steps);
    const auto many = all.make_attention(beside.normalizer, beside, model.c, form, how, pool);
    const int64 before = many_machines::counted().sent;
    const std::vector<matrix> found = logits_of(model, *many, steps);
    const int64 sent = many_machines::counted().sent - before;

    bool same = true;
    float off = 0, largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        same = same && found[i].size() == expected[i].size() &&
               std::memcmp(found[i].data(), expected[i].data(),
                           sizeof(float) * static_cast<std::size_t>(expected[i].size())) == 0;
        off = std::max(off, (found[i] - expected[i]).cwiseAbs().maxCoeff());
        largest = std::max(largest, expected[i].cwiseAbs().maxCoeff());
    }
    const bool in_order = how == combining::order;
    // The tree sums states of at most 4 tiles in another order: some of the last of 24 bits, through all layers.
    bool well = in_order ? same : off <= std::ldexp(largest, -16);
    const int64 states = in_order && all.size() > 1 ? state_bytes(model.c, steps) : 0;
    well = well && sent == states;
    std::printf("%-13s by %-6s %s%s, off by %.1e of %.1f; %lld bytes sent by the first rank%s\n",
                beside.normalizer.c_str(), combining_names[static_cast<int>(how)], well ? "" : "NOT ",
                in_order ? "the same bits" : "the same within rounding", static_cast<double>(off),
                static_cast<double>(largest), static_cast<long long>(sent),
                sent == states ? "" : (", NOT " + std::to_string(states)).c_str());
    return well;
}

int compare_all(ranks& all, const std::string& folder)
{
    std::printf("%d rank%s\n", all.size(), all.size() == 1 ? "" : "s");
    sidecar softpick, sinks;
    softpick.normalizer = "softpick";
    sinks.normalizer = "sink";
    sinks.sinks = {{-1, 0.5f, 2, 0}, {3, 1, -2, 0.25f}, {0, 0.5f, 1, 4}};
    bool well = true;
    well &= compare(all, folder, "softpick.bin", softpick, combining::order);
    well &= compare(all, folder, "softpick.bin", softpick, combining::tree);
    well &= compare(all, folder, "softmax.bin", {}, combining::order);
    well &= compare(all, folder, "softmax.bin", sinks, combining::order);
    return well ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fputs("usage: mpirun -n P heed-ranks FOLDER    the models of examples/twins/box\n", stderr);
        return 2;
    }
    return on_ranks(argc, argv, [&](ranks& all) { return compare_all(all, argv[1]); });
}
