// SPDX-License-Identifier: MIT
// Runs the tasks of a stage, and finds out whether the executor ran each of them once.
#pragma once

#include "../../base/status.hpp"
#include "../../executor/contract.hpp"

#include <atomic>

HEED_BEGIN
namespace kernel {

/// Below this much work, some fifty microseconds, waking other threads costs more than they save.
inline constexpr double worth_threads = 1 << 22;

/// What an executor did: calls in all, the sum of their tasks' numbers from 1 on, and calls with a task or a worker
/// that there is not, which were not let through.
struct task_count {
    std::atomic<std::int64_t> calls{0}, strangers{0};
    std::atomic<std::uint64_t> sum{0};

    HEED_NOINLINE status check(const char* verb, std::int64_t tasks) const
    {
        const auto n = static_cast<std::uint64_t>(tasks);
        const std::uint64_t all = n % 2 == 0 ? n / 2 * (n + 1) : (n + 1) / 2 * n;
        if (calls == tasks && strangers == 0 && sum == all) return {};
        return status::error(errc::executor_failed,
                             "%s: of %lld tasks, each to be run once, the executor ran %lld%s; %lld calls named a task "
                             "or worker that there is not",
                             verb, static_cast<long long>(tasks), static_cast<long long>(calls),
                             calls == tasks && strangers == 0 ? ", some twice" : "", static_cast<long long>(strangers));
    }
};

/// Runs f(task, worker) for `tasks` tasks of a call that has so much work.
template <class F>
status run_tasks(const char* verb, double work, const executor_ref& executor, std::int64_t tasks, F& f)
{
    if (work < worth_threads) {
        serial_executor{}(tasks, f);
        return {};
    }
    task_count count;
    const int workers = executor.concurrency() < 1 ? 1 : executor.concurrency();
    auto counted = [&](std::int64_t task, int worker) {
        if (task < 0 || task >= tasks || worker < 0 || worker >= workers) {
            count.strangers.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        f(task, worker);
        count.sum.fetch_add(static_cast<std::uint64_t>(task) + 1, std::memory_order_relaxed);
        count.calls.fetch_add(1, std::memory_order_relaxed);
    };
    executor(tasks, task_ref(counted));
    return count.check(verb, tasks);
}

/// Runs all stages, as far as the executor runs all tasks.
template <class Pass, class Partition>
status run_all(const char* verb, const Pass& pass, const Partition& p, const executor_ref& executor) noexcept
{
    status s;
    for (int stage = 0; s && stage < p.stages(); ++stage) {
        auto task = [&](std::int64_t t, int worker) { pass.run_task(stage, t, worker); };
        s = run_tasks(verb, p.work(), executor, p.tasks(stage), task);
    }
    return s;
}

}  // namespace kernel
HEED_END
