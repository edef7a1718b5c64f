// SPDX-License-Identifier: MIT
// Masks that list the keys of a row. Two members beside those of any mask, and in agreement with them; kernels then
// read only what is listed:
//
//     key_list list(const query_place&) const;    // the keys that the row attends, and no others
//     std::int64_t rows_of_list() const;          // query rows, from each multiple of it on, that share a list
#pragma once

#include "../base/view.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Keys as a list: entry e stands for the keys [e * block, (e + 1) * block). Entries rise.
struct key_list {
    index_view entries;      ///< numbers that rise
    std::int64_t block = 1;  ///< keys of an entry

    /// The first entry that holds `key` or a later one.
    std::int64_t find(std::int64_t key) const
    {
        const std::int64_t wanted = key > 0 ? key / block : 0;
        return entries.with_numbers([&](const auto* at) {
            std::int64_t first = 0;
            for (std::int64_t n = entries.size(); n > 0;) {
                const std::int64_t half = n / 2;
                const bool below = at[first + half] < wanted;
                first = below ? first + half + 1 : first;
                n = below ? n - half - 1 : half;
            }
            return first;
        });
    }
    /// The first key of entry i.
    std::int64_t begin(std::int64_t i) const { return entries[i] * block; }
    /// One past its last key.
    std::int64_t end(std::int64_t i) const { return (entries[i] + 1) * block; }
    /// Whether these are the same entries in the same memory.
    bool is(const key_list& o) const { return block == o.block && entries.is(o.entries); }
};

namespace detail {

template <class P, class = void>
struct has_list : std::false_type {};
template <class P>
struct has_list<P, std::enable_if_t<std::is_same_v<key_list, decltype(std::declval<const P&>().list(query_place{}))>>>
    : std::true_type {};

/// How many lists a row's keys must all be in: `a & b` has those of both.
template <class Mask>
struct lists_of : std::integral_constant<int, has_list<Mask>::value> {};
template <class A, class B>
struct lists_of<both_masks<A, B>> : std::integral_constant<int, lists_of<A>::value + lists_of<B>::value> {};

/// The first of them.
template <class Mask>
key_list first_list(const Mask& mask, const query_place& at)
{
    return mask.list(at);
}
template <class A, class B>
key_list first_list(const both_masks<A, B>& masks, const query_place& at)
{
    if constexpr (lists_of<A>::value > 0) return first_list(masks.a, at);
    else return first_list(masks.b, at);
}

/// How many query rows share it.
template <class Mask>
std::int64_t rows_of_list(const Mask& mask)
{
    return mask.rows_of_list();
}
template <class A, class B>
std::int64_t rows_of_list(const both_masks<A, B>& masks)
{
    if constexpr (lists_of<A>::value > 0) return rows_of_list(masks.a);
    else return rows_of_list(masks.b);
}

/// classify() of all that is no list.
template <class Mask>
coverage classify_beside_lists(const Mask& mask, const block_place& block)
{
    if constexpr (has_list<Mask>::value) return coverage::full;
    else return heed::classify(mask, block);
}
template <class A, class B>
coverage classify_beside_lists(const both_masks<A, B>& masks, const block_place& block)
{
    const coverage x = classify_beside_lists(masks.a, block), y = classify_beside_lists(masks.b, block);
    if (x == coverage::none || y == coverage::none) return coverage::none;
    return x == coverage::full ? y : x;
}

}  // namespace detail
HEED_END
