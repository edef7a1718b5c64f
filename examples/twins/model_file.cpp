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

}  // namespace

trained_model finished(const settings& s, const layout& at, const training_state& state, double training_loss,
                       bool bf16)
{
    trained_model m{s.shape, {}, at, state.parameters, state.curve};
    m.beside.normalizer = s.normalizer;
    m.beside.bf16 = bf16;
    if (s.normalizer == "sigmoid") m.beside.bias = sigmoid_bias(s.shape.context);
    const tensor_place& sinks = at.of(tensor::sinks);
    for (int64 l = 0; l < sinks.layers; ++l) {
        const auto logits = m.weights()(tensor::sinks, l);
        m.beside.sinks.emplace_back(logits.data(), logits.data() + logits.size());
    }
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
    make_attention(beside.normalizer, file.c.context);  // refuses unknown names
    llama2c::check_sinks(beside, file.c, path);
    const layout at(file.c, learns_sinks(beside.normalizer));
    trained_model m{file.c, beside, at, std::vector<float>(static_cast<std::size_t>(at.size())), {}};
    m.curve = curve_of(m.beside, llama2c::sidecar_path(path));
    const int64 body = at.of(tensor::final_norm).end();
    std::copy(file.embedding, file.embedding + body, m.parameters.begin());
    const tensor_place &classifier = at.of(tensor::classifier), &sinks = at.of(tensor::sinks);
    std::copy(file.classifier, file.classifier + classifier.size(), m.parameters.begin() + classifier.offset);
    for (int64 l = 0; l < sinks.layers; ++l)
        std::copy(beside.sinks[static_cast<std::size_t>(l)].begin(), beside.sinks[static_cast<std::size_t>(l)].end(),
                  m.parameters.begin() + sinks.offset + l * file.c.heads);
    return m;
}

}  // namespace twins
