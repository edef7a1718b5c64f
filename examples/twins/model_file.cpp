// SPDX-License-Identifier: MIT
#include "model_file.hpp"

#include "attention.hpp"
#include "files.hpp"
#include "layers.hpp"

namespace twins {
namespace {

std::string exact(double x)
{
    char text[40];
    std::snprintf(text, sizeof(text), "%.9g", x);
    return text;
}

class tensor_writer {
public:
    tensor_writer(std::vector<char>& bytes, bool bf16) : bytes_(bytes), bf16_(bf16) {}

    void put(const float* p, int64 count)
    {
        for (int64 i = 0; i < count; ++i)
            if (const heed::bf16 rounded(p[i]); bf16_) llama2c::append_numbers(bytes_, &rounded, 1);
            else llama2c::append_numbers(bytes_, p + i, 1);
    }

private:
    std::vector<char>& bytes_;
    bool bf16_;
};

/// What the heads have learnt, a row a layer; none where they learn nothing.
std::vector<std::vector<float>> learned_of(const trained_model& m)
{
    std::vector<std::vector<float>> all;
    for (int64 l = 0; l < m.at.of(tensor::of_heads).layers; ++l) {
        const auto numbers = m.weights()(tensor::of_heads, l);
        all.emplace_back(numbers.data(), numbers.data() + numbers.size());
    }
    return all;
}

std::string sidecar_text(const trained_model& m)
{
    const llama2c::sidecar& s = m.beside;
    std::string text = "heed model 1\nnormalizer " + s.normalizer + "\nelement " + (s.bf16 ? "bf16" : "f32") + "\n";
    if (s.normalizer == "sigmoid") text += "bias " + exact(s.bias) + "\n";
    for (const auto& logits : s.sinks) {
        text += "sinks";
        for (const float z : logits) text += " " + exact(static_cast<double>(z));
        text += "\n";
    }
    if (s.normalizer != "sink")
        for (const auto& numbers : learned_of(m)) {
            text += "learned";
            for (const float x : numbers) text += " " + exact(static_cast<double>(x));
            text += "\n";
        }
    for (const auto& [key, value] : s.facts) text += key + " " + value + "\n";
    for (std::size_t i = 0; i < m.curve.step.size(); ++i)
        text += "curve " + exact(m.curve.step[i]) + " " + exact(m.curve.training[i]) + " " +
                exact(m.curve.validation[i]) + "\n";
    return text;
}

/// Takes the points of the curve out of the facts.
loss_curve curve_of(llama2c::sidecar& s, const std::string& name)
{
    loss_curve curve;
    for (const auto& [key, value] : s.facts) {
        if (key != "curve") continue;
        std::istringstream words(value);
        double step, training, validation;
        if (!(words >> step >> training >> validation))
            throw input_error(name + ": curve " + value + ": a step and two losses are expected");
        curve.step.push_back(step);
        curve.training.push_back(training);
        curve.validation.push_back(validation);
    }
    std::erase_if(s.facts, [](const auto& fact) { return fact.first == "curve"; });
    return curve;
}

/// Takes what heads of other normalizers than `sink` have learnt out of the facts.
std::vector<std::vector<float>> learned_facts(llama2c::sidecar& s, const layout& at, const std::string& name)
{
    std::vector<std::vector<float>> all;
    for (const auto& [key, value] : s.facts) {
        if (key != "learned") continue;
        all.emplace_back();
        std::istringstream words(value);
        for (std::string word; words >> word;) {
            char* end = nullptr;
            const double x = std::strtod(word.c_str(), &end);
            if (*end || !(std::abs(x) <= static_cast<double>(std::numeric_limits<float>::max())))
                throw input_error(name + ": learned " + value + ": " + word + " is not a number");
            all.back().push_back(static_cast<float>(x));
        }
    }
    std::erase_if(s.facts, [](const auto& fact) { return fact.first == "learned"; });
    const tensor_place& place = at.of(tensor::of_heads);
    bool fits = static_cast<int64>(all.size()) == place.layers;
    for (const auto& numbers : all) fits = fits && static_cast<int64>(numbers.size()) == place.columns;
    if (!fits)
        throw input_error(name + ": learned: " + std::to_string(place.layers) + " lines of " +
                          std::to_string(place.columns) + " numbers are needed");
    return all;
}

/// Names the file where this twins knows no such normalizer.
layout layout_beside(const std::string& model, const config& c, const std::string& normalizer)
{
    try {
        return layout_of(c, normalizer);
    } catch (const input_error& e) {
        throw input_error(llama2c::sidecar_path(model) + ": " + e.what());
    }
}

}  // namespace

trained_model finished(const settings& s, const layout& at, const training_state& state, double training_loss,
                       bool bf16)
{
    trained_model m{s.shape, {}, at, state.parameters, state.curve};
    m.beside.normalizer = s.normalizer;
    m.beside.bf16 = bf16;
    if (s.normalizer == "sigmoid") m.beside.bias = sigmoid_bias(s.shape.context);
    if (s.normalizer == "sink") m.beside.sinks = learned_of(m);
    m.beside.facts = {{"task", s.task}};
    if (s.task == "text") m.beside.facts.emplace_back("text", text_name(s.file_hash));
    m.beside.facts.emplace_back("options", s.options());
    m.beside.facts.emplace_back("tokens", std::to_string(state.step * s.batch * s.shape.context));
    m.beside.facts.emplace_back("training-loss", exact(training_loss));
    return m;
}

void write_model(const trained_model& m, const std::string& path)
{
    const config& c = m.shape;
    std::vector<char> bytes;
    for (const int64 n : {c.dim, c.hidden, c.layers, c.heads, c.kv_heads,
                          c.shared_classifier ? c.vocabulary : -c.vocabulary, c.context}) {
        const auto field = static_cast<std::int32_t>(n);
        llama2c::append_numbers(bytes, &field, 1);
    }
    tensor_writer out(bytes, m.beside.bf16);
    out.put(m.parameters.data(), m.at.of(tensor::final_norm).end());
    const rope<float> positions(c.context, c.head_dim());  // nobody reads them, but the format has them
    out.put(positions.cos().data(), positions.cos().size());
    out.put(positions.sin().data(), positions.sin().size());
    const tensor_place& classifier = m.at.of(tensor::classifier);
    out.put(m.parameters.data() + classifier.offset, classifier.size());
    const std::string text = sidecar_text(m);
    write_whole(llama2c::sidecar_path(path), text);
    write_whole(path, bytes);
}

int64 trained_model::option(const std::string& name, int64 otherwise) const
{
    std::istringstream words(beside.fact("options"));
    for (std::string word; words >> word;)
        if (int64 value; word == name && words >> value) return value;
    return otherwise;
}

std::string trained_model::all_but_seed() const
{
    std::istringstream words(beside.fact("options"));
    std::string text = beside.bf16 ? "bf16" : "f32";
    for (std::string word; words >> word;)
        if (word == "--seed") words >> word;
        else text += " " + word;
    return text;
}

trained_model read_model(const std::string& path)
{
    llama2c::sidecar beside = llama2c::read_sidecar(path);
    const llama2c::checkpoint file(llama2c::read_file(path), path, beside.bf16);
    const layout at = layout_beside(path, file.c, beside.normalizer);
    llama2c::check_sinks(beside, file.c, path);
    trained_model m{file.c, beside, at, std::vector<float>(static_cast<std::size_t>(at.size())), {}};
    const std::string beside_path = llama2c::sidecar_path(path);
    m.curve = curve_of(m.beside, beside_path);
    const auto learned = beside.normalizer == "sink" ? beside.sinks : learned_facts(m.beside, at, beside_path);
    const int64 body = at.of(tensor::final_norm).end();
    std::copy(file.embedding, file.embedding + body, m.parameters.begin());
    const tensor_place& classifier = at.of(tensor::classifier);
    std::copy(file.classifier, file.classifier + classifier.size(), m.parameters.begin() + classifier.offset);
    auto to = m.parameters.begin() + at.of(tensor::of_heads).offset;
    for (const auto& numbers : learned) to = std::copy(numbers.begin(), numbers.end(), to);
    return m;
}

}  // namespace twins
