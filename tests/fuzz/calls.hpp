// SPDX-License-Identifier: MIT
// attend in each of its forms: one call, plan and run, stage by stage in any order of tasks; with a workspace of the
// bytes that the plan asks for, at any address.
#pragma once

#include "tensors.hpp"

#include <string>

namespace fuzz {

enum class outcome { done, refused, too_large };

/// Bytes that a call may take here.
constexpr std::size_t most_workspace = memory::largest;

/// Multiply-adds that a run may take here.
constexpr wide most_work = 1 << 18;

struct answer {
    outcome what = outcome::done;
    heed::errc code = heed::errc::ok;
    std::string says;

    answer() = default;
    explicit answer(const heed::status& s)
        : what(s ? outcome::done : outcome::refused), code(s.code()), says(s.message())
    {
        require(says.size() > 0 && says.size() < 200, "a message of " + std::to_string(says.size()) + " bytes");
    }
    explicit answer(outcome o) : what(o) {}
};

/// `may_run`: there is memory behind every view. Where it is false only plans are made.
template <class Def, class Q, class Kv, class O, class T = heed::compute_t<Q>>
answer call_attend(input& in, const Def& def, const heed::packed<Q>& q, const Kv& kv, const heed::view<O>& out,
                   const heed::row_statistics<T>& stats, bool may_run)
{
    constexpr int some_workers[] = {1, 1, 2, 3, 7, 64};
    shuffled executor{&in, in.one_of(some_workers)};
    const heed::plan<Def, T> plan(def, q, kv, {.executor = executor});
    if (!plan.status()) return answer(plan.status());
    const std::size_t bytes = plan.workspace_bytes();
    require(plan.describe().text[0] != 0, "a plan without a description");
    if (!may_run) return answer(outcome::too_large);
    if (bytes > most_workspace) return answer(outcome::too_large);
    const int64 shift = in.one_in(2) ? 0 : in.range(0, 63);
    std::byte* const scratch =
        all_memory().block(bytes + static_cast<std::size_t>(shift), true) + (in.one_in(2) ? shift : 0);
    memory::open(scratch, bytes);
    const heed::options<T> how{.executor = executor, .workspace = {scratch, bytes}, .stats = stats};
    all_memory().keep();
    switch (in.range(0, 3)) {
    case 0: return answer(plan.run(q, kv, out, how));
    case 1: {
        if (const heed::status s = plan.check_run(q, kv, out, how); !s) return answer(s);
        for (int stage = 0; stage < plan.stages(); ++stage)
            executor(plan.tasks(stage), [&](int64 task, int worker) {
                plan.run_task({stage, task, worker}, q, kv, out, how);
            });
        return {};
    }
    case 2: {  // one byte too few
        heed::options<T> less = how;
        --less.workspace.bytes;
        const heed::status s = plan.run(q, kv, out, less);
        require(!s, "a workspace of one byte too few is taken");
        return answer(plan.run(q, kv, out, how));
    }
    default: return answer(heed::attend(def, q, kv, out, {.executor = executor, .stats = stats}));
    }
}

}  // namespace fuzz
