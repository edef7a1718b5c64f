// SPDX-License-Identifier: MIT
// Attention as a compute op of a tensor library, in the manner of ggml's flash attention: tensors with byte strides, a
// graph that calls the op in every one of its threads, scratch that was asked for in advance. For head h, query i, key
// j:
//
//     s = cap tanh(scale (q . k) / cap) + slope_h mask          p = e^s / (e^sink_h + sum e^s)          out = sum p v
//
// cap: logit_softcap, 0 for none. mask: 0 where there is none; -inf leaves the key out. slope_h: ALiBi, which in this
// convention multiplies the mask, as that holds distances; see alibi_slope().
//
// It follows ggml_flash_attn_ext as it was in August 2026 (ggml d99724f2, the ggml of llama.cpp d3cf1f14). Of the 5158
// cases of that one's own test 3801 have k and v of one of the `same_types`, and all of them pass; `all_types` are
// those of all cases but eight, which have k or v of q1_0 or q2_0. All that is optional combines: mask, sinks, softcap,
// ALiBi (which needs a mask), grouped heads, Dv != D. supports() says whether an op is taken and scratch_bytes() what
// it needs; neither asks for tensors that are allocated.
//
// Types: a pair of types of k and v is a set of kernels, of which the functions take a list: compute<all_types>(...),
// or kernels<kv_types<type::f16>, kv_types<type::q8_0, type::q4_0>>, or by default same_types. gcc 12 -O2 takes 19 s
// for a pair and makes 270 KB of code of it (of CPU, Emerald Rapids, AVX-512), so list those that you need.
//
// Masks: what a table says is summarised first, so that a causal one costs what heed::causal costs. A graph whose
// layers share a mask makes one summary of it, by summarise(), and hands it to each op; otherwise compute() looks at
// the table: its threads together where there is a barrier, each of them for itself where there is none.
//
// Threads: a graph that has a barrier for the threads of an op (ggml_barrier) hands it over as a `barrier`. Then keys
// are split where heads are few, so that one query over one kv head keeps any number of threads busy. Without one each
// thread does whole tasks, blocks of query rows of one kv head with all their keys: one query over 8 kv heads keeps 8
// threads busy, over one head one. The bits depend neither on that nor on the number of threads. Nothing is allocated,
// nothing thrown.
#pragma once

#include "compute_op_policies.hpp"
#include "compute_op_tensors.hpp"

namespace compute_op {

/// wait(context) returns when all threads of the op have called it, and what they wrote before is then seen by all.
struct barrier {
    void (*wait)(void* context) = nullptr;
    void* context = nullptr;
};

namespace detail {

/// The threads of the host, as far as plans know: how many there are. Tasks are run by compute().
struct host_threads {
    int count;

    int concurrency() const { return count; }
    template <class F>
    void operator()(int64, F) const
    {}
};

/// Workers of a plan; and threads without a barrier, each of which is one worker, that share out its tasks.
struct crew {
    int workers = 1, sharing = 1;
};

/// f(plan, q, kv, out) with the views of the tensors and a plan for so many.
template <class Kernels, class F>
status with_plan(const parameters& p, const tensors& t, const crew& of, const float* slopes,
                 const heed::mask_summary& summary, F f)
{
    return with_types(Kernels{}, t.k.type, t.v.type, [&](auto key_element, auto value_element) {
        heed::view<const float> q, sinks;
        heed::view<const decltype(key_element)> k;
        heed::view<const decltype(value_element)> v;
        mask_table mask;
        heed::view<float> out;
        status s = view_of("q", t.q, type::f32, q);
        if (s) s = view_of("k", t.k, t.k.type, k);
        if (s) s = view_of("v", t.v, t.v.type, v);
        if (s) s = view_of("out", t.out, type::f32, out, true);
        if (s) s = mask_of(t, mask);
        if (s && t.sinks) s = view_of("sinks", *t.sinks, type::f32, sinks);
        if (s && t.sinks) s = check_sinks(t);
        if (s) s = check_max_bias(p, t);
        if (s) s = optional_softcap{p.logit_softcap}.check({});
        if (!s) return s;
        const heed::attention def{optional_sinks{sinks.data, sinks.size.dim}, heed::scale{p.scale},
                                  optional_softcap{p.logit_softcap},
                                  sloped_mask{mask.halves, mask.floats, summary, slopes}};
        const heed::dense_kv kv{k, v};
        host_threads threads{of.workers};
        heed::options<float> how;
        how.executor = threads;
        how.least_tasks = of.sharing;
        const heed::plan plan(def, q, kv, how);
        if (s = plan.status(); s) s = check_out(t);
        return s ? f(plan, q, kv, out) : s;
    });
}

inline constexpr std::size_t cache_line = 64;
inline std::size_t in_lines(std::size_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

/// What is needed, each on cache lines of its own: the slopes of all heads, the summary of the mask, and a plan's
/// workspace.
struct scratch_sizes {
    std::size_t slopes = 0, summary = 0, workspace = 0;

    std::size_t bytes() const { return slopes + summary + workspace; }
};

/// The sizes for a plan of so many.
template <class Kernels>
status measure(const parameters& p, const tensors& t, const crew& of, scratch_sizes& to)
{
    return with_plan<Kernels>(p, t, of, nullptr, {}, [&](const auto& plan, const auto& q, const auto&...) {
        mask_table mask;
        const status s = mask_of(t, mask);
        const bool looks = t.mask && !(t.mask_summary && t.mask_summary->is_made());
        to = {in_lines(static_cast<std::size_t>(q.size.heads) * sizeof(float)),
              looks ? in_lines(mask.with([](const auto& table) { return heed::summary_bytes(table); })) : 0,
              in_lines(plan.workspace_bytes())};
        return s;
    });
}

/// What one thread has of the op: its part, the scratch it works in, and whether all share that one.
struct share {
    int ith, nth;
    barrier all;
    char* scratch;
    scratch_sizes sizes;

    bool is_shared() const { return all.wait != nullptr; }
    int workers() const { return is_shared() ? nth : 1; }
    detail::crew crew() const { return {workers(), is_shared() ? 1 : nth}; }
    void wait() const
    {
        if (is_shared()) all.wait(all.context);
    }
    float* slopes() const { return reinterpret_cast<float*>(scratch); }
    char* summary() const { return scratch + sizes.slopes; }
    char* workspace() const { return summary() + sizes.summary; }
};

/// The summary of the op's mask: the host's, or one in scratch, of which this thread fills its part, or all.
inline heed::mask_summary summary_of(const tensors& t, const share& of)
{
    if (t.mask_summary && t.mask_summary->is_made()) return *t.mask_summary;
    mask_table mask;
    if (!t.mask || of.sizes.summary == 0 || !mask_of(t, mask)) return {};
    return mask.with([&](const auto& table) {
        heed::mask_summary s(table, of.summary());
        const int64 ith = of.is_shared() ? of.ith : 0, nth = of.workers();
        s.look_at(table, s.rows() / nth * ith + std::min(ith, s.rows() % nth),
                  s.rows() / nth * (ith + 1) + std::min(ith + 1, s.rows() % nth));
        return s;
    });
}

/// Runs this thread's tasks of a plan whose call has been checked.
template <class Plan, class Q, class Kv, class Out>
void run_tasks(const share& of, const Plan& plan, const Q& q, const Kv& kv, const Out& out,
               const heed::options<float>& how)
{
    for (int stage = 0; stage < plan.stages(); ++stage) {
        if (stage > 0) of.wait();
        for (int64 task = of.ith; task < plan.tasks(stage); task += of.nth)
            plan.run_task({stage, task, of.is_shared() ? of.ith : 0}, q, kv, out, how);
    }
}

}  // namespace detail

/// Whether the op is one that compute() takes, or why not: all but what can be seen in the tensors' data, which may be
/// null.
template <class Kernels = same_types>
heed::status supports(const parameters& p, const tensors& t) noexcept
{
    detail::scratch_sizes sizes;
    return detail::measure<Kernels>(p, t, {}, sizes);
}

/// Scratch that compute() needs for so many threads, with a barrier or without, in bytes, at any alignment; 0 for an op
/// that supports() refuses.
template <class Kernels = same_types>
std::size_t scratch_bytes(const parameters& p, const tensors& t, int threads) noexcept
{
    detail::scratch_sizes one, all;
    if (threads < 1 || !detail::measure<Kernels>(p, t, {1, threads}, one) ||
        !detail::measure<Kernels>(p, t, {threads, 1}, all))
        return 0;
    return detail::cache_line - 1 + std::max(static_cast<std::size_t>(threads) * one.bytes(), all.bytes());
}

/// Bytes that the summary of an op's mask needs, at any alignment; 0 where there is none, or one that is refused.
inline std::size_t summary_bytes(const tensors& t) noexcept
{
    detail::mask_table mask;
    if (!t.mask || !detail::mask_of(t, mask)) return 0;
    return mask.with([](const auto& table) { return heed::summary_bytes(table); });
}

/// Looks at the mask of an op, for that op and all others that have the same: to be set as tensors::mask_summary, and
/// made anew when the mask's data change.
inline heed::status summarise(const tensors& t, void* memory, std::size_t bytes, heed::mask_summary& to) noexcept
{
    to = {};
    detail::mask_table mask;
    heed::status s = detail::check_data(t);
    if (s) s = detail::mask_of(t, mask);
    if (!s || !t.mask) return s;
    return mask.with([&](const auto& table) {
        return heed::detail::is_empty(table.size) ? heed::status{} : heed::summarise(table, {memory, bytes}, to);
    });
}

/// Part ith of nth of the op, for one of nth threads that all call this with the same arguments and the same scratch:
/// at once or not, but at once if there is a barrier. A part writes rows of out that no other writes. All find the same
/// errors, before they write anything or wait for each other.
template <class Kernels = same_types>
heed::status compute(const parameters& p, const tensors& t, int ith, int nth, void* scratch, std::size_t bytes,
                     const barrier& all = {}) noexcept
{
    using namespace detail;
    if (nth < 1 || ith < 0 || ith >= nth)
        return status::error(errc::invalid_argument, "compute_op: part %d of %d", ith, nth);
    share mine{ith, nth, all, nullptr, {}};
    if (const status s = measure<Kernels>(p, t, mine.crew(), mine.sizes); !s) return s;
    if (const status s = check_data(t); !s) return s;
    const std::size_t each = mine.sizes.bytes(), copies = all.wait ? 1 : static_cast<std::size_t>(nth);
    const std::size_t needed = cache_line - 1 + copies * each;
    if (!scratch || bytes < needed)
        return status::error(errc::workspace_too_small, "compute_op: scratch of %zu bytes%s, needs %zu for %d threads",
                             bytes, scratch ? "" : " at null", needed, nth);
    const auto address = reinterpret_cast<std::uintptr_t>(scratch);
    mine.scratch = static_cast<char*>(scratch) + (in_lines(address) - address) +
                   (all.wait ? 0 : static_cast<std::size_t>(ith) * each);

    heed::options<float> how;
    host_threads threads{mine.workers()};
    how.executor = threads;
    how.workspace = {mine.workspace(), mine.sizes.workspace};
    const auto checked = [&](const auto& plan, const auto& q, const auto& kv, const auto& out) {
        return plan.check_run(q, kv, out, how);
    };
    if (const status s = with_plan<Kernels>(p, t, mine.crew(), nullptr, {}, checked); !s) return s;
    if (ith == 0 || !all.wait)
        for (int64 h = 0; h < t.q.ne[2]; ++h) mine.slopes()[h] = alibi_slope(p.max_bias, h, t.q.ne[2]);
    const heed::mask_summary summary = summary_of(t, mine);
    mine.wait();
    return with_plan<Kernels>(p, t, mine.crew(), mine.slopes(), summary,
                              [&](const auto& plan, const auto& q, const auto& kv, const auto& out) {
                                  detail::run_tasks(mine, plan, q, kv, out, how);
                                  return status{};
                              });
}

}  // namespace compute_op
