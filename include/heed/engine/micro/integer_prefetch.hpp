// SPDX-License-Identifier: MIT
// Products of integers: one stream of lines in the order of addresses, as many as are used.
#pragma once

#include "prefetch.hpp"

#include <limits>

HEED_BEGIN
namespace micro {

/// Prefetches a line for every line that is used, of a list of pieces, the last of which is empty. A piece that does
/// not end with a line has more of them than its bytes fill, and they are prefetched where it ends.
class line_feed {
public:
    HEED_INLINE explicit line_feed(const piece* pieces) : next_(pieces) { aim(); }

    HEED_INLINE void used(int bytes)
    {
        owe(bytes);
        settle();
    }
    /// The same in three: what is used, a line of it at a time, and what is left.
    HEED_INLINE void owe(std::int64_t bytes) { owed_ += bytes; }
    HEED_INLINE void ask()
    {
        if (owed_ <= 0) return;
        owed_ -= line_of<char>;
        prefetch_line<locality>(at_);
        at_ += line_of<char>;
        if (__builtin_expect(at_ >= end_, 0)) aim();
    }
    HEED_INLINE void settle()
    {
        while (owed_ > 0) ask();
    }
    /// Prefetches what is owed, at most n lines, or has the caller do so: where the next n lines follow each other it
    /// returns the first of them, otherwise `idle`, which is in the L1 cache.
    HEED_INLINE const char* take(int n, const void* idle)
    {
        const std::uintptr_t first = at_, bytes = static_cast<std::uintptr_t>(n) * line_of<char>;
        if (__builtin_expect(owed_ >= static_cast<std::int64_t>(bytes) && end_ - first > bytes, 1)) {
            owed_ -= static_cast<std::int64_t>(bytes);
            at_ = first + bytes;
            return reinterpret_cast<const char*>(first);
        }
        for (int i = 0; i < n; ++i) ask();
        return static_cast<const char*>(idle);
    }
    HEED_INLINE static void prefetch(const char* line)
    {
        prefetch_line<locality>(reinterpret_cast<std::uintptr_t>(line));
    }
    /// Whatever is used, nothing: what follows is prefetched by another.
    HEED_INLINE void rest() { owed_ = std::numeric_limits<std::int64_t>::min() / 2; }

private:
    /// In line: beside a call, sums would not stay in their registers.
    HEED_INLINE void aim()
    {
        if (next_->begin == next_->end) return rest();
        const std::uintptr_t skew = in_line(next_->begin);
        if (end_ != 0) owed_ += static_cast<std::int64_t>(at_ - end_);
        owed_ += static_cast<std::int64_t>(skew);
        at_ = next_->begin - skew;
        end_ = next_->end;
        ++next_;
    }

    /// A tile of blocks and spread queries do not fit the L1 cache together: into the L2 cache decode over q8_0
    /// took 14.0 and 15.3 instead of 17.1 and 18.8 ms with 4 rows, int8 the same (Zen 3).
    static constexpr int locality = native_sizes::streams_integers ? 2 : 3;

    const piece* next_;
    std::uintptr_t at_ = 0, end_ = 0;
    std::int64_t owed_ = 0;  // bytes
};

}  // namespace micro
HEED_END
