// SPDX-License-Identifier: MIT
// The textbook: S = Q K^T, softmax of its rows, O = P V, head by head, with Eigen.
#include "contestants.hpp"
#include "inputs.hpp"

#include <Eigen/Core>

namespace bench {

contestant make_eigen(const bench_case& c)
{
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    auto in = std::make_shared<inputs<float>>(c);
    auto scores = std::make_shared<matrix>(c.queries, c.keys);
    const auto run = [=] {
        const float scale = 1 / std::sqrt(static_cast<float>(c.dim));
        for (std::int64_t b = 0; b < c.batch; ++b)
            for (std::int64_t h = 0; h < c.query_heads; ++h) {
                const std::int64_t row = (b * c.query_heads + h) * c.queries * c.dim;
                const std::int64_t kv = (b * c.kv_heads + h / (c.query_heads / c.kv_heads)) * c.keys * c.dim;
                const Eigen::Map<const matrix> q(in->q.get() + row, c.queries, c.dim),
                    k(in->k.get() + kv, c.keys, c.dim), v(in->v.get() + kv, c.keys, c.dim);
                Eigen::Map<matrix> out(in->out.get() + row, c.queries, c.dim);
                matrix& s = *scores;
                s.noalias() = (scale * q) * k.transpose();
                for (std::int64_t i = 0; i < c.queries; ++i) {
                    const std::int64_t n =
                        c.mask == "causal" ? std::clamp<std::int64_t>(i + c.keys - c.queries + 1, 0, c.keys) : c.keys;
                    s.row(i).tail(c.keys - n).setZero();
                    if (n == 0) continue;
                    auto seen = s.row(i).head(n).array();
                    seen = (seen - seen.maxCoeff()).exp();
                    seen *= 1 / seen.sum();
                }
                out.noalias() = s * v;
            }
    };
    return {run, "Eigen: GEMM, softmax, GEMM"};
}

}  // namespace bench
