// SPDX-License-Identifier: MIT
// cached_attention with one normalizer and one kind of cache, and the choice of the latter.
//
// A pair of them is a set of kernels, seconds of compiling each. So every normalizer has contiguous caches of f32,
// softmax and softpick have all; and softmax, softmax1 and those with sinks are one normalizer here, softmax with an
// extra mass e^z where z is -inf, 0 or learnt.
#pragma once

#include "kv_cache.hpp"

#include <cmath>

namespace llama2c {

/// Normalizers of layers, one for all or one for each, and the numbers they point to.
template <class Normalizer>
struct of_layers {
    std::vector<Normalizer> normalizers;
    std::vector<std::vector<float>> logits = {};
};

template <class Normalizer, class Cache>
class attention_of final : public cached_attention {
public:
    attention_of(const config& c, of_layers<Normalizer> with, const cache_form& form, heed::executor_ref executor)
        : c_(c), with_(std::move(with)), executor_(executor), cache_(c, form)
    {
        // The scale is that of the model's heads, which may be smaller than the cache's rows.
        for (const Normalizer& n : with_.normalizers)
            definitions_.emplace_back(n, heed::causal{}, heed::scale{1 / std::sqrt(static_cast<double>(c.head_dim()))});
    }

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
        k = widened(std::move(k));
        v = widened(std::move(v));
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
        const heed::packed<const float> queries{out, {bounds_.data(), static_cast<int64>(bounds_.size())}};
        const auto& def = definitions_[definitions_.size() == 1 ? 0 : static_cast<std::size_t>(layer)];
        heed::or_throw(heed::attend(def, queries, source, out, {.executor = executor_}));
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

    using definition = heed::attention<Normalizer, heed::causal, heed::scale>;

    const config c_;
    const of_layers<Normalizer> with_;
    heed::executor_ref executor_;
    std::vector<definition> definitions_;
    Cache cache_;
    std::vector<int64> bounds_;  // of the rows of the tokens that are being added
};

template <class Cache, class Normalizer>
std::unique_ptr<cached_attention> attention_over(const config& c, of_layers<Normalizer> with, const cache_form& form,
                                                 heed::executor_ref executor)
{
    return std::make_unique<attention_of<Normalizer, Cache>>(c, std::move(with), form, executor);
}

/// Over pages, of any element.
template <class Normalizer>
std::unique_ptr<cached_attention> attention_over_pages(const config& c, of_layers<Normalizer> with,
                                                       const cache_form& form, heed::executor_ref executor)
{
    switch (form.as) {
    case element::f32: return attention_over<paged_cache<float>>(c, std::move(with), form, executor);
    case element::bf16: return attention_over<paged_cache<heed::bf16>>(c, std::move(with), form, executor);
    case element::f16: return attention_over<paged_cache<heed::f16>>(c, std::move(with), form, executor);
    case element::int8: return attention_over<paged_cache<std::int8_t>>(c, std::move(with), form, executor);
    case element::fp8: return attention_over<paged_cache<heed::fp8_e4m3>>(c, std::move(with), form, executor);
    case element::q8_0: return attention_over<paged_cache<heed::q8_0>>(c, std::move(with), form, executor);
    case element::q4_0: break;
    }
    return attention_over<paged_cache<heed::q4_0>>(c, std::move(with), form, executor);
}

// Compiled in files of their own.
extern template std::unique_ptr<cached_attention> attention_over_pages(const config&, of_layers<heed::softmax_sink>,
                                                                       const cache_form&, heed::executor_ref);
extern template std::unique_ptr<cached_attention> attention_over_pages(const config&, of_layers<heed::softpick>,
                                                                       const cache_form&, heed::executor_ref);

}  // namespace llama2c
