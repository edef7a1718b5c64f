// SPDX-License-Identifier: MIT
// What backward() plans and runs: a definition, shapes, an executor; for hosts that run it often or with a loop of their
// own. The formulas stand in backward.hpp.
#pragma once

#include "base/table.hpp"
#include "engine/backward/backward_pass.hpp"
#include "engine/workspace.hpp"
#include "output_gradients.hpp"
#include "plan.hpp"

HEED_BEGIN
namespace detail {

/// Whether the normalizers of a share have what the gradient asks of them.
template <class N, threshold_kind Kind = threshold_kind_v<N>>
struct sound_share_gradient : std::true_type {};
template <class N>
struct sound_share_gradient<N, threshold_kind::share> {
    static constexpr bool value =
        !has_mass_v<N> && has_slopes_v<typename std::remove_cv_t<decltype(N::threshold)>::inner>;
    static_assert(value, "heed: backward of a share_of normalizer takes heed::weight{w} and an inner normalizer with "
                         "slopes()");
};

/// Whether there is a backward pass of a definition.
template <class Def>
struct sound_gradient {
    using normalizer = typename Def::normalizer_type;
    static constexpr bool knows = !has_threshold_v<normalizer> || Def::knows_thresholds,
                          value = knows && sound_share_gradient<normalizer>::value;
    static_assert(knows,
                  "heed: backward of a normalizer with a threshold takes known_thresholds{thresholds, slope_out} "
                  "in its definition: what attend() left in keep_thresholds{thresholds, slope_out}");
};

}  // namespace detail

/// A definition and a shape, checked once, then run as often as wanted; what plan is to attend().
template <class Def, class T>
class backward_plan : public detail::planned<kernel::backward_partition> {
    using normalizer = typename Def::normalizer_type;
    static_assert(detail::sound_gradient<Def>::value);
    static_assert(has_slopes_v<normalizer>, "heed: backward needs the derivatives of the normalizer: a const member "
                                            "`template <class Score> auto slopes(Score s) const`");
    static_assert(Def::has_map_slopes,
                  "heed: backward needs the derivative of every score map: a const member `slope(s, at)`, or "
                  "map_score(f, df)");
    static_assert(Def::template parameters<parameter::per_head> <= 1 &&
                      Def::template parameters<parameter::per_score> <= 1,
                  "heed: backward learns the parameter of one score map of a kind");
    static_assert(!Def::computes_in_bf16, "heed: backward computes in float or double; leave compute<bf16> out");
    static_assert(Def::integer_bits == 0, "heed: backward computes in float or double; leave compute<std::int8_t> out");

public:
    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes and lengths are looked at; of
    /// the gradients that of dbias, which need not be told where it is not summed.
    template <class Q, class K, class V>
    backward_plan(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const options<T>& how = {},
                  const gradients<T>& to = {})
        : backward_plan(def, q, dense_kv{k, v}, how, to)
    {}
    /// The same for a kv source. Queries are a view, or packed.
    template <class Queries, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
    backward_plan(const Def& def, const Queries& queries, const Kv& kv, const options<T>& how = {},
                  const gradients<T>& to = {})
        : planned(plan<Def, T>(def, queries, kv, how).status()), def_(def)
    {
        if (!status_) return;
        const detail::packed_of<Queries> q = queries;
        using job = job_of<detail::element_of<Queries>, Kv, T, T>;
        q_ = q.rows.size;
        kv_ = sizes_of(q, kv);
        bias_ = {kv.batch(), q_.heads, kv_.queries, kv_.k.tokens};
        if (to.dbias.data || to.dbias.size.dim > 0) bias_ = detail::summed_extents(to.dbias.size, bias_);
        const kernel::bias_sums sums{bias_.batch != kv.batch(), bias_.heads != q_.heads, bias_.tokens != kv_.queries};
        partition_ =
            kernel::make_backward_partition<job>({kv.batch(), q_.heads, kv.heads(), kv.key_dim(), kv_.value_dim,
                                                  how.executor.concurrency(), !kernel::reads_in_place_v<Kv>},
                                                 {kv_.queries, kv_.rooms, q_.batch * q_.heads * q_.tokens, sums});
        if (!partition_.fits)
            status_ = status_type::error(errc::invalid_argument,
                                         "backward: %lld queries of %lld heads x %lld keys for %d workers: stages or "
                                         "workspace beyond 64 bits",
                                         static_cast<long long>(q_.tokens), static_cast<long long>(q_.heads),
                                         static_cast<long long>(kv_.k.tokens), partition_.workers);
    }

    /// The kernel, instruction set, tile shapes, tasks and workspace, in one line.
    description describe() const
    {
        if (!status_) return no_plan();
        description d;
        std::snprintf(
            d.text, sizeof(d.text),
            "backward, %s, %s: blocks of %lld rows x key tiles of %d, registers %d x %d vectors of %d, %s for "
            "%d worker%s, workspace %zu bytes",
            sizeof(T) == 4 ? "f32" : "f64", isa_name(), static_cast<long long>(partition_.block_rows),
            micro::gradient_tile, micro::register_rows, micro::register_vecs, simd::vec<T>::lanes,
            partition_.diagonal ? "diagonals of the heads" : "heads", partition_.workers,
            partition_.workers == 1 ? "" : "s", partition_.total_bytes);
        return d;
    }

    /// Writes the wanted gradients. Fails, with nothing written, where the tensors differ from the planned ones.
    template <class Queries, class Kv, class O, class DO>
    status_type run(const Queries& queries, const Kv& kv, const output_gradients<O, DO>& of, const gradients<T>& to,
                    const options<T>& how) const noexcept
    {
        const status_type s = check_run(queries, kv, of, to, how);
        if (!s) return s;
        return kernel::run_all("backward", make_pass(make_job(queries, kv, of, to), how.workspace.data), partition_,
                               how.executor);
    }
    template <class Q, class K, class V, class O, class DO>
    status_type run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                    const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                    const options<T>& how) const noexcept
    {
        return run(q, dense_kv{k, v}, given<O>(out, stats, dout), to, how);
    }

    /// One task, for hosts with their own loop, as in plan::run_task().
    template <class Queries, class Kv, class O, class DO>
    void run_task(plan_task task, const Queries& queries, const Kv& kv, const output_gradients<O, DO>& of,
                  const gradients<T>& to, const options<T>& how) const noexcept
    {
        make_pass(make_job(queries, kv, of, to), how.workspace.data).run_task(task.stage, task.index, task.worker);
    }
    template <class Q, class K, class V, class O, class DO>
    void run_task(plan_task task, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                  const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                  const options<T>& how) const noexcept
    {
        run_task(task, q, dense_kv{k, v}, given<O>(out, stats, dout), to, how);
    }

    /// What run() checks before it writes anything.
    template <class Queries, class Kv, class O, class DO>
    status_type check_run(const Queries& queries, const Kv& kv, const output_gradients<O, DO>& of,
                          const gradients<T>& to, const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        static_assert(sizeof(detail::sound_inputs<T, detail::element_of<Queries>, Kv>) == 1);
        static_assert(std::is_same_v<compute_t<O>, T> && std::is_same_v<compute_t<DO>, T>,
                      "heed: q, k, v, out and dout are made of float, bf16 and f16 in any mix, or all of double");
        const extents rows{q_.batch, q_.heads, q_.tokens, kv_.value_dim};
        const auto apart = [&](const char* name, const view<T>& g) {
            status_type s = disjoint(name, g, "q", q.rows);
            kv.views([&](const char* other, const auto& x) {
                if (s) s = disjoint(name, g, other, x);
            });
            return detail::first_error(
                [&] { return s; }, [&] { return disjoint(name, g, "out", of.out); },
                [&] { return disjoint(name, g, "dout", of.dout); },
                [&] { return needs_slope_out ? disjoint(name, g, "slope_out", slope_out()) : status_type(); });
        };
        return detail::first_error(
            [&] { return status_; }, [&] { return detail::check_inputs("backward", q, kv); },
            [&] { return check_as_planned(q, kv); }, [&] { return detail::check_input_memory("backward", q, kv); },
            [&] { return detail::check_tensor("backward", "out", of.out, rows); },
            [&] { return detail::check_tensor("backward", "dout", of.dout, rows); },
            [&] { return check_thresholds(rows); },
            [&] {
                return def_.check({kv.batch(), q_.heads, kv.heads(), kv_.queries, kv_.k.tokens});
            },
            [&] { return detail::check_statistics("backward", of.stats, q_, 1); },
            [&] { return check_dlse(of.dlse); },
            [&] { return check_gradients(to, apart); }, [&] { return check_parameters(to); },
            [&] { return detail::check_resources("backward", how, partition_.workers, partition_.total_bytes); });
    }
    template <class Q, class K, class V, class O, class DO>
    status_type check_run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                          const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                          const options<T>& how) const noexcept
    {
        return check_run(q, dense_kv{k, v}, given<O>(out, stats, dout), to, how);
    }

private:
    using computed = kernel::computed_definition_t<Def, T>;
    static constexpr bool needs_slope_out = needs_slope_out_v<normalizer>;

    view<const T> slope_out() const { return def_.template slope_out<T>(); }
    /// That what attend() left of thresholds is there.
    status_type check_thresholds([[maybe_unused]] const extents& rows) const
    {
        if constexpr (has_threshold_v<normalizer>)
            if (const status_type s = detail::check_thresholds("backward", def_.template thresholds<T>(), q_); !s)
                return s;
        if (!needs_slope_out) return {};
        if (!slope_out().data && !detail::is_empty(rows))
            return status_type::error(errc::invalid_argument,
                                      "backward: known_thresholds has no slope_out, which attend() leaves in "
                                      "keep_thresholds{thresholds, slope_out}: [%lld, %lld, %lld, %lld]",
                                      static_cast<long long>(rows.batch), static_cast<long long>(rows.heads),
                                      static_cast<long long>(rows.tokens), static_cast<long long>(rows.dim));
        return detail::check_tensor("backward", "slope_out", slope_out(), rows);
    }

    /// The same where out is not of the type that is computed in, which check_run() then says.
    template <class O, class DO>
    static output_gradients<O, DO> given(const view<O>& out, const row_statistics<T>& stats, const view<DO>& dout)
    {
        if constexpr (std::is_same_v<compute_t<O>, T>) return {out, stats, dout};
        else return {out, {}, dout};
    }
    template <class Q, class Kv, class O, class DO>
    using job_of =
        kernel::backward_job<computed, std::remove_const_t<decltype(detail::as_const(std::declval<const Kv&>()))>,
                             std::remove_const_t<Q>, std::conditional_t<needs_slope_out, T, std::remove_const_t<O>>,
                             std::remove_const_t<DO>>;

    status_type check_dlse(const number_view<const T>& dlse) const
    {
        if (dlse && (has_threshold_v<normalizer> || has_order_v<normalizer>))
            return status_type::error(errc::invalid_argument,
                                      "backward: dlse: a normalizer with a threshold or an order divides by no sum");
        return detail::check_count("backward", "dlse", dlse, q_.batch * q_.heads * q_.tokens);
    }

    /// What a plan knows of keys and values, and of the sequences of the queries.
    struct source_sizes {
        extents k, dk, dv;  // k: [B, Hkv, tokens of the longest sequence, Dqk]
        std::int64_t value_dim = 0, queries = 0, rooms = 0;
    };
    template <class Q, class Kv>
    static source_sizes sizes_of(const packed<Q>& q, const Kv& kv)
    {
        source_sizes s;
        s.k = {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        s.value_dim = kv.value_dim();
        s.dk = s.k;
        if constexpr (kernel::has_room_v<Kv>) s.dk = kv.k.size;
        s.dv = {s.dk.batch, s.dk.heads, s.dk.tokens, s.value_dim};
        s.queries = q.bounds.size() > 0 ? 0 : q.rows.size.tokens;
        for (std::int64_t b = 0; b < kv.batch(); ++b) {
            if (q.bounds.size() > 0) s.queries = max_of(s.queries, q.bounds[b + 1] - q.bounds[b]);
            s.rooms = max_of(s.rooms, kernel::room_of(kv, b));
        }
        return s;
    }
    template <class Q, class Kv>
    status_type check_as_planned(const packed<Q>& q, const Kv& kv) const
    {
        const source_sizes s = sizes_of(q, kv);
        const auto check = [&](const char* name, const extents& have, const extents& want) {
            return detail::check_extents("backward", name, have, want);
        };
        const extents v{kv_.k.batch, kv_.k.heads, kv_.k.tokens, kv_.value_dim};
        return detail::first_error(
            [&] { return check("q", q.rows.size, q_); }, [&] { return check("k", s.k, kv_.k); },
            [&] {
                return check("v", {s.k.batch, s.k.heads, s.k.tokens, s.value_dim}, v);
            },
            [&] {
                if (s.queries == kv_.queries && s.rooms == kv_.rooms && s.dk.tokens == kv_.dk.tokens &&
                    (kernel::reads_in_place_v<Kv> || partition_.copies))
                    return status_type{};
                return status_type::error(errc::invalid_argument,
                                          "backward: a kv source or lengths that were not planned for: up to %lld "
                                          "queries and %lld tokens, planned for %lld and %lld",
                                          static_cast<long long>(s.queries), static_cast<long long>(s.rooms),
                                          static_cast<long long>(kv_.queries), static_cast<long long>(kv_.rooms));
            });
    }
    /// The wanted tensors among the gradients: each by itself and beside the inputs, by apart(name, view); then beside
    /// each other.
    template <class Apart>
    status_type check_gradients(const gradients<T>& to, Apart apart) const
    {
        const struct {
            const char* name;
            const view<T>& g;
            extents want;
        } all[] = {{"dbias", to.dbias, bias_}, {"dq", to.dq, q_}, {"dk", to.dk, kv_.dk}, {"dv", to.dv, kv_.dv}};
        status_type s;
        for (const auto& x : all)
            if (s) s = check_gradient(x.name, x.g, x.want, apart);
        for (const auto& x : all)
            for (const auto* y = &x + 1; s && y != all + 4; ++y) s = disjoint(x.name, x.g, y->name, y->g);
        return s;
    }
    template <class Apart>
    static status_type check_gradient(const char* name, const view<T>& g, const extents& want, Apart apart)
    {
        if (!g.data) return {};
        if (detail::is_empty(want)) return detail::check_extents("backward", name, g.size, want);
        return detail::first_error([&] { return detail::check_written_tensor("backward", name, g, want); },
                                   [&] { return apart(name, g); });
    }
    /// That parameters whose gradients are wanted exist.
    status_type check_parameters(const gradients<T>& to) const
    {
        if (to.dlog_offset && !has_log_offset_v<normalizer>)
            return status_type::error(errc::invalid_argument,
                                      "backward: dlog_offset: the normalizer has no extra mass");
        if (to.dbias.data && Def::template parameters<parameter::per_score> == 0)
            return status_type::error(errc::invalid_argument,
                                      "backward: dbias: no score map has a parameter for each score");
        if (to.dslopes && Def::template parameters<parameter::per_head> == 0)
            return status_type::error(errc::invalid_argument,
                                      "backward: dslopes: no score map has a parameter for each head");
        return detail::first_error(
            [&] { return detail::check_count("backward", "dlog_offset", to.dlog_offset, q_.heads); },
            [&] { return detail::check_count("backward", "dslopes", to.dslopes, q_.heads); });
    }
    template <class A, class B>
    static status_type disjoint(const char* name, const view<A>& a, const char* other, const view<B>& b)
    {
        if (!a.data || !b.data || !detail::may_overlap(a, b)) return {};
        return status_type::error(errc::invalid_argument, "backward: %s overlaps %s", name, other);
    }

    /// The same gradients, where what is summed lies at a stride of 0.
    static gradients<T> with_repeated_bias(gradients<T> to)
    {
        to.dbias = detail::repeat_ones(to.dbias);
        return to;
    }
    template <class Queries, class Kv, class O, class DO>
    auto make_job(const Queries& queries, const Kv& kv, const output_gradients<O, DO>& of, const gradients<T>& to) const
    {
        const detail::packed_of<Queries> q = queries;
        // Where sequences end, or have lost keys, zeros are written first.
        const bool sums = partition_.sums.any() || q.bounds.size() > 0 || kv.ragged() || !kernel::has_room_v<Kv>;
        return job_of<detail::element_of<Queries>, Kv, O, DO>{{detail::definition_of_call<T>(def_, q_, q.bounds), detail::as_const(kv), q.rows,
                                                               static_cast<T>(def_.scale_for(kv_.k.dim)),
                                                               partition_.group, 0, -1, q.bounds},
                                                              output_of_slopes(of.out),
                                                              of.dout,
                                                              of.stats,
                                                              of.dlse,
                                                              with_repeated_bias(to),
                                                              sums,
                                                              nullptr,
                                                              nullptr,
                                                              nullptr};
    }
    /// What D is made of: o', where it differs from out.
    template <class O>
    auto output_of_slopes(const view<O>& out) const
    {
        if constexpr (needs_slope_out) return slope_out();
        else return out;
    }
    template <class Job>
    kernel::backward_pass<Job> make_pass(const Job& job, void* workspace) const
    {
        return {job, partition_, workspace};
    }

    Def def_;
    extents q_, bias_;  // bias_: of dbias
    source_sizes kv_;
};

template <class Def, class Q, class K, class V>
backward_plan(const Def&, const view<Q>&, const view<K>&, const view<V>&, const options<compute_t<Q>>& = {},
              const gradients<compute_t<Q>>& = {}) -> backward_plan<detail::definition_t<Def>, compute_t<Q>>;
template <class Def, class Queries, class Kv>
backward_plan(const Def&, const Queries&, const Kv&, const options<detail::computed_of<Queries>>& = {},
              const gradients<detail::computed_of<Queries>>& = {})
    -> backward_plan<detail::definition_t<Def>, detail::computed_of<Queries>>;

HEED_END
