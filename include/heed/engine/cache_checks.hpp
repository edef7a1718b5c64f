// SPDX-License-Identifier: MIT
// What the verbs that write, read and move rows of caches check before they do.
#pragma once

#include "../kv/contract.hpp"
#include "validate.hpp"

HEED_BEGIN
namespace detail {

inline constexpr std::int64_t largest_row = 8192;  // channels, on the stack

/// The cache's views, and rows of as many tokens as those of k.
template <class Cache, class K, class V>
status check_cache_and_rows(const char* verb, const Cache& cache, const view<K>& k, const view<V>& v)
{
    using ll = long long;
    status s;
    cache.views([&](const char* name, const auto& rows) {
        if (s) s = check_sizes(verb, name, rows);
        if (s) s = check_memory(verb, name, rows);
    });
    if (s) s = check_sizes(verb, "k rows", k);
    if (s) s = check_sizes(verb, "v rows", v);
    if (s) s = check_memory(verb, "k rows", k);
    if (s) s = check_memory(verb, "v rows", v);
    if (s) s = check_extents(verb, "k rows", k.size, {1, cache.heads(), k.size.tokens, cache.key_dim()});
    if (s) s = check_extents(verb, "v rows", v.size, {1, cache.heads(), k.size.tokens, cache.value_dim()});
    if (s && (cache.key_dim() > largest_row || cache.value_dim() > largest_row))
        s = status::error(errc::invalid_argument, "%s: rows of %lld and %lld channels; at most %lld are possible", verb,
                          ll{cache.key_dim()}, ll{cache.value_dim()}, ll{largest_row});
    return s;
}

/// That the cache holds the tokens [position, position + n) of a sequence, which exists.
template <class Cache>
status check_held(const char* verb, const Cache& cache, std::int64_t sequence, std::int64_t position, std::int64_t n)
{
    using ll = long long;
    const token_span held = cache.held(sequence);
    if (position < held.first || n > held.end - position)
        return status::error(errc::invalid_argument,
                             "%s: sequence %lld: %lld tokens from position %lld on; the cache holds [%lld, %lld)", verb,
                             ll{sequence}, ll{n}, ll{position}, ll{held.first}, ll{held.end});
    if constexpr (has_gone_v<Cache>) {
        const token_span gone = cache.gone(sequence);
        if (gone.first < gone.end && position < gone.end && gone.first < position + n)
            return status::error(
                errc::invalid_argument,
                "%s: sequence %lld: %lld tokens from position %lld on; the cache has lost [%lld, %lld)", verb,
                ll{sequence}, ll{n}, ll{position}, ll{gone.first}, ll{gone.end});
    }
    return cache.check_rows(sequence, position, position + n);
}
template <class Cache>
status check_sequence_of(const char* verb, const Cache& cache, std::int64_t sequence)
{
    if (sequence < 0 || sequence >= cache.batch())
        return status::error(errc::invalid_argument, "%s: sequence %lld of %lld", verb,
                             static_cast<long long>(sequence), static_cast<long long>(cache.batch()));
    return cache.check_sequence(sequence);
}

/// What append and fetch check alike: the cache, and that rows of the tokens [position, position + n) are held.
template <class Cache, class K, class V>
status check_tokens(const char* verb, const Cache& cache, std::int64_t sequence, std::int64_t position,
                    const view<K>& k, const view<V>& v)
{
    status s = check_cache_and_rows(verb, cache, k, v);
    if (s) s = check_sequence_of(verb, cache, sequence);
    if (s) s = check_held(verb, cache, sequence, position, k.size.tokens);
    return s;
}

/// What append checks of packed rows: bounds, that each sequence holds its last tokens, and that no other shares them.
template <class Cache, class K, class V>
status check_packed_tokens(const Cache& cache, const index_view& bounds, const view<K>& k, const view<V>& v)
{
    status s = check_cache_and_rows("append", cache, k, v);
    if (s) s = cache.check();
    if (s) s = check_bounds("append", packed<K>{k, bounds}, cache.batch());
    for (std::int64_t b = 0; s && b < cache.batch(); ++b) {
        const std::int64_t n = bounds[b + 1] - bounds[b];
        const std::int64_t held = cache.held(b).end;
        if (n > held)
            return status::error(
                errc::invalid_argument,
                "append: sequence %lld: %lld new tokens, and the cache holds %lld in all: its length is "
                "raised first",
                static_cast<long long>(b), static_cast<long long>(n), static_cast<long long>(held));
        if (n > 0) s = check_held("append", cache, b, held - n, n);
    }
    if (!s) return s;
    if constexpr (has_check_last_exclusive<Cache>::value) return cache.check_last_exclusive(bounds);
    else
        for (std::int64_t b = 0; s && b < cache.batch(); ++b)
            if (const std::int64_t n = bounds[b + 1] - bounds[b], end = cache.held(b).end; n > 0)
                s = cache.check_exclusive(b, end - n, end);
    return s;
}

}  // namespace detail
HEED_END
