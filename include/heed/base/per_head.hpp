// SPDX-License-Identifier: MIT
// Numbers of a policy, one for each query head.
#pragma once

#include "place.hpp"
#include "status.hpp"

HEED_BEGIN
namespace detail {

/// One float for each query head, in memory that outlives the policy: a pointer and how many there are, or a vector,
/// array or span.
struct per_head {
    const float* numbers = nullptr;  ///< [Hq]
    std::int64_t count = 0;          ///< numbers there are

    /// A pointer to the numbers, and how many there are.
    per_head(const float* of_heads, std::int64_t query_heads) : numbers(of_heads), count(query_heads) {}
    /// A vector, array or span of them.
    template <class C, class E = element_of_container<C>,
              class = std::enable_if_t<std::is_same_v<std::remove_const_t<E>, float>>>
    explicit per_head(C&& of_heads) : per_head(of_heads.data(), static_cast<std::int64_t>(of_heads.size()))
    {}
    template <class C, std::enable_if_t<is_temporary_v<C>, int> = 0>
    explicit per_head(C&&)
    {
        refuse_temporary<C>();
    }

    /// That there is one for each; `what` they are.
    status check_count(const char* policy, const char* what, const problem& p) const
    {
        if (count == p.query_heads && (count == 0 || numbers)) return {};
        return status::error(errc::invalid_argument, "%s: %lld %s for %lld query heads", policy,
                             static_cast<long long>(count), what, static_cast<long long>(p.query_heads));
    }
};

}  // namespace detail
HEED_END
