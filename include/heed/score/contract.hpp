// SPDX-License-Identifier: MIT
// The score-map contract: what happens to a scaled score before the mask and the normalizer.
//
//     s = map(scale * (q . k))
//
// A score map has a member
//
//     template <class V> V map(V s, const heed::score_place<V>& at) const;
//
// for V = a SIMD vector (consecutive keys of one query) or a scalar, and optionally `status check(const problem&)`.
// Several maps are applied in the order written. Another optional member lets kernels leave a map out:
//
//     bool changes(const heed::block_place&) const;      // false: map() gives back, bit by bit, all of these scores
//                                                        // but those that the same policy, a mask too, leaves out
//
// For the backward pass it also has its derivative in s, and where it
// has a parameter of its own that shall be learned, what kind that is and the derivative in it:
//
//     template <class V> V slope(V s, const heed::score_place<V>& at) const;
//     static constexpr auto parameter = heed::parameter::per_head;      // or per_score
//     template <class V> V parameter_slope(V s, const heed::score_place<V>& at) const;
#pragma once

#include "../base/place.hpp"
#include "../base/status.hpp"

#include <utility>

HEED_BEGIN

/// True for a type with map() of a score map.
template <class P>
inline constexpr bool is_score_map_v = detail::has_map<P>::value;

namespace detail {

HEED_NAMES_MEMBER(map, has_map)

template <class P, class = void>
struct has_changes : std::false_type {};
template <class P>
struct has_changes<P, std::void_t<decltype(std::declval<const P&>().changes(block_place{}))>> : std::true_type {};
HEED_NAMES_MEMBER(changes, has_changes)

/// Whether P is a score map, or none by intent, and a sentence where its map() is not that of a score map.
template <class P>
struct sound_map {
    static constexpr bool value = is_score_map_v<P> || !names_map<P>::value;
    static_assert(value, "heed: a score map has a const member `template <class V> V map(V s, const "
                         "heed::score_place<V>& at) const`");
    static_assert(!is_score_map_v<P> || has_changes<P>::value == names_changes<P>::value,
                  "heed: changes() of a score map is a const member `bool changes(const heed::block_place&) const`");
};

/// Whether a score map says where it changes nothing.
template <class P>
inline constexpr bool is_conditional_map_v = is_score_map_v<P>&& has_changes<P>::value;

}  // namespace detail

/// A score map's own parameter: none that is learned, one number a query head, or one number a score.
enum class parameter { none, per_head, per_score };

namespace detail {

template <class P, class = void>
struct has_map_slope : std::false_type {};
template <class P>
struct has_map_slope<P, std::void_t<decltype(std::declval<const P&>().slope(double{}, score_place<double>{}))>>
    : std::true_type {};

template <class P, class = void>
struct parameter_of {
    static constexpr auto value = parameter::none;
};
template <class P>
struct parameter_of<P, std::void_t<decltype(P::parameter)>> {
    static constexpr auto value = P::parameter;
};

}  // namespace detail

/// True where the derivative in s exists, which the backward pass needs.
template <class P>
inline constexpr bool has_map_slope_v = detail::has_map_slope<P>::value;
/// What kind of parameter of its own a score map learns.
template <class P>
inline constexpr parameter parameter_of_v = detail::parameter_of<P>::value;

/// The factor of q . k, instead of 1/sqrt(Dqk). Any finite number of the type that is computed in; it is folded into q
/// before the dot product.
struct scale {
    double value;  ///< the factor; finite

    status check(const problem&) const
    {
        if (libm::isfinite(value)) return {};
        return status::error(errc::invalid_argument, "scale: %g is not finite", value);
    }
};

namespace detail {

struct no_slope {};

/// What a callable of map_score gives for a score; unsound where it gives nothing.
template <class F, class V, class = void>
struct map_of {
    using type = unsound;
};
template <class F, class V>
struct map_of<F, V,
              std::void_t<decltype(std::declval<F>()(std::declval<V>(), std::declval<const score_place<V>&>()))>> {
    using type = decltype(std::declval<F>()(std::declval<V>(), std::declval<const score_place<V>&>()));
};

}  // namespace detail

/// A score map from a callable f(s, at): `map_score([](auto s, const auto& at) { return s - at.keys(); })`, and, for
/// the backward pass, its derivative in s: `map_score(f, df)`.
template <class F, class Slope = detail::no_slope>
struct map_score {
    F function;        ///< f(s, at)
    Slope derivative;  ///< df(s, at), or none

    /// f, and df where there shall be a backward pass.
    explicit map_score(F f, Slope df = {}) : function(std::move(f)), derivative(std::move(df)) {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        return function(s, at);
    }
    template <class V, class D = Slope, class = std::enable_if_t<!std::is_same_v<D, detail::no_slope>>>
    V slope(V s, const score_place<V>& at) const
    {
        return derivative(s, at);
    }
};

HEED_END
