// SPDX-License-Identifier: MIT
// The parameters of a model in one flat array, in the order of llama2.c's checkpoint; behind them the numbers that
// heads of some normalizers learn, such as the logits of sinks. Gradients and AdamW's moments are arrays of the same
// layout.
#pragma once

#include "../storyteller/llama2c.hpp"
#include "random.hpp"

#include <array>

namespace twins {

using int64 = std::int64_t;
using llama2c::config;
using llama2c::input_error;

template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using column = Eigen::Matrix<T, Eigen::Dynamic, 1>;

enum class tensor { embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3, final_norm, classifier, of_heads };

/// One kind of tensor: [layers, rows, columns] from an offset on.
struct tensor_place {
    const char* name;
    int64 offset, layers, rows, columns;
    double deviation, first;  ///< of the initial numbers; where it is 0, they are all `first`

    int64 size() const { return layers * rows * columns; }
    int64 end() const { return offset + size(); }
    bool is_matrix() const { return rows > 1; }
};

class layout {
public:
    /// `heads_learn`: one number in each layer, which begins with `first`.
    explicit layout(const config& c, bool heads_learn, double first = 0)
    {
        // Matrices keep the size of what they are applied to; what is added to the residual stream is scaled down so
        // that its size does not grow with the depth (GPT-2).
        const auto kept = [](int64 inputs) { return 0.7 / std::sqrt(static_cast<double>(inputs)); };
        const double depth = std::sqrt(2 * static_cast<double>(c.layers));
        const auto add = [this](tensor t, const char* name, int64 layers, int64 rows, int64 columns, double deviation,
                                double first_number = 1) {
            places_[static_cast<std::size_t>(t)] = {name, size_, layers, rows, columns, deviation, first_number};
            size_ += layers * rows * columns;
        };
        add(tensor::embedding, "embedding", 1, c.vocabulary, c.dim, c.shared_classifier ? 0.05 : 0.5);
        add(tensor::attention_norm, "attention_norm", c.layers, 1, c.dim, 0);
        add(tensor::wq, "wq", c.layers, c.dim, c.dim, kept(c.dim));
        add(tensor::wk, "wk", c.layers, c.kv_dim(), c.dim, kept(c.dim));
        add(tensor::wv, "wv", c.layers, c.kv_dim(), c.dim, kept(c.dim));
        add(tensor::wo, "wo", c.layers, c.dim, c.dim, kept(c.dim) / depth);
        add(tensor::ffn_norm, "ffn_norm", c.layers, 1, c.dim, 0);
        add(tensor::w1, "w1", c.layers, c.hidden, c.dim, kept(c.dim));
        add(tensor::w2, "w2", c.layers, c.dim, c.hidden, kept(c.hidden) / depth);
        add(tensor::w3, "w3", c.layers, c.hidden, c.dim, kept(c.dim));
        add(tensor::final_norm, "final_norm", 1, 1, c.dim, 0);
        add(tensor::classifier, "classifier", c.shared_classifier ? 0 : 1, c.vocabulary, c.dim, 0.02);
        add(tensor::of_heads, "of_heads", heads_learn ? c.layers : 0, 1, c.heads, 0, first);
    }

    const tensor_place& of(tensor t) const { return places_[static_cast<std::size_t>(t)]; }
    const std::array<tensor_place, 13>& places() const { return places_; }

    /// Numbers in all.
    int64 size() const { return size_; }

private:
    std::array<tensor_place, 13> places_{};
    int64 size_ = 0;
};

/// A flat array seen as the tensors of a layout: parameters or gradients, const or not.
template <class T>
class tensors {
public:
    using value = std::remove_const_t<T>;
    using map = std::conditional_t<std::is_const_v<T>, Eigen::Map<const matrix<value>>, Eigen::Map<matrix<value>>>;

    tensors(const layout& at, T* data) : at_(&at), data_(data) {}

    map operator()(tensor t, int64 layer = 0) const
    {
        const tensor_place& p = at_->of(t);
        return map(data_ + p.offset + layer * p.rows * p.columns, p.rows, p.columns);
    }
    /// The classifier, which may be the embedding.
    map classifier() const
    {
        return (*this)(at_->of(tensor::classifier).layers ? tensor::classifier : tensor::embedding);
    }

    const layout& at() const { return *at_; }

private:
    const layout* at_;
    T* data_;
};

/// The initial parameters: one stream a tensor, so that twins are alike to the bit whatever else they have.
template <class T>
std::vector<T> initial_parameters(const layout& at, std::uint64_t seed)
{
    std::vector<T> p(static_cast<std::size_t>(at.size()));
    for (std::size_t t = 0; t < at.places().size(); ++t) {
        const tensor_place& place = at.places()[t];
        random_stream random{seed, 0x1417, t};
        for (int64 i = place.offset; i < place.end(); ++i)
            p[static_cast<std::size_t>(i)] = static_cast<T>(
                static_cast<float>(place.deviation == 0 ? place.first : place.deviation * random.normal()));
    }
    return p;
}

}  // namespace twins
