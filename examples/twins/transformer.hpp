// SPDX-License-Identifier: MIT
// A decoder-only transformer on one sequence, forward and backward: RMSNorm, rotary positions, attention, SwiGLU
// (Llama 2's architecture; weights as in llama2.c). It runs on the calling thread; its activations stay to be looked
// at.
#pragma once

#include "attention.hpp"
#include "layers.hpp"

namespace twins {

/// What a block computed of a sequence, kept for the way back. Rows are tokens; heads lie side by side.
template <class T>
struct block_activations {
    matrix<T> input, normed_input, q, k, v, attended, middle, normed_middle, gate, up, hidden;
    column<T> input_scale, middle_scale;  // RMSNorm's r
    std::vector<T> shift, mass;           // of attention's rows
    std::vector<heed::row_threshold<T>> thresholds;
    matrix<T> slope_out;  // both where the normalizer has thresholds
};

template <class T>
class transformer {
public:
    transformer(const config& c, const attention<T>& attend)
        : c_(c), attend_(attend), rope_(c.context, c.head_dim()), blocks_(static_cast<std::size_t>(c.layers))
    {}

    /// Next-token logits of up to `context` tokens.
    const matrix<T>& forward(const tensors<const T>& w, const int* tokens, int64 count)
    {
        resize(count);
        tokens_.assign(tokens, tokens + count);
        for (int64 i = 0; i < count; ++i) stream_.row(i) = w(tensor::embedding).row(tokens[i]);
        for (int64 l = 0; l < c_.layers; ++l) block_forward(w, l);
        rms_norm(stream_, w(tensor::final_norm), normed_, scale_);
        logits_.noalias() = normed_ * w.classifier().transpose();
        return logits_;
    }

    /// The sum over tokens of -ln p(target), after forward().
    double loss(const int* targets) const { return cross_entropy(logits_, targets); }

    /// Adds the gradient of `factor` times the loss. Once after each forward(): the logits are used up.
    void backward(const tensors<const T>& w, const int* targets, T factor, const tensors<T>& g)
    {
        cross_entropy_backward(logits_, targets, factor);
        g.classifier().noalias() += logits_.transpose() * normed_;
        d_normed_.noalias() = logits_ * w.classifier();
        d_stream_.setZero();
        rms_norm_backward(stream_, w(tensor::final_norm), scale_, d_normed_, d_stream_, g(tensor::final_norm));
        for (int64 l = c_.layers; l-- > 0;) block_backward(w, l, g);
        for (std::size_t i = 0; i < tokens_.size(); ++i)
            g(tensor::embedding).row(tokens_[i]) += d_stream_.row(static_cast<Eigen::Index>(i));
    }

    const config& shape() const { return c_; }
    const std::vector<block_activations<T>>& blocks() const { return blocks_; }

    /// The residual stream after a block, [tokens, dim].
    const matrix<T>& stream_after(int64 layer) const
    {
        return layer + 1 < c_.layers ? blocks_[static_cast<std::size_t>(layer) + 1].input : stream_;
    }

    /// A block's attention: inputs, output, statistics.
    attention_tensors<T> attention_of_block(int64 layer)
    {
        block_activations<T>& b = blocks_[static_cast<std::size_t>(layer)];
        const int64 n = b.q.rows();
        const heed::extents rows{1, c_.heads, n, c_.head_dim()}, keys{1, c_.kv_heads, n, c_.head_dim()};
        return {heed::bshd<const T>(b.q.data(), rows),    heed::bshd<const T>(b.k.data(), keys),
                heed::bshd<const T>(b.v.data(), keys),    heed::bshd(b.attended.data(), rows),
                {b.shift.data(), b.mass.data(), nullptr}, b.thresholds.data(),
                heed::bshd(b.slope_out.data(), rows)};
    }

    /// The numbers that a block's heads learn, or null.
    static const T* learned(const tensors<const T>& w, int64 layer)
    {
        return w.at().of(tensor::of_heads).layers ? w(tensor::of_heads, layer).data() : nullptr;
    }

private:
    void block_forward(const tensors<const T>& w, int64 l)
    {
        block_activations<T>& b = blocks_[static_cast<std::size_t>(l)];
        b.input.swap(stream_);
        rms_norm(b.input, w(tensor::attention_norm, l), b.normed_input, b.input_scale);
        b.q.noalias() = b.normed_input * w(tensor::wq, l).transpose();
        b.k.noalias() = b.normed_input * w(tensor::wk, l).transpose();
        b.v.noalias() = b.normed_input * w(tensor::wv, l).transpose();
        rope_.rotate(b.q);
        rope_.rotate(b.k);
        attend_.forward(attention_of_block(l), learned(w, l));
        b.middle = b.input;
        b.middle.noalias() += b.attended * w(tensor::wo, l).transpose();
        rms_norm(b.middle, w(tensor::ffn_norm, l), b.normed_middle, b.middle_scale);
        b.gate.noalias() = b.normed_middle * w(tensor::w1, l).transpose();
        b.up.noalias() = b.normed_middle * w(tensor::w3, l).transpose();
        swiglu(b.gate, b.up, b.hidden);
        stream_ = b.middle;
        stream_.noalias() += b.hidden * w(tensor::w2, l).transpose();
    }

    /// From the gradient of the residual stream after the block to that before it, both in d_stream_.
    void block_backward(const tensors<const T>& w, int64 l, const tensors<T>& g)
    {
        block_activations<T>& b = blocks_[static_cast<std::size_t>(l)];
        g(tensor::w2, l).noalias() += d_stream_.transpose() * b.hidden;
        d_hidden_.noalias() = d_stream_ * w(tensor::w2, l);
        swiglu_backward(b.gate, b.up, d_hidden_, d_gate_);
        g(tensor::w1, l).noalias() += d_gate_.transpose() * b.normed_middle;
        g(tensor::w3, l).noalias() += d_hidden_.transpose() * b.normed_middle;
        d_normed_.noalias() = d_gate_ * w(tensor::w1, l);
        d_normed_.noalias() += d_hidden_ * w(tensor::w3, l);
        rms_norm_backward(b.middle, w(tensor::ffn_norm, l), b.middle_scale, d_normed_, d_stream_,
                          g(tensor::ffn_norm, l));

        g(tensor::wo, l).noalias() += d_stream_.transpose() * b.attended;
        d_attended_.noalias() = d_stream_ * w(tensor::wo, l);
        attention_backward(w, l, g);
        rope_.rotate_back(d_q_);
        rope_.rotate_back(d_k_);
        g(tensor::wq, l).noalias() += d_q_.transpose() * b.normed_input;
        g(tensor::wk, l).noalias() += d_k_.transpose() * b.normed_input;
        g(tensor::wv, l).noalias() += d_v_.transpose() * b.normed_input;
        d_normed_.noalias() = d_q_ * w(tensor::wq, l);
        d_normed_.noalias() += d_k_ * w(tensor::wk, l);
        d_normed_.noalias() += d_v_ * w(tensor::wv, l);
        rms_norm_backward(b.input, w(tensor::attention_norm, l), b.input_scale, d_normed_, d_stream_,
                          g(tensor::attention_norm, l));
    }

    void attention_backward(const tensors<const T>& w, int64 l, const tensors<T>& g)
    {
        const attention_tensors<T> t = attention_of_block(l);
        std::vector<T> d_learned(learned(w, l) ? static_cast<std::size_t>(c_.heads) : 0);
        heed::gradients<T> grads;
        grads.dq = heed::bshd(d_q_.data(), t.q.size);
        grads.dk = heed::bshd(d_k_.data(), t.k.size);
        grads.dv = heed::bshd(d_v_.data(), t.v.size);
        attend_.backward(t, learned(w, l), heed::bshd<const T>(d_attended_.data(), t.out.size), grads,
                         d_learned.empty() ? nullptr : d_learned.data());
        for (std::size_t h = 0; h < d_learned.size(); ++h)
            g(tensor::of_heads, l)(0, static_cast<Eigen::Index>(h)) += d_learned[h];
    }

    void resize(int64 n)
    {
        if (stream_.rows() == n) return;
        const auto rows = [n](int64 columns, auto&... m) { (m.resize(n, columns), ...); };
        for (block_activations<T>& b : blocks_) {
            rows(c_.dim, b.input, b.normed_input, b.q, b.attended, b.middle, b.normed_middle);
            rows(c_.kv_dim(), b.k, b.v);
            rows(c_.hidden, b.gate, b.up, b.hidden);
            b.input_scale.resize(n);
            b.middle_scale.resize(n);
            b.shift.resize(static_cast<std::size_t>(n * c_.heads));
            b.mass.resize(b.shift.size());
            if (!attend_.has_threshold()) continue;
            b.thresholds.resize(b.shift.size());
            b.slope_out.resize(n, c_.dim);
        }
        rows(c_.dim, stream_, normed_, d_stream_, d_normed_, d_attended_, d_q_);
        rows(c_.kv_dim(), d_k_, d_v_);
        rows(c_.hidden, d_gate_, d_hidden_);
        rows(c_.vocabulary, logits_);
        scale_.resize(n);
    }

    const config c_;
    const attention<T>& attend_;
    const rope<T> rope_;
    std::vector<block_activations<T>> blocks_;
    std::vector<int> tokens_;
    matrix<T> stream_, normed_, logits_;
    column<T> scale_;
    matrix<T> d_stream_, d_normed_, d_attended_, d_q_, d_k_, d_v_, d_gate_, d_hidden_;
};

}  // namespace twins
