// SPDX-License-Identifier: MIT
// Attention of one sequence that keeps what a visitor may want to see of it: the weights of every row, and what heed's
// observe() says of them.
#pragma once

#include "../storyteller/attention.hpp"

namespace page {

using llama2c::int64;
using llama2c::matrix;

/// A head's rows so far, one a token.
struct head_rows {
    explicit head_rows(int64 context)
        : weights(static_cast<std::size_t>(context * context)), first_token(static_cast<std::size_t>(context)),
          entropy(first_token.size()), zeros(first_token.size())
    {}

    std::vector<float> weights;      ///< [context][context]: p of a token's row, up to the token itself
    std::vector<float> first_token;  ///< [context]: p of key 0, the sink
    std::vector<float> entropy;      ///< [context], in nats
    std::vector<float> zeros;        ///< [context]: the share of attended keys that weigh exactly 0
};

class watched_attention : public llama2c::cached_attention {
public:
    virtual const head_rows& rows(int64 layer, int64 head) const = 0;
};

using watched_pointer = std::unique_ptr<watched_attention>;

// One set of kernels each, compiled in a file of its own. Scores are those of the model times `score_scale`.
watched_pointer watched_softmax(double score_scale, const llama2c::config& model);
watched_pointer watched_softpick(double score_scale, const llama2c::config& model);
watched_pointer watched_softmax1(double score_scale, const llama2c::config& model);
watched_pointer watched_relu_softmax(double score_scale, const llama2c::config& model);
watched_pointer watched_entmax15(double score_scale, const llama2c::config& model);

/// What a visitor may choose from, by the name that a model's sidecar has for it.
struct normalizer_choice {
    const char* name;
    const char* formula;
    watched_pointer (*attention)(double score_scale, const llama2c::config& model);
};
inline constexpr normalizer_choice normalizer_choices[] = {
    {"softmax", "eˢ / Σ eˢ", watched_softmax},
    {"softpick", "max(eˢ − 1, 0) / Σ |eˢ − 1|", watched_softpick},
    {"softmax1", "eˢ / (1 + Σ eˢ)", watched_softmax1},
    {"relu-softmax", "max(eˢ − 1, 0) / Σ max(eˢ − 1, 0)", watched_relu_softmax},
    {"entmax15", "max((s − τ) / 2, 0)², τ such that the row sums to 1", watched_entmax15},
};

}  // namespace page
