// SPDX-License-Identifier: MIT
// How a definition is computed: who runs it, in what memory, and which row statistics are wanted besides the output.
// Nothing here changes a bit of the result.
#pragma once

#include "executor/contract.hpp"

#include <cstddef>

HEED_BEGIN

/// Scratch memory of the caller, of any alignment; plan::workspace_bytes() says how much is needed.
struct workspace {
    void* data = nullptr;
    std::size_t bytes = 0;
};

/// Statistics of rows. Each pointer is null (not wanted) or points to one number for each [B, Hq, Sq], dense; float, or
/// double for double tensors.
template <class T>
struct row_statistics {
    T* shift = nullptr;  ///< M: the power-of-two shift of the row
    T* mass = nullptr;   ///< l: sum of u, times 2^-M; the extra mass is not in it
    T* lse = nullptr;    ///< ln(c + sum of u), natural, extra mass included; -inf for an empty row
};

/// Options of a call on tensors of T: float also for bf16 and f16.
template <class T = float>
struct options {
    executor_ref executor = {};
    heed::workspace workspace = {};
    row_statistics<T> stats = {};
};

HEED_END
