// SPDX-License-Identifier: MIT
// Rows of a state as they are sent, and how MPI merges two of them.
#pragma once

#include "ranks.hpp"

HEED_BEGIN
namespace detail {

/// A row {M, l, o} as it is sent: dim + 2 numbers.
template <class T>
state<T> state_of_record(T* record, std::int64_t dim)
{
    return {record, record + 1, record + 2, {1, 1, 1, dim}};
}
template <class T>
state<T> state_of_row(const state<T>& s, std::int64_t i)
{
    return {s.shift + i, s.mass + i, s.out + i * s.size.dim, {1, 1, 1, s.size.dim}};
}

/// inout = the state of both, where keys have an order those of `in` the older ones, as MPI has them.
template <class T, bool HasOrder>
void merge_records(void* in, void* inout, int* count, MPI_Datatype* type)
{
    int bytes = 0;
    MPI_Type_size(*type, &bytes);
    const std::int64_t numbers = bytes / static_cast<std::int64_t>(sizeof(T)), dim = numbers - 2;
    for (std::int64_t i = 0; i < *count; ++i) {
        const state<T> other = state_of_record(static_cast<T*>(in) + i * numbers, dim),
                       into = state_of_record(static_cast<T*>(inout) + i * numbers, dim);
        (void)(HasOrder ? merge_left(into, other) : merge(into, other));  // fails where sizes differ
    }
}

}  // namespace detail
HEED_END
