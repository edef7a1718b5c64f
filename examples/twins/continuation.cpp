// SPDX-License-Identifier: MIT
#include "continuation.hpp"

namespace twins {
namespace {

template <class Row>
int drawn(const Row& logits, double temperature, double u)
{
    Eigen::Index best;
    const float highest = logits.maxCoeff(&best);
    if (temperature == 0) return static_cast<int>(best);
    const Eigen::ArrayXd p = ((logits.array() - highest).template cast<double>() / temperature).exp();
    double left = u * p.sum();
    Eigen::Index i = 0;
    while (i + 1 < p.size() && left >= p[i]) left -= p[i++];
    return static_cast<int>(i);
}

}  // namespace

std::string continuation(const trained_model& m, const std::string& prompt, int64 tokens, double temperature,
                         std::uint64_t seed)
{
    std::vector<int> ids{bos};
    for (const char c : prompt) ids.push_back(token_of(static_cast<unsigned char>(c)));
    const int64 context = m.shape.context;
    if (static_cast<int64>(ids.size()) >= context)
        throw input_error("--prompt: " + std::to_string(prompt.size()) + " bytes, the model's context has " +
                          std::to_string(context) + " tokens");
    const auto attend = make_attention(m.beside.normalizer, context);
    transformer<float> model(m.shape, *attend);
    random_stream random{seed, 0x7e11};
    std::string text;
    while (tokens-- > 0 && static_cast<int64>(ids.size()) < context) {
        const matrix<float>& logits = model.forward(m.weights(), ids.data(), static_cast<int64>(ids.size()));
        const int id = drawn(logits.row(logits.rows() - 1), temperature, random.uniform());
        if (id < 3) break;  // the model ends its text
        ids.push_back(id);
        text += static_cast<char>(id - 3);
    }
    return text;
}

}  // namespace twins
