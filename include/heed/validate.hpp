// SPDX-License-Identifier: MIT
// The one boundary check: sizes, strides, pointers and aliasing, before anything is written.
#pragma once

#include "attention.hpp"
#include "kv.hpp"
#include "options.hpp"
#include "view.hpp"

HEED_BEGIN
namespace detail {

/// The bytes a view spans, from the first to the last it may touch; false where a product leaves 64 bits.
struct byte_range {
    std::uintptr_t begin = 0, end = 0;
};
template <class T>
bool bytes_of(const view<T>& v, byte_range& range)
{
    std::int64_t low = 0, high = 0;
    const std::int64_t count[3] = {v.size.batch, v.size.heads, v.size.tokens};
    const std::int64_t step[3] = {v.step.batch, v.step.heads, v.step.tokens};
    for (int i = 0; i < 3; ++i) {
        std::int64_t reach;
        if (__builtin_mul_overflow(count[i] - 1, step[i], &reach)) return false;
        if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) return false;
    }
    if (__builtin_add_overflow(high, elements_for<T>(v.size.dim), &high)) return false;
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    if (__builtin_mul_overflow(low, size, &low) || __builtin_mul_overflow(high, size, &high)) return false;
    range.begin = reinterpret_cast<std::uintptr_t>(v.data) + static_cast<std::uintptr_t>(low);
    range.end = reinterpret_cast<std::uintptr_t>(v.data) + static_cast<std::uintptr_t>(high);
    return true;
}

inline bool is_empty(const extents& e) { return e.batch == 0 || e.heads == 0 || e.tokens == 0 || e.dim == 0; }

/// Sizes and strides of one view.
template <class T>
status check_sizes(const char* verb, const char* name, const view<T>& v)
{
    using ll = long long;
    const extents& e = v.size;
    if (e.batch < 0 || e.heads < 0 || e.tokens < 0 || e.dim < 1)
        return status::error(errc::invalid_argument,
                             "%s: %s: batch %lld, heads %lld, tokens %lld must be >= 0, dim %lld >= 1", verb, name,
                             ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim});
    if constexpr (constexpr std::int64_t block = channels_of<std::remove_const_t<T>>; block > 1)
        if (e.dim % block != 0)
            return status::error(errc::invalid_argument,
                                 "%s: %s: dim %lld is not a multiple of the %lld channels of a block", verb, name,
                                 ll{e.dim}, ll{block});
    std::int64_t n;
    byte_range range;
    if (__builtin_mul_overflow(e.batch, e.heads, &n) || __builtin_mul_overflow(n, e.tokens, &n) ||
        __builtin_mul_overflow(n, e.dim, &n) || (!is_empty(e) && !bytes_of(v, range)))
        return status::error(errc::invalid_argument,
                             "%s: %s: sizes %lld x %lld x %lld x %lld or strides %lld, %lld, %lld overflow 64 bits",
                             verb, name, ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim}, ll{v.step.batch},
                             ll{v.step.heads}, ll{v.step.tokens});
    return {};
}

/// A view that will be read or written.
template <class T>
status check_memory(const char* verb, const char* name, const view<T>& v)
{
    if (is_empty(v.size)) return {};
    if (!v.data) return status::error(errc::invalid_argument, "%s: %s.data is null", verb, name);
    if (reinterpret_cast<std::uintptr_t>(v.data) % alignof(T) != 0)
        return status::error(errc::invalid_argument, "%s: %s.data is not aligned to its %d-byte elements", verb, name,
                             static_cast<int>(alignof(T)));
    return {};
}

/// No two rows of an output may share an element.
template <class T>
status check_output(const char* verb, const char* name, const view<T>& out)
{
    if (is_empty(out.size)) return {};
    // Sorted by stride, each step must clear all that the smaller ones span.
    std::int64_t count[3] = {out.size.batch, out.size.heads, out.size.tokens};
    std::int64_t step[3];
    const std::int64_t given[3] = {out.step.batch, out.step.heads, out.step.tokens};
    for (int i = 0; i < 3; ++i) step[i] = given[i] < 0 ? -given[i] : given[i];
    for (int i = 0; i < 3; ++i)
        for (int j = i + 1; j < 3; ++j)
            if (step[j] < step[i]) {
                const std::int64_t s = step[i], c = count[i];
                step[i] = step[j], count[i] = count[j];
                step[j] = s, count[j] = c;
            }
    std::int64_t span = elements_for<T>(out.size.dim);
    for (int i = 0; i < 3; ++i) {
        if (count[i] <= 1) continue;
        if (step[i] < span)
            return status::error(errc::invalid_argument,
                                 "%s: %s: strides %lld, %lld, %lld let rows of %lld channels overlap", verb, name,
                                 static_cast<long long>(given[0]), static_cast<long long>(given[1]),
                                 static_cast<long long>(given[2]), static_cast<long long>(out.size.dim));
        span += (count[i] - 1) * step[i];
    }
    return {};
}

/// True where `out` may share an element with `in`. Views that interleave in one buffer at a common token stride
/// (packed q, k, v) are told apart by their place within a token.
template <class A, class B>
bool may_overlap(const view<A>& out, const view<B>& in)
{
    if (is_empty(out.size) || is_empty(in.size)) return false;
    byte_range a, b;
    if (!bytes_of(out, a) || !bytes_of(in, b)) return true;
    if (a.end <= b.begin || b.end <= a.begin) return false;
    const std::int64_t period = out.step.tokens;
    const auto width = [](const auto& v) {
        return elements_for<std::remove_reference_t<decltype(*v.data)>>(v.size.dim);
    };
    const auto inside = [&](const auto& v) {
        return v.step.tokens == period && v.step.heads >= 0 && v.step.batch % period == 0 &&
               (v.size.heads - 1) * v.step.heads + width(v) <= period;
    };
    if (period <= 0 || sizeof(A) != sizeof(B) || !inside(out) || !inside(in)) return true;
    constexpr auto size = static_cast<std::int64_t>(sizeof(A));
    const std::int64_t width_out = ((out.size.heads - 1) * out.step.heads + width(out)) * size;
    const std::int64_t width_in = ((in.size.heads - 1) * in.step.heads + width(in)) * size;
    const auto apart = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(in.data) -
                                                 reinterpret_cast<std::uintptr_t>(out.data));
    const std::int64_t bytes = period * size, distance = (apart % bytes + bytes) % bytes;
    return distance < width_out || bytes - distance < width_in;
}

template <class T, class U>
bool same_place(const view<T>& a, const view<U>& b)
{
    return std::is_same_v<T, std::remove_const_t<U>> &&
           static_cast<const void*>(a.data) == static_cast<const void*>(b.data) && a.step.batch == b.step.batch &&
           a.step.heads == b.step.heads && a.step.tokens == b.step.tokens && a.size.dim == b.size.dim;
}

/// Bounds of packed query rows, one sequence each.
template <class Q>
status check_bounds(const char* verb, const packed<Q>& q, std::int64_t batch)
{
    using ll = long long;
    const index_view& at = q.bounds;
    if (!at.is_sound() || at.size() != batch + 1 || q.rows.size.batch != 1)
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

/// That a call brings no more workers than were planned for, and as much memory.
template <class T>
status check_resources(const char* verb, const options<T>& how, int workers, std::size_t bytes)
{
    if (how.executor.concurrency() > workers)
        return status::error(errc::invalid_argument, "%s: the executor has %d workers, planned for %d", verb,
                             how.executor.concurrency(), workers);
    if (how.workspace.bytes < bytes || !how.workspace.data)
        return status::error(errc::workspace_too_small, "%s: workspace of %zu bytes%s, needs %zu", verb,
                             how.workspace.bytes, how.workspace.data ? "" : " at null", bytes);
    return {};
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

}  // namespace detail
HEED_END
