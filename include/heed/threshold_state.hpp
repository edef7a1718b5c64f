// SPDX-License-Identifier: MIT
// The thresholds of rows whose keys come in parts: from several machines, or from a cache in pieces. A part leaves the
// scores that may have a weight, and what is left of all parts says the threshold:
//
//     heed::clear(state);
//     heed::threshold_partial(def, q, k, state, part);              // on each machine, of its own keys
//     heed::merge(def, state, other);                               // in any order
//     heed::threshold(def, state, taus);                            // the same bits everywhere
//
//     heed::attention known{heed::entmax15{}, heed::known_thresholds{taus}};
//     heed::attend_partial(known, q, k, v, state_of_outputs, part); // and on as state.hpp has it
//
// A threshold is a number that a row's scores define, in whatever order (normalizer/threshold.hpp), so that it has the
// bits that attend() finds over all keys, however they are cut. Merging is commutative and associative in the same way,
// as long as no row has more scores left than there are places. Those are the scores above a bound that rises with
// every part: little more than what has a weight among the keys so far, and, of a rank, all that equal the k-th largest.
#pragma once

#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN
namespace detail {

/// Whether thresholds are found of scores in parts, and a sentence where they are not.
template <class Def>
struct sound_candidates {
    static constexpr threshold_kind kind = threshold_kind_v<typename Def::normalizer_type>;
    static constexpr bool value =
        (kind == threshold_kind::sum || kind == threshold_kind::rank) && !Def::knows_thresholds;
    static_assert(value, "heed: thresholds of parts are those of heed::sum_is_one and heed::rank, where none are known; "
                         "that of a share is {shift, mass} of the inner normalizer's state");
};

template <class T>
kernel::candidate_row<T> row_of(const threshold_state<T>& s, std::int64_t i)
{
    return {s.rows + i, s.scores + i * s.size.dim, s.size.dim};
}

/// What the normalizer says of its own parameters, of which no key is known.
template <class Def>
status check_normalizer([[maybe_unused]] const Def& def, [[maybe_unused]] const extents& size)
{
    if constexpr (has_check<typename definition_t<Def>::normalizer_type>::value)
        return definition_t<Def>(def).normalizer().check({size.batch, size.heads, -1, size.tokens, -1});
    else return {};
}

/// f(finder of the row's threshold, i) for each row of a state.
template <class T, class Def, class F>
void for_each_finder(const Def& def, const extents& size, F f)
{
    using normalizer = typename definition_t<Def>::normalizer_type;
    const normalizer policy = definition_t<Def>(def).normalizer();
    std::int64_t i = 0;
    for (std::int64_t b = 0; b < size.batch; ++b)
        for (std::int64_t h = 0; h < size.heads; ++h)
            for (std::int64_t row = 0; row < size.tokens; ++row)
                f(kernel::row_finder<normalizer, T>(policy, query_place{b, h, row, 0}), i++);
}

}  // namespace detail

/// Makes every row one that has seen no key. Returns a status; nothing is written where it is false.
template <class T>
status clear(const threshold_state<T>& s)
{
    const status ok = detail::check_rows("clear", "state", s);
    if (!ok) return ok;
    for (std::int64_t i = 0; i < s.count(); ++i) s.rows[i] = {};
    return {};
}

/// Adds to `s`, which is cleared or continued, what the keys of `kv` say of the thresholds of rows; values are not read.
/// Of a normalizer of heed::sum_is_one or heed::rank. Rows of which more scores are left than there are places overflow:
/// threshold() says so. Needs the workspace of a plan for the same arguments. Returns a status; nothing is written where
/// it is false.
template <class Def, class Queries, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
status threshold_partial(const Def& def, const Queries& q, const Kv& kv,
                         const threshold_state<detail::computed_of<Queries>>& s, key_part part = {},
                         const options<detail::computed_of<Queries>>& how = {})
{
    using T = detail::computed_of<Queries>;
    using definition = detail::definition_t<Def>;
    if constexpr (detail::sound_definition<definition, T>::value && detail::sound_candidates<definition>::value) {
        const plan<definition, T> p(def, q, kv, how);
        return detail::with_workspace("threshold_partial", p, how, [&](const options<T>& with) {
            return p.run_threshold_partial(q, kv, s, part, with);
        });
    } else {
        return {};
    }
}
/// The same for keys in a view.
template <class Def, class Queries, class K>
status threshold_partial(const Def& def, const Queries& q, const view<K>& k,
                         const threshold_state<detail::computed_of<Queries>>& s, key_part part = {},
                         const options<detail::computed_of<Queries>>& how = {})
{
    return threshold_partial(def, q, dense_kv<K, K>{k, k}, s, part, how);
}

/// into = merge(into, other), row by row, where other is of other keys; places of the two may differ. Commutative and
/// associative as far as thresholds go. A row that overflows in either overflows. Of the definition only the normalizer
/// is used. Returns a status; nothing is written where it is false.
template <class Def, class T>
status merge(const Def& def, const threshold_state<T>& into, const threshold_state<T>& other)
{
    extents rows = other.size;
    rows.dim = into.size.dim;
    const status s = detail::first_error([&] { return detail::check_extents("merge", "other", rows, into.size); },
                                         [&] { return detail::check_state("merge", "into", into); },
                                         [&] { return detail::check_state("merge", "other", other); },
                                         [&] { return detail::check_normalizer(def, into.size); });
    if (!s) return s;
    if constexpr (detail::sound_candidates<detail::definition_t<Def>>::value)
        detail::for_each_finder<T>(def, into.size, [&](const auto& find, std::int64_t i) {
            kernel::fold_candidates(find, detail::row_of(into, i), other.rows[i],
                                    static_cast<const T*>(other.scores + i * other.size.dim));
        });
    return {};
}

/// The thresholds of rows all of whose keys are in the state, [B, Hq, Sq]: what attend() leaves in keep_thresholds. Of
/// the definition only the normalizer is used. Returns a status; errc::workspace_too_small where a row overflowed.
/// Nothing is written where it is false.
template <class Def, class T>
status threshold(const Def& def, const threshold_state<T>& s, number_view<row_threshold<identity_t<T>>> taus)
{
    const status ok = detail::first_error([&] { return detail::check_state("threshold", "state", s); },
                                          [&] { return detail::check_thresholds("threshold", taus, s.size); },
                                          [&] { return detail::check_normalizer(def, s.size); });
    if (!ok) return ok;
    for (std::int64_t i = 0; i < s.count(); ++i)
        if (s.rows[i].overflows())
            return status::error(errc::workspace_too_small,
                                 "threshold: row %lld has more scores left than the state's %lld places",
                                 static_cast<long long>(i), static_cast<long long>(s.size.dim));
    if constexpr (detail::sound_candidates<detail::definition_t<Def>>::value)
        detail::for_each_finder<T>(def, s.size, [&](const auto& find, std::int64_t i) {
            taus[i] = kernel::threshold_of_candidates(find, s.rows[i], static_cast<const T*>(s.scores + i * s.size.dim));
        });
    return {};
}

HEED_END
