// SPDX-License-Identifier: MIT
// A Llama-style model on several sequences at once, with heed's attention and Eigen's matrix products.
#pragma once

#include "attention.hpp"

#include <cmath>

namespace llama2c {

class transformer {
public:
    /// Both are used for as long as this lives. The sequences are those of the attention.
    transformer(const checkpoint& model, cached_attention& attention) : m_(model), c_(model.c), attention_(attention) {}

    /// Appends tokens to each sequence, any number of them, in one attention call a layer. Logits [tokens, vocabulary],
    /// one sequence behind the other. What attention makes of a sequence does not depend on the others; matrix products
    /// of Eigen's may differ in their last bits with the number of rows.
    matrix forward(const std::vector<std::vector<int>>& tokens)
    {
        std::vector<int> ids;
        std::vector<int64> positions, counts;
        for (std::size_t b = 0; b < tokens.size(); ++b) {
            const int64 from = attention_.length(static_cast<int64>(b)), n = static_cast<int64>(tokens[b].size());
            if (from + n > c_.context)
                throw input_error(std::to_string(from + n) + " tokens do not fit the model's context of " +
                                  std::to_string(c_.context));
            counts.push_back(n);
            ids.insert(ids.end(), tokens[b].begin(), tokens[b].end());
            for (int64 i = 0; i < n; ++i) positions.push_back(from + i);
        }
        attention_.extend(counts);
        matrix x(static_cast<Eigen::Index>(ids.size()), c_.dim);
        for (Eigen::Index i = 0; i < x.rows(); ++i)
            x.row(i) = weights(m_.embedding, c_.vocabulary, c_.dim).row(ids[static_cast<std::size_t>(i)]);

        for (int64 layer = 0; layer < c_.layers; ++layer) {
            const auto of = [layer](const float* p, int64 rows, int64 columns) {
                return weights(p + layer * rows * columns, rows, columns);
            };
            const matrix a = normalised(x, m_.attention_norm + layer * c_.dim);
            matrix q = a * of(m_.wq, c_.dim, c_.dim).transpose(), k = a * of(m_.wk, c_.kv_dim(), c_.dim).transpose(),
                   v = a * of(m_.wv, c_.kv_dim(), c_.dim).transpose();
            rotate(q, positions);
            rotate(k, positions);
            attention_.attend(layer, q, std::move(k), std::move(v));
            x.noalias() += q * of(m_.wo, c_.dim, c_.dim).transpose();

            const matrix f = normalised(x, m_.ffn_norm + layer * c_.dim);
            const matrix gate = f * of(m_.w1, c_.hidden, c_.dim).transpose(),
                         up = f * of(m_.w3, c_.hidden, c_.dim).transpose();
            const matrix h = (gate.array() / (1 + (-gate.array()).exp()) * up.array()).matrix();
            x.noalias() += h * of(m_.w2, c_.dim, c_.hidden).transpose();
        }
        return normalised(x, m_.final_norm) * weights(m_.classifier, c_.vocabulary, c_.dim).transpose();
    }

private:
    /// RMSNorm, eps 1e-5.
    matrix normalised(const matrix& x, const float* weight) const
    {
        const Eigen::Map<const Eigen::RowVectorXf> w(weight, c_.dim);
        matrix y(x.rows(), x.cols());
        for (Eigen::Index i = 0; i < x.rows(); ++i)
            y.row(i) =
                x.row(i).cwiseProduct(w) / std::sqrt(x.row(i).squaredNorm() / static_cast<float>(c_.dim) + 1e-5f);
        return y;
    }

    /// RoPE on neighbouring pairs, base 10000, of rows at these positions.
    void rotate(matrix& rows, const std::vector<int64>& positions) const
    {
        for (Eigen::Index i = 0; i < rows.rows(); ++i)
            for (Eigen::Index x = 0; x < rows.cols(); x += 2) {
                const float frequency =
                    1 / std::pow(10000.0f, static_cast<float>(x % c_.head_dim()) / static_cast<float>(c_.head_dim()));
                const float angle = static_cast<float>(positions[static_cast<std::size_t>(i)]) * frequency,
                            cos = std::cos(angle), sin = std::sin(angle);
                float* p = &rows(i, x);
                const float a = p[0], b = p[1];
                p[0] = a * cos - b * sin;
                p[1] = a * sin + b * cos;
            }
    }

    const checkpoint& m_;
    const config c_;
    cached_attention& attention_;
};

/// e to the mean surprise at ids[1], ids[2], ..., where row i of the logits is what the model says of ids[i + 1].
inline double perplexity(const matrix& logits, const std::vector<int>& ids)
{
    double surprise = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
        const Eigen::RowVectorXd row = logits.row(static_cast<Eigen::Index>(i)).cast<double>();
        const double highest = row.maxCoeff();
        surprise += highest + std::log((row.array() - highest).exp().sum()) - row[ids[i + 1]];
    }
    return std::exp(surprise / static_cast<double>(ids.size() - 1));
}

}  // namespace llama2c
