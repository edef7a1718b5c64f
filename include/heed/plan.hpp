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

#include "engine/forward/threshold_pass.hpp"
#include "engine/planned.hpp"
#include "engine/sound.hpp"
#include "engine/validate.hpp"
#include "kv/dense.hpp"
#include "partial_result.hpp"

HEED_BEGIN
namespace detail {

/// What a call computes: a definition, which is told where the thresholds lie that it knows.
template <class T, class Def>
decltype(auto) definition_of_call([[maybe_unused]] const Def& def, [[maybe_unused]] const extents& q,
                                  [[maybe_unused]] const index_view& bounds)
{
    using computed = kernel::computed_definition_t<Def, T>;
    if constexpr (Def::knows_thresholds)
        return computed(def, kernel::threshold_rows_of<T>(def.template thresholds<T>(), q, bounds));
    else if constexpr (!std::is_same_v<computed, Def>) return computed(def);
    else return (def);
}

/// Whether a verb that looks at a part of the keys, or once more at all of them, knows the thresholds of rows.
template <class Def>
struct sound_thresholds {
    static constexpr bool value = !kernel::finds_thresholds_v<Def>;
    static_assert(value, "heed: the threshold of a row needs all its keys: attend() finds it and leaves it where "
                         "keep_thresholds says, other verbs take it from known_thresholds");
};

}  // namespace detail

/// A definition and a shape, checked once, then run as often as wanted on tensors of that shape; computed in T, float
/// or double. status() says what is wrong with either, in a sentence with the sizes in it. run() and run_partial() are
/// noexcept and allocate nothing.
///
/// A plan may be made anew for every step: it takes 0.2 us for a decode step over one sequence, 0.6 us over 8 in pages,
/// 2 us over 32 and 7 us over 128 (Emerald Rapids, packed queries), where the step itself takes hundreds.
template <class Def, class T>
class plan : public detail::planned<kernel::partition> {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>,
                  "heed: plan<Def, T> computes in float or double");
    static_assert(detail::sound_definition<Def, T>::value || true);

public:
    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes and lengths are looked at;
    /// where its tasks or workspace leave 64 bits, status() says so.
    template <class Q, class K, class V>
    plan(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const options<T>& how = {})
        : plan(def, q, dense_kv{k, v}, how)
    {}
    /// The same for a kv source. Queries are a view, or packed: any mix of prefill, chunks of it and decode.
    template <class Queries, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
    plan(const Def& def, const Queries& queries, const Kv& kv, const options<T>& how = {}) : def_(def)
    {
        const detail::packed_of<Queries> q = queries;
        q_ = q.rows.size;
        status_ = check(q, kv);
        if (!status_) return;
        kv_ = {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        value_dim_ = kv.value_dim();
        partition_ = partition_of(q, kv, how.executor.concurrency(),
                                  {takes_bands ? kernel::most_heads_of_band(kv) : 1, how.least_tasks});
        if (!partition_.fits)
            status_ = status_type::error(errc::invalid_argument,
                                         "plan: %lld queries of %lld heads x %lld keys for %d workers, %lld and %lld "
                                         "channels: rows, tasks or workspace beyond 64 bits",
                                         static_cast<long long>(q_.tokens), static_cast<long long>(q_.heads),
                                         static_cast<long long>(kv_.tokens), partition_.workers,
                                         static_cast<long long>(kv_.dim), static_cast<long long>(value_dim_));
    }

    /// The kernel, instruction set, tile shapes, tasks and workspace, in one line.
    description describe() const
    {
        if (!status_) return no_plan();
        description d;
        std::snprintf(d.text, sizeof(d.text),
                      "%s, %s, %s: blocks of %lld rows x key tiles of %d, registers %d x %d vectors of %d, "
                      "%lld tasks%s for %d worker%s, workspace %zu bytes",
                      partition_.cut.block_rows <= micro::streaming_rows ? "decode" : "prefill",
                      Def::computes_in_bf16     ? "bf16"
                      : Def::integer_bits == 16 ? "int8 by 16 bits"
                      : Def::integer_bits == 8  ? "int8"
                      : sizeof(T) == 4          ? "f32"
                                                : "f64",
                      isa_name(), static_cast<long long>(partition_.cut.block_rows), micro::key_tile,
                      micro::register_rows, micro::register_vecs, simd::vec<T>::lanes,
                      static_cast<long long>(partition_.pass_tasks),
                      partition_.fold_tasks > 0 ? " (keys split, then folded)" : "", partition_.workers,
                      partition_.workers == 1 ? "" : "s", partition_.total_bytes);
        return d;
    }

    /// out = attention of q, k, v. Fails, with nothing written, where the tensors differ from the planned ones;
    /// and with errc::executor_failed where the executor does not run every task once.
    template <class Q, class K, class V, class O>
    status_type run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                    const options<T>& how) const noexcept
    {
        return run(q, dense_kv{k, v}, out, how);
    }
    template <class Queries, class Kv, class O>
    status_type run(const Queries& queries, const Kv& kv, const view<O>& out, const options<T>& how) const noexcept
    {
        using Q = detail::element_of<Queries>;
        const packed<Q> q = queries;
        const status_type s = check_run(q, kv, out, how);
        if (!s) return s;
        if constexpr (detail::sound_definition<Def, T>::value && holds_operands<Kv> &&
                      detail::sound_output<T, O, detail::sound_inputs<T, Q, Kv>::value>::value)
            return kernel::run_all("run", make_pass(q, kv, kernel::to_output<T, O>{out, how.stats}, how.workspace.data),
                                   partition_, how.executor);
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

    /// Folds the keys of kv, a part of the sequence, into `s`, which is cleared or continued: attend_partial() with the
    /// memory and executor of the host. Allocates nothing. Fails, with nothing written, like run().
    template <class Queries, class Kv>
    status_type run_partial(const Queries& queries, const Kv& kv, const state<T>& s, key_part part,
                            const options<T>& how) const noexcept
    {
        static_assert(detail::sound_thresholds<Def>::value);
        if (const status_type ok = check_state("attend_partial", s, kv.value_dim()); !ok) return ok;
        return run_part("attend_partial", queries, kv, kernel::to_state<T>{s.shift, s.mass, s.out}, part, how);
    }
    /// Adds what the keys of kv, a part of the sequence, say of the thresholds of rows: threshold_partial() with the
    /// memory and executor of the host. Allocates nothing. Fails, with nothing written, like run().
    template <class Queries, class Kv>
    status_type run_threshold_partial(const Queries& queries, const Kv& kv, const threshold_state<T>& s, key_part part,
                                      const options<T>& how) const noexcept
    {
        static_assert(kernel::finds_thresholds_v<Def>);
        if (const status_type ok = check_state("threshold_partial", s, s.size.dim); !ok) return ok;
        return run_part("threshold_partial", queries, kv, kernel::to_candidates<T>{s.rows, s.scores, s.size.dim}, part,
                        how);
    }

    /// One task, for hosts with their own loop. The arguments are those check_run() accepts.
    template <class Queries, class Kv, class O>
    void run_task(plan_task task, const Queries& queries, const Kv& kv, const view<O>& out,
                  const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        make_pass(q, kv, kernel::to_output<T, O>{out, how.stats}, how.workspace.data)
            .run_task(task.stage, task.index, task.worker);
    }
    template <class Q, class K, class V, class O>
    void run_task(plan_task task, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                  const options<T>& how) const noexcept
    {
        run_task(task, q, dense_kv{k, v}, out, how);
    }

    /// What run() checks before it writes anything.
    template <class Queries, class Kv, class O>
    status_type check_run(const Queries& queries, const Kv& kv, const view<O>& out,
                          const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        static_assert(sizeof(detail::sound_output<T, O>) == 1);
        return detail::first_error(
            [&] { return check_inputs(q, kv, how, kv_.tokens); },
            [&] {
                return detail::check_written_tensor("run", "out", out, {q_.batch, q_.heads, q_.tokens, value_dim_});
            },
            [&] { return check_apart(out, q, kv); }, [&] { return detail::check_counts("run", how.stats, q_); },
            [&] { return check_slope_out(out, q, kv); });
    }

private:
    using computed = kernel::computed_definition_t<Def, T>;
    using memory = kernel::memory_of<Def, T>;
    static constexpr bool takes_bands = kernel::takes_bands_v<Def, T>;

    /// Whether a cache holds what the definition multiplies, where that is integers.
    template <class Kv>
    static constexpr bool holds_operands = Def::integer_bits == 0 ||
                                           (std::is_same_v<T, float> &&
                                            element_traits<typename Kv::key_element>::holds_integers &&
                                            element_traits<typename Kv::value_element>::holds_integers);

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
            if (!simd::has_bf16_dots)
                return status_type::error(errc::unsupported,
                                          "compute<bf16>: this build, for %s, has no dot products of bf16", isa_name());
        }
        static_assert(holds_operands<Kv>, "heed: compute<std::int8_t> takes k and v of int8, q8_0 or q4_0");
        return detail::first_error([&] { return detail::check_inputs("plan", q, kv); },
                                   [&] { return check_scale(kv.key_dim()); });
    }
    status_type check_scale(std::int64_t key_dim) const
    {
        const double scale = def_.scale_for(key_dim);
        if (libm::isfinite(static_cast<T>(scale))) return {};
        return status_type::error(errc::invalid_argument, "scale: %g is not finite in %s", scale,
                                  sizeof(T) == 4 ? "float" : "double");
    }

    /// That a state has `dim` numbers for each row, and memory.
    template <class State>
    status_type check_state(const char* verb, const State& s, std::int64_t dim) const
    {
        return detail::first_error(
            [&] { return status_; },
            [&] {
                return detail::check_extents(verb, "state", s.size, {q_.batch, q_.heads, q_.tokens, dim});
            },
            [&] { return detail::check_state(verb, "state", s); });
    }
    /// Passes over a part of the keys.
    template <class Queries, class Kv, class Sink>
    status_type run_part(const char* verb, const Queries& queries, const Kv& kv, const Sink& to, const key_part& part,
                         const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        const detail::checked end = end_of(part, kv.tokens());
        const std::int64_t total = part.total_keys < 0 ? end.value() : part.total_keys;
        const status_type ok = detail::first_error([&] { return check_part(verb, part, kv.tokens(), end, total); },
                                                   [&] { return check_inputs(q, kv, how, total); });
        if (!ok) return ok;
        return kernel::run_all(verb, make_pass(q, kv, to, how.workspace.data, part), partition_, how.executor);
    }
    /// The position behind the last of `keys` keys.
    static detail::checked end_of(const key_part& part, std::int64_t keys)
    {
        const std::int64_t last = max_of(keys - 1, 0) / micro::key_tile * micro::key_tile;
        return detail::checked(part.first_key) + detail::checked(last) * part.tile_stride + (keys - last);
    }
    static status_type check_part(const char* verb, const key_part& part, std::int64_t keys, const detail::checked& end,
                                  std::int64_t total)
    {
        if (part.tile_stride < 1)
            return status_type::error(errc::invalid_argument, "%s: every %lld-th key tile; must be at least 1", verb,
                                      static_cast<long long>(part.tile_stride));
        if constexpr (has_order_v<typename Def::normalizer_type>)
            if (part.tile_stride != 1)
                return status_type::error(errc::invalid_argument,
                                          "attend_partial: every %lld-th key tile of a normalizer with an order; its "
                                          "tiles are folded one beside the other",
                                          static_cast<long long>(part.tile_stride));
        if (part.first_key >= 0 && end.fits() && total >= end.value() && detail::within_limit(total)) return {};
        return status_type::error(errc::invalid_argument, "%s: %lld keys from key %lld on, of %lld in all", verb,
                                  static_cast<long long>(keys), static_cast<long long>(part.first_key),
                                  static_cast<long long>(part.total_keys));
    }
    template <class Q, class Kv>
    status_type check_inputs(const packed<Q>& q, const Kv& kv, const options<T>& how, std::int64_t total_keys) const
    {
        return detail::first_error(
            [&] { return status_; }, [&] { return check(q, kv); }, [&] { return check_as_planned(q, kv); },
            [&] { return detail::check_input_memory("run", q, kv); },
            [&] {
                if constexpr (Def::keeps_thresholds || Def::knows_thresholds)
                    if (const status_type s = check_thresholds(); !s) return s;
                return def_.check({kv_.batch, q_.heads, kv_.heads, partition_.cut.rows / partition_.group, total_keys});
            },
            [&] { return detail::check_resources("run", how, partition_.workers, partition_.total_bytes); });
    }
    /// That a table of thresholds has one for each row.
    status_type check_thresholds() const { return detail::check_thresholds("run", def_.template thresholds<T>(), q_); }
    /// Checks that sizes and lengths equal the planned ones.
    template <class Q, class Kv>
    status_type check_as_planned(const packed<Q>& q, const Kv& kv) const
    {
        const extents k{kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        const status_type s = detail::first_error([&] { return detail::check_extents("run", "q", q.rows.size, q_); },
                                                  [&] { return detail::check_extents("run", "k", k, kv_); });
        if (!s) return s;
        if (kv.value_dim() != value_dim_)
            return status_type::error(errc::invalid_argument, "run: v.dim %lld, planned for %lld",
                                      static_cast<long long>(kv.value_dim()), static_cast<long long>(value_dim_));
        if (partition_.ragged && !(partition_of(q, kv, partition_.workers, partition_.bands) == partition_))
            return status_type::error(errc::invalid_argument, "run: bounds or lengths of sequences are not those planned "
                                                              "for: a step has a plan of its own");
        return {};
    }
    /// That out is q itself, or overlaps nothing.
    template <class Q, class Kv, class O>
    status_type check_apart(const view<O>& out, const packed<Q>& q, const Kv& kv) const
    {
        if (detail::may_overlap(out, q.rows) && !detail::same_place(out, q.rows))
            return status_type::error(errc::invalid_argument, "run: out overlaps q without being the same view");
        if (overlaps_keys(out, kv)) return status_type::error(errc::invalid_argument, "run: out overlaps k or v");
        return {};
    }
    /// Whether an output may share an element with anything that a kv source reads.
    template <class Kv, class O>
    static bool overlaps_keys(const view<O>& out, const Kv& kv)
    {
        bool any = false;
        kv.views([&](const char*, const auto& rows) { any = any || detail::may_overlap(out, rows); });
        return any;
    }
    /// That the outputs of slopes can be left where they are asked for.
    template <class Q, class Kv, class O>
    status_type check_slope_out([[maybe_unused]] const view<O>& out, [[maybe_unused]] const packed<Q>& q,
                                [[maybe_unused]] const Kv& kv) const
    {
        if constexpr (Def::keeps_thresholds) {
            using normalizer = typename Def::normalizer_type;
            const view<T> to = def_.template slope_out<T>();
            if (!to.data) return {};
            if (!kernel::has_slope_out_v<normalizer>)
                return status_type::error(errc::invalid_argument, "run: slope_out: %s",
                                          needs_slope_out_v<normalizer>
                                              ? "slopes() of the normalizer gives no heed::weight"
                                              : "gradients of a rank ask for out alone");
            return detail::first_error(
                [&] {
                    return detail::check_written_tensor("run", "slope_out", to,
                                                        {q_.batch, q_.heads, q_.tokens, value_dim_});
                },
                [&] {
                    if (!detail::may_overlap(to, out) && !detail::may_overlap(to, q.rows) && !overlaps_keys(to, kv))
                        return status_type();
                    return status_type::error(errc::invalid_argument, "run: slope_out overlaps q, k, v or out");
                });
        }
        return {};
    }

    /// The cut of queries and keys that check() has found sound.
    template <class Q, class Kv>
    kernel::partition partition_of(const packed<Q>& q, const Kv& kv, int workers,
                                   const kernel::band_limits& bands) const
    {
        const kernel::problem_sizes p{kv_.batch,
                                      q_.heads,
                                      kv_.heads,
                                      kv_.dim,
                                      value_dim_,
                                      workers,
                                      kernel::may_copy_rows_v<Kv> || Def::lists > 0,
                                      def_.list_rows(),
                                      bands};
        const auto held = [&](std::int64_t b) { return kernel::held_of(kv, b); };
        const bool is_packed = q.bounds.size() > 0;
        if (kv_.batch > 1 && (is_packed || kv.ragged()))
            return kernel::make_ragged_partition<memory>(
                p, q_.tokens, [&](std::int64_t b) { return is_packed ? q.bounds[b + 1] - q.bounds[b] : q_.tokens; },
                held);
        return kernel::make_partition<memory>(p, q_.tokens, kv_.batch > 0 ? held(0) : decltype(held(0)){});
    }

    template <class Q, class Kv, class Sink>
    auto make_pass(const packed<Q>& q, const Kv& kv, const Sink& to, void* workspace, key_part part = {}) const
    {
        const auto source = detail::as_const(kv);
        using job = kernel::job<computed, std::remove_const_t<decltype(source)>, std::remove_const_t<Q>>;
        return kernel::pass_of<job, Sink>({detail::definition_of_call<T>(def_, q_, q.bounds), source, q.rows,
                                           static_cast<T>(def_.scale_for(kv_.dim)), partition_.group, part.first_key,
                                           part.total_keys, q.bounds, part.tile_stride},
                                          partition_, to, workspace);
    }

    Def def_;
    extents q_, kv_;
    std::int64_t value_dim_ = 0;
};

template <class Def, class Q, class K, class V>
plan(const Def&, const view<Q>&, const view<K>&, const view<V>&, const options<compute_t<Q>>& = {})
    -> plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Queries, class Kv>
plan(const Def&, const Queries&, const Kv&, const options<detail::computed_of<Queries>>& = {})
    -> plan<detail::definition_t<Def>, detail::computed_of<Queries>>;

HEED_END
