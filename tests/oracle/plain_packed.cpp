// SPDX-License-Identifier: MIT
// Keys packed one sequence after the other, keys behind padding, and a ring whose first tokens stay, against formulas
// that share no code with heed.
#include "plain_caches.hpp"

namespace {

using namespace oracle;

const std::vector<int64> row_counts{1, 6, 40};

TEST_CASE("a ring with pinned tokens attends those and the last, each at its own position", "[oracle][plain]")
{
    const auto judge_ring = [](int64 pinned, int64 capacity, const std::vector<int64>& lengths) {
        const tokens of(lengths);
        const auto n = static_cast<int64>(lengths.size());
        test::tensor<float> k({n, of.kv_heads, capacity, of.key_dim}, NAN);
        test::tensor<float> v({n, of.kv_heads, capacity, of.value_dim}, NAN);
        for (int64 b = 0; b < n; ++b)
            for (int64 t = 0, slot = 0; t < of.length(b); ++t, ++slot) {
                if (slot == capacity) slot = pinned;
                of.write(b, t, k.view(), v.view(), b, slot);
            }
        plain::problem p = of.formula();
        p.holds = [&of, pinned, capacity](int64 b, int64 t) {
            return t < of.length(b) && (t < pinned || t >= of.length(b) - (capacity - pinned));
        };
        for (const int64 rows : row_counts)
            judge_all_masks(of, rows, heed::pinned_ring_kv{k.in(), v.in(), of.lengths(), pinned}, p);
    };
    judge_ring(4, 52, {19, 52, 53, 747, 1});
    judge_ring(530, 600, {1700, 549});
}

TEST_CASE("packed keys and keys behind padding are those of their sequences", "[oracle][plain]")
{
    const tokens of({67, 51, 531, 64});
    const std::vector<int64> cu{3, 70, 130, 661, 730}, used{67, 51, 531, 64}, starts{9, 0, 2, 500},
        ends{76, 51, 533, 564};
    test::tensor<float> k({1, of.kv_heads, 740, of.key_dim}, NAN), v({1, of.kv_heads, 740, of.value_dim}, NAN);
    test::tensor<float> padded_k({4, of.kv_heads, 570, of.key_dim}, NAN),
        padded_v({4, of.kv_heads, 570, of.value_dim}, NAN);
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0; t < of.length(b); ++t) {
            of.write(b, t, k.view(), v.view(), 0, cu[static_cast<std::size_t>(b)] + t);
            of.write(b, t, padded_k.view(), padded_v.view(), b, starts[static_cast<std::size_t>(b)] + t);
        }
    const auto list = [](const std::vector<int64>& x) {
        return heed::index_view(x.data(), static_cast<int64>(x.size()));
    };
    for (const int64 rows : row_counts) {
        judge_all_masks(of, rows, heed::packed_kv{k.in(), v.in(), list(cu), list(used)}, of.formula());
        judge_all_masks(of, rows, heed::left_padded_kv{padded_k.in(), padded_v.in(), list(starts), list(ends)},
                        of.formula());
    }
}

}  // namespace
