// SPDX-License-Identifier: MIT
// Tasks on OpenMP; needs -fopenmp.
#pragma once

#include "../base/process.hpp"
#include "contract.hpp"

#ifndef _OPENMP
#error "heed/executor/openmp.hpp: compile with -fopenmp"
#endif
#include <omp.h>

HEED_BEGIN

/// One OpenMP parallel region a call, of the threads that it is given: an executor.
///
/// In a child of fork() an executor of the parent's runs everything on the calling thread, since gcc's OpenMP waits
/// for ever for the threads that the parent had. It also ends the program where the system refuses it a thread.
class openmp_executor {
public:
    /// Of so many threads, at least 1.
    explicit openmp_executor(int threads = omp_get_max_threads()) : size_(threads < 1 ? 1 : threads) {}

    int concurrency() const { return size_; }

    /// f(task, worker) for every task in [0, n); f does not throw.
    template <class F>
    void operator()(std::int64_t n, F f) const
    {
        const task_ref task(f);
        if (detail::this_process() != owner_) return serial_executor{}(n, task);
#pragma omp parallel for schedule(dynamic, 1) num_threads(size_)
        for (std::int64_t i = 0; i < n; ++i) task(i, omp_get_thread_num());
    }

private:
    int size_;
    long owner_ = detail::this_process();
};

HEED_END
