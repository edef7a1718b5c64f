// SPDX-License-Identifier: MIT
// The one boundary check: sizes, strides, pointers and aliasing, before anything is written.
#pragma once

#include "../attention.hpp"
#include "../base/reach.hpp"
#include "../kv/contract.hpp"
#include "../options.hpp"

#include <utility>

HEED_BEGIN
namespace detail {

/// The first error of some checks. Each check is a function, which is called only where the checks before it found
/// nothing wrong, since it may rely on them.
template <class... Checks>
status first_error(const Checks&... checks)
{
    status s;
    (void)((s = checks(), static_cast<bool>(s)) && ...);
    return s;
}

inline status check_extents(const char* verb, const char* name, const extents& have, const extents& want)
{
    using ll = long long;
    if (have.batch == want.batch && have.heads == want.heads && have.tokens == want.tokens && have.dim == want.dim)
        return {};
    return status::error(errc::invalid_argument, "%s: %s is [%lld, %lld, %lld, %lld], must be [%lld, %lld, %lld, %lld]",
                         verb, name, ll{have.batch}, ll{have.heads}, ll{have.tokens}, ll{have.dim}, ll{want.batch},
                         ll{want.heads}, ll{want.tokens}, ll{want.dim});
}

/// No two rows of an output may share an element.
template <class T>
status check_output(const char* verb, const char* name, const view<T>& out)
{
    if (is_empty(out.size)) return {};
    // Sorted by stride, each step must clear all that the smaller ones span: at most what check_sizes() found to fit.
    std::int64_t count[3] = {out.size.batch, out.size.heads, out.size.tokens};
    const std::int64_t given[3] = {out.stride.batch, out.stride.heads, out.stride.tokens};
    std::uint64_t stride[3] = {magnitude(given[0]), magnitude(given[1]), magnitude(given[2])};
    for (int i = 0; i < 3; ++i)
        for (int j = i + 1; j < 3; ++j)
            if (stride[j] < stride[i]) {
                std::swap(stride[i], stride[j]);
                std::swap(count[i], count[j]);
            }
    auto span = static_cast<std::uint64_t>(elements_for<T>(out.size.dim) * out.element_stride());
    for (int i = 0; i < 3; ++i) {
        if (count[i] <= 1) continue;
        if (stride[i] < span)
            return status::error(errc::invalid_argument,
                                 "%s: %s: strides %lld, %lld, %lld let rows of %lld channels overlap", verb, name,
                                 static_cast<long long>(given[0]), static_cast<long long>(given[1]),
                                 static_cast<long long>(given[2]), static_cast<long long>(out.size.dim));
        span += static_cast<std::uint64_t>(count[i] - 1) * stride[i];
    }
    return {};
}

/// That a tensor has the size that it must have, and memory.
template <class T>
status check_tensor(const char* verb, const char* name, const view<T>& x, const extents& want)
{
    return first_error([&] { return check_extents(verb, name, x.size, want); },
                       [&] { return check_sizes(verb, name, x); }, [&] { return check_memory(verb, name, x); });
}
/// The same for one that is written.
template <class T>
status check_written_tensor(const char* verb, const char* name, const view<T>& x, const extents& want)
{
    return first_error([&] { return check_tensor(verb, name, x, want); }, [&] { return check_output(verb, name, x); });
}

/// True where `out` may share an element with `in`, both of which check_memory() has passed. Views that interleave in
/// one buffer (packed q, k, v) are told apart by the place of their heads within the period that all strides of tokens
/// and sequences are multiples of.
template <class A, class B>
bool may_overlap(const view<A>& out, const view<B>& in)
{
    if (is_empty(out.size) || is_empty(in.size)) return false;
    const byte_range a = addresses_of(out), b = addresses_of(in);
    if (a.end <= b.begin || b.end <= a.begin) return false;
    const auto begin = [](const auto& v) { return reinterpret_cast<std::uintptr_t>(v.data); };
    const auto stride = [](const auto& v, std::int64_t n, std::int64_t elements) {
        return n > 1 ? magnitude(elements) * static_cast<std::uint64_t>(v.stride_bytes()) : 0;
    };
    const auto width = [&](const auto& v) {
        const auto row =
            static_cast<std::uint64_t>(elements_for<std::remove_reference_t<decltype(*v.data)>>(v.size.dim));
        return static_cast<std::uint64_t>(v.size.heads - 1) * stride(v, v.size.heads, v.stride.heads) +
               row * sizeof(*v.data);
    };
    const auto period = [&](const auto& v) {
        return common_divisor(stride(v, v.size.tokens, v.stride.tokens), stride(v, v.size.batch, v.stride.batch));
    };
    const auto rises = [](const auto& v) { return v.size.heads == 1 || v.stride.heads >= 0; };
    const std::uint64_t common = common_divisor(period(out), period(in));
    if (!rises(out) || !rises(in) || width(out) > common || width(in) > common) return true;
    const std::uint64_t behind =
        begin(in) >= begin(out) ? (begin(in) - begin(out)) % common : common - (begin(out) - begin(in)) % common;
    return behind < width(out) || common - behind < width(in);
}

template <class T, class U>
bool same_place(const view<T>& a, const view<U>& b)
{
    return std::is_same_v<T, std::remove_const_t<U>> &&
           static_cast<const void*>(a.data) == static_cast<const void*>(b.data) && a.stride.batch == b.stride.batch &&
           a.stride.heads == b.stride.heads && a.stride.tokens == b.stride.tokens && a.size.dim == b.size.dim;
}

/// Bounds of packed query rows, one sequence each.
template <class Q>
status check_bounds(const char* verb, const packed<Q>& q, std::int64_t batch)
{
    using ll = long long;
    const index_view& at = q.bounds;
    if (!at.is_sound() || at.size() - 1 != batch || q.rows.size.batch != 1)
        return status::error(
            errc::invalid_argument, "%s: packed: %lld bounds%s and q.batch %lld for %lld sequences, must be %lld and 1",
            verb, ll{at.size()}, at.is_sound() ? "" : " at null", ll{q.rows.size.batch}, ll{batch}, ll{batch} + 1);
    for (std::int64_t b = 0; b <= batch; ++b)
        if (b == 0 ? at[b] != 0 : at[b] < at[b - 1] || at[b] > q.rows.size.tokens)
            return status::error(errc::invalid_argument,
                                 "%s: packed: bounds[%lld] = %lld; bounds rise from 0 to the %lld rows of q", verb,
                                 ll{b}, ll{at[b]}, ll{q.rows.size.tokens});
    if (at[batch] != q.rows.size.tokens)
        return status::error(errc::invalid_argument, "%s: packed: bounds end at %lld, q has %lld rows", verb,
                             ll{at[batch]}, ll{q.rows.size.tokens});
    return {};
}

/// The rules that tie q to the keys and values.
template <class Q>
status check_shapes(const char* verb, const packed<Q>& queries, std::int64_t batch, std::int64_t kv_heads,
                    std::int64_t key_dim)
{
    using ll = long long;
    const extents& q = queries.rows.size;
    if (queries.bounds.size() != 0) {
        if (const status s = check_bounds(verb, queries, batch); !s) return s;
    } else if (q.batch != batch) {
        return status::error(errc::invalid_argument, "%s: q.batch %lld differs from k.batch %lld", verb, ll{q.batch},
                             ll{batch});
    }
    if (q.dim != key_dim)
        return status::error(errc::invalid_argument, "%s: q.dim %lld differs from k.dim %lld", verb, ll{q.dim},
                             ll{key_dim});
    if (kv_heads == 0 ? q.heads != 0 : q.heads % kv_heads != 0)
        return status::error(errc::invalid_argument, "%s: q.heads %lld is not a multiple of kv.heads %lld", verb,
                             ll{q.heads}, ll{kv_heads});
    return {};
}

/// What every verb asks of its queries, keys and values before it looks at their memory: sizes, strides, lengths.
template <class Q, class Kv>
status check_inputs(const char* verb, const packed<Q>& q, const Kv& kv)
{
    status s = check_sizes(verb, "q", q.rows);
    kv.views([&](const char* name, const auto& rows) {
        if (s) s = check_sizes(verb, name, rows);
    });
    return first_error([&] { return s; }, [&] { return kv.check(); },
                       [&] {
                           if (within_limit(kv.tokens())) return status{};
                           return status::error(errc::invalid_argument, "%s: a sequence of %lld tokens, above 2^60",
                                                verb, static_cast<long long>(kv.tokens()));
                       },
                       [&] { return check_shapes(verb, q, kv.batch(), kv.heads(), kv.key_dim()); });
}
/// And of their memory.
template <class Q, class Kv>
status check_input_memory(const char* verb, const packed<Q>& q, const Kv& kv)
{
    status s = check_memory(verb, "q", q.rows);
    kv.views([&](const char* name, const auto& rows) {
        if (s) s = check_memory(verb, name, rows);
    });
    return s ? kv.check_rows() : s;
}

/// Numbers that a caller's container may be too small for.
template <class T>
status check_count(const char* verb, const char* name, const number_view<T>& numbers, std::int64_t needed)
{
    if (!numbers || numbers.holds(needed)) return {};
    return status::error(errc::invalid_argument, "%s: %s has %lld numbers, must be %lld", verb, name,
                         static_cast<long long>(numbers.count()), static_cast<long long>(needed));
}
/// The row statistics of q, as far as their sizes are known.
template <class T>
status check_counts(const char* verb, const row_statistics<T>& stats, const extents& q)
{
    const std::int64_t rows = wrapped_product(wrapped_product(q.batch, q.heads), q.tokens);
    return first_error([&] { return check_count(verb, "stats.shift", stats.shift, rows); },
                       [&] { return check_count(verb, "stats.mass", stats.mass, rows); },
                       [&] { return check_count(verb, "stats.lse", stats.lse, rows); });
}

/// A table of thresholds, as far as its size is known: of rows there may be none.
template <class T>
status check_thresholds(const char* verb, const number_view<row_threshold<T>>& table, const extents& q)
{
    const std::int64_t rows = wrapped_product(wrapped_product(q.batch, q.heads), q.tokens);
    if (rows > 0 && !table)
        return status::error(errc::invalid_argument, "%s: the table of thresholds is null, for %lld rows", verb,
                             static_cast<long long>(rows));
    return check_count(verb, "thresholds", table, rows);
}

/// The row statistics that a verb reads, and `numbers` more of 8 bytes that it writes for each row of q.
template <class T>
status check_statistics(const char* verb, const row_statistics<T>& stats, const extents& q, std::int64_t numbers)
{
    const checked rows = checked(q.batch) * q.heads * q.tokens, bytes = rows * max_of(numbers, 1) * 8;
    if (!bytes.fits())
        return status::error(errc::invalid_argument, "%s: %lld x %lld x %lld rows, %lld numbers each: beyond 64 bits",
                             verb, static_cast<long long>(q.batch), static_cast<long long>(q.heads),
                             static_cast<long long>(q.tokens), static_cast<long long>(numbers));
    if (rows.value() == 0 || (stats.shift && stats.mass)) return check_counts(verb, stats, q);
    return status::error(errc::invalid_argument,
                         "%s: stats.%s is null; attend() fills it for %lld rows through options.stats", verb,
                         stats.shift ? "mass" : "shift", static_cast<long long>(rows.value()));
}

/// That there is as much memory as a call needs.
inline status check_workspace(const char* verb, const workspace& given, std::size_t bytes)
{
    if (given.bytes < bytes || !given.data)
        return status::error(errc::workspace_too_small, "%s: workspace of %zu bytes%s, needs %zu", verb, given.bytes,
                             given.data ? "" : " at null", bytes);
    return {};
}

/// That a call brings no more workers than were planned for, and as much memory.
template <class T>
status check_resources(const char* verb, const options<T>& how, int workers, std::size_t bytes)
{
    if (how.executor.concurrency() > workers)
        return status::error(errc::invalid_argument, "%s: the executor has %d workers, planned for %d", verb,
                             how.executor.concurrency(), workers);
    return check_workspace(verb, how.workspace, bytes);
}

}  // namespace detail
HEED_END
