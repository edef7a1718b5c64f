// SPDX-License-Identifier: MIT
// More threads than cores: the same bits, and nobody waits at the expense of those who work. Here and not in unit/,
// whose OpenMP threads spin beside the pool.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <chrono>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif
#include <time.h>

using namespace test;

namespace {

/// While it lives, this thread and those that it starts share one core, where the system lets them.
class one_core {
#ifdef __linux__
public:
    one_core()
    {
        if (sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
        int core = 0;
        while (!CPU_ISSET(core, &before_)) ++core;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        changed_ = sched_setaffinity(0, sizeof(one), &one) == 0;
    }
    ~one_core()
    {
        if (changed_) sched_setaffinity(0, sizeof(before_), &before_);
    }
    one_core(const one_core&) = delete;
    one_core& operator=(const one_core&) = delete;

private:
    cpu_set_t before_;
    bool changed_ = false;
#endif
};

/// CPU seconds of all threads of this process while f runs.
template <class F>
double cpu_seconds(F f)
{
    const auto now = [] {
        timespec t{};
        REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    const double before = now();
    f();
    return now() - before;
}

void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }

}  // namespace

TEST_CASE("4 and 8 threads on one core have the bits of one thread")
{
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const problem<float> prefill(1, 4, 2, 430, 900, 40, 33), decode(3, 8, 2, 1, 900, 64, 64),
        split(1, 4, 1, 2, 9000, 64, 40);
    for (const problem<float>* p : {&prefill, &decode, &split}) {
        const tensor<float> alone = p->attend(def);
        const one_core here;
        for (const int threads : {4, 8}) {
            heed::thread_pool pool(threads);
            for (int again = 0; again < 2; ++again) {
                CAPTURE(threads, again);
                REQUIRE(same_bits(p->attend(def, {.executor = pool}).data, alone.data));
            }
        }
    }
}

TEST_CASE("a pool of 8 threads uses no CPU time while it has no work")
{
    heed::thread_pool pool(8);
    REQUIRE(cpu_seconds(nap) < 0.02);  // one that never worked
    pool(100, [](int64, int) {});
    REQUIRE(cpu_seconds(nap) < 0.02);  // between two rounds; a single thread that spins makes it 0.2
}

TEST_CASE("threads of a pool that find no task left use no CPU time while another works")
{
    heed::thread_pool pool(8);
    REQUIRE(cpu_seconds([&] { pool(2, [](int64, int) { nap(); }); }) < 0.02);  // the caller may wait, too
}
