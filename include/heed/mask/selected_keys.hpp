// SPDX-License-Identifier: MIT
// Selected keys: the keys that a row attends, as a list.
#pragma once

#include "../base/checked.hpp"
#include "lists.hpp"

HEED_BEGIN

/// Which rows share a list of selected_keys, and what an entry stands for.
struct list_shape {
    std::int64_t block = 1;         ///< keys of an entry: entry e is [e * block, (e + 1) * block); from 1 to 512
    std::int64_t heads = 1;         ///< lists beside each other: one for each kv head, or 1 for all heads
    std::int64_t group = 1;         ///< query heads of a kv head, Hq / Hkv, where each kv head has its own list
    std::int64_t row_blocks = 1;    ///< lists behind each other, for blocks of query rows
    std::int64_t rows = unbounded;  ///< query rows of such a block
};

/// Attention to selected keys (DSA, NSA, MoBA, Quest, block-sparse prefill): a row attends the keys of its list and no
/// others. Row i of query head h of sequence b has the list
///
///     n = (b * heads + h / group) * row_blocks + i / rows,    entries[offsets[n]] to entries[offsets[n + 1] - 1]
///
/// of entries that rise, each a block of keys at absolute positions of the sequence, from 0; the last block may be cut
/// short by the end of the keys. offsets has B * heads * row_blocks + 1 numbers from 0 on; an empty list attends
/// nothing. Both tables are of 32 or of 64 bits, a pointer with a count or a container.
///
///     heed::attention def{heed::selected_keys{offsets, entries, {.heads = 8, .group = 4}}, heed::causal{}};
///
/// The bits are those of the same call with the same keys as a mask. The work is not: decode reads the rows of listed
/// keys alone, and prefill the strips of keys (64 of them with AVX-512) that any row of a query block lists.
/// The verbs fail where a number of this shape does not suit the call, and where entries are out of range, unsorted or
/// doubled: the sentence names sequence, row and entry. Checking costs a look at every entry.
struct selected_keys {
    index_view offsets, entries;  ///< [lists + 1], and the entries of all lists
    list_shape shape;             ///< which rows share a list

    /// The tables, and which rows share a list; by default there is one list a sequence.
    selected_keys(index_view list_offsets, index_view list_entries, const list_shape& lists = {})
        : offsets(list_offsets), entries(list_entries), shape(lists)
    {}

    /// The keys of a row.
    key_list list(const query_place& at) const { return list_of(index_of(at.batch, at.head, at.row)); }

    std::int64_t rows_of_list() const { return shape.rows; }

    bool attends(const query_place& at, std::int64_t key) const
    {
        const key_list l = list(at);
        const std::int64_t i = l.find(key);
        return key >= 0 && i < l.entries.size() && l.begin(i) <= key;
    }
    coverage classify(const block_place& b) const
    {
        bool all = true, any = false;
        const std::int64_t head_stride = shape.heads > 1 ? shape.group : b.head_end - b.head_begin;
        for (std::int64_t h = b.head_begin; h < b.head_end; h += head_stride)
            for (std::int64_t i = b.row_begin / shape.rows; i <= (b.row_end - 1) / shape.rows; ++i) {
                const coverage c = classify(list_of(index_of(b.batch, h, 0) + i), b.key_begin, b.key_end);
                all = all && c == coverage::full;
                any = any || c != coverage::none;
            }
        return all ? coverage::full : any ? coverage::partial : coverage::none;
    }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        const key_list l = list(at);
        for (std::int64_t i = l.find(first); i < l.entries.size() && l.begin(i) < first + count; ++i)
            bits.set_range(l.begin(i) - first, min_of(l.end(i) - first, count));
    }

    status check(const problem& p) const
    {
        const status s = check_shape(p);
        if (!s || offsets.size() == 1) return s;
        return check_lists(p);
    }

private:
    using ll = long long;

    std::int64_t index_of(std::int64_t batch, std::int64_t head, std::int64_t row) const
    {
        const std::int64_t h = shape.heads > 1 ? head / shape.group : 0;
        return (batch * shape.heads + h) * shape.row_blocks + row / shape.rows;
    }
    key_list list_of(std::int64_t n) const { return {entries.between(offsets[n], offsets[n + 1]), shape.block}; }

    static coverage classify(const key_list& l, std::int64_t begin, std::int64_t end)
    {
        const std::int64_t i = l.find(begin);
        if (i >= l.entries.size() || l.begin(i) >= end) return coverage::none;
        const std::int64_t last = (end - 1) / l.block, wanted = last - begin / l.block;
        const bool is_full = i + wanted < l.entries.size() && l.entries[i] == begin / l.block &&
                             l.entries[i + wanted] == last;  // they rise
        return is_full ? coverage::full : coverage::partial;
    }

    status check_shape(const problem& p) const
    {
        const list_shape& s = shape;
        if (s.block < 1 || s.block > key_tile)
            return status::error(errc::invalid_argument, "selected_keys: blocks of %lld keys; they have 1 to %d",
                                 ll{s.block}, key_tile);
        if (s.heads != 1 && (s.heads != p.kv_heads || s.group < 1 || s.heads != p.query_heads / s.group ||
                             p.query_heads % s.group != 0))
            return status::error(errc::invalid_argument,
                                 "selected_keys: lists for %lld heads in groups of %lld: q has %lld heads, kv %lld",
                                 ll{s.heads}, ll{s.group}, ll{p.query_heads}, ll{p.kv_heads});
        if (s.rows < 1 || s.row_blocks < 1 || (p.queries > 0 && (p.queries - 1) / s.rows >= s.row_blocks))
            return status::error(errc::invalid_argument,
                                 "selected_keys: %lld lists for %lld rows each, for %lld query rows", ll{s.row_blocks},
                                 ll{s.rows}, ll{p.queries});
        const detail::checked lists = detail::checked(p.batch) * s.heads * s.row_blocks + 1;
        if (!offsets.is_sound() || !entries.is_sound() || !lists.fits() || offsets.size() != lists.value())
            return status::error(errc::invalid_argument,
                                 "selected_keys: %lld offsets%s and %lld entries%s for %lld x %lld x %lld lists",
                                 ll{offsets.size()}, offsets.is_sound() ? "" : " at null", ll{entries.size()},
                                 entries.is_sound() ? "" : " at null", ll{p.batch}, ll{s.heads}, ll{s.row_blocks});
        return {};
    }
    status check_lists(const problem& p) const
    {
        const std::int64_t lists = offsets.size() - 1, blocks = ceil_div(p.total_keys, shape.block);
        if (offsets[0] != 0)
            return status::error(errc::invalid_argument, "selected_keys: offsets[0] = %lld, must be 0", ll{offsets[0]});
        for (std::int64_t n = 0; n < lists; ++n)
            if (offsets[n + 1] < offsets[n] || offsets[n + 1] > entries.size())
                return status::error(errc::invalid_argument,
                                     "selected_keys: offsets[%lld] = %lld; offsets rise to at most the %lld entries",
                                     ll{n + 1}, ll{offsets[n + 1]}, ll{entries.size()});
        for (std::int64_t n = 0; n < lists; ++n) {
            const key_list l = list_of(n);
            if (!is_sound(l, blocks)) return first_wrong(n, l.entries, blocks, min_of(shape.rows, p.queries));
        }
        return {};
    }
    /// Whether entries rise, from 0 to below `blocks`.
    static bool is_sound(const key_list& l, std::int64_t blocks)
    {
        const std::int64_t n = l.entries.size();
        if (n == 0) return true;
        return l.entries.with_numbers([&](const auto* at) {
            int falls = 0;  // summed, not left at the first: so the loop takes many entries at a time
            for (std::int64_t i = 1; i < n; ++i) falls |= at[i] <= at[i - 1];
            return falls == 0 && at[0] >= 0 && at[n - 1] < blocks;
        });
    }
    status first_wrong(std::int64_t n, const index_view& list, std::int64_t blocks, std::int64_t rows) const
    {
        std::int64_t i = 0;
        while (list[i] >= 0 && list[i] < blocks && (i == 0 || list[i] > list[i - 1])) ++i;
        const std::int64_t row = n % shape.row_blocks * rows;
        const std::int64_t head = n / shape.row_blocks % shape.heads, batch = n / shape.row_blocks / shape.heads;
        const bool in_range = list[i] >= 0 && list[i] < blocks;
        if (in_range)
            return status::error(errc::invalid_argument,
                                 "selected_keys: sequence %lld, head %lld, row %lld: entry %lld is %lld, behind %lld; "
                                 "entries rise",
                                 ll{batch}, ll{head}, ll{row}, ll{i}, ll{list[i]}, ll{list[i - 1]});
        return status::error(errc::invalid_argument,
                             "selected_keys: sequence %lld, head %lld, row %lld: entry %lld is %lld, not in [0, %lld)",
                             ll{batch}, ll{head}, ll{row}, ll{i}, ll{list[i]}, ll{blocks});
    }
};

HEED_END
