// SPDX-License-Identifier: MIT
// Executors that break their contract make every call fail that used them, whichever way they break it; and calls of a
// pool that meet.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <string>
#include <thread>

using namespace test;
using Catch::Matchers::Contains;

namespace {

enum class fault {
    none,
    returns_at_once,
    leaves_out_the_last,
    runs_one_twice,
    one_instead_of_another,
    worker_beyond,
    negative_worker,
    task_beyond,
    negative_task
};

struct executor_with {
    fault what;
    int concurrency() const { return 2; }
    template <class F>
    void operator()(int64 n, F f) const
    {
        if (what == fault::returns_at_once) return;
        const int64 end = what == fault::leaves_out_the_last || what == fault::one_instead_of_another ? n - 1 : n;
        for (int64 task = 0; task < end; ++task) f(task, 0);
        if (what == fault::runs_one_twice || what == fault::one_instead_of_another) f(0, 1);
        if (what == fault::worker_beyond) f(0, 2);
        if (what == fault::negative_worker) f(0, -1);
        if (what == fault::task_beyond) f(n, 0);
        if (what == fault::negative_task) f(-1, 0);
    }
};

/// Calls f(verb, options -> status) for everything that takes an executor.
template <class F>
void for_each_verb(F f)
{
    const problem<float> p(1, 4, 2, 230, 700, 24, 20);
    const heed::attention def{heed::softmax{}};
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();
    const std::size_t rows = 4 * 230;
    std::vector<float> shift(rows), mass(rows), lse(rows), map(230 * 700), entropy(rows);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), lse.data()};
    tensor<float> out(p.out_size());
    heed::or_throw(heed::attend(def, q, k, v, out.view(), {.stats = stats}));
    const tensor<float> dout = normal<float>(p.out_size(), 5);
    tensor<float> dq(p.q.size), dk(p.k.size), dv(p.v.size);
    heed::gradients<float> to;
    to.dq = dq.view();
    to.dk = dk.view();
    to.dv = dv.view();
    using how = heed::options<float>;

    f("run", [&](const how& h) { return heed::attend(def, q, k, v, out.view(), h); });
    f("attend_partial", [&](const how& h) {
        owned_state<float> s(def, p.out_size());
        return heed::attend_partial(def, q, k, v, s.state(), {}, h);
    });
    f("backward", [&](const how& h) { return heed::backward(def, q, k, v, out.in(), stats, dout.in(), to, h); });
    f("observe", [&](const how& h) { return heed::observe(def, q, k, stats, {.entropy = entropy.data()}, h); });
    f("attention_map", [&](const how& h) {
        return heed::attention_map(def, q, k, stats, {0, 1, 0, 230}, map.data(), h);
    });
}

}  // namespace

TEST_CASE("an executor that does not run every task once makes the call fail")
{
    for_each_verb([](const std::string& verb, auto call) {
        const auto outcome = [&](fault what) {
            const executor_with executor{what};
            const heed::status s = call({.executor = executor});
            INFO(verb << ": " << s.message());
            CHECK(s.code() == (what == fault::none ? heed::errc::ok : heed::errc::executor_failed));
            CHECK_THAT(s.message(), Contains(what == fault::none ? "ok" : verb + ": of "));
            return std::string(s.message());
        };
        outcome(fault::none);
        CHECK_THAT(outcome(fault::returns_at_once), Contains("the executor ran 0;"));
        outcome(fault::leaves_out_the_last);
        outcome(fault::runs_one_twice);
        CHECK_THAT(outcome(fault::one_instead_of_another), Contains(", some twice"));
        for (const fault what :
             {fault::worker_beyond, fault::negative_worker, fault::task_beyond, fault::negative_task})
            CHECK_THAT(outcome(what), Contains("1 calls named a task or worker that there is not"));
    });
}

TEST_CASE("where a stage is incomplete, the next is not begun")
{
    const problem<float> split(1, 4, 2, 1, 9000, 24, 20);
    const heed::attention def{heed::softmax{}};
    struct counting {
        mutable int calls = 0;
        int concurrency() const { return 2; }
        void operator()(int64, heed::task_ref) const { ++calls; }
    } executor;
    tensor<float> out(split.out_size());
    const heed::plan plan(def, split.q.in(), split.k.in(), split.v.in(), {.executor = executor});
    REQUIRE(plan.stages() == 2);
    const heed::status s =
        heed::attend(def, split.q.in(), split.k.in(), split.v.in(), out.view(), {.executor = executor});
    REQUIRE(s.code() == heed::errc::executor_failed);
    REQUIRE(executor.calls == 1);
}

TEST_CASE("an executor of no workers is one of the caller alone")
{
    const problem<float> p(1, 4, 2, 230, 700, 24, 20);
    const heed::attention def{heed::softmax{}};
    const auto expected = p.attend(def).data;
    for (const int workers : {0, -1, -1000}) {
        const struct {
            int workers;
            int concurrency() const { return workers; }
            void operator()(int64 n, heed::task_ref f) const { heed::serial_executor{}(n, f); }
        } executor{workers};
        REQUIRE(same_bits(p.attend(def, {.executor = executor}).data, expected));
    }
}

TEST_CASE("calls of a pool that meet, from several threads or out of a task, each run every task once")
{
    heed::thread_pool pool(3);
    std::atomic<int> wrong{0};
    const auto call = [&](int64 n, auto then) {
        std::vector<std::atomic<int>> runs(static_cast<std::size_t>(n));
        pool(n, [&](int64 task, int worker) {
            if (worker < 0 || worker > 2) ++wrong;
            ++runs[static_cast<std::size_t>(task)];
            then();
        });
        for (const auto& r : runs) wrong += r != 1;
    };
    call(5, [&] { call(7, [&] { call(2, [] {}); }); });
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([&] {
            for (int64 round = 0; round < 200; ++round) call(2 + round % 9, [] {});
        });
    for (std::thread& t : callers) t.join();
    REQUIRE(wrong == 0);
}
