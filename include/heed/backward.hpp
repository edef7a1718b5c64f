// SPDX-License-Identifier: MIT
// backward: the gradients of attend, for every normalizer with slopes() and every score map with a slope().
//
//     p_ij = w(s_ij) / den_i      D_i = dO_i . O_i - dlse_i
//
//     ds_ij = (w'(s_ij) (dO_i . v_j) - u'(s_ij) D_i) / den_i
//
//     dv_j = sum_i p_ij dO_i      dq_i = scale sum_j ds_ij k_j      dk_j = scale sum_i ds_ij q_i
//
// and where keys have an order, p_ij = w(s_ij) e^-U_ij and U_ij = sum_{k > j} u(s_ik),
//
//     ds_ij = w'(s_ij) e^-U_ij (dO_i . v_j) - u'(s_ij) sum_{k < j} p_ik (dO_i . v_k)
//
// with ds taken through the slopes of the score maps for dq and dk, and dlog c_i = -D_i c_i / den_i for the extra mass.
// Weights are computed again from the row statistics {M, l} of the forward pass, tile by tile.
//
// Where weights sum to 1 by a threshold, p_ij = w(s_ij - tau_i), tau moves with the scores: u = w and D_i = dO_i .
// o'_i, o'_i = sum_j w'_ij v_j / sum_j w'_ij, so that sum_j ds_ij = 0. Of p_ij = f(a_ij), a_ij = e_ij / l_i the weights
// of another normalizer: ds_ij = (e'_ij f'_ij (dO_i . v_j) - u'_ij D_i) / l_i, o'_i = sum_j f'_ij a_ij v_j.
#pragma once

#include "backward_plan.hpp"

HEED_BEGIN

/// The gradients of out = attend(def, q, kv), given those in `out` and, where the loss has it, in the rows' lse.
///
/// q [B, Hq, Sq, Dqk], kv [B, Hkv, Skv, Dqk and Dv], out and dout [B, Hq, Sq, Dv]. `stats` are the shift
/// and mass that attend() wrote through options.stats; `out` is best kept in float, as D is as exact as that. Gradients
/// are float, or double, also for tensors of bf16 and f16; they overlap nothing. Takes 2.5 times the multiply-adds of
/// attend and memory O(workers * tile). A slope, weight or gradient of exactly 0 passes nothing on, whatever it would
/// be multiplied by; a row that attends no key, or whose denominator is 0, has gradient 0. The bits do not depend on
/// the number of threads. Where keys have an order, ds of a key is off by up to some u u'(s) sum |p dO . v|, the sum
/// that older keys are subtracted from. options.stats is not looked at. Allocates only where options.workspace is not
/// given. Returns a status; nothing is written where it is false.
///
/// Softpick rows with no score beyond 1e-38 have gradients of the order of 1/den: where that of a score is beyond
/// float, those in q and k are not finite. Weights, and so dv, are sound there too.
///
/// Queries are a view, or packed as attend() takes them: then q, out, dout and dq are [1, Hq, rows, D], statistics and
/// dlse [Hq, rows], and each sequence has the gradients that it has alone. dbias is [B, Hq, Sq, Skv] of the longest
/// sequence, 0 where others end. dk and dv lie as k and v do in a dense_kv and a packed_kv, zeros where a sequence
/// ends; tokens that are in no sequence's room are not written. Of every other source, pages, rings, quantised or
/// scaled, they are [B, Hkv, Skv, D] by position, Skv that of the longest sequence, zeros where it has no token: the
/// gradients of the numbers that were read, scales multiplied in, of each sequence by itself where sequences share
/// pages.
///
/// A definition whose normalizer has a threshold has known_thresholds{thresholds, slope_out}, as attend() left them in
/// keep_thresholds{thresholds, slope_out}. D is then dO . slope_out, except for a rank, which needs no slope_out.
template <class Def, class Queries, class Kv, class O, class DO, class = std::enable_if_t<is_kv_source_v<Kv>>>
status backward(const Def& def, const Queries& q, const Kv& kv, const output_gradients<O, DO>& of,
                const gradients<detail::computed_of<Queries>>& to,
                const options<detail::computed_of<Queries>>& how = {})
{
    using T = detail::computed_of<Queries>;
    if constexpr (detail::sound_definition<detail::definition_t<Def>, T>::value &&
                  detail::sound_gradient<detail::definition_t<Def>>::value) {
        const backward_plan<detail::definition_t<Def>, T> p(def, q, kv, how, to);
        return detail::with_workspace("backward", p, how,
                                      [&](const options<T>& with) { return p.run(q, kv, of, to, with); });
    } else {
        return detail::unsound_call("backward");
    }
}

/// The same for keys and values in two views, and a loss of the output alone.
template <class Def, class Q, class K, class V, class O, class DO>
status backward(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
                const row_statistics<compute_t<Q>>& stats, const view<DO>& dout, const gradients<compute_t<Q>>& to,
                const options<compute_t<Q>>& how = {})
{
    using T = compute_t<Q>;
    if constexpr (detail::sound_definition<detail::definition_t<Def>, T>::value &&
                  detail::sound_gradient<detail::definition_t<Def>>::value) {
        const backward_plan<detail::definition_t<Def>, T> p(def, q, k, v, how, to);
        return detail::with_workspace(
            "backward", p, how, [&](const options<T>& with) { return p.run(q, k, v, out, stats, dout, to, with); });
    } else {
        return detail::unsound_call("backward");
    }
}

/// Says how the output and its gradients are given beside a kv source.
template <class Def, class Queries, class Kv, class O, class... Rest, class = std::enable_if_t<is_kv_source_v<Kv>>>
status backward(const Def&, const Queries&, const Kv&, const view<O>&, const Rest&...)
{
    static_assert(!is_kv_source_v<Kv>,
                  "heed: beside a kv source backward takes heed::output_gradients{out, stats, dout}");
    return {};
}

HEED_END
