// SPDX-License-Identifier: MIT
// One OpenMP parallel region a call; needs -fopenmp.
#pragma once

#include "../executor.hpp"

#ifndef _OPENMP
#error "heed/executor/openmp.hpp: compile with -fopenmp"
#endif
#include <omp.h>

HEED_BEGIN

class openmp_executor {
public:
    explicit openmp_executor(int threads = omp_get_max_threads()) : size_(threads < 1 ? 1 : threads) {}

    int concurrency() const { return size_; }

    template <class F>
    void operator()(std::int64_t n, F f) const
    {
#pragma omp parallel for schedule(dynamic, 1) num_threads(size_)
        for (std::int64_t task = 0; task < n; ++task) f(task, omp_get_thread_num());
    }

private:
    int size_;
};

HEED_END
