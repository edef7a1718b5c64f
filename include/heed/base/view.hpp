// SPDX-License-Identifier: MIT
// Views of other people's memory. A view is a pointer, four named extents and three strides: it owns nothing, and its
// channels are contiguous. An index_view is a list of whole numbers: lengths, offsets, pages.
#pragma once

#include "checked.hpp"
#include "element.hpp"
#include "mistakes.hpp"

#include <cstddef>
#include <utility>

HEED_BEGIN

/// Sizes of a tensor of head rows: B, H, S, D. D counts channels, also where an element is a block of channels. No size
/// is above 2^60, and their product fits 64 bits.
struct extents {
    std::int64_t batch = 0;   ///< B: sequences
    std::int64_t heads = 0;   ///< H: heads, of queries or of keys and values
    std::int64_t tokens = 0;  ///< S: rows of a head
    std::int64_t dim = 0;     ///< D: channels of a row
};

/// Distances between neighbours, in elements; of quantised blocks in bytes where strided_bytes() made the view. A
/// stride of 0 repeats, a negative one goes backwards, and the stride of an extent of 1 is ignored. Channels are
/// contiguous.
struct strides {
    std::int64_t batch = 0;   ///< from a sequence to the next
    std::int64_t heads = 0;   ///< from a head to the next
    std::int64_t tokens = 0;  ///< from a token to the next
};

namespace detail {

/// What a stride of 1 is in bytes: an element.
template <class T, bool = (channels_of<std::remove_const_t<T>> > 1)>
struct stride_unit {
    /// Bytes of a stride of 1.
    static constexpr std::int64_t stride_bytes() { return sizeof(T); }
};
/// Of quantised blocks an element, or a byte: a padded row need not be a whole number of blocks.
template <class T>
struct stride_unit<T, true> {
    bool strides_in_bytes = false;  ///< whether strided_bytes() made the view
    /// Bytes of a stride of 1.
    constexpr std::int64_t stride_bytes() const { return strides_in_bytes ? 1 : std::int64_t{sizeof(T)}; }
};

/// What lies `units` strides of 1 after `from`.
template <class T>
constexpr T* after(T* from, std::int64_t units, [[maybe_unused]] const stride_unit<T>& unit)
{
    if constexpr (channels_of < std::remove_const_t < T >>> 1) {
        using byte = std::conditional_t<std::is_const_v<T>, const char, char>;
        return reinterpret_cast<T*>(reinterpret_cast<byte*>(from) + units * unit.stride_bytes());
    } else {
        return from + units;
    }
}

}  // namespace detail

/// A tensor [batch, heads, tokens, dim] in somebody else's memory, aligned to its element.
template <class T>
struct view : detail::stride_unit<T> {
    T* data = nullptr;           ///< channel 0 of token 0, head 0 and sequence 0
    extents size;                ///< [batch, heads, tokens, dim]
    strides stride;              ///< in elements, or in bytes where strides_in_bytes says so
    std::int64_t capacity = -1;  ///< elements from data on that a container has; -1: unknown, and not checked

    constexpr view() = default;
    /// A pointer, sizes, strides, and where it is known how many elements there are.
    constexpr view(T* pointer, extents sizes, strides steps, std::int64_t elements = -1)
        : data(pointer), size(sizes), stride(steps), capacity(elements)
    {}

    /// view<T> converts to view<const T>.
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
    constexpr view(const view<U>& other)
        : data(other.data), size(other.size), stride(other.stride), capacity(other.capacity)
    {
        if constexpr (channels_of < U >> 1) this->strides_in_bytes = other.strides_in_bytes;
    }

    /// First channel of one token of one head.
    constexpr T* row(std::int64_t batch, std::int64_t head, std::int64_t token) const
    {
        return detail::after(data, batch * stride.batch + head * stride.heads + token * stride.tokens, *this);
    }
    /// The distance from a token to the next. A lone token has no next one, so its stride may be any number.
    constexpr std::int64_t token_stride() const
    {
        return size.tokens > 1 ? stride.tokens : elements_for<T>(size.dim) * element_stride();
    }
    /// The stride that leads from an element to the next.
    constexpr std::int64_t element_stride() const
    {
        return static_cast<std::int64_t>(sizeof(T)) / this->stride_bytes();
    }
};

namespace detail {

/// What data() of C points to, where C is a container with data() and size() that outlives a view of it: an lvalue, or
/// a span, whose constness is not that of its elements.
template <class C>
using data_of = decltype(std::declval<C&>().data());
template <class C, class Pointer = data_of<std::remove_reference_t<C>>, class = decltype(std::declval<C&>().size()),
          class = std::enable_if_t<
              std::is_lvalue_reference_v<C> ||
              std::is_same_v<data_of<std::remove_reference_t<C>>, data_of<const std::remove_reference_t<C>>>>>
using element_of_container = std::remove_pointer_t<Pointer>;

/// Whether C is a container that ends before a view of it would.
template <class C, class = void>
inline constexpr bool is_temporary_v = false;
template <class C>
inline constexpr bool is_temporary_v<C, std::void_t<decltype(std::declval<C&>().size()), data_of<C>>> =
    !std::is_reference_v<C> && !std::is_same_v<data_of<C>, data_of<const C>>;

/// Whether E is a whole number that no table is made of.
template <class E>
inline constexpr bool is_other_index_v =
    std::is_integral_v<E> && !std::is_same_v<E, std::int32_t> && !std::is_same_v<E, std::int64_t>;

}  // namespace detail

/// Whole numbers in somebody else's memory, of 32 or of 64 bits: lengths, offsets, pages. A vector, array or span of
/// std::int32_t or std::int64_t converts to one.
class index_view {
public:
    constexpr index_view() = default;
    /// So many numbers from a pointer on.
    constexpr index_view(const std::int32_t* numbers, std::int64_t entries) : narrow_(numbers), count_(entries) {}
    constexpr index_view(const std::int64_t* numbers, std::int64_t entries) : wide_(numbers), count_(entries) {}
    /// A vector, array or span, which outlives the view.
    template <class C, class E = std::remove_const_t<detail::element_of_container<C>>,
              class = std::enable_if_t<std::is_same_v<E, std::int32_t> || std::is_same_v<E, std::int64_t>>>
    constexpr index_view(C&& numbers) : index_view(numbers.data(), static_cast<std::int64_t>(numbers.size()))
    {}

    // Mistakes, each with its sentence.
    template <class N, std::enable_if_t<detail::is_other_index_v<N>, int> = 0>
    constexpr index_view(const N*, std::int64_t)
    {
        detail::refuse_numbers<N>();
    }
    template <class C, class E = std::remove_const_t<detail::element_of_container<C>>,
              std::enable_if_t<detail::is_other_index_v<E>, int> = 0>
    constexpr index_view(C&&)
    {
        detail::refuse_numbers<E>();
    }
    template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
    constexpr index_view(C&&)
    {
        detail::refuse_temporary<C>();
    }

    /// Number i, in 64 bits.
    constexpr std::int64_t operator[](std::int64_t i) const { return wide_ ? wide_[i] : narrow_[i]; }
    constexpr std::int64_t size() const { return count_; }  ///< how many numbers there are
    /// The same from entry i on.
    constexpr index_view from(std::int64_t i) const
    {
        index_view v = *this;
        if (wide_) v.wide_ += i;
        else v.narrow_ += i;
        v.count_ -= i;
        return v;
    }
    constexpr bool is_null() const { return !wide_ && !narrow_; }  ///< whether there is no pointer
    /// Whether these are the same numbers in the same memory.
    constexpr bool is(const index_view& o) const
    {
        return wide_ == o.wide_ && narrow_ == o.narrow_ && count_ == o.count_;
    }
    /// f(pointer to the numbers), for loops that should not ask for each number how wide it is.
    template <class F>
    constexpr auto with_numbers(F f) const
    {
        return wide_ ? f(wide_) : f(narrow_);
    }
    /// Entries [begin, end).
    constexpr index_view between(std::int64_t begin, std::int64_t end) const
    {
        index_view v = from(begin);
        v.count_ = end - begin;
        return v;
    }
    /// False where a count other than 0 comes with a null pointer, or is negative.
    constexpr bool is_sound() const { return count_ == 0 || (count_ > 0 && !is_null()); }

private:
    const std::int32_t* narrow_ = nullptr;
    const std::int64_t* wide_ = nullptr;
    std::int64_t count_ = 0;
};

/// Numbers of T in somebody else's memory, one for each row or head. A pointer converts to one, and is one; so does a
/// vector, array or span, whose size a verb then checks.
template <class T>
class number_view {
public:
    /// None.
    constexpr number_view() = default;
    constexpr number_view(std::nullptr_t) {}
    /// So many numbers from a pointer on, or a number of them that is not known.
    constexpr number_view(T* numbers, std::int64_t count = -1) : data_(numbers), count_(count) {}
    /// A vector, array or span, which outlives the view.
    template <class C, class E = detail::element_of_container<C>,
              std::enable_if_t<std::is_same_v<E, T> || std::is_same_v<const E, T>, int> = 0>
    constexpr number_view(C&& numbers) : number_view(numbers.data(), static_cast<std::int64_t>(numbers.size()))
    {}
    template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
    constexpr number_view(C&&)
    {
        detail::refuse_temporary<C>();
    }

    constexpr operator T*() const { return data_; }  ///< a pointer to the first number
    /// How many there are; -1: unknown, and not checked.
    constexpr std::int64_t count() const { return count_; }
    /// False where fewer than n are known to be there.
    constexpr bool holds(std::int64_t n) const { return count_ < 0 || count_ >= n; }

private:
    T* data_ = nullptr;
    std::int64_t count_ = -1;
};

/// Query rows of several sequences, one sequence after the other in one tensor [1, heads, rows, dim]. Sequence b is the
/// rows [bounds[b], bounds[b + 1]); bounds begin with 0 and end with the number of rows (FlashAttention's cu_seqlens).
/// A view is queries that are not packed: without bounds, one sequence for each batch.
template <class T>
struct packed {
    view<T> rows;       ///< [1, heads, rows, dim], or those of queries that are not packed
    index_view bounds;  ///< [B + 1], or none

    /// Queries that are not packed.
    constexpr packed(const view<T>& queries) : rows(queries) {}
    /// Sequences one after the other, cut at cu_seqlens.
    constexpr packed(const view<T>& all_rows, index_view cu_seqlens) : rows(all_rows), bounds(cu_seqlens) {}
};

namespace detail {

template <class Queries>
struct queries {};
template <class T>
struct queries<view<T>> {
    using element = T;
};
template <class T>
struct queries<packed<T>> {
    using element = T;
};

/// The elements of queries, of a view or packed.
template <class Queries>
using element_of = typename queries<Queries>::element;
template <class Queries>
using packed_of = packed<element_of<Queries>>;
template <class Queries>
using computed_of = compute_t<element_of<Queries>>;

}  // namespace detail

/// Dense [batch, heads, tokens, dim], as PyTorch and ONNX lay it out.
template <class T>
constexpr view<T> bhsd(T* data, extents e)
{
    const std::int64_t row = elements_for<T>(e.dim), head = detail::wrapped_product(e.tokens, row);
    return {data, e, {detail::wrapped_product(e.heads, head), head, row}};
}

/// Dense [batch, tokens, heads, dim], as FlashAttention and llama2.c lay it out.
template <class T>
constexpr view<T> bshd(T* data, extents e)
{
    const std::int64_t row = elements_for<T>(e.dim), token = detail::wrapped_product(e.heads, row);
    return {data, e, {detail::wrapped_product(e.tokens, token), row, token}};
}

/// The same in a vector, array or span. A verb refuses a view that reaches beyond the container's size at the time of
/// this call.
template <class C, class T = detail::element_of_container<C>>
constexpr view<T> bhsd(C&& container, extents e)
{
    view<T> v = bhsd(container.data(), e);
    v.capacity = static_cast<std::int64_t>(container.size());
    return v;
}
template <class C, class T = detail::element_of_container<C>>
constexpr view<T> bshd(C&& container, extents e)
{
    view<T> v = bshd(container.data(), e);
    v.capacity = static_cast<std::int64_t>(container.size());
    return v;
}

// A temporary, with its sentence.
template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
constexpr view<std::remove_pointer_t<detail::data_of<C>>> bhsd(C&&, extents)
{
    detail::refuse_temporary<C>();
    return {};
}
template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
constexpr view<std::remove_pointer_t<detail::data_of<C>>> bshd(C&&, extents)
{
    detail::refuse_temporary<C>();
    return {};
}

/// A strided mdspan of rank 4 whose indices are (batch, head, token, channel), or (batch, token, head, channel) for
/// bshd(). Channels must be contiguous: another stride of theirs gives dim 0, which every verb refuses.
template <class M, class T = std::remove_pointer_t<decltype(std::declval<const M&>().data_handle())>,
          class = std::enable_if_t<M::rank() == 4>>
constexpr view<T> bhsd(const M& m)
{
    const auto size = [&](int i) { return static_cast<std::int64_t>(m.extent(i)); };
    const auto stride = [&](int i) { return static_cast<std::int64_t>(m.stride(i)); };
    const bool contiguous = size(3) <= 1 || stride(3) == 1;
    return {m.data_handle(), {size(0), size(1), size(2), contiguous ? size(3) : 0}, {stride(0), stride(1), stride(2)}};
}
template <class M, class T = std::remove_pointer_t<decltype(std::declval<const M&>().data_handle())>,
          class = std::enable_if_t<M::rank() == 4>>
constexpr view<T> bshd(const M& m)
{
    const view<T> v = bhsd(m);
    return {v.data,
            {v.size.batch, v.size.tokens, v.size.heads, v.size.dim},
            {v.stride.batch, v.stride.tokens, v.stride.heads}};
}

/// Any strides, in elements; of a vector, array or span, whose size a verb then checks, too.
template <class T>
constexpr view<T> strided(T* data, extents e, strides s)
{
    return {data, e, s};
}
template <class C, class T = detail::element_of_container<C>>
constexpr view<T> strided(C&& container, extents e, strides s)
{
    return {container.data(), e, s, static_cast<std::int64_t>(container.size())};
}
template <class C, std::enable_if_t<detail::is_temporary_v<C>, int> = 0>
constexpr view<std::remove_pointer_t<detail::data_of<C>>> strided(C&&, extents, strides)
{
    detail::refuse_temporary<C>();
    return {};
}

/// Any strides, in bytes, as ggml's tensors have them: rows of quantised blocks may be padded to any number of bytes
/// that keeps them aligned. Of other elements a stride is a whole number of them; another one gives dim 0, which every
/// verb refuses.
///
///     heed::strided_bytes(blocks, {1, heads, tokens, 128}, {0, tokens * 1152, 1152})        // q8_0, 136 bytes a row
template <class T>
constexpr view<T> strided_bytes(T* data, extents e, strides s)
{
    if constexpr (channels_of < std::remove_const_t < T >>> 1) {
        view<T> v(data, e, s);
        v.strides_in_bytes = true;
        return v;
    } else {
        constexpr auto size = static_cast<std::int64_t>(sizeof(T));
        const auto is_whole = [&](std::int64_t n, std::int64_t stride) { return n <= 1 || stride % size == 0; };
        if (!is_whole(e.batch, s.batch) || !is_whole(e.heads, s.heads) || !is_whole(e.tokens, s.tokens)) e.dim = 0;
        return {data, e, {s.batch / size, s.heads / size, s.tokens / size}};
    }
}

HEED_END
