// SPDX-License-Identifier: MIT
// Products of integers: one stream of lines in the order of addresses, as many as are used.
#pragma once

#include "prefetch.hpp"

#include <limits>

HEED_BEGIN
namespace micro {

/// Prefetches a line for every line that is used. Where a segment ends, next() says what follows; a row that is
/// followed by a gap has more lines than its bytes fill, and they are asked for where it ends.
template <class Next>
class line_feed {
public:
    HEED_INLINE explicit line_feed(Next next) : next_(next) { aim(next_()); }

    HEED_INLINE void used(int bytes)
    {
        for (owed_ += bytes; owed_ > 0; owed_ -= line_of<char>) {
            prefetch_line<3>(at_);
            at_ += line_of<char>;
            if (at_ >= end_) {
                owed_ += static_cast<std::int64_t>(at_ - end_);
                aim(next_());
            }
        }
    }

    /// From now on nothing, whatever is used: what follows is prefetched by another.
    HEED_INLINE void rest() { owed_ = std::numeric_limits<std::int64_t>::min() / 2; }

private:
    HEED_INLINE void aim(const piece& to)
    {
        at_ = to.begin - in_line(to.begin);
        owed_ += static_cast<std::int64_t>(in_line(to.begin));
        end_ = to.end;
    }

    Next next_;
    std::uintptr_t at_ = 0, end_ = 0;
    std::int64_t owed_ = 0;  // bytes
};

}  // namespace micro
HEED_END
