// SPDX-License-Identifier: MIT
// Where the finished rows of a forward pass go: to an output and its statistics, or to a state that is continued.
#pragma once

#include "../../options.hpp"
#include "../kernel/fold.hpp"

HEED_BEGIN
namespace kernel {

/// Rows begin empty, and are divided by their denominators.
template <class T, class O>
struct to_output {
    static constexpr bool continues = false;

    view<O> out;  // rows as q has them
    row_statistics<T> stats;

    template <class Job>
    void end_row(const Job& job, const query_place& p, const partial_row<T>& row) const
    {
        const std::int64_t i = job.index_of(p);
        finish_row(job.def.normalizer(), p.head, row, job.row_of(out, p), job.kv.value_dim(),
                   stats.lse ? stats.lse + i : nullptr);
        if (stats.shift) stats.shift[i] = row.shift;
        if (stats.mass) stats.mass[i] = row.mass;
    }
};

/// Rows go on with what the state holds, and are left as they are.
template <class T>
struct to_state {
    static constexpr bool continues = true;

    T* shift;  // [B, Hq, Sq]
    T* mass;   // [B, Hq, Sq]
    T* out;    // [B, Hq, Sq, Dv]

    template <class Job>
    void begin_row(const Job& job, const query_place& p, const partial_row<T>& row) const
    {
        const std::int64_t i = job.index_of(p), dim = job.kv.value_dim();
        row.shift = shift[i];
        row.mass = mass[i];
        for (std::int64_t c = 0; c < dim; ++c) row.o[c] = out[i * dim + c];
    }
    template <class Job>
    void end_row(const Job& job, const query_place& p, const partial_row<T>& row) const
    {
        const std::int64_t i = job.index_of(p), dim = job.kv.value_dim();
        shift[i] = row.shift;
        mass[i] = row.mass;
        for (std::int64_t c = 0; c < dim; ++c) out[i * dim + c] = row.o[c];
    }
};

}  // namespace kernel
HEED_END
