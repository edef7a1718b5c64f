// SPDX-License-Identifier: MIT
// dbias of fewer numbers than there are scores: each is the sum of what a dbias of all scores holds, taken in one order
// that neither threads nor blocks of rows change.
#include "gradients.hpp"
#include "oracle/some_policies.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

using namespace test;
using oracle::some_mask;

namespace {

/// The seven ways to sum along B, Hq and Sq.
template <class F>
void for_each_sum(const heed::extents& scores, F f)
{
    for (int along = 1; along < 8; ++along)
        f(heed::extents{along & 1 ? 1 : scores.batch, along & 2 ? 1 : scores.heads, along & 4 ? 1 : scores.tokens,
                        scores.dim});
}

/// Sequences, then kv heads, then query rows, then the heads of a group; one addition after the other.
tensor<float> summed(const tensor<float>& each, int64 kv_heads, const heed::extents& to)
{
    tensor<float> sums(to, 0.f);
    const int64 group = each.size.heads / kv_heads;
    for (int64 b = 0; b < each.size.batch; ++b)
        for (int64 kv = 0; kv < kv_heads; ++kv)
            for (int64 i = 0; i < each.size.tokens; ++i)
                for (int64 h = kv * group; h < (kv + 1) * group; ++h)
                    for (int64 j = 0; j < to.dim; ++j)
                        sums.view().row(to.batch == 1 ? 0 : b, to.heads == 1 ? 0 : h, to.tokens == 1 ? 0 : i)[j] +=
                            each.in().row(b, h, i)[j];
    return sums;
}

template <class Def>
owned_gradients<float> gradients_of(const Def& def, const gradient_problem<float>& p, const forward_pass<float>& f,
                                    const heed::extents& bias, const heed::options<float>& how = {})
{
    auto g = p.room_for<float>(def);
    g.dbias = tensor<float>(bias, -7.f);
    heed::or_throw(heed::backward(def, p.q.in(), p.k.in(), p.v.in(), f.out.in(), f.stats(), p.dout.in(), g.all(), how));
    return g;
}

template <class Normalizer>
auto definition(const Normalizer& normalizer, const tensor<float>& added, int64 position_0)
{
    return heed::attention{normalizer, some_mask(heed::causal{}), heed::bias{added.in()},
                           heed::query_offset{position_0}, heed::scale{0.25}};
}

}  // namespace

TEST_CASE("a summed dbias has the bits of the sum of all scores' gradients, in any number of threads")
{
    // Several blocks of rows and tiles of keys, of which some rows attend nothing; then many heads of few rows.
    for (const auto& [batch, heads, kv_heads, queries, keys] :
         std::vector<std::array<int64, 5>>{{2, 4, 2, 130, 500}, {3, 6, 3, 5, 40}, {1, 1, 1, 110, 390}}) {
        CAPTURE(batch, heads, kv_heads, queries, keys);
        const gradient_problem<float> p(problem<float>(batch, heads, kv_heads, queries, keys, 24, 16));
        const heed::extents scores{batch, heads, queries, keys};
        const tensor<float> added = normal<float>({1, 1, 1, keys}, 9);
        for_each_normalizer(heads, [&, kv = kv_heads, last = keys - queries](const char* name, const auto& normalizer) {
            const auto def = definition(normalizer, added, last - 3);
            const auto f = p.forward(def);
            const auto each = p.backward(def, f);
            for_each_sum(scores, [&](const heed::extents& bias) {
                INFO(name << ": " << bias.batch << ", " << bias.heads << ", " << bias.tokens);
                auto expected = each;
                expected.dbias = summed(each.dbias, kv, bias);
                REQUIRE(gradients_of(def, p, f, bias) == expected);
                for (const int threads : {2, 3, 8}) {
                    heed::thread_pool pool(threads);
                    REQUIRE(gradients_of(def, p, f, bias, {.executor = pool}) == expected);
                }
            });
        });
    }
}

TEST_CASE("a summed dbias of nothing is 0")
{
    const heed::extents sizes[] = {{0, 2, 3, 20}, {2, 0, 3, 20}, {2, 2, 0, 20}, {2, 2, 3, 0}};
    for (const auto& [batch, heads, queries, keys] : sizes) {
        CAPTURE(batch, heads, queries, keys);
        const gradient_problem<float> p(problem<float>(batch, heads, 2, queries, keys, 8, 8));
        const tensor<float> added = normal<float>({1, 1, 1, keys}, 9);
        const auto def = definition(heed::softmax{}, added, 0);
        const auto f = p.forward(def);
        for_each_sum({batch, heads, queries, keys}, [&](const heed::extents& bias) {
            const auto g = gradients_of(def, p, f, bias);
            for (const float x : g.dbias.data) REQUIRE(x == 0);
        });
    }
}

TEST_CASE("a host's own loop over the tasks of a plan for a summed dbias has the bits of backward")
{
    const gradient_problem<float> p(problem<float>(2, 4, 2, 120, 600, 32, 40));
    const tensor<float> added = normal<float>({1, 4, 1, 600}, 9);
    const auto def = definition(heed::softpick{1e-2}, added, 480);
    const auto f = p.forward(def);
    const heed::extents bias{1, 4, 1, 600};
    const auto expected = gradients_of(def, p, f, bias);
    heed::thread_pool pool(3);
    auto g = p.room_for<float>(def);
    g.dbias = tensor<float>(bias, -7.f);
    const heed::gradients<float> to = g.all();
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();
    const heed::backward_plan plan(def, q, k, v, {.executor = pool}, to);
    REQUIRE(plan.status());
    std::vector<std::byte> scratch(plan.workspace_bytes());
    const heed::options<float> how{.executor = pool, .workspace = {scratch.data(), scratch.size()}};
    REQUIRE(plan.check_run(q, k, v, f.out.in(), f.stats(), p.dout.in(), to, how));
    for (int stage = 0; stage < plan.stages(); ++stage)
        for (int64 task = plan.tasks(stage); task-- > 0;)
            plan.run_task({stage, task, static_cast<int>(task % 3)}, q, k, v, f.out.in(), f.stats(), p.dout.in(), to,
                          how);
    REQUIRE(g == expected);
    const heed::backward_plan other(def, q, k, v, {.executor = pool});  // which was not told of the sums
    REQUIRE(!other.check_run(q, k, v, f.out.in(), f.stats(), p.dout.in(), to, how));
}
