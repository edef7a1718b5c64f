// SPDX-License-Identifier: MIT
// backward: the gradients of attend, for every normalizer with slopes() and every score map with a slope().
//
//     p_ij = w(s_ij) / den_i      D_i = dO_i . O_i      ds_ij = (w'(s_ij) (dO_i . v_j) - u'(s_ij) D_i) / den_i
//
//     dv_j = sum_i p_ij dO_i      dq_i = scale sum_j ds_ij k_j      dk_j = scale sum_i ds_ij q_i
//
// with ds taken through the slopes of the score maps for dq and dk, and dlog c_i = -D_i c_i / den_i for the extra mass.
// Weights are computed again from the row statistics {M, l} of the forward pass, tile by tile.
#pragma once

#include "engine/backward/backward_pass.hpp"
#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN

/// A definition and a shape, checked once, then run as often as wanted; what plan is to attend().
template <class Def, class T>
class backward_plan {
    using normalizer = typename Def::normalizer_type;
    static_assert(has_slopes_v<normalizer>, "heed: backward needs the derivatives of the normalizer: a const member "
                                            "`template <class Score> auto slopes(Score s) const`");
    static_assert(Def::has_map_slopes,
                  "heed: backward needs the derivative of every score map: a const member `slope(s, at)`, or "
                  "map_score(f, df)");
    static_assert(Def::template parameters<parameter::per_head> <= 1 &&
                      Def::template parameters<parameter::per_score> <= 1,
                  "heed: backward learns the parameter of one score map of a kind");
    static_assert(!Def::computes_in_bf16, "heed: backward computes in float or double; leave compute<bf16> out");

public:
    using status_type = heed::status;

    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes are looked at.
    template <class Q, class K, class V>
    backward_plan(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const options<T>& how = {})
        : def_(def), q_(q.size), k_(k.size), v_(v.size), status_(plan<Def, T>(def, q, k, v, how).status())
    {
        using job = kernel::backward_job<Def, dense_kv<const T>, T, T, T>;
        if (!status_) return;
        layout_ = kernel::make_backward_layout<job>(
            {q_.batch, q_.heads, k_.heads, k_.dim, v_.dim, how.executor.concurrency()}, q_.tokens, k_.tokens);
        if (!layout_.fits)
            status_ = status_type::error(errc::invalid_argument,
                                         "backward: %lld queries of %lld heads x %lld keys for %d workers: stages or "
                                         "workspace beyond 64 bits",
                                         static_cast<long long>(q_.tokens), static_cast<long long>(q_.heads),
                                         static_cast<long long>(k_.tokens), layout_.workers);
    }

    const status_type& status() const { return status_; }

    /// Scratch that run() needs: a constant a worker, and one number a row where a score map has a parameter a head.
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
        std::snprintf(
            d.text, sizeof(d.text),
            "backward, %s, %s: blocks of %lld rows x key tiles of %d, registers %d x %d vectors of %d, %s for "
            "%d worker%s, workspace %zu bytes",
            sizeof(T) == 4 ? "f32" : "f64", isa_name(), static_cast<long long>(layout_.block_rows),
            micro::gradient_tile, micro::block_rows, micro::block_vecs, vec<T>::lanes,
            layout_.diagonal ? "diagonals of the heads" : "heads", layout_.workers, layout_.workers == 1 ? "" : "s",
            layout_.total_bytes);
        return d;
    }

    /// Writes the wanted gradients. Fails, with nothing written, where the tensors are not those that were planned for.
    template <class Q, class K, class V, class O, class DO>
    status_type run(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                    const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                    const options<T>& how) const noexcept
    {
        status_type s = check_run(q, k, v, out, stats, dout, to, how);
        if (!s) return s;
        const dense_kv kv{k, v};
        const auto walk = make_walk(q, kv, out, stats, dout, to, how.workspace.data);
        for (int stage = 0; s && stage < layout_.stages(); ++stage) {
            auto task = [&](std::int64_t t, int worker) { walk.run_task(stage, t, worker); };
            s = kernel::run_tasks("backward", layout_.work(), how.executor, layout_.tasks(stage), task);
        }
        return s;
    }

    /// One task of one stage, for hosts with their own loop, as in plan::run_task().
    template <class Q, class K, class V, class O, class DO>
    void run_task(int stage, std::int64_t task, int worker, const view<Q>& q, const view<K>& k, const view<V>& v,
                  const view<O>& out, const row_statistics<T>& stats, const view<DO>& dout, const gradients<T>& to,
                  const options<T>& how) const noexcept
    {
        const dense_kv kv{k, v};
        make_walk(q, kv, out, stats, dout, to, how.workspace.data).run_task(stage, task, worker);
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
        if (!status_) return status_;
        const extents rows{q_.batch, q_.heads, q_.tokens, v_.dim};
        status_type s = check_input("q", q, q_);
        if (s) s = check_input("k", k, k_);
        if (s) s = check_input("v", v, v_);
        if (s) s = check_input("out", out, rows);
        if (s) s = check_input("dout", dout, rows);
        if (s) s = def_.check({q_.batch, q_.heads, k_.heads, q_.tokens, k_.tokens});
        if (s) s = detail::check_statistics("backward", stats, q_, 1);
        const auto apart = [&](const char* name, const view<T>& g) {
            status_type r = disjoint(name, g, "q", q);
            if (r) r = disjoint(name, g, "k", k);
            if (r) r = disjoint(name, g, "v", v);
            if (r) r = disjoint(name, g, "out", out);
            if (r) r = disjoint(name, g, "dout", dout);
            return r;
        };
        if (s) s = check_gradient("dq", to.dq, q_, apart);
        if (s) s = check_gradient("dk", to.dk, k_, apart);
        if (s) s = check_gradient("dv", to.dv, v_, apart);
        if (s) s = check_gradient("dbias", to.dbias, {q_.batch, q_.heads, q_.tokens, k_.tokens}, apart);
        if (s) s = disjoint("dq", to.dq, "dk", to.dk);
        if (s) s = disjoint("dq", to.dq, "dv", to.dv);
        if (s) s = disjoint("dk", to.dk, "dv", to.dv);
        if (s) s = disjoint("dbias", to.dbias, "dq", to.dq);
        if (s) s = disjoint("dbias", to.dbias, "dk", to.dk);
        if (s) s = disjoint("dbias", to.dbias, "dv", to.dv);
        if (s && to.dlog_offset && !has_log_offset_v<normalizer>)
            s = status_type::error(errc::invalid_argument, "backward: dlog_offset: the normalizer has no extra mass");
        if (s && to.dbias.data && Def::template parameters<parameter::per_score> == 0)
            s = status_type::error(errc::invalid_argument,
                                   "backward: dbias: no score map has a parameter for each score");
        if (s && to.dslopes && Def::template parameters<parameter::per_head> == 0)
            s = status_type::error(errc::invalid_argument,
                                   "backward: dslopes: no score map has a parameter for each head");
        return s ? detail::check_resources("backward", how, layout_.workers, layout_.total_bytes) : s;
    }

private:
    template <class E>
    static status_type check_input(const char* name, const view<E>& v, const extents& want)
    {
        status_type s = detail::check_extents("backward", name, v.size, want);
        if (s) s = detail::check_sizes("backward", name, v);
        if (s) s = detail::check_memory("backward", name, v);
        return s;
    }
    template <class Apart>
    static status_type check_gradient(const char* name, const view<T>& g, const extents& want, Apart apart)
    {
        if (!g.data) return {};
        if (detail::is_empty(want)) return detail::check_extents("backward", name, g.size, want);
        status_type s = check_input(name, g, want);
        if (s) s = detail::check_output("backward", name, g);
        return s ? apart(name, g) : s;
    }
    template <class A, class B>
    static status_type disjoint(const char* name, const view<A>& a, const char* other, const view<B>& b)
    {
        if (!a.data || !b.data || !detail::may_overlap(a, b)) return {};
        return status_type::error(errc::invalid_argument, "backward: %s overlaps %s", name, other);
    }

    template <class Q, class Kv, class O, class DO>
    auto make_walk(const view<Q>& q, const Kv& kv, const view<O>& out, const row_statistics<T>& stats,
                   const view<DO>& dout, const gradients<T>& to, void* memory) const
    {
        const auto source = kv.reading();
        using job = kernel::backward_job<Def, std::remove_const_t<decltype(source)>, std::remove_const_t<Q>,
                                         std::remove_const_t<O>, std::remove_const_t<DO>>;
        job j{{def_, source, q, static_cast<T>(def_.scale_for(k_.dim)), layout_.group, 0, k_.tokens},
              out,
              dout,
              stats,
              to,
              nullptr};
        return kernel::backward_walk<job>(j, layout_, memory);
    }

    Def def_;
    extents q_, k_, v_;
    kernel::backward_layout layout_;
    status_type status_;
};

template <class Def, class Q, class K, class V>
backward_plan(const Def&, const view<Q>&, const view<K>&, const view<V>&) -> backward_plan<Def, compute_t<Q>>;
template <class Def, class Q, class K, class V>
backward_plan(const Def&, const view<Q>&, const view<K>&, const view<V>&, const options<compute_t<Q>>&)
    -> backward_plan<Def, compute_t<Q>>;

/// The gradients of out = attend(def, q, k, v), given the gradient `dout` in out.
///
/// q [B, Hq, Sq, Dqk], k [B, Hkv, Skv, Dqk], v [B, Hkv, Skv, Dv], out and dout [B, Hq, Sq, Dv]. `stats` are the shift
/// and mass that attend() wrote through options.stats; `out` is best kept in float, as D is as exact as that. Gradients
/// are float, or double, also for tensors of bf16 and f16; they overlap nothing. Takes 2.5 times the multiply-adds of
/// attend and memory O(workers * tile). A slope, weight or gradient of exactly 0 passes nothing on, whatever it would
/// be multiplied by; a row that attends no key, or whose denominator is 0, has gradient 0. Where 1/den overflows, in
/// softpick rows with no score beyond 1e-38, gradients do too. The bits do not depend on
/// the number of threads. options.stats is not looked at. Allocates only where options.workspace is not given. Returns
/// a status; nothing is written where it is false.
template <class Def, class Q, class K, class V, class O, class DO>
status backward(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                const row_statistics<compute_t<Q>>& stats, const view<DO>& dout, const gradients<compute_t<Q>>& to,
                const options<compute_t<Q>>& how = {})
{
    using T = compute_t<Q>;
    if constexpr (detail::sound_definition<detail::definition_t<Def>, T>::value) {
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
