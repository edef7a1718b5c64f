// SPDX-License-Identifier: MIT
// watched_attention with one normalizer: attend(), then observe() and attention_map() of the same rows.
#pragma once

#include "watched_attention.hpp"

#include <heed/observe.hpp>

#include <cmath>

namespace page {

template <class Normalizer>
class watched_attention_of final : public watched_attention {
public:
    watched_attention_of(const Normalizer& normalizer, double score_scale, const llama2c::config& model)
        : normalizer_(normalizer), c_(model), scale_(score_scale / std::sqrt(static_cast<double>(c_.head_dim()))),
          keys_(static_cast<std::size_t>(c_.layers), matrix(c_.context, c_.kv_dim())), values_(keys_),
          rows_(static_cast<std::size_t>(c_.layers * c_.heads), head_rows(c_.context))
    {}

    int64 sequences() const override { return 1; }
    int64 length(int64) const override { return length_; }
    void extend(const std::vector<int64>& tokens) override { length_ += tokens.at(0); }
    void release(int64) override { length_ = 0; }
    llama2c::cache_size size() const override
    {
        const auto bytes = static_cast<int64>(2 * sizeof(float)) * c_.layers * c_.context * c_.kv_dim();
        return {length_, c_.context, bytes, bytes};
    }
    const head_rows& rows(int64 layer, int64 head) const override { return rows_[index(layer, head)]; }

    void attend(int64 layer, matrix& q, matrix k, matrix v) override
    {
        const int64 n = q.rows();
        matrix& keys = keys_[static_cast<std::size_t>(layer)];
        matrix& values = values_[static_cast<std::size_t>(layer)];
        keys.middleRows(length_ - n, n) = k;
        values.middleRows(length_ - n, n) = v;

        matrix out(n, c_.dim);
        const call of{layer, heed::bshd<const float>(q.data(), {1, c_.heads, n, c_.head_dim()}),
                      heed::bshd<const float>(keys.data(), {1, c_.kv_heads, length_, c_.head_dim()}),
                      heed::bshd<const float>(values.data(), {1, c_.kv_heads, length_, c_.head_dim()}),
                      heed::bshd(out.data(), {1, c_.heads, n, c_.head_dim()})};
        if constexpr (requires { Normalizer::threshold; }) {
            std::vector<heed::row_threshold<float>> found(static_cast<std::size_t>(c_.heads * n));
            attend_and_watch(of, definition(heed::keep_thresholds{found}), definition(heed::known_thresholds{found}));
        } else {
            attend_and_watch(of, definition(), definition());
        }
        q = std::move(out);
    }

private:
    struct call {
        int64 layer;
        heed::view<const float> q, k, v;
        heed::view<float> out;
    };

    std::size_t index(int64 layer, int64 head) const { return static_cast<std::size_t>(layer * c_.heads + head); }

    template <class... Thresholds>
    auto definition(const Thresholds&... thresholds) const
    {
        return heed::attention{normalizer_, heed::causal{}, heed::scale{scale_}, thresholds...};
    }

    template <class Def, class Known>
    void attend_and_watch(const call& of, const Def& def, const Known& known)
    {
        const int64 n = of.q.size.tokens, first = length_ - n;
        const auto numbers = static_cast<std::size_t>(c_.heads * n);
        std::vector<float> shift(numbers), mass(numbers), entropy(numbers), first_token(numbers);
        std::vector<std::int64_t> zeros(numbers);
        const heed::row_statistics<float> stats{shift, mass};
        heed::or_throw(heed::attend(def, of.q, of.k, of.v, of.out, {.stats = stats}));
        heed::or_throw(
            heed::observe(known, of.q, of.k, stats, {.entropy = entropy, .first_token = first_token, .zeros = zeros}));

        std::vector<float> map(static_cast<std::size_t>(n * length_));
        for (int64 head = 0; head < c_.heads; ++head) {
            head_rows& to = rows_[index(of.layer, head)];
            heed::or_throw(heed::attention_map(known, of.q, of.k, stats, {0, head, 0, n}, map));
            for (int64 i = 0; i < n; ++i) {
                const auto row = static_cast<std::size_t>(first + i), from = static_cast<std::size_t>(head * n + i);
                to.first_token[row] = first_token[from];
                to.entropy[row] = entropy[from];
                to.zeros[row] = static_cast<float>(zeros[from]) / static_cast<float>(row + 1);
                std::copy_n(map.begin() + i * length_, length_,
                            to.weights.begin() + static_cast<std::ptrdiff_t>(row) * c_.context);
            }
        }
    }

    const Normalizer normalizer_;
    const llama2c::config c_;
    const double scale_;
    std::vector<matrix> keys_, values_;  // [layer]: [context][kv heads * channels]
    std::vector<head_rows> rows_;        // [layer][head]
    int64 length_ = 0;
};

}  // namespace page
