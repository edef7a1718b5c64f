// SPDX-License-Identifier: MIT
// The textbook: S = Q K^T, softmax of its rows, O = P V, head by head, with Eigen. Masked scores are computed, and
// their weights are 0.
#include "contestants.hpp"
#include "inputs.hpp"

#include <Eigen/Core>

#include <cmath>

namespace bench {

std::string eigen_refusal(const bench_case& c)
{
    if (c.normalizer != "softmax") return "eigen has softmax only";
    if (c.element != "f32") return "eigen has f32 only";
    if (c.threads != 1) return "eigen runs on one thread";
    return "";
}

contestant make_eigen(const bench_case& c)
{
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto in = inputs_of<float>(c);
    const auto result = std::make_shared<std::vector<float>>(c.batch * c.query_heads * c.queries * c.value_dim);
    const auto scores = std::make_shared<matrix>(c.queries, c.keys);
    const auto run = [=] {
        const float scale = 1 / std::sqrt(static_cast<float>(c.key_dim));
        for (std::int64_t h = 0; h < c.batch * c.query_heads; ++h) {
            const std::int64_t row = h * c.queries, key = h / c.group() * c.keys;
            const Eigen::Map<const matrix> q(in->q.get() + row * c.key_dim, c.queries, c.key_dim),
                k(in->k.get() + key * c.key_dim, c.keys, c.key_dim),
                v(in->v.get() + key * c.value_dim, c.keys, c.value_dim);
            Eigen::Map<matrix> out(result->data() + row * c.value_dim, c.queries, c.value_dim);
            matrix& s = *scores;
            s.noalias() = (scale * q) * k.transpose();
            for (std::int64_t i = 0; i < c.queries; ++i) {
                const span keys = c.attended(i);
                s.row(i).head(keys.begin).setZero();
                s.row(i).tail(c.keys - keys.end).setZero();
                if (keys.begin == keys.end) continue;
                auto seen = s.row(i).segment(keys.begin, keys.end - keys.begin).array();
                seen = (seen - seen.maxCoeff()).exp();
                seen *= 1 / seen.sum();
            }
            out.noalias() = s * v;
        }
    };
    return {run, [=] { return *result; }, "Eigen: GEMM, softmax, GEMM"};
}

}  // namespace bench
