// SPDX-License-Identifier: MIT
// Executors: whoever runs the tasks, each runs once, on a worker of its own, and the result has the serial bits.
#include "tensors.hpp"
#include "two_threads.hpp"

#include <heed/executor/threads.hpp>
#ifdef _OPENMP
#include <heed/executor/openmp.hpp>
#endif

#include <catch2/catch.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace test;
using Catch::Matchers::Contains;

namespace {

/// Calls f(name, executor) for every executor of the library, and two_threads.
template <class F>
void for_each_executor(F f)
{
    heed::serial_executor serial;
    f("serial", serial);
    for (const int threads : {1, 2, 3, 8}) {
        heed::thread_pool pool(threads);
        f("thread pool of " + std::to_string(threads), pool);
    }
#ifdef _OPENMP
    for (const int threads : {1, 2, 3, 8}) {
        const heed::openmp_executor openmp(threads);
        f("OpenMP, " + std::to_string(threads), openmp);
    }
#endif
    const two_threads own;
    f("one's own", own);
}

/// Calls f(name, problem, stages with two workers) for the three forms of a walk, each worth more than one thread.
template <class F>
void for_each_walk(F f)
{
    f("prefill", problem<float>(2, 4, 2, 230, 700, 24, 20), 1);
    f("decode", problem<float>(4, 8, 4, 1, 700, 40, 36), 1);
    f("split decode", problem<float>(1, 4, 2, 1, 9000, 24, 20), 2);
}

/// Runs n tasks, and counts those that broke the contract.
template <class Executor>
void keeps_the_contract(Executor& executor, int64 n)
{
    const int workers = executor.concurrency();
    REQUIRE(workers >= 1);
    std::vector<int> runs(static_cast<std::size_t>(n));  // plain: the writes must be visible afterwards
    std::vector<std::atomic<bool>> busy(static_cast<std::size_t>(workers));
    std::atomic<int> strangers{0}, collisions{0};
    executor(n, [&](int64 task, int worker) {
        if (worker < 0 || worker >= workers || task < 0 || task >= n) {
            ++strangers;
            return;
        }
        auto& mine = busy[static_cast<std::size_t>(worker)];
        if (mine.exchange(true)) ++collisions;
        std::this_thread::yield();  // let the others in, on a single core too
        ++runs[static_cast<std::size_t>(task)];
        mine.store(false);
    });
    REQUIRE(strangers == 0);
    REQUIRE(collisions == 0);
    REQUIRE(runs == std::vector<int>(static_cast<std::size_t>(n), 1));
}

}  // namespace

TEST_CASE("every executor gives the serial bits, for prefill, decode and split decode")
{
    for_each_walk([](const char* walk, const problem<float>& p, int) {
        const heed::attention def{heed::softpick{1e-3}, heed::causal{}};
        const auto expected = p.attend(def).data;
        for_each_executor([&](const std::string& name, auto& executor) {
            INFO(walk << ", " << name);
            REQUIRE(same_bits(p.attend(def, {.executor = executor}).data, expected));
        });
    });
}

TEST_CASE("every executor folds the serial bits into a state")
{
    const heed::attention def{heed::softmax{}};
    for_each_walk([&](const char* walk, const problem<float>& p, int) {
        owned_state<float> expected(def, p.out_size());
        for (int twice = 0; twice < 2; ++twice)  // the second call continues
            heed::or_throw(heed::attend_partial(def, p.q.in(), p.k.in(), p.v.in(), expected.state()));
        for_each_executor([&](const std::string& name, auto& executor) {
            INFO(walk << ", " << name);
            owned_state<float> s(def, p.out_size());
            for (int twice = 0; twice < 2; ++twice)
                heed::or_throw(
                    heed::attend_partial(def, p.q.in(), p.k.in(), p.v.in(), s.state(), {}, {.executor = executor}));
            REQUIRE(s == expected);
        });
    });
}

TEST_CASE("every executor runs every task once, and never two at a time on one worker")
{
    for_each_executor([](const std::string& name, auto& executor) {
        INFO(name);
        for (const int64 n : {2, 3, 7, 8, 9, 64, 500}) keeps_the_contract(executor, n);
    });
}

TEST_CASE("no task and one task are legal numbers of tasks")
{
    for_each_executor([](const std::string& name, auto& executor) {
        INFO(name);
        keeps_the_contract(executor, 0);
        keeps_the_contract(executor, 1);
        int runs = 0;
        auto task = [&](int64, int) { ++runs; };
        const heed::executor_ref ref(executor);
        REQUIRE(ref.concurrency() == executor.concurrency());
        ref(0, heed::task_ref(task));
        REQUIRE(runs == 0);
        ref(1, heed::task_ref(task));
        REQUIRE(runs == 1);
    });
}

TEST_CASE("threads of a host's own, that take tasks stage by stage, give the serial bits")
{
    for_each_walk([](const char* walk, const problem<float>& p, int stages) {
        INFO(walk);
        constexpr int workers = 3;
        const heed::attention def{heed::softmax1{}, heed::causal{}};
        const auto expected = p.attend(def).data;
        const struct {
            int concurrency() const { return workers; }
            void operator()(int64, heed::task_ref) const { FAIL("the host runs the tasks"); }
        } only_a_number;
        heed::options<float> how{.executor = only_a_number};
        const heed::plan plan(def, p.q.in(), p.k.in(), p.v.in(), how);
        std::vector<std::byte> scratch(plan.workspace_bytes());
        how.workspace = {scratch.data(), scratch.size()};
        tensor<float> out(p.out_size());
        REQUIRE(plan.check_run(p.q.in(), heed::dense_kv{p.k.in(), p.v.in()}, out.view(), how));
        REQUIRE(plan.stages() == stages);
        for (int stage = 0; stage < plan.stages(); ++stage) {
            std::atomic<int64> next{0};
            std::vector<std::thread> threads;
            for (int worker = 0; worker < workers; ++worker)
                threads.emplace_back([&, worker] {
                    for (int64 task; (task = next++) < plan.tasks(stage); std::this_thread::yield())
                        plan.run_task({stage, task, worker}, p.q.in(), p.k.in(), p.v.in(), out.view(), how);
                });
            for (std::thread& t : threads) t.join();
        }
        REQUIRE(same_bits(out.data, expected));
    });
}

TEST_CASE("a thread pool survives a thousand tiny rounds")
{
    heed::thread_pool pool(4);
    std::atomic<int64> sum{0};
    int64 expected = 0;
    for (int64 round = 0; round < 1000; ++round) {
        pool(round % 6, [&](int64 task, int) { sum += round + task; });
        for (int64 task = 0; task < round % 6; ++task) expected += round + task;
        REQUIRE(sum == expected);  // every round has ended when its call returns
    }
}

TEST_CASE("a thread pool serves one thread after another, and pools come and go")
{
    heed::thread_pool pool(3);
    const problem<float> p(1, 2, 1, 1, 2000, 16, 16);
    const heed::attention def{heed::softmax{}};
    const auto expected = p.attend(def).data;
    for (int i = 0; i < 6; ++i) {
        std::vector<float> got;
        std::thread caller([&] { got = p.attend(def, {.executor = pool}).data; });
        caller.join();
        REQUIRE(same_bits(got, expected));
    }
    for (int i = 0; i < 50; ++i) {
        heed::thread_pool fresh(1 + i % 5);  // one that never works must end too
        if (i % 2) fresh(i, [](int64, int) {});
    }
    REQUIRE(heed::thread_pool(0).concurrency() == 1);
    REQUIRE(heed::thread_pool(-3).concurrency() == 1);
}

TEST_CASE("a plan for n workers runs on fewer with the same bits, and refuses more")
{
    for_each_walk([](const char* walk, const problem<float>& p, int stages) {
        INFO(walk);
        const heed::attention def{heed::softmax{}};
        const auto expected = p.attend(def).data;
        heed::thread_pool three(3), four(4);
        const two_threads two;
        const heed::plan plan(def, p.q.in(), p.k.in(), p.v.in(), {.executor = three});
        REQUIRE(plan.stages() == stages);
        std::vector<std::byte> scratch(plan.workspace_bytes());
        const heed::workspace memory{scratch.data(), scratch.size()};
        tensor<float> out(p.out_size());
        const auto run = [&](heed::executor_ref executor) {
            std::fill(out.data.begin(), out.data.end(), 7.f);
            return plan.run(p.q.in(), p.k.in(), p.v.in(), out.view(), {.executor = executor, .workspace = memory});
        };
        using heed::executor_ref;
        for (const executor_ref& enough : {executor_ref(), executor_ref(two), executor_ref(three)}) {
            REQUIRE(run(enough));
            REQUIRE(same_bits(out.data, expected));
        }
        const heed::status s = run(four);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains("the executor has 4 workers, planned for 3"));
        REQUIRE(out.data == std::vector<float>(out.data.size(), 7.f));
    });
}
