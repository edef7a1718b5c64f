// SPDX-License-Identifier: MIT
// The executor contract: who runs the tasks. heed starts no thread of its own; anything with
//
//     int concurrency() const;                                    // how many workers may run at once
//     template <class F> void operator()(std::int64_t n, F f);    // calls f(task, worker) for every task in [0, n)
//
// will do: 0 <= worker < concurrency(), two tasks that run at once have different workers, and all calls have
// returned, and their writes are visible, when operator() returns. Neither tasks nor executors throw: an exception that
// leaves one ends the program (std::terminate). An executor that leaves out tasks, runs one twice or names a worker
// that there is not makes a call of heed's fail with errc::executor_failed; one that returns while tasks still run is
// beyond help, since those write into memory that is the caller's again.
#pragma once

#include "../base/config.hpp"

#include <cstdint>
#include <type_traits>
#include <utility>

HEED_BEGIN

/// Runs everything on the calling thread.
struct serial_executor {
    static constexpr int concurrency() { return 1; }
    template <class F>
    void operator()(std::int64_t n, F f) const
    {
        for (std::int64_t task = 0; task < n; ++task) f(task, 0);
    }
};

/// A reference to a callable (task, worker); what an executor receives.
class task_ref {
public:
    /// Refers to f, which outlives it.
    template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, task_ref>>>
    explicit task_ref(F& f)
        : object_(&f), call_([](void* o, std::int64_t task, int worker) { (*static_cast<F*>(o))(task, worker); })
    {}
    /// Calls it.
    void operator()(std::int64_t task, int worker) const noexcept { call_(object_, task, worker); }

private:
    void* object_;
    void (*call_)(void*, std::int64_t, int);
};

namespace detail {

template <class E, class = void>
inline constexpr bool is_executor_v = false;
template <class E>
inline constexpr bool
    is_executor_v<E, std::enable_if_t<std::is_convertible_v<decltype(std::declval<E&>().concurrency()), int>>> =
        std::is_invocable_v<E&, std::int64_t, task_ref>;

}  // namespace detail

/// A reference to an executor of any type; the default is the calling thread. The executor outlives it.
class executor_ref {
public:
    executor_ref() = default;

    /// Refers to an executor, which outlives it, and asks at once for its concurrency.
    template <class E, class = std::enable_if_t<!std::is_same_v<std::decay_t<E>, executor_ref>>>
    executor_ref(E& executor)
    {
        static_assert(detail::is_executor_v<E>,
                      "heed: an executor has a member concurrency() and a call (n, f), which calls f(task, worker) for "
                      "every task in [0, n): see executor/contract.hpp; a callable alone is none");
        if constexpr (detail::is_executor_v<E>) {
            object_ = const_cast<void*>(static_cast<const void*>(&executor));
            concurrency_ = executor.concurrency();
            run_ = [](void* o, std::int64_t n, task_ref f) { (*static_cast<E*>(o))(n, f); };
        }
    }
    template <class E, class = std::enable_if_t<!std::is_same_v<std::decay_t<E>, executor_ref>>>
    executor_ref(const E&&)
    {
        static_assert(sizeof(E) == 0, "heed: an executor outlives the calls that it runs, and so has a name; options "
                                      "keep a reference to it");
    }

    int concurrency() const { return concurrency_; }
    /// Calls f(task, worker) for every task in [0, n): by the executor, or here where n is 1.
    void operator()(std::int64_t n, task_ref f) const noexcept
    {
        if (run_ && n > 1) run_(object_, n, f);
        else serial_executor{}(n, f);
    }

private:
    void* object_ = nullptr;
    int concurrency_ = 1;
    void (*run_)(void*, std::int64_t, task_ref) = nullptr;
};

HEED_END
