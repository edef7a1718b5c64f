// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace twins {
namespace {

void require(bool holds, const std::string& otherwise)
{
    if (!holds) throw std::invalid_argument("report: " + otherwise);
}

std::size_t heads_of(const twin_report& t) { return t.layers.empty() ? 0 : t.layers.front().first_token_weight.size(); }

void check_curve(const loss_curve& c, const std::string& of)
{
    require(c.training.size() == c.step.size() && c.validation.size() == c.step.size(),
            "the loss curve " + of + " has " + std::to_string(c.step.size()) + " steps, " +
                std::to_string(c.training.size()) + " training and " + std::to_string(c.validation.size()) +
                " validation losses");
}

void check_map(const attention_picture& map, std::size_t labels, const std::string& of)
{
    const std::string which = "the map of layer " + std::to_string(map.layer) + ", head " + std::to_string(map.head) +
                              " " + of + " has " + std::to_string(map.tokens) + " tokens";
    require(map.tokens > 0, which);
    const std::size_t tokens = static_cast<std::size_t>(map.tokens);
    require(map.weights.size() == tokens * tokens, which + " and " + std::to_string(map.weights.size()) + " weights");
    require(tokens <= labels, which + ", but there are " + std::to_string(labels) + " labels");
}

}  // namespace

void check(const report& r)
{
    require(!r.twins.empty(), "there are no twins in it");
    const std::size_t count = twins_of(r).size();
    require(count <= most_twins,
            std::to_string(count) + " twins; at most " + std::to_string(most_twins) + " fit side by side");
    const twin_report& first = r.twins.front();
    for (const twin_report& t : r.twins) {
        const std::string of = "of " + t.normalizer;
        require(!t.normalizer.empty(), "a twin names no normalizer");
        require(t.layers.size() == first.layers.size(), std::to_string(t.layers.size()) + " layers " + of + ", " +
                                                            std::to_string(first.layers.size()) + " of " +
                                                            first.normalizer);
        for (const layer_report& layer : t.layers) {
            require(layer.first_token_weight.size() == heads_of(first),
                    std::to_string(layer.first_token_weight.size()) + " heads in a layer " + of + ", " +
                        std::to_string(heads_of(first)) + " of " + first.normalizer);
            require(layer.activations.count.empty() || layer.activations.low < layer.activations.high,
                    "a histogram " + of + " ends where it begins");
        }
        check_curve(t.curve, of);
        for (const attention_picture& map : t.maps) check_map(map, r.labels.size(), of);
    }
    for (const twin& t : twins_of(r))
        for (const twin_report* run : t.runs)
            require(run->curve.step == t.runs[0]->curve.step,
                    "the loss curves of " + t.name + " have other steps in seed " + std::to_string(run->seed) +
                        " than in seed " + std::to_string(t.runs[0]->seed));
}

std::vector<twin> twins_of(const report& r)
{
    std::vector<twin> all;
    for (const twin_report& run : r.twins) {
        const auto same = std::find_if(all.begin(), all.end(), [&](const twin& t) {
            return t.runs[0]->normalizer == run.normalizer && t.runs[0]->settings == run.settings &&
                   std::none_of(t.runs.begin(), t.runs.end(),
                                [&](const auto* other) { return other->seed == run.seed; });
        });
        if (same != all.end()) same->runs.push_back(&run);
        else all.push_back({run.normalizer, {&run}});
    }
    for (twin& t : all) {
        const auto alike = [&](const twin& other) { return other.runs[0]->normalizer == t.runs[0]->normalizer; };
        if (std::count_if(all.begin(), all.end(), alike) > 1)
            t.name += " " + std::filesystem::path(t.runs[0]->checkpoint).stem().string();
    }
    return all;
}

}  // namespace twins
