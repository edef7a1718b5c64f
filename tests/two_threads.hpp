// SPDX-License-Identifier: MIT
// The executor contract, as a user might meet it.
#pragma once

#include "tensors.hpp"

#include <thread>

namespace test {

/// A thread besides the caller, even tasks here and odd ones there, backwards.
struct two_threads {
    int concurrency() const { return 2; }
    template <class F>
    void operator()(int64 n, F f) const
    {
        const auto run = [&](int worker) {
            for (int64 task = n; task-- > 0;)
                if (task % 2 == worker) f(task, worker);
        };
        std::thread other(run, 1);
        run(0);
        other.join();
    }
};

}  // namespace test
