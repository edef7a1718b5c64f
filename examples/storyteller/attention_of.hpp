// SPDX-License-Identifier: MIT
// cached_attention with one normalizer, one kind of cache, one way to choose keys and one class of products.
//
// Each of these is a set of kernels, seconds of compiling. So every normalizer has contiguous caches of f32; softmax
// and softpick have all caches; softmax, softmax1 and those with sinks are one normalizer here, softmax with an extra
// mass e^z where z is -inf, 0 or learnt; and that one alone has chosen keys and products of anything but floats.
#pragma once

#include "chosen_keys.hpp"
#include "kv_cache.hpp"

#include <cmath>

namespace llama2c {

/// Normalizers of layers, one for all or one for each, and the numbers they point to.
template <class Normalizer>
struct of_layers {
    std::vector<Normalizer> normalizers;
    std::vector<std::vector<float>> logits = {};
};

/// What attention is made of.
template <class Normalizer>
struct parts {
    const config& c;
    of_layers<Normalizer> with;
    const attention_form& form;
    heed::executor_ref executor;
};

/// Products: heed::compute, or nothing for floats.
template <class Normalizer, class Cache, class Keys, class... Products>
class attention_of final : public cached_attention {
public:
    explicit attention_of(parts<Normalizer> of)
        : c_(of.c), with_(std::move(of.with)), executor_(of.executor), cache_(of.c, of.form),
          keys_(of.c, of.form, cache_.dim())
    {}

    int64 sequences() const override { return cache_.sequences(); }
    int64 length(int64 sequence) const override { return cache_.length(sequence); }

    void extend(const std::vector<int64>& tokens) override
    {
        cache_.extend(tokens);
        bounds_.assign(1, 0);
        for (const int64 n : tokens) bounds_.push_back(bounds_.back() + n);
    }

    void attend(int64 layer, matrix& q, matrix k, matrix v) override
    {
        const auto source = cache_.source(layer);
        const int64 rows = q.rows(), dim = cache_.dim();
        k = repeated(std::move(k));
        v = repeated(std::move(v));
        for (int64 b = 0; b < sequences(); ++b) {
            const int64 first = bounds_[static_cast<std::size_t>(b)],
                        n = bounds_[static_cast<std::size_t>(b) + 1] - first;
            if (n == 0) continue;
            const heed::extents e{1, c_.kv_heads, n, dim};
            heed::or_throw(heed::append(source, b, length(b) - n, heed::bshd<const float>(k.row(first).data(), e),
                                        heed::bshd<const float>(v.row(first).data(), e)));
        }
        q = widened(std::move(q));
        const auto out = heed::bshd(q.data(), {1, c_.heads, rows, dim});  // attention may overwrite its queries
        // The scale is that of the model's heads, which may be smaller than the cache's rows.
        const heed::attention def{
            with_.normalizers[with_.normalizers.size() == 1 ? 0 : static_cast<std::size_t>(layer)],
            keys_.mask(layer, source, out, bounds_, executor_),
            heed::scale{1 / std::sqrt(static_cast<double>(c_.head_dim()))}, Products{}...};
        if constexpr (decltype(def)::computes_in_bf16) {
            const std::vector<heed::bf16> rounded(q.data(), q.data() + q.size());
            const heed::packed<const heed::bf16> queries{heed::bshd(rounded.data(), out.size), bounds_};
            heed::or_throw(heed::attend(def, queries, source, out, {.executor = executor_}));
        } else {
            const heed::packed<const float> queries{out, bounds_};
            heed::or_throw(heed::attend(def, queries, source, out, {.executor = executor_}));
        }
        q = narrowed(std::move(q));
    }

    void release(int64 sequence) override { cache_.release(sequence); }
    cache_size size() const override { return cache_.size(); }

private:
    /// Rows of heads as long as the cache's, with zeros behind the model's channels; and back.
    matrix widened(matrix rows) const
    {
        if (cache_.dim() == c_.head_dim()) return rows;
        const int64 heads = rows.size() / c_.head_dim();
        matrix wide = matrix::Zero(rows.rows(), rows.cols() / c_.head_dim() * cache_.dim());
        Eigen::Map<matrix>(wide.data(), heads, cache_.dim()).leftCols(c_.head_dim()) =
            weights(rows.data(), heads, c_.head_dim());
        return wide;
    }
    matrix narrowed(matrix rows) const
    {
        if (cache_.dim() == c_.head_dim()) return rows;
        const int64 heads = rows.size() / cache_.dim();
        matrix narrow(rows.rows(), c_.dim);
        Eigen::Map<matrix>(narrow.data(), heads, c_.head_dim()) =
            weights(rows.data(), heads, cache_.dim()).leftCols(c_.head_dim());
        return narrow;
    }

    /// The same with the model's channels again and again behind them.
    matrix repeated(matrix rows) const
    {
        matrix wide = widened(std::move(rows));
        const int64 own = c_.head_dim(), dim = cache_.dim();
        Eigen::Map<matrix> heads(wide.data(), wide.size() / dim, dim);
        for (int64 c = own; c < dim; ++c) heads.col(c) = heads.col(c - own);
        return wide;
    }

    const config c_;
    const of_layers<Normalizer> with_;
    heed::executor_ref executor_;
    Cache cache_;
    Keys keys_;
    std::vector<int64> bounds_;  // of the rows of the tokens that are being added
};

// Compiled in files of their own, which include attention_over.hpp.

/// Over pages of E.
template <class E, class Normalizer>
std::unique_ptr<cached_attention> attention_over_pages(parts<Normalizer> of);

/// The same, to keys that are chosen.
template <class E>
std::unique_ptr<cached_attention> attention_to_chosen(parts<heed::softmax_sink> of);

/// The same, to all keys, with products of other numbers than floats.
template <class E, class Products>
std::unique_ptr<cached_attention> attention_by(parts<heed::softmax_sink> of);

}  // namespace llama2c
