// SPDX-License-Identifier: MIT
// run(), run_partial() and run_task() of a plan allocate nothing, whatever they compute and whoever runs the tasks.
#include "allocations.hpp"
#include "gradients.hpp"
#include "quantised.hpp"

#include <heed/append.hpp>
#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>
#include <heed/threshold_state.hpp>

#include <catch2/catch.hpp>

using namespace test;

TEST_CASE("the counter counts")
{
    REQUIRE(allocations_of([] {
                const volatile char* volatile p = new char[100];  // volatile, or clang leaves both out
                delete[] p;
            }) >= 1);
#if HEED_COUNTS_MALLOC
    const problem<float> p(1, 1, 1, 3, 9, 8, 8);
    tensor<float> out(p.out_size());
    REQUIRE(allocations_of([&] { heed::or_throw(heed::attend(p.q.in(), p.k.in(), p.v.in(), out.view())); }) ==
            1);  // its workspace
#endif
}

TEST_CASE("run and run_task allocate nothing")
{
    heed::thread_pool pool(2);
    const problem<float> prefill(1, 4, 2, 130, 700, 40, 33), decode(2, 4, 4, 1, 900, 64, 64),
        split(1, 4, 1, 1, 5000, 64, 64);
    const int64 lengths[] = {500, 600};
    for (const problem<float>* p : {&prefill, &decode, &split})
        for (const bool threads : {false, true})
            for_each_normalizer(4, [&](const char* name, auto normalizer) {
                CAPTURE(name, threads);
                const heed::attention def{normalizer, heed::softcap{20},
                                          heed::causal{} &
                                              (heed::window{800, 0} | heed::key_lengths{lengths, p->q.size.batch})};
                heed::options<float> how;
                if (threads) how.executor = pool;
                const auto q = p->q.in(), k = p->k.in(), v = p->v.in();
                const heed::plan plan(def, q, k, v, how);
                heed::or_throw(plan.status());
                std::vector<unsigned char> scratch(plan.workspace_bytes());
                how.workspace = {scratch.data(), scratch.size()};
                const auto rows = static_cast<std::size_t>(p->q.size.batch * p->q.size.heads * p->q.size.tokens);
                std::vector<float> shift(rows), mass(rows), lse(rows);
                how.stats = {shift.data(), mass.data(), lse.data()};
                tensor<float> out(p->out_size());
                const auto to = out.view();
                static_assert(noexcept(plan.run(q, k, v, to, how)));
                heed::status s;
                REQUIRE(allocations_of([&] { s = plan.run(q, k, v, to, how); }) == 0);
                REQUIRE(s);
                const std::vector<float> expected = out.data;
                std::fill(out.data.begin(), out.data.end(), 0.f);
                REQUIRE(allocations_of([&] {
                            for (int stage = 0; stage < plan.stages(); ++stage)
                                for (int64 task = 0; task < plan.tasks(stage); ++task)
                                    plan.run_task({stage, task, 0}, q, k, v, to, how);
                        }) == 0);
                REQUIRE(same_bits(out.data, expected));
                REQUIRE(allocations_of([&] { s = heed::attend(def, q, k, v, to, how); }) == 0);
                REQUIRE(s);
            });
}

TEST_CASE("run_partial allocates nothing, and is attend_partial")
{
    heed::thread_pool pool(2);
    const problem<float> p(1, 4, 2, 3, 1500, 40, 33);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    for (const bool threads : {false, true}) {
        heed::options<float> how;
        if (threads) how.executor = pool;
        const heed::key_part part{1024, 1700};
        const auto q = p.q.in(), k = tokens(p.k.in(), 0, 600), v = tokens(p.v.in(), 0, 600);
        const heed::dense_kv kv{k, v};
        const heed::plan plan(def, q, kv, how);
        heed::or_throw(plan.status());
        std::vector<unsigned char> scratch(plan.workspace_bytes());
        owned_state<float> state(def, p.out_size()), expected(def, p.out_size());
        heed::or_throw(heed::attend_partial(def, q, kv, expected.state(), part, how));
        how.workspace = {scratch.data(), scratch.size()};
        const heed::state<float> to = state.state();
        static_assert(noexcept(plan.run_partial(q, kv, to, part, how)));
        heed::status s;
        REQUIRE(allocations_of([&] { s = plan.run_partial(q, kv, to, part, how); }) == 0);
        REQUIRE(s);
        REQUIRE(same_bits(state.out, expected.out));
        REQUIRE(same_bits(state.mass, expected.mass));
        // refused, with nothing written: a part behind the end, and a state of another size
        CHECK_FALSE(plan.run_partial(q, kv, to, {1024, 1500}, how));
        heed::state<float> other = to;
        other.size.dim = 32;
        CHECK_FALSE(plan.run_partial(q, kv, other, part, how));
        REQUIRE(same_bits(state.out, expected.out));
    }
}

TEST_CASE("run_threshold_partial allocates nothing, and is threshold_partial")
{
    const problem<float> p(1, 4, 2, 3, 600, 40, 33);
    const heed::entmax15 def;
    const heed::dense_kv kv{p.k.in(), p.v.in()};
    const heed::plan plan(def, p.q.in(), kv);
    heed::or_throw(plan.status());
    std::vector<unsigned char> scratch(plan.workspace_bytes());
    std::vector<heed::row_candidates<float>> rows(12), expected_rows(12);
    std::vector<float> scores(12 * 600), expected(scores);
    const heed::threshold_state<float> to{rows.data(), scores.data(), {1, 4, 3, 600}},
        of_verb{expected_rows.data(), expected.data(), {1, 4, 3, 600}};
    heed::or_throw(heed::threshold_partial(def, p.q.in(), kv, of_verb));
    heed::options<float> how;
    how.workspace = {scratch.data(), scratch.size()};
    const auto q = p.q.in();
    const heed::key_part part;
    static_assert(noexcept(plan.run_threshold_partial(q, kv, to, part, how)));
    heed::status s;
    REQUIRE(allocations_of([&] { s = plan.run_threshold_partial(q, kv, to, part, how); }) == 0);
    REQUIRE(s);
    REQUIRE(same_bits(scores, expected));
}

TEST_CASE("backward allocates its workspace, and nothing where it is given one")
{
    heed::thread_pool pool(2);
    const gradient_problem<float> p(problem<float>(1, 4, 2, 130, 430, 40, 33));
    const std::vector<float> slopes(4, 0.25f);
    const tensor<float> added = normal<float>({1, 1, 1, 430}, 4);
    const heed::attention def{heed::softpick{1e-3}, heed::alibi{slopes.data(), 4}, heed::bias{added.in()},
                              heed::causal{}};
    const auto f = p.forward(def);
    const auto expected = p.backward(def, f);
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in(), out = f.out.in(), dout = p.dout.in();
    const auto stats = f.stats();
    for (const bool threads : {false, true}) {
        CAPTURE(threads);
        heed::options<float> how;
        if (threads) how.executor = pool;
        const heed::backward_plan plan(def, q, k, v, how);
        heed::or_throw(plan.status());
        std::vector<unsigned char> scratch(plan.workspace_bytes());
        how.workspace = {scratch.data(), scratch.size()};
        auto g = p.room_for<float>(def);
        const auto to = g.all();
        static_assert(noexcept(plan.run(q, k, v, out, stats, dout, to, how)));
        static_assert(noexcept(plan.run_task({0, 0, 0}, q, k, v, out, stats, dout, to, how)));
        heed::status s;
        REQUIRE(allocations_of([&] { s = plan.run(q, k, v, out, stats, dout, to, how); }) == 0);
        REQUIRE(s);
        REQUIRE(g == expected);
        REQUIRE(allocations_of([&] {
                    for (int stage = 0; stage < plan.stages(); ++stage)
                        for (int64 task = 0; task < plan.tasks(stage); ++task)
                            plan.run_task({stage, task, 0}, q, k, v, out, stats, dout, to, how);
                }) == 0);
        REQUIRE(allocations_of([&] { s = heed::backward(def, q, k, v, out, stats, dout, to, how); }) == 0);
        REQUIRE(s);
        REQUIRE(g == expected);
        how.workspace = {};
#if HEED_COUNTS_MALLOC
        REQUIRE(allocations_of([&] { s = heed::backward(def, q, k, v, out, stats, dout, to, how); }) == 1);
        REQUIRE(s);
#endif
    }
}

TEST_CASE("observing allocates nothing")
{
    heed::thread_pool pool(2);
    const problem<float> p(1, 4, 2, 130, 700, 40, 40);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const auto q = p.q.in(), k = p.k.in();
    std::vector<float> shift(4 * 130), mass(4 * 130), entropy(4 * 130), map(130 * 700);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    (void)p.attend(def, {.stats = stats});
    heed::observations<float> wanted;
    wanted.entropy = entropy.data();
    heed::options<float> how{.executor = pool};
    const heed::observe_plan plan(def, q, k, how);
    std::vector<unsigned char> scratch(plan.workspace_bytes());
    how.workspace = {scratch.data(), scratch.size()};
    heed::status s;
    REQUIRE(allocations_of([&] { s = plan.run(q, k, stats, wanted, how); }) == 0);
    REQUIRE(s);
    REQUIRE(allocations_of([&] { s = plan.map(q, k, stats, {0, 3, 0, 130}, map.data(), how); }) == 0);
    REQUIRE(s);
    REQUIRE(allocations_of([&] { s = heed::observe(def, q, k, stats, wanted, how); }) == 0);
    REQUIRE(s);
}

TEST_CASE("append, fetch and attention over quantised pages allocate nothing")
{
    const problem<float> p(2, 4, 2, 5, 700, 64, 40);
    const page_lists lists({700, 300}, 16);
    page_pool<heed::q8_0> k(lists, 2, 64, layout::page_slot_head);
    page_pool<std::int8_t> v(lists, 2, 40, layout::page_slot_head);
    page_pool<float> scales(lists, 2, 1, layout::page_slot_head);
    const heed::scaled_kv cache{heed::paged_kv{k.view(), v.view(), lists.csr()}, heed::unscaled{},
                                heed::per_token{scales.view()}};
    const auto negated = [](float* row, int64 dim, int64, int64) {
        for (int64 c = 0; c < dim; ++c) row[c] = -row[c];
    };
    heed::status s;
    for (const int64 b : {0, 1}) {
        const auto k_rows = sequence(p.k, b, lists.length(b)), v_rows = sequence(p.v, b, lists.length(b));
        REQUIRE(allocations_of([&] { s = heed::append(cache, b, 0, k_rows, v_rows, negated); }) == 0);
        REQUIRE(s);
    }
    tensor<float> k_back({1, 2, 300, 64}), v_back({1, 2, 300, 40});
    const auto to_k = k_back.view(), to_v = v_back.view();
    REQUIRE(allocations_of([&] { s = heed::fetch(cache, 1, 0, to_k, to_v); }) == 0);
    REQUIRE(s);
    REQUIRE(std::fabs(k_back.in().row(0, 1, 299)[63] + p.k.in().row(1, 1, 299)[63]) < 0.05f);  // something was written

    heed::thread_pool pool(2);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const auto q = p.q.in();
    heed::options<float> how{.executor = pool};
    const heed::plan plan(def, q, cache, how);
    std::vector<unsigned char> scratch(plan.workspace_bytes());
    how.workspace = {scratch.data(), scratch.size()};
    tensor<float> out(p.out_size());
    const auto to = out.view();
    REQUIRE(allocations_of([&] { s = plan.run(q, cache, to, how); }) == 0);
    REQUIRE(s);
}
