// SPDX-License-Identifier: MIT
// A small thread pool on std::thread.
#pragma once

#include "../base/process.hpp"
#include "contract.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

HEED_BEGIN

/// A small thread pool on std::thread: an executor. Workers sleep on a condition variable: nothing spins, so more
/// workers than cores cost little. The caller works too, as worker 0.
class thread_pool {
public:
    /// A pool of `threads` workers, the caller of operator() included; at least 1. Where the system refuses a thread,
    /// the pool has as many as it got: concurrency() says how many. Without exceptions a refusal ends the program.
    explicit thread_pool(int threads) : crew_(std::make_unique<crew>())
    {
#if defined(__cpp_exceptions)
        try {
            start(threads);
        } catch (const std::exception&) {  // no thread, or no memory for one
        }
#else
        start(threads);
#endif
    }
    ~thread_pool()
    {
        if (here()) crew_->dismiss();
        else (void)crew_.release();  // threads that are not there cannot be joined, nor what they wait for be destroyed
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    int concurrency() const { return 1 + static_cast<int>(crew_->threads.size()); }

    /// f(task, worker) for every task in [0, n); f does not throw. A call that comes while another is under way, from
    /// another thread or out of a task, is run by its caller alone, and so is one in a child of fork(), where the pool
    /// has no threads. (A child that is forked by a task may only exec or exit.)
    template <class F>
    void operator()(std::int64_t n, F f)
    {
        const task_ref task(f);
        if (n > 1 && concurrency() > 1 && here() && crew_->open(task, n)) {
            crew_->work(task, n, 0);
            crew_->close();
        } else {
            serial_executor{}(n, task);
        }
    }

private:
    /// The threads, and what they share with the caller.
    struct crew {
        std::vector<std::thread> threads;
        std::mutex mutex;
        std::condition_variable wake, done;
        bool is_open = false;            // a round is; under the mutex, as are the next five
        const task_ref* task = nullptr;  // of the open round, until all of its tasks are taken
        std::int64_t count = 0;
        int busy = 0;  // threads that have joined the round and not left it
        std::uint64_t round = 0;
        bool dismissed = false;
        std::atomic<std::int64_t> next{0};

        bool open(const task_ref& f, std::int64_t n)
        {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                if (is_open) return false;
                is_open = true;
                task = &f;
                count = n;
                next.store(0, std::memory_order_relaxed);
                ++round;
            }
            if (n > static_cast<std::int64_t>(threads.size())) wake.notify_all();
            else
                for (std::int64_t i = 1; i < n; ++i) wake.notify_one();
            return true;
        }
        void work(const task_ref& f, std::int64_t n, int worker)
        {
            for (std::int64_t t; (t = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(t, worker);
        }
        /// No task is left: those who are at work finish, those who have not woken up yet will find nothing to do.
        /// Waiting for them would cost a small problem the time that the system takes to schedule every thread.
        void close()
        {
            std::unique_lock<std::mutex> lock(mutex);
            task = nullptr;
            done.wait(lock, [this] { return busy == 0; });
            is_open = false;
        }
        void serve(int worker)
        {
            std::uint64_t seen = 0;
            std::unique_lock<std::mutex> lock(mutex);
            for (;;) {
                wake.wait(lock, [&] { return dismissed || round != seen; });
                if (dismissed) return;
                seen = round;
                if (!task) continue;  // too late
                const task_ref f = *task;
                const std::int64_t n = count;
                ++busy;
                lock.unlock();
                work(f, n, worker);
                lock.lock();
                if (--busy == 0) done.notify_one();
            }
        }
        void dismiss()
        {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                dismissed = true;
            }
            wake.notify_all();
            for (auto& t : threads) t.join();
        }
    };

    void start(int threads)
    {
        for (int worker = 1; worker < threads; ++worker)
            crew_->threads.emplace_back([crew = crew_.get(), worker] { crew->serve(worker); });
    }
    bool here() const { return detail::this_process() == owner_; }

    std::unique_ptr<crew> crew_;
    long owner_ = detail::this_process();
};

HEED_END
