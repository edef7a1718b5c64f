// SPDX-License-Identifier: MIT
// Which task works on which block: by arithmetic where sequences are alike, or by a table that the first stage writes.
#pragma once

#include "partition.hpp"

HEED_BEGIN
namespace kernel {

/// The tasks of a call. Sequences with folds come first in the table.
class task_table {
public:
    /// `entries` has one for each sequence where they differ.
    task_table(const partition& cut, std::int64_t size_of_T, void* entries)
        : p_(cut), size_of_T_(size_of_T), entries_(static_cast<sequence_tasks*>(entries))
    {}

    template <class Job>
    void list(const Job& job) const
    {
        sequence_tasks at{}, *to = entries_;
        for_sequences(
            p_, [&](std::int64_t b) { return job.queries(b); }, [&](std::int64_t b) { return held_of(job.kv, b); },
            [&](std::int64_t b, const sequence_cut& cut) {
                at.cut = cut;
                at.sequence = b;
                *to++ = at;
                p_.add(cut, 1, size_of_T_, at.first);
            });
    }
    /// The sequence that a task belongs to.
    sequence_tasks sequence_of(std::int64_t task, bool folds) const
    {
        if (!p_.ragged) {
            task_counts<std::int64_t> of_one;
            p_.add(p_.cut, 1, size_of_T_, of_one);
            sequence_tasks at{p_.cut, task / (folds ? of_one.fold : of_one.pass), {}};
            p_.add(p_.cut, at.sequence, size_of_T_, at.first);
            return at;
        }
        std::int64_t lo = 0, hi = p_.batch;  // the first task of lo is not behind `task`, that of hi is
        while (hi - lo > 1) {
            const std::int64_t mid = lo + (hi - lo) / 2;
            ((folds ? entries_[mid].first.fold : entries_[mid].first.pass) <= task ? lo : hi) = mid;
        }
        return entries_[lo];
    }

    /// One kv head after the other, so that its K and V stay in the shared cache; in each, blocks of late rows come
    /// first: under a causal mask they are the long ones.
    query_block block_of(const sequence_tasks& of, std::int64_t index) const
    {
        const sequence_cut& c = of.cut;
        const std::int64_t first = (c.blocks_per_head - 1 - index % c.blocks_per_head) * c.block_rows;
        return {of.sequence, index / c.blocks_per_head * p_.band, first,
                static_cast<int>(min_of(c.block_rows, c.rows - first)), static_cast<int>(p_.band)};
    }

private:
    const partition& p_;
    std::int64_t size_of_T_;
    sequence_tasks* entries_;
};

}  // namespace kernel
HEED_END
