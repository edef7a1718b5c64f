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

/// Walks over the lines of rows of `n` elements, in the order of addresses.
class line_cursor {
public:
    template <class T>
    HEED_INLINE line_cursor(const T* row, std::int64_t step, std::int64_t n)
        : at_(reinterpret_cast<const char*>(row)), row_end_(at_ + n * size<T>), gap_((step - n) * size<T>),
          step_(step * size<T>)
    {}
    /// Asks for the next line. Locality: 3 for the L1 cache, 2 for the L2 cache.
    template <int Locality>
    HEED_INLINE void ask()
    {
        __builtin_prefetch(at_, 0, Locality);
        at_ += 64;
        if (at_ < row_end_) return;
        at_ += gap_;
        row_end_ += step_;
    }

private:
    template <class T>
    static constexpr std::int64_t size = sizeof(T);

    const char *at_, *row_end_;
    std::int64_t gap_, step_;
};

/// Decode, where K and V come from memory once: asks for both at the same time, for a line of each while two lines are
/// used, so that memory sees two streams: on Zen 3 two read 1.2 times as fast as one. They start so far ahead that
/// neither is overtaken while its phase uses lines of one alone.
class tile_ahead {
public:
    /// `k` and `v` are the rows of the tile's first key; Q K^T is about to start.
    template <class K, class V>
    HEED_INLINE tile_ahead(const K* k, std::int64_t k_step, std::int64_t k_n, const V* v, std::int64_t v_step,
                           std::int64_t v_n)
        : first_(k + (key_tile / 2 + lead_rows) * k_step, k_step, k_n), second_(v + lead_rows * v_step, v_step, v_n)
    {}
    /// Where few rows of V will be read: both halves of the next tile's K.
    template <class K>
    HEED_INLINE tile_ahead(const K* k, std::int64_t k_step, std::int64_t k_n)
        : first_(k + key_tile * k_step, k_step, k_n), second_(k + (key_tile + key_tile / 2) * k_step, k_step, k_n)
    {}
    /// For every two lines that are used.
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

/// Decode, the rows that are used now: asks for those a little ahead, in the order of addresses, into the L1 cache.
template <class T>
class stream_ahead {
public:
    HEED_INLINE stream_ahead(const T* row, std::int64_t step, std::int64_t n, const tile_ahead& far)
        : near_(row + near_rows * step, step, n), far_(far)
    {}
    /// For rows that another register block asks for: one line again and again, so that the kernels need not be
    /// compiled a second time.
    HEED_INLINE explicit stream_ahead(const T* row)
        : near_(row, 0, line_of<T>), far_(row, 0, line_of<T>, row, 0, line_of<T>)
    {}
    /// For every n channels that are used; two lines or a multiple, or what is left of them counts for the next time.
    HEED_INLINE void next(int n)
    {
        const int bytes = static_cast<int>(elements_for<T>(n)) * static_cast<int>(sizeof(T));
        if (bytes % two_lines == 0) {
            HEED_UNROLL
            for (int i = 0; i < bytes; i += two_lines) ask();
        } else {
            for (owed_ += bytes; owed_ >= two_lines; owed_ -= two_lines) ask();
        }
    }
    HEED_INLINE line_cursor& near() { return near_; }
    HEED_INLINE tile_ahead& far() { return far_; }

private:
    static constexpr int two_lines = 128;

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

/// Prefill: while all rows of a block pass a packed strip of K or panel of V, what will be packed next comes into the
/// L2 cache. Register block g asks for one line of each row of its part; it carries a pointer and nothing to decide: a
/// loop over lines in the middle of the multiply-adds took 0.90 instead of 0.98 of the FMA peak.
template <class T>
class next_ahead {
public:
    /// The next thing is `rows` rows of `n` elements; a register block makes so many requests.
    HEED_INLINE next_ahead(const T* first, std::int64_t step, int rows, std::int64_t n, int requests, int g)
        : at_(first), step_(step)
    {
        const int parts = (rows + requests - 1) / requests, column = g / parts * line_of<T>;
        if (column < n) at_ += column + g % parts * requests * step;
        else step_ = 0;
    }
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

}  // namespace micro
HEED_END
