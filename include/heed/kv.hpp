// SPDX-License-Identifier: MIT
// The kv-source contract: where the keys and values of a sequence lie. Storage is data, not a kernel: a source
// says where a run of consecutive tokens starts and how far apart its rows are.
//
//     using key_element = ..., value_element = ...;      // of element.hpp, not necessarily the same
//     std::int64_t batch() const, heads() const, tokens() const, key_dim() const, value_dim() const;
//     rows<key_element> keys(batch, head, token) const;  // the row of `token`, and the step to the next
//     rows<value_element> values(batch, head, token) const;
//     status check() const;                              // is the description itself sound
#pragma once

#include "element.hpp"
#include "status.hpp"
#include "view.hpp"

HEED_BEGIN

/// Consecutive rows at a constant step, in elements.
template <class T>
struct rows {
    const T* data;
    std::int64_t step;
};

namespace detail {
template <class S, class = void>
struct is_kv_source : std::false_type {};
template <class S>
struct is_kv_source<
    S, std::void_t<typename S::key_element, typename S::value_element, decltype(std::declval<const S&>().keys(0, 0, 0)),
                   decltype(std::declval<const S&>().values(0, 0, 0))>> : std::true_type {};
}  // namespace detail

template <class S>
inline constexpr bool is_kv_source_v = detail::is_kv_source<S>::value;

HEED_END
