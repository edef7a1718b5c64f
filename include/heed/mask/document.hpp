// SPDX-License-Identifier: MIT
// Documents in one sequence.
#pragma once

#include "../base/view.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Documents packed one after another: a query attends the keys of its own document. `bounds` holds documents + 1
/// positions, from 0 to the last (cu_seqlens): document d is [bounds[d], bounds[d + 1]). They are of 32 or of 64 bits,
/// a pointer with a count or a container. A query outside them attends nothing. The verbs fail where bounds do not
/// start at 0, fall, or go past the keys.
struct document : span_mask<document> {
    index_view bounds;  ///< documents + 1 positions

    /// From positions 0, ..., as cu_seqlens has them.
    explicit document(index_view cu_seqlens) : bounds(cu_seqlens) {}
    template <class N>
    document(const N* cu_seqlens, std::int64_t entries) : bounds(cu_seqlens, entries)
    {}
    document(std::nullptr_t, std::int64_t entries) : document(static_cast<const std::int64_t*>(nullptr), entries) {}

    key_span span(const query_place& at) const
    {
        const std::int64_t count = bounds.size();
        if (at.position < bounds[0]) return {bounds[0], bounds[0]};
        if (at.position >= bounds[count - 1]) return {bounds[count - 1], bounds[count - 1]};
        std::int64_t lo = 0, hi = count - 1;  // bounds[lo] <= position < bounds[hi]
        while (hi - lo > 1) {
            const std::int64_t mid = lo + (hi - lo) / 2;
            (bounds[mid] <= at.position ? lo : hi) = mid;
        }
        return {bounds[lo], bounds[hi]};
    }
    status check(const problem& p) const
    {
        const std::int64_t count = bounds.size();
        if (count < 2 || bounds.is_null() || bounds[0] != 0)
            return status::error(errc::invalid_argument,
                                 "document: %lld bounds%s; they start at 0 and close the last document",
                                 static_cast<long long>(count), bounds.is_null() ? " at null" : "");
        for (std::int64_t d = 1; d < count; ++d)
            if (bounds[d] < bounds[d - 1])
                return status::error(errc::invalid_argument,
                                     "document: bounds[%lld] = %lld is below bounds[%lld] = %lld",
                                     static_cast<long long>(d), static_cast<long long>(bounds[d]),
                                     static_cast<long long>(d - 1), static_cast<long long>(bounds[d - 1]));
        if (bounds[count - 1] > p.total_keys)
            return status::error(errc::invalid_argument, "document: the last bound %lld is past the %lld keys",
                                 static_cast<long long>(bounds[count - 1]), static_cast<long long>(p.total_keys));
        return {};
    }
};

HEED_END
