// SPDX-License-Identifier: MIT
// Masks from tables: a boolean tensor [B, Hq, Sq, Skv], true = attend, and a number of keys for each sequence.
#pragma once

#include "../base/table.hpp"
#include "../base/table_entries.hpp"
#include "contract.hpp"

HEED_BEGIN

/// A boolean mask; an extent of 1 is repeated along B, Hq and Sq. Columns are absolute key positions.
struct dense_mask {
    view<const bool> values;  ///< [B, Hq, Sq, Skv]; true: attend

    /// From a table [B, Hq, Sq, Skv], true = attend.
    explicit dense_mask(view<const bool> attended) : values(detail::repeat_ones(attended)) {}

    bool attends(const query_place& at, std::int64_t key) const { return values.row(at.batch, at.head, at.row)[key]; }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        const bool* row = values.row(at.batch, at.head, at.row) + first;
        for (int j = 0; j < count; j += 64) bits.set_bits(j, detail::look_at(row + j, min_of(count - j, 64)).attended);
    }
    status check(const problem& p) const { return detail::check_table("dense_mask", values, p); }
};

/// Sequence b has keys [0, lengths[b]); what lies beyond is never read. Lengths are of 32 or of 64 bits, a pointer with
/// a count or a container.
struct key_lengths : span_mask<key_lengths> {
    index_view lengths;  ///< [B]

    /// One for each sequence: [B].
    explicit key_lengths(index_view per_sequence) : lengths(per_sequence) {}
    template <class N>
    key_lengths(const N* per_sequence, std::int64_t sequences) : lengths(per_sequence, sequences)
    {}
    key_lengths(std::nullptr_t, std::int64_t sequences)
        : key_lengths(static_cast<const std::int64_t*>(nullptr), sequences)
    {}

    key_span span(const query_place& at) const { return {0, lengths[at.batch]}; }
    status check(const problem& p) const
    {
        if (lengths.size() != p.batch || !lengths.is_sound())
            return status::error(errc::invalid_argument, "key_lengths: %lld lengths%s for batch %lld",
                                 static_cast<long long>(lengths.size()), lengths.is_null() ? " at null" : "",
                                 static_cast<long long>(p.batch));
        for (std::int64_t b = 0; b < lengths.size(); ++b)
            if (lengths[b] < 0 || lengths[b] > p.total_keys)
                return status::error(errc::invalid_argument, "key_lengths: lengths[%lld] = %lld is not in [0, %lld]",
                                     static_cast<long long>(b), static_cast<long long>(lengths[b]),
                                     static_cast<long long>(p.total_keys));
        return {};
    }
};

HEED_END
