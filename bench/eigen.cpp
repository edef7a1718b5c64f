// SPDX-License-Identifier: MIT
// The textbook: S = Q K^T, softmax of its rows, O = P V, head by head, with Eigen; in decode the heads of a group at
// once. Masked scores are computed, and their weights are 0.
#include "contestants.hpp"
#include "inputs.hpp"

#include <Eigen/Core>

#include <cmath>
#include <cstdio>

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
    // In decode the rows of a group are one matrix; else a head is one.
    const std::int64_t rows_of_one = (c.phase == "decode" ? c.group() : 1) * c.queries,
                       of_a_kv_head = c.group() * c.queries / rows_of_one;
    const auto scores = std::make_shared<matrix>(rows_of_one, c.keys);
    const auto run = [=] {
        const float scale = 1 / std::sqrt(static_cast<float>(c.key_dim));
        for (std::int64_t x = 0; x < c.batch * c.kv_heads * of_a_kv_head; ++x) {
            const std::int64_t row = x * rows_of_one, head = x / of_a_kv_head;
            const Eigen::Map<const matrix> q(in->q.get() + row * c.key_dim, rows_of_one, c.key_dim);
            using rows = Eigen::Map<const matrix, 0, Eigen::OuterStride<>>;
            const rows k(in->k(head), c.keys, c.key_dim, Eigen::OuterStride<>(in->k_step.token)),
                v(in->v(head), c.keys, c.value_dim, Eigen::OuterStride<>(in->v_step.token));
            Eigen::Map<matrix> out(result->data() + row * c.value_dim, rows_of_one, c.value_dim);
            matrix& s = *scores;
            s.noalias() = (scale * q) * k.transpose();
            for (std::int64_t i = 0; i < rows_of_one; ++i) {
                const span keys = c.attended(i % c.queries);
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

library eigen_library()
{
    constexpr int bits = 32 * Eigen::internal::packet_traits<float>::size;
    char version[32];
    std::snprintf(version, sizeof(version), "%d.%d.%d", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION);
    return {"Eigen", version, Eigen::SimdInstructionSetsInUse(), bits, "one thread"};
}

}  // namespace bench
