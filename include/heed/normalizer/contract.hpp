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
// Both w and u must be written in these, so that they carry the same factor 2^-M. Running maxima, rescaling,
// splitting and merging then follow for every normalizer.
#pragma once

#include "../base/place.hpp"
#include "../base/status.hpp"

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
    V weight;
    V mass;
};
template <class V, class U>
ratio(V, U) -> ratio<V>;

/// The weight of one score of a normalizer whose denominator is 1.
template <class V>
struct weight {
    V value;
};
template <class V>
weight(V) -> weight<V>;

namespace detail {

/// What a functor is probed with.
struct score_archetype {
    double value() const { return 0; }
    double exp() const { return 1; }
    double expm1() const { return 0; }
    double one() const { return 1; }
};

template <class N, class = void>
struct has_terms : std::false_type {};
template <class N>
struct has_terms<N, std::void_t<decltype(std::declval<const N&>().terms(score_archetype{}))>> : std::true_type {};

template <class N, class = void>
struct has_slopes : std::false_type {};
template <class N>
struct has_slopes<N, std::void_t<decltype(std::declval<const N&>().slopes(score_archetype{}))>> : std::true_type {};

template <class N, class = void>
struct has_shift : std::false_type {};
template <class N>
struct has_shift<N, std::enable_if_t<std::is_same_v<std::remove_cv_t<decltype(N::shift)>, shift>>> : std::true_type {};

template <class N, class = void>
struct has_log_offset : std::false_type {};
template <class N>
struct has_log_offset<N, std::void_t<decltype(std::declval<const N&>().log_offset(std::int64_t{}))>> : std::true_type {
};

template <class P, class = void>
struct has_check : std::false_type {};
template <class P>
struct has_check<P, std::void_t<decltype(std::declval<const P&>().check(problem{}))>> : std::true_type {};

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
inline constexpr bool is_normalizer_v = detail::has_shift<P>::value || detail::has_terms<P>::value;

/// True where the derivative exists, which the backward pass needs.
template <class N>
inline constexpr bool has_slopes_v = detail::has_slopes<N>::value;

template <class N>
inline constexpr bool has_log_offset_v = detail::has_log_offset<N>::value;

/// True where weights are divided by a mass: terms() gives a ratio, not a bare weight.
template <class N>
inline constexpr bool has_mass_v =
    detail::is_ratio<decltype(std::declval<const N&>().terms(detail::score_archetype{}))>::value;

/// One sentence for what a wrong functor lacks.
template <class N>
constexpr bool require_normalizer()
{
    static_assert(detail::has_shift<N>::value,
                  "heed: a normalizer says its shift rule: static constexpr auto shift = heed::shift::by_max "
                  "(or at_least_zero, or none)");
    static_assert(detail::has_terms<N>::value,
                  "heed: a normalizer has a const member `template <class Score> auto terms(Score s) const`");
    if constexpr (detail::has_terms<N>::value) {
        using terms = decltype(std::declval<const N&>().terms(detail::score_archetype{}));
        static_assert(detail::is_ratio<terms>::value || detail::is_weight<terms>::value,
                      "heed: terms() returns heed::ratio{weight, mass}, or heed::weight{w} for a denominator of 1");
        static_assert(!has_log_offset_v<N> || detail::is_ratio<terms>::value,
                      "heed: log_offset() adds to a denominator, and a normalizer of heed::weight{w} has none");
    }
    return true;
}

HEED_END
