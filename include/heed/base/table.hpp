// SPDX-License-Identifier: MIT
// Tables of policies hold one entry for each score: [B, Hq, Sq, Skv]. An extent of 1 is repeated along B, Hq or Sq.
// Columns are absolute key positions.
#pragma once

#include "place.hpp"
#include "reach.hpp"

HEED_BEGIN
namespace detail {

/// The same table, in which an extent of 1 takes any index.
template <class T>
view<T> repeat_ones(view<T> v)
{
    if (v.size.batch == 1) v.stride.batch = 0;
    if (v.size.heads == 1) v.stride.heads = 0;
    if (v.size.tokens == 1) v.stride.tokens = 0;
    return v;
}

template <class T>
status check_table(const char* policy, const view<T>& v, const problem& p)
{
    using ll = long long;
    const extents &e = v.size, scores{p.batch, p.query_heads, p.queries, p.total_keys};
    const auto repeats = [](std::int64_t have, std::int64_t want) { return have == want || have == 1; };
    if (!repeats(e.batch, p.batch) || !repeats(e.heads, p.query_heads) || !repeats(e.tokens, p.queries) ||
        e.dim != p.total_keys)
        return status::error(errc::invalid_argument,
                             "%s: [%lld, %lld, %lld, %lld] does not broadcast to [%lld, %lld, %lld, %lld]", policy,
                             ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim}, ll{p.batch}, ll{p.query_heads},
                             ll{p.queries}, ll{p.total_keys});
    if (is_empty(scores)) return {};  // not looked at
    const status s = check_sizes(policy, "values", v);
    return s ? check_memory(policy, "values", v) : s;
}

}  // namespace detail
HEED_END
