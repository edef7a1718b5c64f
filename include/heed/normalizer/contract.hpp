// SPDX-License-Identifier: MIT
// The normalizer contract: what turns scores into weights.
//
//     p_ij = w(s_ij) / (c_i + sum_j u(s_ij))        w: weight, u: mass, c: extra mass of the row
//
// A normalizer is a small struct, generic in its argument:
//
//     struct softpick {
//         static constexpr auto shift = heed::shift::at_least_zero;
//         template <class Score> auto terms(Score s) const;      // ratio{w, u}, or weight{w}: denominator 1
//         template <class Score> auto slopes(Score s) const;     // their derivatives in s; optional
//         double log_offset(std::int64_t head) const;            // log c; optional
//         heed::status check(const heed::problem&) const;        // are its parameters sane; optional
//     };
//
// finish() knows neither kv heads nor keys: in the problem that it asks about they are -1.
//
// The score object hides the power-of-two shift M that keeps every term in range:
//
//     s.value()   the score itself         s.exp()    2^-M e^s
//     s.expm1()   2^-M (e^s - 1)           s.one()    2^-M
//
// (A normalizer that asks for a number of the whole row first says a threshold in place of its shift: threshold.hpp.
// One whose keys take their shares one after the other says an order: order.hpp.) Both w and u must be written in
// these, so that they carry the same factor 2^-M. Running maxima, rescaling, splitting and merging then follow for
// every normalizer.
#pragma once

#include "../base/place.hpp"
#include "../base/probe.hpp"
#include "../base/status.hpp"
#include "order.hpp"
#include "threshold.hpp"

HEED_BEGIN

/// The reference value of a row, from which the power-of-two shift M follows.
enum class shift {
    by_max,         ///< the largest score: terms that are multiples of e^s
    at_least_zero,  ///< the largest score, never below 0: terms that also hold a constant, such as e^s - 1
    none            ///< M = 0: terms that are bounded or polynomial in s
};

/// Weight and mass of one score; both carry the factor 2^-M.
template <class V>
struct ratio {
    V weight;  ///< w(s)
    V mass;    ///< u(s)
};

namespace detail {

/// What ratio{w, u} is made of: of what w is. A bare number is no w beside a u that comes of the score.
template <class W, class U>
constexpr auto part_of_ratio()
{
    constexpr bool is_bare = std::is_arithmetic_v<W> && !std::is_same_v<W, U> &&
                             (std::is_integral_v<W> ? !std::is_integral_v<U> : !std::is_arithmetic_v<U>);
    static_assert(!is_bare, "heed: both parts of ratio{weight, mass} come of the score: write s.one() for 1, which "
                            "has the row's factor 2^-M");
    return identity<std::conditional_t<is_bare, unsound, W>>{};
}

}  // namespace detail

template <class W, class U>
ratio(W, U) -> ratio<typename decltype(detail::part_of_ratio<W, U>())::type>;

/// The weight of one score of a normalizer whose denominator is 1.
template <class V>
struct weight {
    V value;  ///< w(s)
};
template <class V>
weight(V) -> weight<V>;

namespace detail {

/// What a functor is probed with.
struct score_archetype {
    probe::number value() const { return {}; }
    probe::number exp() const { return {}; }
    probe::number expm1() const { return {}; }
    probe::number one() const { return {}; }
};

/// What a functor of some kind of threshold is probed with.
template <threshold_kind Kind>
struct archetype_of_kind {
    using type = score_archetype;
};
template <>
struct archetype_of_kind<threshold_kind::sum> {
    using type = score_above_threshold<probe::number>;
};
template <>
struct archetype_of_kind<threshold_kind::share> {
    using type = score_share<probe::number>;
};
template <class N>
using archetype_of = typename archetype_of_kind<threshold_kind_v<N>>::type;

/// What terms() of a normalizer gives for a score; unsound where it gives nothing. Where it does not compile, this is a
/// sentence before the list of overloads that a compiler prints: gcc shows the name, and clang the line of the call.
template <class N, class Score, class = void>
struct terms_call_heed_functions {
    using type = unsound;
};
template <class N, class Score>
struct terms_call_heed_functions<N, Score,
                                 std::void_t<decltype(std::declval<N>().terms(  // heed: terms() calls heed::max for
                                                                                // std::max, heed::exp and so on
                                     std::declval<Score>()))>> {
    using type = decltype(std::declval<N>().terms(std::declval<Score>()));
};

template <class N>
struct gives_terms
    : std::bool_constant<
          !std::is_same_v<typename terms_call_heed_functions<const N&, archetype_of<N>>::type, unsound>> {};
HEED_NAMES_MEMBER(terms, gives_terms)

/// Whether terms() is no member of what is const. Where it does not compile, the compiler has said why.
template <class N>
inline constexpr bool are_terms_not_const_v =
    names_terms<N>::value&&
        std::is_same_v<typename terms_call_heed_functions<const N&, archetype_of<N>>::type, unsound> &&
    !std::is_same_v<typename terms_call_heed_functions<N&, archetype_of<N>>::type, unsound>;

/// Whether terms() is one function, for one type of score.
template <class N, class = void>
struct has_plain_terms : std::false_type {};
template <class N>
struct has_plain_terms<N, std::void_t<decltype(&N::terms)>> : std::true_type {};

template <class N, class = void>
struct has_slopes : std::false_type {};
template <class N>
struct has_slopes<N, std::void_t<decltype(std::declval<const N&>().slopes(std::declval<archetype_of<N>>()))>>
    : std::true_type {};

template <class N, class = void>
struct has_shift : std::false_type {};
template <class N>
struct has_shift<N, std::enable_if_t<std::is_same_v<std::remove_cv_t<decltype(N::shift)>, shift>>> : std::true_type {};

template <class N, class = void>
struct has_log_offset : std::false_type {};
template <class N>
struct has_log_offset<N, std::void_t<decltype(std::declval<const N&>().log_offset(std::int64_t{}))>> : std::true_type {
};
HEED_NAMES_MEMBER(log_offset, has_log_offset)

template <class T>
struct is_ratio : std::false_type {};
template <class V>
struct is_ratio<ratio<V>> : std::true_type {};
template <class T>
struct is_weight : std::false_type {};
template <class V>
struct is_weight<weight<V>> : std::true_type {};

}  // namespace detail

/// True for a type that says its shift rule, and so means to be a normalizer.
template <class P>
inline constexpr bool is_normalizer_v = detail::has_shift<P>::value || detail::names_terms<P>::value;

/// True where the derivative exists, which the backward pass needs.
template <class N>
inline constexpr bool has_slopes_v = detail::has_slopes<N>::value;

/// True where the denominator has an extra mass: log_offset().
template <class N>
inline constexpr bool has_log_offset_v = detail::has_log_offset<N>::value;

/// The rule of a normalizer without a threshold; where keys have an order terms are bounded.
template <class N>
constexpr shift shift_rule()
{
    if constexpr (has_order_v<N>) return shift::none;
    else return N::shift;
}

/// True where weights are divided by a mass: terms() gives a ratio, not a bare weight.
template <class N>
inline constexpr bool has_mass_v =
    detail::is_ratio<typename detail::terms_call_heed_functions<const N&, detail::archetype_of<N>>::type>::value;

namespace detail {

/// What a threshold and an order ask for. (sound_normalizer says the sentences: clang takes no constant of a struct
/// that says one.)
template <class N, threshold_kind Kind = threshold_kind_v<N>>
struct threshold_asks {
    static constexpr bool is_known = Kind == threshold_kind::none, has_weight = true, has_room = true, has_rank = true,
                          has_inner = true, stands_alone = true, has_members = true;
};
template <class N>
struct threshold_asks<N, threshold_kind::sum> : threshold_asks<N, threshold_kind::none> {
    using terms = typename terms_call_heed_functions<const N&, archetype_of<N>>::type;
    static constexpr bool has_weight = is_weight<terms>::value || std::is_same_v<terms, unsound>,
                          has_room = N::threshold.reach > 0 && N::threshold.degree > 0,
                          stands_alone = !has_shift<N>::value && !has_log_offset_v<N>;
};
template <class N>
struct threshold_asks<N, threshold_kind::rank> : threshold_asks<N, threshold_kind::none> {
    static constexpr bool has_rank = detail::has_rank<N>::value;
};
template <class N>
struct threshold_asks<N, threshold_kind::share> : threshold_asks<N, threshold_kind::none> {
    using inner = typename std::remove_cv_t<decltype(N::threshold)>::inner;
    static constexpr bool has_inner = !has_threshold_v<inner> && !has_order_v<inner> && is_normalizer_v<inner> &&
                                      has_mass_v<inner>,
                          stands_alone = !has_shift<N>::value && !has_log_offset_v<N>,
                          has_members = has_row_number<N>::value == names_row<N>::value &&
                                        has_least_share<N>::value == names_least_share<N>::value;
};
template <class N, bool = names_order<N>::value>
struct order_asks {
    static constexpr bool has_rule = true, has_ratio = true, stands_alone = true;
};
template <class N>
struct order_asks<N, true> {
    using terms = typename terms_call_heed_functions<const N&, archetype_of<N>>::type;
    static constexpr bool has_rule = has_order_v<N>,
                          has_ratio = is_ratio<terms>::value || std::is_same_v<terms, unsound>,
                          stands_alone = !has_shift<N>::value && !has_threshold_v<N> && !has_log_offset_v<N>;
};

/// Whether N is a normalizer, and a sentence for what it lacks.
template <class N>
struct sound_normalizer {
    using terms = typename terms_call_heed_functions<const N&, archetype_of<N>>::type;
    static constexpr bool gives_nothing = std::is_same_v<terms, unsound>,
                          gives_terms = is_ratio<terms>::value || is_weight<terms>::value,
                          has_sound_offset = has_threshold_v<N> || !has_log_offset_v<N> || !is_weight<terms>::value,
                          says_rule = has_shift<N>::value || names_order<N>::value ||
                                      threshold_kind_v<N> == threshold_kind::sum ||
                                      threshold_kind_v<N> == threshold_kind::share;
    using of_threshold = threshold_asks<N>;
    static constexpr bool has_sound_threshold =
        of_threshold::is_known && of_threshold::has_weight && of_threshold::has_room && of_threshold::has_rank &&
        of_threshold::has_inner && of_threshold::stands_alone && of_threshold::has_members;
    static constexpr bool has_any_score = !gives_nothing || !has_plain_terms<N>::value,
                          has_members = has_log_offset_v<N> == names_log_offset<N>::value;
    static constexpr bool value = has_any_score && has_members && says_rule && gives_terms && has_sound_offset &&
                                  has_sound_threshold && order_asks<N>::has_rule && order_asks<N>::has_ratio &&
                                  order_asks<N>::stands_alone && !std::is_same_v<terms, ratio<unsound>>;

    static_assert(names_terms<N>::value,
                  "heed: a normalizer has a const member `template <class Score> auto terms(Score s) const`");
    static_assert(has_any_score, "heed: terms() of a normalizer takes any score: `template <class Score> auto "
                                 "terms(Score s) const`");
    static_assert(has_log_offset_v<N> == names_log_offset<N>::value,
                  "heed: log_offset() of a normalizer is a const member `double log_offset(std::int64_t head) const`");
    static_assert(of_threshold::has_members, "heed: row() and least_share() of a share_of are const members `double "
                                             "row(const heed::query_place&) const`, and least_share() the same");
    static_assert(gives_nothing || gives_terms,
                  "heed: terms() returns heed::ratio{weight, mass}, or heed::weight{w} for a denominator of 1");
    static_assert(says_rule || threshold_kind_v<N> == threshold_kind::unsound,
                  "heed: a normalizer says its shift rule: static constexpr auto shift = heed::shift::by_max "
                  "(or at_least_zero, or none)");
    static_assert(of_threshold::is_known, "heed: the threshold of a normalizer is heed::sum_is_one(reach, degree), "
                                          "heed::rank or heed::share_of<normalizer>{}");
    static_assert(of_threshold::has_weight,
                  "heed: terms() of a sum_is_one normalizer returns heed::weight{w}, of which w sums to 1");
    static_assert(of_threshold::has_room, "heed: sum_is_one(reach, degree): both are above 0");
    static_assert(of_threshold::has_rank, "heed: a normalizer of heed::rank has a const member `std::int64_t "
                                          "rank(std::int64_t head) const`: how many keys stay");
    static_assert(of_threshold::has_inner,
                  "heed: share_of<N>: N is a normalizer without a threshold or an order that divides by a mass");
    static_assert(of_threshold::stands_alone,
                  "heed: a normalizer of sum_is_one or share_of has no shift and no log_offset()");
    static_assert(order_asks<N>::has_rule, "heed: the order of a normalizer is heed::order::from_the_right");
    static_assert(
        order_asks<N>::has_ratio,
        "heed: terms() of a normalizer with an order returns heed::ratio{w, u}: it takes w of what newer keys "
        "left, and leaves e^-u of that");
    static_assert(
        order_asks<N>::stands_alone,
        "heed: a normalizer with an order has no shift, no threshold and no log_offset(): nothing is divided");
    static_assert(has_sound_offset,
                  "heed: log_offset() adds to a denominator, and a normalizer of heed::weight{w} has none");
};

}  // namespace detail

/// True for a normalizer; a sentence says what another lacks.
template <class N>
constexpr bool require_normalizer()
{
    return detail::sound_normalizer<N>::value;
}

HEED_END
