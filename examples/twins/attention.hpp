// SPDX-License-Identifier: MIT
// Causal attention of one sequence with a normalizer chosen at run time by its name, and what is known of each: a line
// of the table in normalizers.cpp.
#pragma once

#include "parameters.hpp"

#include <heed/backward.hpp>
#include <heed/observe.hpp>

#include <memory>

namespace twins {

/// A line of the table: everything but the kernels.
struct normalizer {
    std::string name;     ///< on command lines, in files and reports
    std::string formula;  ///< p_ij of the scores s_ij of a row, for --help and reports
    /// What the number begins with that each head of each layer learns beside the weights, in a model of this context;
    /// null: it learns none.
    double (*learned_from)(int64 context) = nullptr;
};

/// All lines, in the order of tables and messages. Throws std::logic_error where TWINS_EXTRA adds one that is none.
const std::vector<normalizer>& normalizers();

/// Throws input_error for a name that no line has.
const normalizer& normalizer_named(const std::string& name);

/// Names, and what stands between them.
std::string normalizer_names(const std::string& between);

/// The parameters of a model with the named normalizer.
layout layout_of(const config&, const std::string& normalizer);

/// Sigmoid attention's bias for sequences of so many tokens, -ln T (Ramapuram et al. 2024).
inline double sigmoid_bias(int64 context) { return -std::log(static_cast<double>(context)); }

/// What attention reads and writes: [1, heads, tokens, channels]; statistics and thresholds [heads, tokens].
template <class T>
struct attention_tensors {
    heed::view<const T> q, k, v;
    heed::view<T> out;
    heed::row_statistics<T> stats;
    heed::row_threshold<T>* thresholds = nullptr;  ///< and a tensor like out: where the normalizer has thresholds
    heed::view<T> slope_out = {};
};

template <class T>
class attention {
public:
    virtual ~attention() = default;

    /// Whether forward() leaves thresholds and slope_out, which the others read.
    virtual bool has_threshold() const = 0;

    /// Fills out and the statistics. `learned`: one number a head for a normalizer that learns them, otherwise unused.
    virtual void forward(const attention_tensors<T>&, const T* learned) const = 0;

    /// Fills the gradients of q, k and v, and those of the learned numbers unless `dlearned` is null.
    virtual void backward(const attention_tensors<T>&, const T* learned, const heed::view<const T>& dout,
                          heed::gradients<T>, T* dlearned) const = 0;

    /// What is wanted of the rows of all heads, after forward().
    virtual void observe(const attention_tensors<T>&, const T* learned, const heed::observations<T>&) const = 0;

    /// The weights of one head, [tokens, tokens], after forward().
    virtual void map(const attention_tensors<T>&, const T* learned, int64 head, T* weights) const = 0;
};

/// Attention with the named normalizer, for sequences of up to `context` tokens. Throws input_error for other names.
std::unique_ptr<attention<float>> make_attention(const std::string& normalizer, int64 context);

}  // namespace twins
