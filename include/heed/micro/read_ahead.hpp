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

/// Walks over rows of `dim` elements, in the order of addresses.
template <class T>
struct row_cursor {
    const T* row;
    std::int64_t step, dim, c = 0;

    HEED_INLINE const T* here() const { return row + c; }
    HEED_INLINE void advance(int n)
    {
        for (c += n; c >= dim; c -= dim) row += step;
    }
};

template <class T>
inline constexpr int line_of = 64 / static_cast<int>(sizeof(T));

/// Decode, where rows are read once: starts at the row that is read now, and asks for rows near ahead into the L1
/// cache, far ahead into the L2 cache.
template <class T>
class stream_ahead {
public:
    HEED_INLINE stream_ahead(const T* row, std::int64_t step, std::int64_t dim)
        : at_{row, step, dim}, near_(near_rows * step), far_(far_rows * step)
    {}
    HEED_INLINE void next(const T*, int n)
    {
        for (int i = 0; i < n; i += line_of<T>) {
            __builtin_prefetch(at_.here() + near_ + i, 0, 3);
            __builtin_prefetch(at_.here() + far_ + i, 0, 2);
        }
        at_.advance(n);
    }

private:
    row_cursor<T> at_;
    std::int64_t near_, far_;
};

/// Prefill, P V: the tile is in the L2 cache, and one panel of its channels is read again and again.
template <class T>
class panel_ahead {
public:
    HEED_INLINE explicit panel_ahead(std::int64_t step) : near_(near_rows * step) {}
    HEED_INLINE void next(const T* p, int n)
    {
        for (int i = 0; i < n; i += line_of<T>) __builtin_prefetch(p + near_ + i, 0, 3);
    }

private:
    std::int64_t near_;
};

/// Prefill, Q K^T: while a strip is scored, its successor comes into the L2 cache, `n` elements at every step.
template <class T>
class strip_ahead {
public:
    HEED_INLINE strip_ahead(const T* row, std::int64_t step, std::int64_t dim, int n) : at_{row, step, dim}, n_(n) {}
    HEED_INLINE void next()
    {
        __builtin_prefetch(at_.here(), 0, 2);
        at_.advance(n_);
    }

private:
    row_cursor<T> at_;
    int n_;
};

}  // namespace micro
HEED_END
