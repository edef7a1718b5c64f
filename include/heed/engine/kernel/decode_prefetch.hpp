// SPDX-License-Identifier: MIT
// Which rows of K and V decode prefetches, over the segments that a source keeps them in.
#pragma once

#include "tile.hpp"

#include <limits>

HEED_BEGIN
namespace kernel {

/// Two distances: re-seats a cursor, which prefetches at a constant stride, where its segment ends.
template <class Source>
class segment_cursor {
public:
    /// From `token` on, once the kernels have used `used` bytes; the cursor prefetches rows that are so far `apart`,
    /// and one byte of `Every` that they use.
    HEED_INLINE segment_cursor(const Source& source, std::int64_t token, std::int64_t apart, std::int64_t used)
        : source_(source), next_(token), apart_(apart), until_(used)
    {}
    template <int Every>
    HEED_INLINE void aim(micro::paired_cursor& cursor, std::int64_t used)
    {
        if (used < until_ || next_ >= source_.end) return;
        const auto segment = source_(next_);
        cursor = micro::paired_cursor(segment.data, segment.stride, source_.elements(), apart_, segment.count);
        next_ += segment.count;
        const detail::checked until = detail::checked(Every) * segment.count * source_.bytes() + until_;
        until_ = until.fits() ? until.value() : unbounded_use;
    }
    /// How many bytes may be used before the next segment.
    HEED_INLINE std::int64_t until() const { return next_ < source_.end ? until_ : unbounded_use; }

private:
    static constexpr std::int64_t unbounded_use = std::numeric_limits<std::int64_t>::max();

    Source source_;
    std::int64_t next_, apart_, until_;
};

/// What is read behind the last tile of a block: tokens from `token` on of a block that this worker most likely takes
/// next. Short sequences would otherwise wait for the first rows of each head.
struct next_block {
    query_block block{0, 0, 0, 0};
    std::int64_t token = 0;

    bool exists() const { return block.count > 0; }
};

/// Lists the rows of tokens [first, end) of a source, each that of `heads` heads which lie side by side, without what
/// lies between them. Returns the end of the list, which has at most as many pieces as rows.
template <class Source>
HEED_INLINE micro::piece* list_pieces(const Source& source, std::int64_t first, std::int64_t end, int heads,
                                      micro::piece* to)
{
    const std::int64_t bytes = source.bytes() * heads, whole = source.stride_of(source.elements() * heads);
    const auto add = [&](const void* row, std::int64_t rows) {
        const auto begin = micro::address_of(row);
        *to++ = {begin, begin + static_cast<std::uintptr_t>(rows * bytes)};
    };
    while (first < end) {
        const auto segment = source(first);
        const std::int64_t some = min_of(segment.count, end - first);
        if (segment.stride == whole) add(segment.data, some);
        else
            for (std::int64_t i = 0; i < some; ++i) add(segment.row(i), 1);
        first += some;
    }
    return to;
}

/// Prefetches a line of each page of memory with rows of tokens [first, end) of a source: pages of a cache lie
/// anywhere, and the hardware translates no address before it is asked for. A plain loop over 8 KB here and there reads
/// 0.87 instead of 0.75 of the bandwidth with it (Zen 5, pages of 4 KB).
template <class Source>
HEED_INLINE void prefetch_translations(const Source& source, std::int64_t first, std::int64_t end)
{
    using E = typename Source::element;
    while (first < end) {
        const auto segment = source(first);
        const std::int64_t some = min_of(segment.count, end - first);
        const auto apart = static_cast<std::int64_t>(micro::stride_bytes_of<E>(segment.stride));
        const std::int64_t rows = max_of(micro::translated_bytes / max_of(apart < 0 ? -apart : apart, 1), 1);
        for (std::int64_t i = 0; i < some; i += rows)
            micro::prefetch_line<3>(micro::address_of(micro::address_after(segment.data, i, segment.stride)));
        first += some;
    }
}

/// One distance: lists the rows to prefetch while the kernels use as many: rows of one head, or of `heads` that lie
/// side by side.
template <class Source, int Most = copied_rows>
class piece_list {
public:
    HEED_INLINE piece_list(const Source& source, std::int64_t token, int heads = 1)
        : source_(source), next_(token), heads_(heads)
    {}
    HEED_INLINE void go_to(std::int64_t token) { next_ = token; }
    /// What follows the end of the source: another one, from `token` on.
    HEED_INLINE void then(const Source& other, std::int64_t token)
    {
        then_ = other;
        then_token_ = token;
        has_then_ = token < other.end;
    }
    /// The next n <= Most rows, or fewer at the end of the source.
    HEED_INLINE micro::piece_cursor list(int n)
    {
        if (next_ >= source_.end && !goes_on()) return micro::piece_cursor(static_cast<const void*>(pieces_));
        micro::piece* last = pieces_;
        while (n > 0 && (next_ < source_.end || goes_on())) {
            const std::int64_t end = min_of(next_ + n, source_.end);
            last = list_pieces(source_, next_, end, heads_, last);
            n -= static_cast<int>(end - next_);
            next_ = end;
        }
        *last = {last[-1].end, ~std::uintptr_t{0}};
        return micro::piece_cursor(pieces_);
    }
    /// Prefetches translations of the n rows after those listed.
    HEED_INLINE void translate(int n) const
    {
        if (next_ < source_.end) prefetch_translations(source_, next_, min_of(next_ + n, source_.end));
        else if (has_then_) prefetch_translations(then_, then_token_, min_of(then_token_ + n, then_.end));
    }

private:
    HEED_INLINE bool goes_on()
    {
        if (!has_then_) return false;
        source_ = then_;
        next_ = then_token_;
        has_then_ = false;
        return true;
    }

    Source source_, then_ = source_;
    std::int64_t next_, then_token_ = 0;
    int heads_;
    bool has_then_ = false;
    micro::piece pieces_[Most + 1];
};

/// In place of a piece_list or a segment_cursor: the stream has been told all that it prefetches.
struct told_before {};

/// What decode prefetches while it passes a tile: see micro::stream_prefetch and, with two distances,
/// micro::tile_prefetch. `sparse`: few rows of V will be read.
template <class Tile>
class decode_prefetch {
    using Kv = typename Tile::job_type::kv_type;

public:
    static constexpr bool lists = !micro::two_distances && !Kv::contiguous;
    using l1_cursor = std::conditional_t<micro::two_distances, micro::paired_cursor,
                                         std::conditional_t<lists, micro::piece_cursor, micro::line_cursor>>;

    decode_prefetch(const Tile& t, bool sparse, const next_block& next = {})
        : lines(lines_from(t, sparse)), next_(next), sparse_(sparse),
          k_(t.key_rows(), t.token + (sparse ? micro::key_tile : micro::key_tile / 2 + micro::lead_rows),
             micro::rows_apart, 0),
          second_k_(t.key_rows(), t.token + micro::key_tile + micro::key_tile / 2, micro::rows_apart, 0),
          v_(t.value_rows(), t.token + micro::lead_rows, micro::rows_apart, 0)
    {}

    /// A stream for the rows of `source` from `token` on, which are about to be used: it prefetches the rows `lead`
    /// rows ahead, and the lines that lead them.
    template <class Source>
    HEED_INLINE auto from(const Source& source, std::int64_t token, std::int64_t lead)
    {
        const auto segment = source(token);
        return stream<Source>(
            cursor_at(micro::address_after(segment.data, lead, segment.stride), segment.stride, source.elements()),
            lines);
    }
    /// A no-op of the same type, which touches one cache line again and again: for later register blocks, which pass
    /// rows that are prefetched already, the micro kernels need not be compiled a second time.
    template <class Source>
    HEED_INLINE auto idle(const Source& source, std::int64_t token)
    {
        using E = typename Source::element;
        const E* const row = source(token).data;
        return stream<Source>(rest_at(row), micro::leading_lines(row, 0, micro::line_of<E>, row, 0, micro::line_of<E>));
    }
    /// What follows the segments of a source from `token` on.
    template <class Source>
    HEED_INLINE auto near(const Source& source, std::int64_t token)
    {
        until_ = used_;
        if constexpr (lists) return piece_list<Source>(source, token);
        else return segment_cursor<Source>(source, token, micro::l1_apart, used_);
    }
    /// What follows the last segment is source(block) of the next block.
    template <class Near, class Source>
    HEED_INLINE void follow([[maybe_unused]] Near& near, [[maybe_unused]] Source source) const
    {
        if constexpr (lists)
            if (next_.exists()) near.then(source(next_.block), next_.token);
    }
    /// n elements are about to be used, and with them the first of `rows` more rows.
    template <class Stream, class Near>
    HEED_INLINE void before(Stream& at, Near& near, [[maybe_unused]] std::int64_t n, [[maybe_unused]] int rows)
    {
        if constexpr (std::is_same_v<Near, told_before>) {
        } else if constexpr (lists) {
            if (rows > 0) {
                at.near() = near.list(rows);
                near.translate(rows);
            }
        } else if constexpr (!Kv::contiguous) {
            if (used_ >= until_) aim(at, near);
            used_ += n * static_cast<std::int64_t>(sizeof(typename Stream::element));
        }
    }

    /// Row x, of n channels, is about to be copied, which is not the use that requests are counted by. Memory would
    /// idle meanwhile: what lies behind the rows of a segment is prefetched half as fast, where it is what comes next.
    template <class Stream>
    HEED_INLINE void before_copy(Stream& at, int x, std::int64_t n)
    {
        if (Kv::contiguous && x % 2 != 0) at.next(static_cast<int>(n));
    }

    micro::leading_lines lines;

    template <class Source>
    using stream = micro::stream_prefetch<typename Source::element, l1_cursor>;

private:
    static micro::leading_lines lines_from(const Tile& t, bool sparse)
    {
        const auto keys = t.key_rows();
        const auto values = t.value_rows();
        const auto k = keys(t.token);
        const auto v = values(t.token);
        if (sparse) return {k.data, k.stride, keys.elements()};
        return {k.data, k.stride, keys.elements(), v.data, v.stride, values.elements()};
    }
    template <class E>
    HEED_INLINE l1_cursor cursor_at(const E* row, [[maybe_unused]] std::int64_t stride, [[maybe_unused]] std::int64_t n)
    {
        if constexpr (micro::two_distances) return {row, stride, n, micro::l1_apart, micro::key_tile};
        else if constexpr (lists) return l1_cursor(static_cast<const void*>(row));
        else return {row, stride, n};
    }
    template <class E>
    HEED_INLINE l1_cursor rest_at(const E* row)
    {
        if constexpr (micro::two_distances) return cursor_at(row, 0, micro::line_of<E>);
        else return l1_cursor(static_cast<const void*>(row));
    }
    template <class Stream, class Near>
    HEED_INLINE void aim(Stream& at, Near& near)
    {
        near.template aim<1>(at.near(), used_);
        k_.template aim<2>(at.far().first(), used_);
        until_ = min_of(near.until(), k_.until());
        if (sparse_) second_k_.template aim<2>(at.far().second(), used_);
        else v_.template aim<2>(at.far().second(), used_);
        until_ = min_of(until_, sparse_ ? second_k_.until() : v_.until());
    }

    next_block next_;
    bool sparse_;
    std::int64_t used_ = 0, until_ = 0;  // bytes; until_: where a segment that is prefetched ends
    segment_cursor<decltype(std::declval<Tile>().key_rows())> k_, second_k_;
    segment_cursor<decltype(std::declval<Tile>().value_rows())> v_;
};

}  // namespace kernel
HEED_END
