// SPDX-License-Identifier: MIT
// A small thread pool on std::thread. Workers sleep on a condition variable: nothing spins, so more workers than
// cores cost little. One call at a time; the caller works too, as worker 0.
#pragma once

#include "../executor.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

HEED_BEGIN

class thread_pool {
public:
    /// A pool of `threads` workers, the caller of operator() included; at least 1.
    explicit thread_pool(int threads) : size_(threads < 1 ? 1 : threads)
    {
        for (int worker = 1; worker < size_; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
    }
    ~thread_pool()
    {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closing_ = true;
        }
        wake_.notify_all();
        for (auto& t : threads_) t.join();
    }
    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    int concurrency() const { return size_; }

    template <class F>
    void operator()(std::int64_t n, F f)
    {
        if (n <= 0) return;
        task_ref ref(f);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            task_ = &ref;
            count_ = n;
            next_.store(0, std::memory_order_relaxed);
            ++round_;
        }
        if (n >= size_) wake_.notify_all();
        else
            for (std::int64_t i = 1; i < n; ++i) wake_.notify_one();
        work(ref, n, 0);
        // No task is left: those who are at work finish, those who have not woken up yet will find nothing to do.
        // Waiting for them would cost a small problem the time that the system takes to schedule every thread.
        std::unique_lock<std::mutex> lock(mutex_);
        task_ = nullptr;
        done_.wait(lock, [this] { return busy_ == 0; });
    }

private:
    void work(const task_ref& f, std::int64_t n, int worker)
    {
        for (std::int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < n;) f(task, worker);
    }

    void serve(int worker)
    {
        std::uint64_t seen = 0;
        for (;;) {
            const task_ref* task;
            std::int64_t n;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return closing_ || round_ != seen; });
                if (closing_) return;
                seen = round_;
                if (!task_) continue;
                task = task_;
                n = count_;
                ++busy_;
            }
            work(*task, n, worker);
            const std::lock_guard<std::mutex> lock(mutex_);
            if (--busy_ == 0) done_.notify_one();
        }
    }

    const int size_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const task_ref* task_ = nullptr;  // of the round that is open; under mutex_, as are the next four
    std::int64_t count_ = 0;
    int busy_ = 0;  // workers that have joined the round and not left it
    std::uint64_t round_ = 0;
    bool closing_ = false;
    std::atomic<std::int64_t> next_{0};
};

HEED_END
