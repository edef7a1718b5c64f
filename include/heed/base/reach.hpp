// SPDX-License-Identifier: MIT
// The memory that a view reaches, and whether its sizes, strides and pointer are sound. Tensors and the tables of
// policies are checked here.
#pragma once

#include "status.hpp"
#include "view.hpp"

HEED_BEGIN
namespace detail {

inline bool is_empty(const extents& e) { return e.batch == 0 || e.heads == 0 || e.tokens == 0 || e.dim == 0; }

/// The range of bytes that a view may touch, relative to its data pointer.
struct byte_reach {
    checked low = 0, high = 0;

    bool fits() const { return low.fits() && high.fits(); }
};
template <class T>
byte_reach reach_of(const view<T>& v)
{
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    const std::int64_t count[3] = {v.size.batch, v.size.heads, v.size.tokens};
    const std::int64_t stride[3] = {v.stride.batch, v.stride.heads, v.stride.tokens};
    byte_reach reach{0, checked(elements_for<T>(v.size.dim)) * size};
    for (int i = 0; i < 3; ++i) {
        const checked bytes = checked(count[i] - 1) * stride[i] * v.stride_bytes();
        checked& end = count[i] > 1 && stride[i] < 0 ? reach.low : reach.high;
        end = end + bytes;
    }
    return reach;
}

/// The same range as addresses. The view has passed check_sizes() and check_memory().
struct byte_range {
    std::uintptr_t begin, end;
};
template <class T>
byte_range addresses_of(const view<T>& v)
{
    const byte_reach reach = reach_of(v);
    const auto data = reinterpret_cast<std::uintptr_t>(v.data);
    return {data + static_cast<std::uintptr_t>(reach.low.value()),
            data + static_cast<std::uintptr_t>(reach.high.value())};
}

/// Checks the sizes and strides of one view.
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
    if (!(checked(e.batch) * e.heads * e.tokens * e.dim).fits() || (!is_empty(e) && !reach_of(v).fits()))
        return status::error(errc::invalid_argument,
                             "%s: %s: sizes %lld x %lld x %lld x %lld or strides %lld, %lld, %lld overflow 64 bits",
                             verb, name, ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim}, ll{v.stride.batch},
                             ll{v.stride.heads}, ll{v.stride.tokens});
    if (!within_limit(e.batch) || !within_limit(e.heads) || !within_limit(e.tokens) || !within_limit(e.dim))
        return status::error(errc::invalid_argument, "%s: %s: [%lld, %lld, %lld, %lld] has an extent above 2^60", verb,
                             name, ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim});
    return {};
}

/// Checks that strides in bytes keep the rows of quantised blocks aligned.
template <class T>
status check_aligned_strides(const char* verb, const char* name, const view<T>& v)
{
    const std::int64_t count[3] = {v.size.batch, v.size.heads, v.size.tokens};
    const std::int64_t stride[3] = {v.stride.batch, v.stride.heads, v.stride.tokens};
    for (int i = 0; i < 3; ++i)
        if (count[i] > 1 && stride[i] * v.stride_bytes() % static_cast<std::int64_t>(alignof(T)) != 0)
            return status::error(
                errc::invalid_argument, "%s: %s: a stride of %lld bytes leaves the alignment of its %d-byte blocks",
                verb, name, static_cast<long long>(stride[i] * v.stride_bytes()), static_cast<int>(sizeof(T)));
    return {};
}

/// Checks the pointer of a view whose sizes and strides are sound: null, alignment, and the address space.
template <class T>
status check_memory(const char* verb, const char* name, const view<T>& v)
{
    if (is_empty(v.size)) return {};
    if (!v.data) return status::error(errc::invalid_argument, "%s: %s.data is null", verb, name);
    const auto data = reinterpret_cast<std::uintptr_t>(v.data);
    if (data % alignof(T) != 0)
        return status::error(errc::invalid_argument, "%s: %s.data is not aligned to its %d-byte elements", verb, name,
                             static_cast<int>(alignof(T)));
    if constexpr (channels_of < std::remove_const_t < T >>> 1) {
        const status s = check_aligned_strides(verb, name, v);
        if (!s) return s;
    }
    const byte_reach reach = reach_of(v);
    constexpr auto size = static_cast<std::int64_t>(sizeof(T));
    if (v.capacity >= 0 && (reach.low.value() < 0 || reach.high.value() / size > v.capacity))
        return status::error(errc::invalid_argument,
                             "%s: %s: [%lld, %lld, %lld, %lld] takes %lld elements, its container has %lld", verb, name,
                             static_cast<long long>(v.size.batch), static_cast<long long>(v.size.heads),
                             static_cast<long long>(v.size.tokens), static_cast<long long>(v.size.dim),
                             static_cast<long long>(reach.high.value() / size), static_cast<long long>(v.capacity));
    if (magnitude(reach.low.value()) > data || magnitude(reach.high.value()) > UINTPTR_MAX - data)
        return status::error(errc::invalid_argument, "%s: %s: strides %lld, %lld, %lld leave the address space", verb,
                             name, static_cast<long long>(v.stride.batch), static_cast<long long>(v.stride.heads),
                             static_cast<long long>(v.stride.tokens));
    return {};
}

}  // namespace detail
HEED_END
