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

/// The end of a path, without its extension, that no other path has; the whole where there is none.
std::string apart_from(const std::string& path, const std::vector<std::string>& others)
{
    namespace fs = std::filesystem;
    const auto end_of = [](const fs::path& whole, std::ptrdiff_t parts) {
        fs::path end;
        const fs::path bare = fs::path(whole).replace_extension();
        for (auto at = std::prev(bare.end(), std::min(parts, std::distance(bare.begin(), bare.end())));
             at != bare.end(); ++at)
            end /= *at;
        return end.string();
    };
    for (std::ptrdiff_t parts = 1; parts < 8; ++parts)
        if (std::none_of(others.begin(), others.end(),
                         [&](const std::string& other) { return end_of(other, parts) == end_of(path, parts); }))
            return end_of(path, parts);
    return path;
}

}  // namespace

void check(const report& r)
{
    require(!r.twins.empty(), "there are no twins in it");
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
        std::vector<std::string> others;
        for (const twin& other : all)
            if (&other != &t && other.runs[0]->normalizer == t.runs[0]->normalizer)
                others.push_back(other.runs[0]->checkpoint);
        if (!others.empty()) t.name += " " + apart_from(t.runs[0]->checkpoint, others);
    }
    return all;
}

std::vector<report> parts_of(const report& r)
{
    const std::vector<twin> all = twins_of(r);
    const std::size_t count = (all.size() + most_twins - 1) / most_twins;
    std::vector<report> parts;
    for (std::size_t p = 0; p < count; ++p) {
        report part = r;
        part.twins.clear();
        for (std::size_t t = p * all.size() / count; t < (p + 1) * all.size() / count; ++t)
            for (const twin_report* run : all[t].runs) {
                part.twins.push_back(*run);
                part.twins.back().normalizer = all[t].name;
            }
        parts.push_back(std::move(part));
    }
    return parts;
}

}  // namespace twins
