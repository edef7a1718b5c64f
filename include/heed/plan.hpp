// SPDX-License-Identifier: MIT
// The plan: a definition and a shape, checked once, then run as often as wanted on tensors of that shape.
//
//     heed::plan plan(def, q, k, v, {.executor = pool});
//     if (!plan.status()) ...                          // the argument, the sizes, the rule
//     scratch.resize(plan.workspace_bytes());
//     plan.run(q, k, v, out, {.executor = pool, .workspace = {scratch.data(), scratch.size()}});
//
// run() is noexcept and allocates nothing. A host with its own loop runs tasks(0) tasks of stage 0, waits, and goes
// on with the next stage, calling run_task() itself.
#pragma once

#include "engine/forward/forward_pass.hpp"
#include "engine/sound.hpp"
#include "engine/validate.hpp"
#include "kv/dense.hpp"

HEED_BEGIN

/// What a plan will do, in words.
struct description {
    char text[400] = "";
};

/// A definition and a shape, checked once, then run as often as wanted on tensors of that shape; computed in T, float
/// or double. status() says what is wrong with either, in a sentence with the sizes in it. run() is noexcept and
/// allocates nothing.
template <class Def, class T>
class plan {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                  "heed: plan<Def, T> computes in float or double");
    static_assert(detail::sound_definition<Def, T>::value || true);

public:
    using status_type = heed::status;

    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes and lengths are looked at;
    /// where its tasks or workspace leave 64 bits, status() says so.
    template <class Q, class K, class V>
    plan(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const options<T>& how = {})
        : plan(def, q, dense_kv{k, v}, how)
    {}
    template <class Q, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
    plan(const Def& def, const view<Q>& q, const Kv& kv, const options<T>& how = {})
        : plan(def, packed<Q>{q, {}}, kv, how)
    {}
    /// The same for packed queries: any mix of prefill, chunks of it and decode.
    template <class Q, class Kv>
    plan(const Def& def, const packed<Q>& q, const Kv& kv, const options<T>& how = {}) : def_(def), q_(q.rows.size)
    {
        status_ = check(q, kv);
        if (!status_) return;
        kv_ = {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        value_dim_ = kv.value_dim();
        layout_ = layout_of(q, kv, how.executor.concurrency());
        if (!layout_.fits)
            status_ = status_type::error(errc::invalid_argument,
                                         "plan: %lld queries of %lld heads x %lld keys for %d workers, %lld and %lld "
                                         "channels: rows, tasks or workspace beyond 64 bits",
                                         static_cast<long long>(q_.tokens), static_cast<long long>(q_.heads),
                                         static_cast<long long>(kv_.tokens), layout_.workers,
                                         static_cast<long long>(kv_.dim), static_cast<long long>(value_dim_));
    }

    const status_type& status() const { return status_; }

    /// Scratch that run() needs: a constant a worker, and where keys are split a partial result a key tile.
    std::size_t workspace_bytes() const { return status_ ? layout_.total_bytes : 0; }

    int stages() const { return status_ ? layout_.stages() : 0; }
    std::int64_t tasks(int stage) const { return status_ ? layout_.tasks(stage) : 0; }

    /// The kernel, instruction set, tile shapes, tasks and workspace, in one line.
    description describe() const
    {
        description d;
        if (!status_) {
            std::snprintf(d.text, sizeof(d.text), "no plan: %s", status_.message());
            return d;
        }
        std::snprintf(d.text, sizeof(d.text),
                      "%s, %s, %s: blocks of %lld rows x key tiles of %d, registers %d x %d vectors of %d, "
                      "%lld tasks%s for %d worker%s, workspace %zu bytes",
                      layout_.block_rows <= micro::streaming_rows ? "decode" : "prefill",
                      Def::computes_in_bf16 ? "bf16"
                      : sizeof(T) == 4      ? "f32"
                                            : "f64",
                      isa_name(), static_cast<long long>(layout_.block_rows), micro::key_tile, micro::block_rows,
                      micro::block_vecs, vec<T>::lanes, static_cast<long long>(layout_.walk_tasks),
                      layout_.fold_tasks > 0 ? " (keys split, then folded)" : "", layout_.workers,
                      layout_.workers == 1 ? "" : "s", layout_.total_bytes);
        return d;
    }

    /// out = attention of q, k, v. Fails, with nothing written, where the tensors are not those that were planned for;
    /// and with errc::executor_failed where the executor does not run every task once.
    template <class Q, class K, class V, class O>
    status_type run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                    const options<T>& how) const noexcept
    {
        return run(q, dense_kv{k, v}, out, how);
    }
    template <class Q, class Kv, class O>
    status_type run(const view<Q>& q, const Kv& kv, const view<O>& out, const options<T>& how) const noexcept
    {
        return run(packed<Q>{q, {}}, kv, out, how);
    }
    template <class Q, class Kv, class O>
    status_type run(const packed<Q>& q, const Kv& kv, const view<O>& out, const options<T>& how) const noexcept
    {
        const status_type s = check_run(q, kv, out, how);
        if (!s) return s;
        if constexpr (detail::sound_definition<Def, T>::value &&
                      detail::sound_output<T, O, detail::sound_inputs<T, Q, Kv>::value>::value)
            return kernel::run_all("run", make_walk(q, kv, kernel::target<T, O>{out, how.stats}, how.workspace.data, 0),
                                   layout_, how.executor);
        else return s;
    }
    /// Says that a call lacks its options.
    template <class Q, class K, class... Others>
    status_type run(const Q&, const K&, const view<Others>&...) const noexcept
    {
        static_assert(sizeof(Q) == 0, "heed: run() of a plan takes options with its memory, as it allocates none: "
                                      "run(q, k, v, out, {.workspace = {data, plan.workspace_bytes()}})");
        return {};
    }

    /// One task of one stage, for hosts with their own loop: 0 <= task < tasks(stage), and worker is below the
    /// concurrency planned for and used by one task at a time. The arguments are those check_run() accepts.
    template <class Q, class Kv, class O>
    void run_task(int stage, std::int64_t task, int worker, const packed<Q>& q, const Kv& kv, const view<O>& out,
                  const options<T>& how) const noexcept
    {
        make_walk(q, kv, kernel::target<T, O>{out, how.stats}, how.workspace.data, 0).run_task(stage, task, worker);
    }
    template <class Q, class Kv, class O>
    void run_task(int stage, std::int64_t task, int worker, const view<Q>& q, const Kv& kv, const view<O>& out,
                  const options<T>& how) const noexcept
    {
        run_task(stage, task, worker, packed<Q>{q, {}}, kv, out, how);
    }
    template <class Q, class K, class V, class O>
    void run_task(int stage, std::int64_t task, int worker, const view<Q>& q, const view<K>& k, const view<V>& v,
                  const view<O>& out, const options<T>& how) const noexcept
    {
        run_task(stage, task, worker, packed<Q>{q, {}}, dense_kv{k, v}, out, how);
    }

    /// What run() checks before it writes anything.
    template <class Q, class Kv, class O>
    status_type check_run(const view<Q>& q, const Kv& kv, const view<O>& out, const options<T>& how) const noexcept
    {
        return check_run(packed<Q>{q, {}}, kv, out, how);
    }
    template <class Q, class Kv, class O>
    status_type check_run(const packed<Q>& q, const Kv& kv, const view<O>& out, const options<T>& how) const noexcept
    {
        static_assert(sizeof(detail::sound_output<T, O>) == 1);
        status_type s = check_inputs(q, kv, how, kv_.tokens);
        if (s) s = detail::check_extents("run", "out", out.size, {q_.batch, q_.heads, q_.tokens, value_dim_});
        if (s) s = detail::check_sizes("run", "out", out);
        if (s) s = detail::check_memory("run", "out", out);
        if (s) s = detail::check_output("run", "out", out);
        if (s && detail::may_overlap(out, q.rows) && !detail::same_place(out, q.rows))
            s = status_type::error(errc::invalid_argument, "run: out overlaps q without being the same view");
        kv.views([&](const char*, const auto& rows) {
            if (s && detail::may_overlap(out, rows))
                s = status_type::error(errc::invalid_argument, "run: out overlaps k or v");
        });
        return s;
    }

private:
    template <class D, class U>
    friend class partial_plan;

    template <class Q, class Kv>
    status_type check(const packed<Q>& q, const Kv& kv) const
    {
        static_assert(sizeof(detail::sound_inputs<T, Q, Kv>) == 1);
        if constexpr (Def::computes_in_bf16) {
            static_assert(std::is_same_v<std::remove_const_t<Q>, bf16> &&
                              std::is_same_v<typename Kv::key_element, bf16> &&
                              std::is_same_v<typename Kv::value_element, bf16> && !has_key_scales_v<Kv> &&
                              !has_value_scales_v<Kv> && !has_channel_scales_v<Kv>,
                          "heed: compute<bf16> takes q, k and v of bf16, without scales");
            if (!has_bf16_dots)
                return status_type::error(errc::unsupported,
                                          "compute<bf16>: this build, for %s, has no dot products of bf16", isa_name());
        }
        status_type s = detail::check_inputs("plan", q, kv);
        if (s && !std::isfinite(static_cast<T>(def_.scale_for(kv.key_dim()))))
            s = status_type::error(errc::invalid_argument, "scale: %g is not finite in %s",
                                   def_.scale_for(kv.key_dim()), sizeof(T) == 4 ? "float" : "double");
        return s;
    }

    template <class Q, class Kv>
    status_type check_inputs(const packed<Q>& q, const Kv& kv, const options<T>& how, std::int64_t total_keys) const
    {
        if (!status_) return status_;
        status_type s = check(q, kv);
        if (s) s = detail::check_extents("run", "q", q.rows.size, q_);
        if (s) s = detail::check_extents("run", "k", {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()}, kv_);
        if (s && kv.value_dim() != value_dim_)
            s = status_type::error(errc::invalid_argument, "run: v.dim %lld, planned for %lld",
                                   static_cast<long long>(kv.value_dim()), static_cast<long long>(value_dim_));
        if (s && layout_.uneven && !(layout_of(q, kv, layout_.workers) == layout_))
            s = status_type::error(errc::invalid_argument, "run: lengths of sequences are not those planned for");
        if (s) s = detail::check_input_memory("run", q, kv);
        if (s) s = def_.check({kv_.batch, q_.heads, kv_.heads, layout_.rows / layout_.group, total_keys});
        return s ? detail::check_resources("run", how, layout_.workers, layout_.total_bytes) : s;
    }

    /// The cut of queries and keys that check() has found sound.
    template <class Q, class Kv>
    kernel::layout layout_of(const packed<Q>& q, const Kv& kv, int workers) const
    {
        const kernel::problem_sizes p{kv_.batch, q_.heads, kv_.heads, kv_.dim, value_dim_, workers, !Kv::one_run};
        const auto held = [&](std::int64_t b) { return kv.held(b); };
        const bool is_packed = q.bounds.size() > 0;
        if (kv_.batch > 1 && (is_packed || kv.uneven()))
            return kernel::make_uneven_layout<T>(
                p, q_.tokens, [&](std::int64_t b) { return is_packed ? q.bounds[b + 1] - q.bounds[b] : q_.tokens; },
                held);
        return kernel::make_layout<T>(p, q_.tokens, kv_.batch > 0 ? held(0) : token_span{0, 0});
    }

    template <class Q, class Kv, class O>
    auto make_walk(const packed<Q>& q, const Kv& kv, const kernel::target<T, O>& to, void* memory,
                   std::int64_t first_key, std::int64_t total_keys = -1) const
    {
        const auto source = detail::reading(kv);
        using job = kernel::job<Def, std::remove_const_t<decltype(source)>, std::remove_const_t<Q>>;
        return kernel::walk<job, O>({def_, source, q.rows, static_cast<T>(def_.scale_for(kv_.dim)), layout_.group,
                                     first_key, total_keys, q.bounds},
                                    layout_, to, memory);
    }

    Def def_;
    extents q_, kv_;
    std::int64_t value_dim_ = 0;
    kernel::layout layout_;
    status_type status_;
};

template <class Def, class Q, class K, class V>
plan(const Def&, const view<Q>&, const view<K>&, const view<V>&) -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Q, class K, class V>
plan(const Def&, const view<Q>&, const view<K>&, const view<V>&, const options<compute_t<Q>>&)
    -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Q, class Kv>
plan(const Def&, const packed<Q>&, const Kv&) -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Q, class Kv>
plan(const Def&, const packed<Q>&, const Kv&, const options<compute_t<Q>>&)
    -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Q, class Kv>
plan(const Def&, const view<Q>&, const Kv&) -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Q, class Kv>
plan(const Def&, const view<Q>&, const Kv&, const options<compute_t<Q>>&)
    -> plan<detail::definition_t<Def>, compute_t<Q>>;

HEED_END
