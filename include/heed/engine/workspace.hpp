// SPDX-License-Identifier: MIT
// The memory that a call works in: cut into whole cache lines, counted before it is cut, and borrowed where the caller
// gives none.
#pragma once

#include "../base/checked.hpp"
#include "../base/status.hpp"
#include "../options.hpp"

#include <cstdlib>

HEED_BEGIN
namespace detail {

/// The caller's workspace, or one of our own for the length of a call.
class borrowed_workspace {
public:
    borrowed_workspace(const workspace& given, std::size_t needed) : use_(given)
    {
        if (given.data || given.bytes) return;
        own_ = std::malloc(needed ? needed : 1);
        use_ = {own_, own_ ? needed : 0};
    }
    ~borrowed_workspace() { std::free(own_); }
    borrowed_workspace(const borrowed_workspace&) = delete;
    borrowed_workspace& operator=(const borrowed_workspace&) = delete;

    const workspace& get() const { return use_; }
    status check(const char* verb, std::size_t needed) const
    {
        if (use_.data) return {};
        return status::error(errc::out_of_memory, "%s: no memory for a workspace of %zu bytes", verb, needed);
    }

private:
    workspace use_;
    void* own_ = nullptr;
};

/// Calls run(options) with the workspace that a plan needs: the caller's, or one of our own.
template <class Plan, class T, class Run>
status with_workspace(const char* verb, const Plan& plan, const options<T>& how, Run run)
{
    if (!plan.status()) return plan.status();
    const borrowed_workspace memory(how.workspace, plan.workspace_bytes());
    const status s = memory.check(verb, plan.workspace_bytes());
    if (!s) return s;
    options<T> with = how;
    with.workspace = memory.get();
    return run(with);
}

}  // namespace detail

namespace kernel {

using detail::checked;

inline constexpr std::size_t cache_line = 64;

/// Whole cache lines.
template <class Count>
constexpr Count in_lines(Count bytes)
{
    constexpr std::int64_t line = cache_line;
    return (bytes + Count(line - 1)) / Count(line) * Count(line);
}

/// The first whole cache line of a workspace; total_bytes has one to spare.
inline char* first_line(void* workspace)
{
    const auto address = reinterpret_cast<std::uintptr_t>(workspace);
    return static_cast<char*>(workspace) + (in_lines(address) - address);
}

/// Hands out aligned pieces of a workspace. The number of elements of a piece is the product of the factors.
class carver {
public:
    explicit carver(void* base) : at_(static_cast<char*>(base)) {}

    template <class U, class... Factors>
    U* take(Factors... factors)
    {
        char* p = at_;
        at_ += in_lines((sizeof(U) * ... * static_cast<std::size_t>(factors)));
        return reinterpret_cast<U*>(p);
    }

private:
    char* at_;
};

/// Counts the bytes that a carver would hand out.
class carving_count {
public:
    template <class U, class... Factors>
    U* take(Factors... factors)
    {
        add((checked(sizeof(U)) * ... * checked(factors)));
        return nullptr;
    }
    checked bytes() const { return bytes_; }

private:
    HEED_NOINLINE void add(checked bytes) { bytes_ = bytes_ + in_lines(bytes); }

    checked bytes_ = 0;
};

}  // namespace kernel
HEED_END
