// SPDX-License-Identifier: MIT
// Rows of K and V as the kernels read them: at a constant stride. Where a source keeps a head's tokens in several
// segments (pages, a ring), a kernel takes what a segment holds; where that is less than a register of keys, rows are
// copied into the worker's memory, one after the other. Nothing of it is compiled for a source of one segment.
#pragma once

#include "../micro/coded_keys.hpp"
#include "../micro/prefetch.hpp"
#include "../micro/units.hpp"
#include "job.hpp"

#include <cstring>

HEED_BEGIN
namespace kernel {

/// Rows of a segment, for the micro kernels.
template <class E>
HEED_INLINE micro::matrix<E> matrix_of(const rows<E>& of)
{
    return {of.data, of.stride};
}

/// Rows that are copied together at a time where a source has several segments.
inline constexpr int copied_rows = micro::streaming_depth;

/// Rows that are numbers as they are.
struct plain_rows {};

/// The keys, or the values, of one head: source(token) is the segment that starts there, for tokens before `end`. Steps
/// are the scales and zero points of rows that kernels read in a widened copy, of read_element.
template <class Rows, class E, bool Contiguous, class Steps = plain_rows>
struct head_source : Steps {
    using element = E;
    static constexpr bool widens = !std::is_same_v<Steps, plain_rows>;
    using read_element = std::conditional_t<widens, float, E>;
    static constexpr bool contiguous = Contiguous;

    Rows at;
    std::int64_t dim, end;

    /// The segment that starts there. To kernels the stride of quantised blocks is one of bytes.
    HEED_INLINE rows<const E> operator()(std::int64_t token) const
    {
        auto segment = at(token);
        if constexpr (channels_of < E >> 1) {
            segment.stride *= segment.stride_bytes;
            segment.stride_bytes = 1;
        }
        return segment;
    }
    /// The stride of rows of `n` elements without gaps.
    HEED_INLINE static std::int64_t stride_of(std::int64_t n) { return micro::stride_of<E>(n); }
    HEED_INLINE std::int64_t elements() const { return elements_for<E>(dim); }  // of a row
    HEED_INLINE std::int64_t bytes() const { return elements() * static_cast<std::int64_t>(sizeof(E)); }
};
template <class Kv>
HEED_INLINE auto keys_of(const Kv& kv, std::int64_t batch, std::int64_t kv_head)
{
    const auto at = kv.keys(batch, kv_head);
    using rows = std::remove_const_t<decltype(at)>;
    using K = typename Kv::key_element;
    if constexpr (has_key_blocks_v<Kv>) {
        const auto blocks = kv.key_blocks(batch, kv_head);
        return head_source<rows, K, Kv::contiguous, std::remove_const_t<decltype(blocks)>>{blocks, at, kv.key_dim(),
                                                                                           kv.held(batch).end};
    } else {
        return head_source<rows, K, Kv::contiguous>{{}, at, kv.key_dim(), kv.held(batch).end};
    }
}
template <class Kv>
HEED_INLINE auto values_of(const Kv& kv, std::int64_t batch, std::int64_t kv_head)
{
    const auto at = kv.values(batch, kv_head);
    return head_source<std::remove_const_t<decltype(at)>, typename Kv::value_element, Kv::contiguous>{
        {}, at, kv.value_dim(), kv.held(batch).end};
}

/// Copies `n` rows from `token` on to `copy`, prefetching those `l1_rows` ahead.
template <class Source>
HEED_NOINLINE rows<const typename Source::element> gathered(const Source& source, std::int64_t token, int n, void* copy)
{
    using E = typename Source::element;
    E* to = static_cast<E*>(copy);
    const std::int64_t each = source.elements();
    for (int i = 0; i < n;) {
        const auto segment = source(token + i);
        for (std::int64_t x = 0; x < segment.count && i < n; ++x, ++i) {
            if (const std::int64_t next = token + i + micro::l1_rows; next < source.end) {
                micro::prefetch_row(source(next).data, source.dim);
            }
            std::memcpy(to + i * each, segment.row(x), static_cast<std::size_t>(each) * sizeof(E));
        }
    }
    if constexpr (channels_of < E >> 1) return {to, source.bytes(), n, 1};
    else return {to, each, n};
}

/// The numbers of `n` rows from `token` on, in `copy`.
template <class Source>
HEED_NOINLINE rows<const float> widened(const Source& source, std::int64_t token, int n, void* copy)
{
    float* const to = static_cast<float*>(copy);
    for (std::int64_t i = 0, some; i < n; i += some) {
        const auto segment = source(token + i);
        const auto steps = source.of(token + i);
        some = min_of(min_of(segment.count, steps.count), n - i);
        micro::widen_codes(micro::coded_row<typename Source::element>{segment.data, steps.scale, steps.zero},
                           segment.stride, some, source.dim, to + i * source.dim);
    }
    return {to, source.dim, n};
}

/// At least `least` rows from `token` on at a constant stride: their segment, or a copy of `n` rows.
template <class Source>
HEED_INLINE rows<const typename Source::element> stored_together(const Source& source, std::int64_t token, int least,
                                                                 int n, void* copy)
{
    const auto segment = source(token);
    if constexpr (!Source::contiguous) {
        if (segment.count >= least) return segment;
        if constexpr (channels_of<typename Source::element> == 1)  // any two rows are
            if (n == 2) return {segment.data, source(token + 1).data - segment.data, 2};
        return gathered(source, token, n, copy);
    }
    return segment;
}
/// At least `least` rows from `token` on at a constant stride, as kernels read them: their segment, or a copy of `n`
/// rows.
template <class Source>
HEED_INLINE rows<const typename Source::read_element> together(const Source& source, std::int64_t token, int least,
                                                               int n, void* copy)
{
    if constexpr (Source::widens) return widened(source, token, n, copy);
    else return stored_together(source, token, least, n, copy);
}

/// Some rows of a source of one segment, for the micro kernels.
template <class E>
struct strided_group {
    static constexpr bool contiguous = true;
    const E* data;
    std::int64_t stride;

    const E* row(int x) const { return micro::row_after(data, x, stride); }
    int run_from(int, int n) const { return n; }
    micro::row_panel<E> panel(int x) const { return {row(x), stride, {}}; }
    /// The same rows where they were copied to, side by side.
    void move_to(const E* copy, std::int64_t elements)
    {
        data = copy;
        stride = micro::stride_of<E>(elements);
    }
};

/// Up to `Groups` groups of `Size` rows: a group lies at a constant stride, the groups anywhere.
template <class E, int Groups, int Size>
struct scattered_groups {
    const E* starts[Groups];
    std::int64_t stride;

    const E* row(int x) const { return micro::row_after(starts[x / Size], x % Size, stride); }
    int run_from(int x, int n) const { return n < Size - x % Size ? n : Size - x % Size; }
    micro::row_groups<E> panel(int x) const { return {starts + x / Size, stride, {}}; }
    void move_to(const E* copy, std::int64_t elements)
    {
        stride = micro::stride_of<E>(elements);
        for (int i = 0; i < Groups; ++i) starts[i] = micro::row_after(copy, i * Size, stride);
    }
};

/// The same of codes, of which a group is within one block of tokens: up to micro::overlapped_keys rows. (Widened into
/// the L1 cache first, they took 1.35 to 2.0 times as long as blocks of channels with scales of their own, Zen 5.)
template <class E, int Size>
struct coded_groups {
    micro::coded_row<E> starts[micro::overlapped_keys / Size];
    std::int64_t stride;

    micro::coded_panel<E> panel(int x) const { return {starts + x / Size, stride}; }
};

/// Rows [token, token + n), n <= Groups * Size, as one of these: where they lie, or, where a group of them is not
/// within one segment, in a copy.
template <int Groups, int Size, class Source>
HEED_INLINE auto grouped(const Source& source, std::int64_t token, [[maybe_unused]] int n, [[maybe_unused]] void* copy)
{
    using E = typename Source::element;
    if constexpr (Source::widens) {
        coded_groups<E, Size> to;
        for (int j = 0; j < n; j += Size) {
            const auto segment = source(token + j);
            const auto steps = source.of(token + j);
            to.starts[j / Size] = {segment.data, steps.scale, steps.zero};
            to.stride = segment.stride;
        }
        return to;
    } else if constexpr (Source::contiguous) {
        const auto segment = source(token);
        return strided_group<E>{segment.data, segment.stride};
    } else {
        auto segment = source(token);
        scattered_groups<E, Groups, Size> to;
        to.stride = segment.stride;
        for (int j = 0; j < n; j += Size, segment.count -= Size, segment.data = segment.row(Size)) {
            if (segment.count <= 0) segment = source(token + j);
            if (segment.count < Size && segment.count < n - j) {
                segment = gathered(source, token, n, copy);
                to.stride = segment.stride;
                j = 0;
            }
            to.starts[j / Size] = segment.data;
        }
        return to;
    }
}

/// Whether rows at such a stride share too few sets of the L1 cache: see micro::copies_rows.
template <class E>
HEED_INLINE bool share_sets(std::int64_t stride)
{
    return micro::copies_rows && static_cast<std::int64_t>(micro::stride_bytes_of<E>(stride)) % micro::set_bytes == 0;
}

/// Copies the first n rows of `from`, of so many elements, side by side, and lets it name the copy. before(x) is called
/// before row x is read.
template <class Group, class E, class F>
HEED_INLINE void lay_side_by_side(Group& from, int n, std::int64_t elements, E* copy, F before)
{
    const std::int64_t bytes = elements * static_cast<std::int64_t>(sizeof(E));
    char* to = reinterpret_cast<char*>(copy);
    for (int x = 0; x < n; ++x, to += bytes) {
        before(x);
        const char* const row = reinterpret_cast<const char*>(from.row(x));
        std::int64_t c = 0;
        for (; c + micro::line_of<char> <= bytes; c += micro::line_of<char>)
            std::memcpy(to + c, row + c, micro::line_of<char>);  // a constant: no call
        if (c < bytes) std::memcpy(to + c, row + c, static_cast<std::size_t>(bytes - c));
    }
    from.move_to(copy, elements);
}

/// Channels of n rows from `token` on, to be prefetched: as many of them as exist and lie at one stride.
template <class Source>
HEED_INLINE micro::row_lines lines_of(const Source& source, std::int64_t token, std::int64_t n, std::int64_t channel,
                                      std::int64_t channels)
{
    using E = typename Source::element;
    if (token >= source.end) return {};
    const auto segment = source(token);
    const std::int64_t rows = min_of(n, min_of(segment.count, source.end - token));
    return {segment.data + elements_for<E>(channel), segment.stride, elements_for<E>(channels), static_cast<int>(rows)};
}

}  // namespace kernel
HEED_END
