// SPDX-License-Identifier: MIT
// attend: plan and run in one call.
#pragma once

#include "engine/sound.hpp"
#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN

namespace detail {

template <class Def, class Q, class Kv, class O, class T>
status attend_planned(const Def& def, const packed<Q>& q, const Kv& kv, const view<O>& out, const options<T>& how)
{
    if constexpr (sound_output<T, O, sound_inputs<T, Q, Kv>::value>::value) {
        const plan<definition_t<Def>, T> p(def, q, kv, how);
        return with_workspace("attend", p, how, [&](const options<T>& with) { return p.run(q, kv, out, with); });
    } else {
        return unsound_call("attend");
    }
}

}  // namespace detail

/// out = normalizer(mask(maps(scale q k^T))) v.
///
/// q [B, Hq, Sq, Dqk], kv [B, Hkv, Skv, Dqk and Dv], out [B, Hq, Sq, Dv], float, bf16 and f16 in any mix, computed in
/// float and rounded once, or all double. The definition is an attention, or one policy of it. Query head h reads kv
/// head h / (Hq / Hkv). A row that attends no key is +0. A key weighs 0, and takes nothing from its V, if its term is 0
/// in its own key tile or its tile's factor is 0 where tiles are folded (state.hpp says more).
/// out may be q itself; otherwise it overlaps nothing. Allocates only where options.workspace is not given. Returns a
/// status; nothing is written where it is false.
///
/// q is a view or packed: then q and out are [1, Hq, rows, D], sequence b of kv has the rows [bounds[b], bounds[b +
/// 1]), any number of them, and each has the bits it has alone. Statistics are [Hq, rows]. A row's number, `at.row`,
/// counts within its sequence; its position is the sequence's tokens - its rows + that number, or query_offset's entry
/// of the sequence + that number.
template <class Def, class Queries, class Kv, class O, class = std::enable_if_t<is_kv_source_v<Kv>>>
status attend(const Def& def, const Queries& q, const Kv& kv, const view<O>& out,
              const options<detail::computed_of<Queries>>& how = {})
{
    if constexpr (detail::sound_definition<detail::definition_t<Def>, detail::computed_of<Queries>>::value)
        return detail::attend_planned<Def, detail::element_of<Queries>>(def, q, kv, out, how);
    else return detail::unsound_call("attend");
}

/// The same for keys and values in two views.
template <class Def, class Q, class K, class V, class O>
status attend(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out,
              const options<compute_t<Q>>& how = {})
{
    if constexpr (detail::sound_definition<detail::definition_t<Def>, compute_t<Q>>::value)
        return detail::attend_planned<Def, Q>(def, q, dense_kv{k, v}, out, how);
    else return detail::unsound_call("attend");
}

/// Softmax attention with scale 1/sqrt(Dqk) and no mask.
template <class Q, class K, class V, class O>
status attend(const view<Q>& q, const view<K>& k, const view<V>& v, const view<O>& out)
{
    return attend(softmax{}, q, k, v, out);
}

/// Says what is wrong with arguments that none of these takes.
template <class Def, class Q, class... Rest, class = std::enable_if_t<detail::are_wrong_arguments<Def, Q, Rest...>()>>
status attend(const Def&, const Q&, const Rest&...)
{
    (void)detail::wrong_arguments<Def, Q, Rest...>{};
    return {};
}

HEED_END
