// SPDX-License-Identifier: MIT
// How a definition is computed: who runs it, in what memory, and which row statistics are wanted besides the output.
// Nothing here changes a bit of the result.
#pragma once

#include "base/view.hpp"
#include "executor/contract.hpp"

#include <cstddef>

HEED_BEGIN

/// Scratch memory of the caller, of any alignment; plan::workspace_bytes() says how much is needed.
struct workspace {
    void* data = nullptr;   ///< its first byte
    std::size_t bytes = 0;  ///< how many there are
};

/// Statistics of rows. Each is null (not wanted) or one number for each [B, Hq, Sq], dense: a pointer, or a container,
/// whose size is checked; float, or double for double tensors. (Where keys have an order: normalizer/order.hpp.)
template <class T>
struct row_statistics {
    number_view<T> shift = {};  ///< M: the power-of-two shift of the row
    number_view<T> mass = {};   ///< l: sum of u, times 2^-M; the extra mass is not in it
    number_view<T> lse = {};    ///< ln(c + sum of u), natural, extra mass included; -inf for an empty row
};

/// Options of a call on tensors of T: float also for bf16 and f16.
template <class T = float>
struct options {
    executor_ref executor = {};      ///< who runs the tasks; the calling thread unless named
    heed::workspace workspace = {};  ///< allocated where a verb is given none; run() of a plan needs it
    row_statistics<T> stats = {};    ///< which numbers of rows are wanted
    /// Tasks of a stage that a plan makes at least, as far as there are sequences and kv heads: for a host that shares
    /// them out among threads which an executor does not count.
    int least_tasks = 1;
};

HEED_END
