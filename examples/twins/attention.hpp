// SPDX-License-Identifier: MIT
// Causal attention of one sequence with a normalizer chosen at run time by its name.
#pragma once

#include "parameters.hpp"

#include <heed/backward.hpp>
#include <heed/observe.hpp>

#include <memory>

namespace twins {

/// The names that make_attention knows, in the order of tables and messages.
const std::vector<std::string>& normalizer_names();

/// True where each head has a logit of its own to learn.
inline bool learns_sinks(const std::string& normalizer) { return normalizer == "sink"; }

/// Sigmoid attention's bias for sequences of so many tokens, -ln T (Ramapuram et al. 2024).
inline double sigmoid_bias(int64 context) { return -std::log(static_cast<double>(context)); }

/// What attention reads and writes: [1, heads, tokens, channels]; statistics [heads, tokens].
template <class T>
struct attention_tensors {
    heed::view<const T> q, k, v;
    heed::view<T> out;
    heed::row_statistics<T> stats;
};

template <class T>
class attention {
public:
    virtual ~attention() = default;

    /// Fills out and the statistics. `sinks`: one logit a head for a normalizer that learns them, otherwise unused.
    virtual void forward(const attention_tensors<T>&, const T* sinks) const = 0;

    /// Fills the gradients of q, k, v and, where it is asked for, of the sinks' logits.
    virtual void backward(const attention_tensors<T>&, const T* sinks, const heed::view<const T>& dout,
                          const heed::gradients<T>&) const = 0;

    /// What is wanted of the rows of all heads, after forward().
    virtual void observe(const attention_tensors<T>&, const T* sinks, const heed::observations<T>&) const = 0;

    /// The weights of one head, [tokens, tokens], after forward().
    virtual void map(const attention_tensors<T>&, const T* sinks, int64 head, T* weights) const = 0;
};

/// Attention with the named normalizer, for sequences of up to `context` tokens. Throws input_error for other names.
std::unique_ptr<attention<float>> make_attention(const std::string& normalizer, int64 context);

}  // namespace twins
