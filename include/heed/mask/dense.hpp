// SPDX-License-Identifier: MIT
// Masks from tables: a boolean tensor [B, Hq, Sq, Skv], true = attend, and a number of keys for each sequence.
#pragma once

#include "../mask.hpp"
#include "../view.hpp"

HEED_BEGIN

/// A boolean mask; an extent of 1 is repeated along B, Hq and Sq. Columns are absolute key positions.
struct dense_mask {
    view<const bool> values;

    explicit dense_mask(view<const bool> v) : values(v)
    {
        if (v.size.batch == 1) values.step.batch = 0;
        if (v.size.heads == 1) values.step.heads = 0;
        if (v.size.tokens == 1) values.step.tokens = 0;
    }

    bool attends(const query_place& at, std::int64_t key) const { return values.row(at.batch, at.head, at.row)[key]; }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        const bool* row = values.row(at.batch, at.head, at.row) + first;
        for (int j = 0; j < count; ++j)
            if (row[j]) bits.set(j);
    }
    status check(const problem& p) const
    {
        const extents& e = values.size;
        const bool fits = (e.batch == p.batch || e.batch == 1) && (e.heads == p.query_heads || e.heads == 1) &&
                          (e.tokens == p.queries || e.tokens == 1) && e.dim == p.total_keys;
        if (fits && (values.data || p.batch * p.query_heads * p.queries * p.total_keys == 0)) return {};
        return status::error(errc::invalid_argument,
                             "dense_mask: [%lld, %lld, %lld, %lld]%s does not broadcast to [%lld, %lld, %lld, %lld]",
                             static_cast<long long>(e.batch), static_cast<long long>(e.heads),
                             static_cast<long long>(e.tokens), static_cast<long long>(e.dim),
                             values.data ? "" : " at null", static_cast<long long>(p.batch),
                             static_cast<long long>(p.query_heads), static_cast<long long>(p.queries),
                             static_cast<long long>(p.total_keys));
    }
};

/// Sequence b has keys [0, lengths[b]); what lies beyond is never read.
struct key_lengths : span_mask<key_lengths> {
    const std::int64_t* lengths = nullptr;
    std::int64_t count = 0;

    key_lengths(const std::int64_t* per_sequence, std::int64_t n) : lengths(per_sequence), count(n) {}

    key_span span(const query_place& at) const { return {0, lengths[at.batch]}; }
    status check(const problem& p) const
    {
        if (count != p.batch || (count > 0 && !lengths))
            return status::error(errc::invalid_argument, "key_lengths: %lld lengths for batch %lld",
                                 static_cast<long long>(count), static_cast<long long>(p.batch));
        for (std::int64_t b = 0; b < count; ++b)
            if (lengths[b] < 0 || lengths[b] > p.total_keys)
                return status::error(errc::invalid_argument, "key_lengths: lengths[%lld] = %lld is not in [0, %lld]",
                                     static_cast<long long>(b), static_cast<long long>(lengths[b]),
                                     static_cast<long long>(p.total_keys));
        return {};
    }
};

HEED_END
