// SPDX-License-Identifier: MIT
// For ThreadSanitizer: every kind of call on every executor there is, and a host's threads that take tasks by stages.
#include "every_kind.hpp"

#include <heed/executor/threads.hpp>
#ifdef _OPENMP
#include <heed/executor/openmp.hpp>
#endif

#include <atomic>
#include <chrono>
#include <thread>

namespace {

void stage_by_stage()
{
    using faults::int64;
    faults::tensor<float> q({1, 4, 1, 40}, 1), k({1, 2, 9000, 40}, 2), v({1, 2, 9000, 36}, 3), out({1, 4, 1, 36});
    const heed::attention def{heed::softmax{}};
    const struct {
        int concurrency() const { return 3; }
        void operator()(int64, heed::task_ref) const {}
    } three;
    heed::options<float> how;
    how.executor = three;
    const heed::plan plan(def, q.in(), k.in(), v.in(), how);
    faults::check("plan", plan.status());
    faults::array<char> scratch(static_cast<int64>(plan.workspace_bytes()));
    how.workspace = {scratch.data, plan.workspace_bytes()};
    for (int stage = 0; stage < plan.stages(); ++stage) {
        std::atomic<int64> next{0};
        std::vector<std::thread> threads;
        for (int worker = 0; worker < 3; ++worker)
            threads.emplace_back([&, worker] {
                for (int64 task; (task = next++) < plan.tasks(stage);)
                    plan.run_task({stage, task, worker}, q.in(), k.in(), v.in(), out.view(), how);
            });
        for (std::thread& t : threads) t.join();
    }
    faults::check("stages", out);
}

}  // namespace

int main(int argc, char**)
{
    if (argc > 1) {  // whether it would be seen
        int runs = 0;
        heed::thread_pool pool(2);
        pool(64, [&](std::int64_t, int) {
            ++runs;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));  // until the other thread has a task, too
        });
        return 0;
    }
    {
        heed::thread_pool pool(4);
        faults::every_kind(pool);
        std::atomic<int> runs{0};
        std::vector<std::thread> callers;
        for (int i = 0; i < 3; ++i)
            callers.emplace_back([&] {
                for (int round = 0; round < 300; ++round) pool(1 + round % 6, [&](std::int64_t, int) { ++runs; });
            });
        for (std::thread& t : callers) t.join();
        // Plain numbers: what tasks wrote is visible when the call returns.
        std::vector<int> numbers(64);
        for (int round = 0; round < 300; ++round)
            pool(64, [&](std::int64_t task, int) { ++numbers[static_cast<std::size_t>(task)]; });
        for (const int n : numbers)
            if (n != 300) return 1;
    }
#ifdef _OPENMP
    const heed::openmp_executor openmp(4);
    faults::every_kind(openmp);
#endif
    stage_by_stage();
}
