// SPDX-License-Identifier: MIT
// What every plan has: a partition of its work, or the error that says why there is none.
#pragma once

#include "../base/status.hpp"

#include <cstddef>
#include <cstdint>

HEED_BEGIN

/// What a plan will do, in words.
struct description {
    char text[400] = "";
};

/// One task of a plan, for hosts that run tasks themselves.
struct plan_task {
    int stage = 0;           ///< 0 <= stage < stages(); a stage begins when all tasks of the one before have ended
    std::int64_t index = 0;  ///< 0 <= index < tasks(stage)
    int worker = 0;          ///< below the concurrency planned for, and used by one task at a time
};

namespace detail {

template <class Partition>
class planned {
public:
    using status_type = heed::status;

    const status_type& status() const { return status_; }

    /// Scratch that run() needs: a constant a worker; plan adds a partial result a key tile where keys are split, and
    /// backward_plan one number a row where a score map has a parameter a head, and two where keys have an order.
    std::size_t workspace_bytes() const { return status_ ? partition_.total_bytes : 0; }

    int stages() const { return status_ ? partition_.stages() : 0; }
    std::int64_t tasks(int stage) const { return status_ ? partition_.tasks(stage) : 0; }

protected:
    planned() = default;
    explicit planned(const status_type& s) : status_(s) {}

    /// A description of what is not planned.
    description no_plan() const
    {
        description d;
        std::snprintf(d.text, sizeof(d.text), "no plan: %s", status_.message());
        return d;
    }

    Partition partition_;
    status_type status_;
};

}  // namespace detail
HEED_END
