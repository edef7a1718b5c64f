// SPDX-License-Identifier: MIT
// The partial result of attention as a public value, for shared prefixes, context parallelism and caches in pieces:
//
//     {M, l, o}:  l = sum_j 2^-M u(s_ij),   o = sum_j 2^-M w(s_ij) v_j      over the keys seen so far
//
// M is a whole number. A part of the keys from elsewhere that comes as (out, lse), lse natural, is a state:
//
//     M = ceil(lse / ln 2),   l = e^(lse - M ln 2),   o = l out;   lse = -inf: the empty state
//
// Merging brings both to the larger M, which is exact, and adds. The empty state is merge's identity. The extra mass
// of a normalizer is not in a state: finish() adds it, once.
//
// A factor 2^(M - M') that underflows to 0 selects: an o of Inf or NaN, from a V that weighs nothing beside the larger
// M, is left out by whichever call meets that factor, be it attend_partial(), merge() or finish(). V is gone by then,
// so an Inf among keys whose factors are small but not 0 stays, even where the product of two such factors would be 0;
// which of the two happens may depend on the order of merges.
//
// Of a normalizer whose keys have an order a state is {0, U, o}, U the sum of their masses, and keys are folded from
// the newest to the oldest: attend_partial() continues a state with keys older than its own, and merge_left() joins
// two.
#pragma once

#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN

namespace detail {
template <class T>
kernel::partial_row<T> row_of(const state<T>& s, std::int64_t i)
{
    return {s.shift[i], s.mass[i], s.out + i * s.size.dim};
}
}  // namespace detail

/// Makes every row the empty state of this definition's normalizer. Returns a status; nothing is written where it is
/// false.
template <class Def, class T>
status clear(const Def&, const state<T>& s)
{
    const status ok = detail::check_state("clear", "state", s);
    if (!ok) return ok;
    for (std::int64_t i = 0; i < s.rows(); ++i) {
        s.shift[i] = kernel::initial_shift<
            shift_rule<typename kernel::computed_definition_t<detail::definition_t<Def>, T>::normalizer_type>(), T>;
        s.mass[i] = T(0);
    }
    for (std::int64_t i = 0; i < s.rows() * s.size.dim; ++i) s.out[i] = T(0);
    return {};
}

/// Folds the keys of `kv` into `s`, which is cleared or continued. Parts that are cut at multiples of heed::key_tile
/// keys and folded in order, the newest first where keys have one, give the bits of one call over all of them. Needs
/// the workspace of a plan for the same arguments. Queries are a view, or packed: then sequence b of kv has the rows
/// [bounds[b], bounds[b + 1]) of q, and of the state. Returns a status; nothing is written where it is false, unless
/// its code is errc::executor_failed.
template <class Def, class Queries, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
status attend_partial(const Def& def, const Queries& q, const Kv& kv, const state<detail::computed_of<Queries>>& s,
                      key_part part = {}, const options<detail::computed_of<Queries>>& how = {})
{
    using T = detail::computed_of<Queries>;
    if constexpr (detail::sound_definition<detail::definition_t<Def>, T>::value &&
                  detail::sound_thresholds<detail::definition_t<Def>>::value) {
        const plan<detail::definition_t<Def>, T> p(def, q, kv, how);
        return detail::with_workspace("attend_partial", p, how,
                                      [&](const options<T>& with) { return p.run_partial(q, kv, s, part, with); });
    } else {
        return detail::unsound_call("attend_partial");
    }
}
template <class Def, class Q, class K, class V>
status attend_partial(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v,
                      const state<compute_t<Q>>& s, key_part part = {}, const options<compute_t<Q>>& how = {})
{
    return attend_partial(def, q, dense_kv{k, v}, s, part, how);
}

/// into = merge(into, other), row by row, where keys have no order. Commutative; associative up to the rounding of its
/// additions. Returns a status; nothing is written where it is false.
template <class T>
status merge(const state<T>& into, const state<T>& other)
{
    const status s = detail::first_error([&] { return detail::check_extents("merge", "other", other.size, into.size); },
                                         [&] { return detail::check_state("merge", "into", into); },
                                         [&] { return detail::check_state("merge", "other", other); });
    if (!s) return s;
    for (std::int64_t i = 0; i < into.rows(); ++i)
        kernel::fold_row(detail::row_of(into, i), detail::row_of(other, i), into.size.dim);
    return {};
}

/// into = the state of both where keys have an order, row by row: those of `left` are older than all of `into`. Not
/// commutative; associative up to the rounding of its sums and products. What merge() makes of such states, or this of
/// the wrong order, is the state of nothing. Returns a status; nothing is written where it is false.
///
///     {U, o} = {U + U', o + e^-U o'}          U: the mass of the newer keys
template <class T>
status merge_left(const state<T>& into, const state<T>& left)
{
    const status s =
        detail::first_error([&] { return detail::check_extents("merge_left", "left", left.size, into.size); },
                            [&] { return detail::check_state("merge_left", "into", into); },
                            [&] { return detail::check_state("merge_left", "left", left); });
    if (!s) return s;
    for (std::int64_t i = 0; i < into.rows(); ++i)
        kernel::fold_older_row(detail::row_of(into, i), detail::row_of(left, i), into.size.dim);
    return {};
}

/// out = the state divided by its denominator, extra mass included; optionally the natural-log LSE, [B, Hq, Sq]. Of
/// the definition only the normalizer is used, and checked. Returns a status; nothing is written where it is false.
template <class Def, class T, class O>
status finish(const Def& def, const state<T>& s, const view<O>& out, number_view<identity_t<T>> lse = {})
{
    const auto normalizer =
        kernel::computed_definition_t<detail::definition_t<Def>, T>(detail::definition_t<Def>(def)).normalizer();
    static_assert(std::is_same_v<compute_t<O>, T>,
                  "heed: out is made of an element type that is computed in that of the state");
    const status ok =
        detail::first_error([&] { return detail::check_written_tensor("finish", "out", out, s.size); },
                            [&] { return detail::check_state("finish", "state", s); },
                            [&] {
                                if constexpr (detail::has_check<std::decay_t<decltype(normalizer)>>::value)
                                    return normalizer.check({s.size.batch, s.size.heads, -1, s.size.tokens, -1});
                                else return status{};
                            },
                            [&] { return detail::check_count("finish", "lse", lse, s.rows()); });
    if (!ok) return ok;
    std::int64_t i = 0;
    for (std::int64_t b = 0; b < s.size.batch; ++b)
        for (std::int64_t h = 0; h < s.size.heads; ++h)
            for (std::int64_t row = 0; row < s.size.tokens; ++row, ++i)
                kernel::finish_row(normalizer, h, detail::row_of(s, i), out.row(b, h, row), s.size.dim,
                                   lse ? lse + i : nullptr);
    return {};
}

HEED_END
