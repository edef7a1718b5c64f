// SPDX-License-Identifier: MIT
// Software prefetch of rows of K and V.
//
// Hardware prefetchers follow reads in the order of addresses. A transposition of 16 rows, or half of the channels of
// V, is not read in that order, so the kernels prefetch lines themselves, a few at every step. In the order of their
// use, or in bursts, lines come at a third to two thirds of the read bandwidth.
//
// A prefetched address may lie past all rows, by any stride, so addresses are numbers modulo 2^64 here, not pointers.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

template <class T>
inline constexpr int line_of = sizeof(T) < 64 ? 64 / static_cast<int>(sizeof(T)) : 1;

/// Prefetches a row of `channels` channels.
template <class T>
HEED_INLINE void prefetch_row(const T* row, std::int64_t channels)
{
    for (std::int64_t c = 0; c < elements_for<T>(channels); c += line_of<T>) __builtin_prefetch(row + c);
}

template <class T>
HEED_INLINE std::uintptr_t address_of(const T* p)
{
    return reinterpret_cast<std::uintptr_t>(p);
}
/// n elements of T as bytes.
template <class T>
HEED_INLINE std::uintptr_t bytes_of(std::int64_t n)
{
    return static_cast<std::uintptr_t>(n) * sizeof(T);
}
/// A stride of T as bytes: see matrix.
template <class T>
HEED_INLINE std::uintptr_t stride_bytes_of(std::int64_t stride)
{
    return channels_of<T> > 1 ? static_cast<std::uintptr_t>(stride) : bytes_of<T>(stride);
}
/// The address of the row `rows` rows after `row`, which need not exist.
template <class T>
HEED_INLINE const T* address_after(const T* row, std::int64_t rows, std::int64_t stride)
{
    return reinterpret_cast<const T*>(address_of(row) + static_cast<std::uintptr_t>(rows) * stride_bytes_of<T>(stride));
}

/// Prefetches a line. Locality: 3 for the L1 cache, 2 for the L2 cache.
template <int Locality>
HEED_INLINE void prefetch_line(std::uintptr_t at)
{
    __builtin_prefetch(reinterpret_cast<const char*>(at), 0, Locality);
}

template <int Locality>
HEED_INLINE void prefetch_two_lines(std::uintptr_t at)
{
    prefetch_line<Locality>(at);
    prefetch_line<Locality>(at + line_of<char>);
}

// The cursors below prefetch once for every 128 bytes that are used. A row that is followed by a gap has more lines
// than that: a row of 136 bytes has three or four, and is used like 2.1. Lines that were prefetched beyond a row's
// bytes are owed, and the debt is paid where the row ends; otherwise the cursor falls behind the reads. A row that
// starts within a line is prefetched from the start of that line, or its last line never is. Lines past the end of a
// row are not prefetched, since they belong to another head.

/// How many bytes an address is from the start of its line.
HEED_INLINE constexpr std::uintptr_t in_line(std::uintptr_t at) { return at % line_of<char>; }

/// Memory without gaps.
struct piece {
    std::uintptr_t begin, end;
};

/// Prefetches two lines at `at` and steps past them. Where `end` comes first, it prefetches as many lines of the pieces
/// that next() gives, and the lines owed.
template <int Locality, class Next>
HEED_INLINE void prefetch_within(std::uintptr_t& at, std::uintptr_t& end, std::int64_t& owed, std::uintptr_t stride,
                                 Next next)
{
    constexpr int line = line_of<char>;
    if (end - at > 2 * line) {
        prefetch_two_lines<Locality>(at);
        at += stride;
        return;
    }
    owed += 2 * line;
    do {
        prefetch_line<Locality>(at);
        at += line;
        owed -= line;
        if (at < end) continue;
        const piece to = next();
        const std::uintptr_t skew = in_line(to.begin);
        owed += static_cast<std::int64_t>(at - end + skew);
        at = to.begin - skew;
        end = to.end;
    } while (owed > 0);
}

/// The lines of rows of `n` elements in the order of addresses, two lines at a time. Rows without gaps have
/// no end.
class line_cursor {
public:
    template <class T>
    HEED_INLINE line_cursor(const T* row, std::int64_t stride, std::int64_t n)
        : at_(address_of(row)), bytes_(bytes_of<T>(n)),
          end_(stride == stride_of<T>(n) ? ~std::uintptr_t{0} : at_ + bytes_),
          gap_(stride_bytes_of<T>(stride) - bytes_), owed_(static_cast<std::int64_t>(in_line(at_)))
    {
        at_ -= in_line(at_);
    }
    /// The same two lines again and again.
    HEED_INLINE explicit line_cursor(const void* line)
        : at_(address_of(line)), bytes_(2 * line_of<char>), gap_(std::uintptr_t{0} - bytes_)
    {
        at_ -= in_line(at_);
        end_ = at_ + bytes_;
    }
    template <int Locality>
    HEED_INLINE void prefetch()
    {
        prefetch_within<Locality>(at_, end_, owed_, 2 * line_of<char>, [this] {
            const std::uintptr_t row = end_ + gap_;
            return piece{row, row + bytes_};
        });
    }
    /// What is prefetched next.
    std::uintptr_t next() const { return at_; }

private:
    std::uintptr_t at_, bytes_, end_, gap_;
    std::int64_t owed_ = 0;  // bytes
};

/// The lines of pieces, two lines at a time; the last one has no end.
class piece_cursor {
public:
    HEED_INLINE explicit piece_cursor(const piece* pieces)
        : at_(pieces->begin - in_line(pieces->begin)), end_(pieces->end),
          owed_(static_cast<std::int64_t>(in_line(pieces->begin))), next_(pieces + 1)
    {}
    /// The same two lines again and again.
    HEED_INLINE explicit piece_cursor(const void* line)
        : at_(address_of(line)), end_(~std::uintptr_t{0}), next_(nullptr), advance_(0)
    {}
    template <int Locality>
    HEED_INLINE void prefetch()
    {
        prefetch_within<Locality>(at_, end_, owed_, advance_, [this] { return *next_++; });
    }
    /// What is prefetched next.
    std::uintptr_t next() const { return at_; }

private:
    std::uintptr_t at_, end_;
    std::int64_t owed_ = 0;  // bytes
    const piece* next_;
    std::uintptr_t advance_ = 2 * line_of<char>;
};

/// Prefetches rows of `n` elements, two lines at a time: a line of one row together with the same line `apart` rows
/// later, then the next such pair. Two lines that far apart keep more memory channels at work. Elements narrower than
/// float, whose arithmetic takes as long as memory, lose by it: their lines come in order.
class paired_cursor {
public:
    /// `count` rows from `row` on, a few less where they do not come out even, and then the rows after them.
    template <class T>
    HEED_INLINE paired_cursor(const T* row, std::int64_t stride, std::int64_t n, std::int64_t apart, std::int64_t count)
        : row_(address_of(row)), at_(row_ - in_line(row_)), row_bytes_(bytes_of<T>(n)),
          stride_(stride_bytes_of<T>(stride)), owed_(static_cast<std::int64_t>(row_ - at_))
    {
        if constexpr (!std::is_floating_point_v<T>) apart = 0;
        const bool gapless = stride == stride_of<T>(n);
        const std::int64_t half = count / 2;
        if (half > 0 && (apart > 0 || !gapless)) {
            const std::int64_t rows = apart == 0 ? 1 : half <= apart ? half : half / ceil_div(half, apart);
            apart_ = static_cast<std::uintptr_t>(rows) * stride_;
            if (gapless) row_bytes_ = stride_ = apart_;
            else rows_ = left_ = rows;
            owed_ *= 2;  // of two rows at once
            return;
        }
        apart_ = line;  // the lines of one row, two by two
        advance_ = 2 * line;
        if (gapless) row_bytes_ = stride_ = static_cast<std::uintptr_t>(count) * row_bytes_;
        stride_ -= line;  // prefetch() adds apart_ where a row ends
    }
    template <int Locality>
    HEED_INLINE void prefetch()
    {
        prefetch_both<Locality>();
        if (at_ < row_ + row_bytes_) return;
        for (end_row(); owed_ > 0; owed_ -= 2 * line_of<char>) {
            prefetch_both<Locality>();
            if (at_ >= row_ + row_bytes_) end_row();
        }
    }
    /// What is prefetched next.
    std::uintptr_t next() const { return at_; }

private:
    template <int Locality>
    HEED_INLINE void prefetch_both()
    {
        prefetch_line<Locality>(at_);
        prefetch_line<Locality>(at_ + apart_);
        at_ += advance_;
    }
    HEED_INLINE void end_row()
    {
        const std::uintptr_t end = row_ + row_bytes_;
        row_ += stride_;
        if (--left_ == 0) {
            left_ = rows_;
            row_ += apart_;
        }
        const std::uintptr_t skew = in_line(row_);
        owed_ += static_cast<std::int64_t>(at_ - end + skew) * (advance_ == line ? 2 : 1);  // rows at once
        at_ = row_ - skew;
    }

    static constexpr std::uintptr_t line = line_of<char>;

    std::uintptr_t row_, at_, row_bytes_, stride_, apart_, advance_ = line;
    std::int64_t rows_ = 1, left_ = 1, owed_ = 0;  // owed: bytes
};

/// Decode, where K and V come from memory once: prefetches both at the same time, two lines of each while four lines
/// are used, so that memory sees two streams: on Zen 3 two read 1.2 times as fast as one. They start so far ahead that
/// neither is overtaken while its phase uses lines of one alone.
class tile_prefetch {
public:
    /// `k` and `v` are the rows of the tile's first key; Q K^T is about to start.
    template <class K, class V>
    HEED_INLINE tile_prefetch(const K* k, std::int64_t k_stride, std::int64_t k_n, const V* v, std::int64_t v_stride,
                              std::int64_t v_n)
        : first_(address_after(k, key_tile / 2 + lead_rows, k_stride), k_stride, k_n, rows_apart, key_tile),
          second_(address_after(v, lead_rows, v_stride), v_stride, v_n, rows_apart, key_tile)
    {}
    /// Where few rows of V will be read: both halves of the next tile's K.
    template <class K>
    HEED_INLINE tile_prefetch(const K* k, std::int64_t k_stride, std::int64_t k_n)
        : first_(address_after(k, key_tile, k_stride), k_stride, k_n, rows_apart, key_tile),
          second_(address_after(k, key_tile + key_tile / 2, k_stride), k_stride, k_n, rows_apart, key_tile)
    {}
    /// Any two streams.
    HEED_INLINE tile_prefetch(const paired_cursor& first, const paired_cursor& second) : first_(first), second_(second)
    {}
    /// For every four lines that are used.
    HEED_INLINE void next()
    {
        first_.prefetch<2>();
        second_.prefetch<2>();
    }
    HEED_INLINE paired_cursor& first() { return first_; }
    HEED_INLINE paired_cursor& second() { return second_; }

private:
    paired_cursor first_, second_;
};

/// One distance: nothing else is prefetched.
struct no_prefetch {
    template <class... Ignored>
    HEED_INLINE no_prefetch(const Ignored&...)
    {}
    HEED_INLINE void next() {}
};
using leading_lines = std::conditional_t<two_distances, tile_prefetch, no_prefetch>;

/// Decode: prefetches rows a little ahead of their use, of which Near is the cursor, and with two distances what leads
/// them.
template <class T, class Near>
class stream_prefetch {
public:
    using element = T;

    /// The kernels call next() once for every `every` units of keys or channels, and say what `share` units use.
    static constexpr int every = two_distances ? ahead_every : 1, share = every;

    HEED_INLINE stream_prefetch(const Near& near, const leading_lines& far) : near_(near), far_(far) {}
    /// For every n channels that are used; what is left of `at_once` bytes counts for the next time.
    HEED_INLINE void next(int n)
    {
        const int bytes = static_cast<int>(elements_for<T>(n)) * static_cast<int>(sizeof(T));
        if (bytes % at_once == 0) {
            for (int i = 0; i < bytes; i += at_once) request();  // not unrolled: as fast, and 10 % less code
        } else {
            for (owed_ += bytes; owed_ >= at_once; owed_ -= at_once) request();
        }
    }
    HEED_INLINE Near& near() { return near_; }
    HEED_INLINE leading_lines& far() { return far_; }

private:
    static constexpr int at_once = two_distances ? 256 : 128;  // bytes

    HEED_INLINE void request()
    {
        for (int i = 0; i < at_once; i += 2 * line_of<char>) near_.template prefetch<3>();
        far_.next();
    }

    Near near_;
    leading_lines far_;
    int owed_ = 0;  // bytes
};

/// The same for one of two passes over the same rows: each prefetches half of what comes next.
template <class Prefetch>
struct half_prefetch {
    static constexpr int every = 2 * Prefetch::every, share = Prefetch::share;

    HEED_INLINE void next(int n) { ahead.next(n); }

    Prefetch& ahead;
};

/// Prefetches rows of one stride, a row at every step.
class line_prefetch {
public:
    static constexpr int every = ahead_every, share = every;

    HEED_INLINE line_prefetch(std::uintptr_t from_line, std::uintptr_t by) : at_(from_line), stride_(by) {}
    /// Nothing comes next: the same again and again.
    HEED_INLINE explicit line_prefetch(const void* line) : line_prefetch(address_of(line), 0) {}

    HEED_INLINE void next(int = 0)
    {
        HEED_UNROLL
        for (std::uintptr_t i = 0; i < lines_at_once; ++i) prefetch_line<2>(at_ + i * line_of<char>);
        at_ += stride_;
    }

private:
    std::uintptr_t at_, stride_;
};

/// `n` elements of each of `count` rows, as bytes.
struct row_lines {
    std::uintptr_t first = 0, stride = 0;
    std::int64_t bytes = 0;
    int count = 0;

    row_lines() = default;
    template <class T>
    HEED_INLINE row_lines(const T* row, std::int64_t row_stride, std::int64_t n, int rows)
        : first(address_of(row)), stride(stride_bytes_of<T>(row_stride)),
          bytes(n * static_cast<std::int64_t>(sizeof(T))), count(rows)
    {}
    HEED_INLINE bool empty() const { return count <= 0 || bytes <= 0; }
};

/// Prefill: while all rows of a block pass a strip of K or a panel of V, what comes next is fetched into the L2 cache.
/// Each register block prefetches lines of each row of its part; it carries a pointer and nothing to decide: a loop
/// over lines in the middle of the multiply-adds took 0.90 instead of 0.98 of the FMA peak. This shares out the lines,
/// by additions alone: two divisions a register block took 1 % of prefill.
class next_lines {
public:
    /// A register block passes `units` units now, and prefetches once for every ahead_every of them. Where nothing is
    /// left, it prefetches `idle`, which is memory that may be read.
    HEED_INLINE next_lines(std::int64_t units, const void* idle)
        : idle_(idle), requests_(static_cast<int>(max_of(units / ahead_every, 1)))
    {}
    /// What to prefetch after all that was named before; three times at most.
    HEED_INLINE void then(const row_lines& rows)
    {
        if (!rows.empty()) later_[n_later_++] = rows;
    }
    HEED_INLINE line_prefetch take()
    {
        if (rows_.bytes <= 0) {
            if (n_taken_ == n_later_) return line_prefetch(idle_);
            rows_ = later_[n_taken_++];
            at_ = rows_.first;
        }
        const line_prefetch lines(at_, rows_.stride);
        at_ += static_cast<std::uintptr_t>(requests_) * rows_.stride;
        asked_ += requests_;
        if (asked_ >= rows_.count) {
            asked_ = 0;
            rows_.bytes -= lines_at_once * line_of<char>;
            at_ = rows_.first += lines_at_once * line_of<char>;
        }
        return lines;
    }

private:
    row_lines rows_, later_[3];
    const void* idle_;
    std::uintptr_t at_ = 0;
    int requests_, asked_ = 0, n_later_ = 0, n_taken_ = 0;
};

}  // namespace micro
HEED_END
