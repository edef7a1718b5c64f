// SPDX-License-Identifier: MIT
// move_rows: tokens of a cache to other places of their sequence, as they are stored. After a tree of drafts was
// verified, the accepted ones become the sequence's next tokens:
//
//     heed::append(cache, sequence, n, k_nodes, v_nodes);         // drafts at n, n + 1, ... in the order of the tree
//     heed::attend(def, q, cache, out);                           // under a mask that knows the tree
//     heed::move_rows(cache, sequence, n, accepted);              // {n + 2, n + 5}: to n and n + 1
//     lengths[sequence] = n + 2;
//
// Bytes are copied, scales of single tokens with them: nothing is quantised a second time. Keys keep whatever position
// was put into them before they were appended (RoPE): that of a draft is its depth, not its place.
#pragma once

#include "append.hpp"

#include <cstring>

HEED_BEGIN

namespace detail {

/// Copies the row of one token over that of another, of one sequence and head.
template <class Rows>
void move_row(const Rows& rows, std::int64_t from, std::int64_t to, std::int64_t elements)
{
    auto* const target = rows(to).data;
    std::memcpy(static_cast<void*>(target), rows(from).data, static_cast<std::size_t>(elements) * sizeof(*target));
}

/// A token of one sequence and head.
struct held_token {
    std::int64_t sequence, head, token;
};

/// Copies a token's rows, and its scales where tokens have their own, over those of another.
template <class Cache>
void move_token(const Cache& cache, const held_token& from, std::int64_t to)
{
    const auto move = [&](const auto& rows, std::int64_t elements) { move_row(rows, from.token, to, elements); };
    move(cache.keys(from.sequence, from.head), elements_for<typename Cache::key_element>(cache.key_dim()));
    move(cache.values(from.sequence, from.head), elements_for<typename Cache::value_element>(cache.value_dim()));
    if constexpr (has_key_scales_v<Cache>) {
        if (cache.key_scale.is_of_each_token()) move(cache.key_scales(from.sequence, from.head), 1);
    }
    if constexpr (has_value_scales_v<Cache>) {
        if (cache.value_scale.is_of_each_token()) move(cache.value_scales(from.sequence, from.head), 1);
    }
}

/// Checks that tokens [position, ...) may be taken from `from`, in order.
inline status check_moves(std::int64_t position, const index_view& from)
{
    using ll = long long;
    if (!from.is_sound())
        return status::error(errc::invalid_argument, "move_rows: %lld tokens%s", ll{from.size()},
                             from.is_null() ? " at null" : "");
    if (position < 0) return status::error(errc::invalid_argument, "move_rows: to position %lld", ll{position});
    for (std::int64_t i = 0; i < from.size(); ++i)
        if (from[i] < position || from[i] > size_limit || from[i] - position < i || (i > 0 && from[i] <= from[i - 1]))
            return status::error(
                errc::invalid_argument,
                "move_rows: from[%lld] = %lld: tokens ascend, and none moves to a later place than its own", ll{i},
                ll{from[i]});
    return {};
}

}  // namespace detail

/// Makes the tokens from[0] < from[1] < ... of a sequence its tokens position, position + 1, ..., K and V alike, with
/// position + i <= from[i]. The cache is one that append() writes to, whose lengths or tables hold all of the tokens
/// from `position` to the last of `from`; what lies between and behind is left as it is. Allocates nothing; returns a
/// status, and nothing is written where it is false.
template <class Cache>
status move_rows(const Cache& cache, std::int64_t sequence, std::int64_t position, const index_view& from)
{
    static_assert(sizeof(detail::appended_t<Cache, float, float>) > 0);
    static_assert(!has_key_blocks_v<Cache>, "heed: move_rows copies tokens as they are stored, and a block of tokens "
                                            "shares its scales: append the block again");
    status s;
    cache.views([&](const char* name, const auto& rows) {
        if (s) s = detail::check_sizes("move_rows", name, rows);
        if (s) s = detail::check_memory("move_rows", name, rows);
    });
    if (s) s = detail::check_sequence_of("move_rows", cache, sequence);
    if (s) s = detail::check_moves(position, from);
    if (!s) return s;
    const std::int64_t count = from.size(), last = count > 0 ? from[count - 1] : position - 1;
    s = detail::check_held("move_rows", cache, sequence, position, last - position + 1);
    detail::scales_of<Cache>::written(cache, [&](const char* name, const auto& rows) {
        if (s) s = detail::check_output("move_rows", name, rows);
    });
    if (!s) return s;
    for (std::int64_t h = 0; h < cache.heads(); ++h)
        for (std::int64_t i = 0; i < count; ++i)
            if (from[i] != position + i) detail::move_token(cache, {sequence, h, from[i]}, position + i);
    return {};
}

HEED_END
