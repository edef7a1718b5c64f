// SPDX-License-Identifier: MIT
// backward: the gradients of attend, for every normalizer with slopes() and every score map with a slope().
//
//     p_ij = w(s_ij) / den_i      D_i = dO_i . O_i      ds_ij = (w'(s_ij) (dO_i . v_j) - u'(s_ij) D_i) / den_i
//
//     dv_j = sum_i p_ij dO_i      dq_i = scale sum_j ds_ij k_j      dk_j = scale sum_i ds_ij q_i
//
// and where keys have an order, p_ij = w(s_ij) e^-U_ij and U_ij = sum_{k > j} u(s_ik),
//
//     ds_ij = w'(s_ij) e^-U_ij (dO_i . v_j) - u'(s_ij) sum_{k < j} p_ik (dO_i . v_k)
//
// with ds taken through the slopes of the score maps for dq and dk, and dlog c_i = -D_i c_i / den_i for the extra mass.
// Weights are computed again from the row statistics {M, l} of the forward pass, tile by tile.
#pragma once

#include "engine/backward/backward_pass.hpp"
#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN
namespace detail {

/// Whether there is a backward pass of a definition.
template <class Def>
struct sound_gradient {
    static constexpr bool value = !has_threshold_v<typename Def::normalizer_type>;
    static_assert(value, "heed: there is no backward pass yet of a normalizer with a threshold");
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
    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes are looked at.
    template <class Q, class K, class V>
    backward_plan(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const options<T>& how = {})
        : planned(plan<Def, T>(def, q, k, v, how).status()), def_(def), q_(q.size), k_(k.size), v_(v.size)
    {
        using job = kernel::backward_job<Def, dense_kv<const T>, T, T, T>;
        if (!status_) return;
        partition_ = kernel::make_backward_partition<job>(
            {q_.batch, q_.heads, k_.heads, k_.dim, v_.dim, how.executor.concurrency()}, q_.tokens, k_.tokens);
        if (!partition_.fits)
            status_ = status_type::error(errc::invalid_argument,
                                         "backward: %lld queries of %lld heads x %lld keys for %d workers: stages or "
                                         "workspace beyond 64 bits",
                                         static_cast<long long>(q_.tokens), static_cast<long long>(q_.heads),
                                         static_cast<long long>(k_.tokens), partition_.workers);
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
    template <class Q, class K, class V, class O, class DO>
    status_type run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                    const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                    const options<T>& how) const noexcept
    {
        const status_type s = check_run(q, k, v, out, stats, dout, to, how);
        if (!s) return s;
        const auto pass = make_pass(make_job(q, dense_kv{k, v}, out, stats, dout, to), how.workspace.data);
        return kernel::run_all("backward", pass, partition_, how.executor);
    }

    /// One task, for hosts with their own loop, as in plan::run_task().
    template <class Q, class K, class V, class O, class DO>
    void run_task(plan_task task, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                  const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                  const options<T>& how) const noexcept
    {
        make_pass(make_job(q, dense_kv{k, v}, out, stats, dout, to), how.workspace.data)
            .run_task(task.stage, task.index, task.worker);
    }

    /// What run() checks before it writes anything.
    template <class Q, class K, class V, class O, class DO>
    status_type check_run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                          const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                          const options<T>& how) const noexcept
    {
        static_assert(std::is_same_v<compute_t<Q>, T> && std::is_same_v<compute_t<K>, T> &&
                          std::is_same_v<compute_t<V>, T> && std::is_same_v<compute_t<O>, T> &&
                          std::is_same_v<compute_t<DO>, T>,
                      "heed: q, k, v, out and dout are made of float, bf16 and f16 in any mix, or all of double");
        const extents rows{q_.batch, q_.heads, q_.tokens, v_.dim};
        const auto apart = [&](const char* name, const view<T>& g) {
            return detail::first_error(
                [&] { return disjoint(name, g, "q", q); }, [&] { return disjoint(name, g, "k", k); },
                [&] { return disjoint(name, g, "v", v); }, [&] { return disjoint(name, g, "out", out); },
                [&] { return disjoint(name, g, "dout", dout); });
        };
        return detail::first_error(
            [&] { return status_; }, [&] { return detail::check_tensor("backward", "q", q, q_); },
            [&] { return detail::check_tensor("backward", "k", k, k_); },
            [&] { return detail::check_tensor("backward", "v", v, v_); },
            [&] { return detail::check_tensor("backward", "out", out, rows); },
            [&] { return detail::check_tensor("backward", "dout", dout, rows); },
            [&] {
                return def_.check({q_.batch, q_.heads, k_.heads, q_.tokens, k_.tokens});
            },
            [&] { return detail::check_statistics("backward", stats, q_, 1); },
            [&] { return check_gradients(to, apart); }, [&] { return check_parameters(to); },
            [&] { return detail::check_resources("backward", how, partition_.workers, partition_.total_bytes); });
    }

private:
    /// The wanted tensors among the gradients: each by itself and beside the inputs, by apart(name, view); then beside
    /// each other.
    template <class Apart>
    status_type check_gradients(const gradients<T>& to, Apart apart) const
    {
        const struct {
            const char* name;
            const view<T>& g;
            extents want;
        } all[] = {{"dbias", to.dbias, {q_.batch, q_.heads, q_.tokens, k_.tokens}},
                   {"dq", to.dq, q_},
                   {"dk", to.dk, k_},
                   {"dv", to.dv, v_}};
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

    template <class Q, class Kv, class O, class DO>
    auto make_job(const view<Q>& q, const Kv& kv, const view<O>& out, const row_statistics<T>& stats,
                  const view<DO>& dout, const gradients<T>& to) const
    {
        const auto source = kv.as_const();
        using job = kernel::backward_job<Def, std::remove_const_t<decltype(source)>, std::remove_const_t<Q>,
                                         std::remove_const_t<O>, std::remove_const_t<DO>>;
        return job{{def_, source, q, static_cast<T>(def_.scale_for(k_.dim)), partition_.group, 0, k_.tokens},
                   out,
                   dout,
                   stats,
                   to,
                   nullptr,
                   nullptr,
                   nullptr};
    }
    template <class Job>
    kernel::backward_pass<Job> make_pass(const Job& job, void* workspace) const
    {
        return {job, partition_, workspace};
    }

    Def def_;
    extents q_, k_, v_;
};

template <class Def, class Q, class K, class V>
backward_plan(const Def&, const view<Q>&, const view<K>&, const view<V>&, const options<compute_t<Q>>& = {})
    -> backward_plan<detail::definition_t<Def>, compute_t<Q>>;

/// The gradients of out = attend(def, q, k, v), given the gradient `dout` in out.
///
/// q [B, Hq, Sq, Dqk], k [B, Hkv, Skv, Dqk], v [B, Hkv, Skv, Dv], out and dout [B, Hq, Sq, Dv]. `stats` are the shift
/// and mass that attend() wrote through options.stats; `out` is best kept in float, as D is as exact as that. Gradients
/// are float, or double, also for tensors of bf16 and f16; they overlap nothing. Takes 2.5 times the multiply-adds of
/// attend and memory O(workers * tile). A slope, weight or gradient of exactly 0 passes nothing on, whatever it would
/// be multiplied by; a row that attends no key, or whose denominator is 0, has gradient 0. Where 1/den overflows, in
/// softpick rows with no score beyond 1e-38, gradients do too. Where keys have an order, ds of a key is off by up to
/// some u u'(s) sum |p dO . v|, the sum that older keys are subtracted from. The bits do not depend on the number of
/// threads. options.stats is not looked at. Allocates only where options.workspace is not given. Returns a status;
/// nothing is written where it is false.
template <class Def, class Q, class K, class V, class O, class DO>
status backward(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                const row_statistics<compute_t<Q>>& stats, const view<DO>& dout, const gradients<compute_t<Q>>& to,
                const options<compute_t<Q>>& how = {})
{
    using T = compute_t<Q>;
    if constexpr (detail::sound_definition<detail::definition_t<Def>, T>::value &&
                  detail::sound_gradient<detail::definition_t<Def>>::value) {
        const backward_plan<detail::definition_t<Def>, T> p(def, q, k, v, how);
        return detail::with_workspace(
            "backward", p, how, [&](const options<T>& with) { return p.run(q, k, v, out, stats, dout, to, with); });
    } else {
        return {};
    }
}

/// Says that keys and values in a cache have no gradients.
template <class Def, class Q, class Kv, class... Rest, class = std::enable_if_t<is_kv_source_v<Kv>>>
status backward(const Def&, const view<Q>&, const Kv&, const Rest&...)
{
    static_assert(!is_kv_source_v<Kv>, "heed: backward takes k and v as two views: a kv source, in a ring, in pages or "
                                       "with scales, has no gradients");
    return {};
}

HEED_END
