// SPDX-License-Identifier: MIT
// Asking memory for rows of K and V before they are needed.
//
// Hardware prefetchers follow what is read in the order of addresses. Neither a transposition of 16 rows nor one half
// of the channels of V is, so the kernels ask for lines themselves, a few at every step. On Zen 4 the scores of 4 rows
// took keys from memory at 0.30 of the read bandwidth when the lines were asked for in the order of use, at 0.72 in the
// order of addresses, at 0.84 with two distances, and at 0.5 to 0.7 when they were asked for in bursts.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

template <class T>
inline constexpr int line_of = sizeof(T) < 64 ? 64 / static_cast<int>(sizeof(T)) : 1;

/// Walks over the lines of rows of `n` elements, two lines at a time: those of some rows, and with each the one that is
/// `apart` rows behind it; then of the rows behind both. Of two lines that far apart memory has more channels at work.
/// Narrower elements than float, whose arithmetic takes as long as memory, lose by it: their lines come in order.
class line_cursor {
public:
    /// `count` rows from `row` on, but for a few where they do not come out even, and those behind them.
    template <class T>
    HEED_INLINE line_cursor(const T* row, std::int64_t step, std::int64_t n, std::int64_t apart, std::int64_t count)
        : row_(reinterpret_cast<const char*>(row)), at_(row_), row_bytes_(n * size<T>), step_(step * size<T>)
    {
        if constexpr (!std::is_floating_point_v<T>) apart = 0;
        const bool gapless = step == n;
        const std::int64_t half = count / 2;
        if (half > 0 && (apart > 0 || !gapless)) {
            const std::int64_t rows = apart == 0 ? 1 : half <= apart ? half : half / ceil_div(half, apart);
            apart_ = rows * step_;
            if (gapless) row_bytes_ = step_ = apart_;
            else rows_ = left_ = rows;
            return;
        }
        apart_ = line;  // the lines of one row, two by two
        stride_ = 2 * line;
        if (gapless) row_bytes_ = step_ = count * row_bytes_;
        step_ -= line;  // ask() adds apart_ where a row ends
    }
    /// Asks for the next two lines. Locality: 3 for the L1 cache, 2 for the L2 cache.
    template <int Locality>
    HEED_INLINE void ask()
    {
        __builtin_prefetch(at_, 0, Locality);
        __builtin_prefetch(at_ + apart_, 0, Locality);
        at_ += stride_;
        if (at_ < row_ + row_bytes_) return;
        row_ += step_;
        if (--left_ == 0) {
            left_ = rows_;
            row_ += apart_;
        }
        at_ = row_;
    }

private:
    template <class T>
    static constexpr std::int64_t size = sizeof(T);
    static constexpr std::int64_t line = 64;

    const char *row_, *at_;
    std::int64_t row_bytes_, step_, rows_ = 1, left_ = 1, apart_, stride_ = line;
};

/// Decode, where K and V come from memory once: asks for both at the same time, for two lines of each while four lines
/// are used, so that memory sees two streams: on Zen 3 two read 1.2 times as fast as one. They start so far ahead that
/// neither is overtaken while its phase uses lines of one alone.
class tile_ahead {
public:
    /// `k` and `v` are the rows of the tile's first key; Q K^T is about to start.
    template <class K, class V>
    HEED_INLINE tile_ahead(const K* k, std::int64_t k_step, std::int64_t k_n, const V* v, std::int64_t v_step,
                           std::int64_t v_n)
        : first_(k + (key_tile / 2 + lead_rows) * k_step, k_step, k_n, rows_apart, key_tile),
          second_(v + lead_rows * v_step, v_step, v_n, rows_apart, key_tile)
    {}
    /// Where few rows of V will be read: both halves of the next tile's K.
    template <class K>
    HEED_INLINE tile_ahead(const K* k, std::int64_t k_step, std::int64_t k_n)
        : first_(k + key_tile * k_step, k_step, k_n, rows_apart, key_tile),
          second_(k + (key_tile + key_tile / 2) * k_step, k_step, k_n, rows_apart, key_tile)
    {}
    /// For every four lines that are used.
    HEED_INLINE void next()
    {
        first_.ask<2>();
        second_.ask<2>();
    }
    HEED_INLINE line_cursor& first() { return first_; }
    HEED_INLINE line_cursor& second() { return second_; }

private:
    line_cursor first_, second_;
};

/// Decode, the rows that are used now: asks for those a little ahead into the L1 cache.
template <class T>
class stream_ahead {
public:
    HEED_INLINE stream_ahead(const T* row, std::int64_t step, std::int64_t n, const tile_ahead& far)
        : near_(row + near_rows * step, step, n, near_apart, key_tile), far_(far)
    {}
    /// For rows that another register block asks for: one line again and again, so that the kernels need not be
    /// compiled a second time.
    HEED_INLINE explicit stream_ahead(const T* row)
        : near_(row, 0, line_of<T>, near_apart, key_tile), far_(row, 0, line_of<T>, row, 0, line_of<T>)
    {}
    /// For every n channels that are used; four lines or a multiple, or what is left of them counts for the next time.
    HEED_INLINE void next(int n)
    {
        const int bytes = static_cast<int>(elements_for<T>(n)) * static_cast<int>(sizeof(T));
        if (bytes % four_lines == 0) {
            for (int i = 0; i < bytes; i += four_lines) ask();  // not unrolled: as fast, and 10 % less code
        } else {
            for (owed_ += bytes; owed_ >= four_lines; owed_ -= four_lines) ask();
        }
    }
    HEED_INLINE line_cursor& near() { return near_; }
    HEED_INLINE tile_ahead& far() { return far_; }

private:
    static constexpr int four_lines = 256;

    HEED_INLINE void ask()
    {
        near_.template ask<3>();
        near_.template ask<3>();
        far_.next();
    }

    line_cursor near_;
    tile_ahead far_;
    int owed_ = 0;  // bytes
};

/// One line of each of some rows, one at every step.
template <class T>
class next_ahead {
public:
    HEED_INLINE next_ahead(const T* first, std::int64_t step) : at_(first), step_(step) {}
    /// Nothing comes next: one line again and again.
    HEED_INLINE explicit next_ahead(const T* line) : at_(line), step_(0) {}

    HEED_INLINE void next(int = 0)
    {
        __builtin_prefetch(at_, 0, 2);
        at_ += step_;
    }

private:
    const T* at_;
    std::int64_t step_;
};

/// Prefill: while all rows of a block pass a packed strip of K or panel of V, what will be packed next comes into the
/// L2 cache. Each register block asks for one line of each row of its part; it carries a pointer and nothing to decide:
/// a loop over lines in the middle of the multiply-adds took 0.90 instead of 0.98 of the FMA peak. This shares out the
/// lines, by additions alone: two divisions a register block took 1 % of prefill.
template <class T>
class next_lines {
public:
    /// The next thing is `rows` rows of `n` elements; a register block passes `units` units now, and asks once for
    /// every ahead_every of them.
    HEED_INLINE next_lines(const T* first, std::int64_t step, int rows, std::int64_t n, std::int64_t units)
        : line_(first), at_(first), step_(step), columns_(n), rows_(rows),
          requests_(static_cast<int>(max_of(units / ahead_every, 1)))
    {}
    HEED_INLINE next_ahead<T> take()
    {
        if (columns_ <= 0) return next_ahead<T>(line_);
        const next_ahead<T> lines(at_, step_);
        at_ += requests_ * step_;
        asked_ += requests_;
        if (asked_ >= rows_) {
            asked_ = 0;
            columns_ -= line_of<T>;
            at_ = line_ += line_of<T>;
        }
        return lines;
    }

private:
    const T *line_, *at_;
    std::int64_t step_, columns_;
    int rows_, requests_, asked_ = 0;
};

}  // namespace micro
HEED_END
