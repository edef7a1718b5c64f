// SPDX-License-Identifier: MIT
// Threads that are refused or are not there any more, and tasks that throw.
#include "child.hpp"
#include "interposed.hpp"
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#ifdef _OPENMP
#include <heed/executor/openmp.hpp>
#endif

#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>
#include <stdexcept>

using namespace test;

namespace {

const heed::attention def{heed::softpick{1e-3}, heed::causal{}};

const problem<float>& prefill()
{
    static const problem<float> p(2, 4, 2, 230, 700, 24, 20);
    return p;
}

/// Whether a pool runs each task once, and attends with the bits that are expected.
template <class Executor>
bool works(Executor& executor, const tensor<float>& expected)
{
    std::vector<std::atomic<int>> runs(100);
    std::atomic<bool> strangers{false};
    executor(100, [&](int64 task, int worker) {
        ++runs[static_cast<std::size_t>(task)];
        if (worker < 0 || worker >= executor.concurrency()) strangers = true;
    });
    for (const auto& r : runs)
        if (r != 1) return false;
    return !strangers && same_bits(prefill().attend(def, {.executor = executor}).data, expected.data);
}

/// Bytes of address space in use.
rlim_t address_space()
{
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

#if HEED_INTERPOSES
TEST_CASE("a pool runs with the threads that the system grants")
{
    const tensor<float> expected = prefill().attend(def);
    for (const int granted : {0, 1, 3, 6, 7}) {
        CAPTURE(granted);
        faults::threads_left = granted;
        heed::thread_pool pool(8);
        faults::threads_left = faults::all;
        CHECK(pool.concurrency() == 1 + granted);
        CHECK(works(pool, expected));
    }
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a pool for more threads than the address space has room for runs with fewer")
{
    const tensor<float> expected = prefill().attend(def);
    CHECK(faults::in_child([&] {
              rlimit before{};
              getrlimit(RLIMIT_AS, &before);
              const rlimit most{address_space() + (rlim_t{96} << 20), before.rlim_max};
              if (setrlimit(RLIMIT_AS, &most) != 0) return false;
              heed::thread_pool pool(500);  // 8 MiB of stack each, as a rule
              setrlimit(RLIMIT_AS, &before);
              return pool.concurrency() < 500 && works(pool, expected);
          }) == "exit 0");
}
#endif

TEST_CASE("a forked child uses and destroys its parent's pool on the thread that it has")
{
    const tensor<float> expected = prefill().attend(def);
    heed::thread_pool pool(8);
    CHECK(works(pool, expected));
    CHECK(faults::in_child([&] {
              const bool right = works(pool, expected);
              pool.~thread_pool();
              heed::thread_pool own(3);
              return right && works(own, expected);
          }) == "exit 0");
    CHECK(works(pool, expected));  // the parent's threads are still there

    // While another thread is inside the pool.
    std::atomic<bool> done{false};
    std::thread busy([&] {
        while (!done) pool(20, [](int64, int) {});
    });
    int good = 0;
    for (int i = 0; i < 50; ++i)
        good += faults::in_child([&] {
                    std::atomic<int> runs{0};
                    pool(20, [&](int64, int) { ++runs; });
                    pool.~thread_pool();
                    return runs == 20;
                }) == "exit 0";
    done = true;
    busy.join();
    CHECK(good == 50);
}

#ifdef _OPENMP
TEST_CASE("a forked child uses its parent's OpenMP executor on the thread that it has")
{
    const tensor<float> expected = prefill().attend(def);
    const heed::openmp_executor openmp(4);
    CHECK(works(openmp, expected));
    CHECK(faults::in_child([&] { return works(openmp, expected); }) == "exit 0");
}
#endif

TEST_CASE("a task that throws ends the program, whichever thread it is on")
{
    const auto ending = [](auto f) {
        return faults::in_child([&] {
            std::set_terminate([] { std::abort(); });
            try {
                f();
            } catch (const std::runtime_error&) {  // it has left workers behind
            }
            return true;
        });
    };
    const auto throwing_worker = [](int thrower) {
        heed::thread_pool pool(2);
        std::atomic<int> begun{0};
        pool(64, [&](int64, int worker) {
            ++begun;
            for (int i = 0; begun < 2 && i < 10000; ++i) usleep(100);  // until both are there
            if (worker == thrower) throw std::runtime_error("a task");
        });
    };
    const auto referenced = [] {
        const heed::executor_ref serial;
        auto task = [](int64, int) { throw std::runtime_error("a task"); };
        serial(3, heed::task_ref(task));
    };
    const std::string aborted = "signal " + std::to_string(SIGABRT);
    CHECK(ending([&] { throwing_worker(0); }) == aborted);
    CHECK(ending([&] { throwing_worker(1); }) == aborted);
    CHECK(ending(referenced) == aborted);
}
