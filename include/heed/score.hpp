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
// Several maps are applied in the order written.
#pragma once

#include "place.hpp"
#include "status.hpp"

#include <utility>

HEED_BEGIN

namespace detail {

template <class P, class = void>
struct has_map : std::false_type {};
template <class P>
struct has_map<P, std::void_t<decltype(std::declval<const P&>().map(double{}, score_place<double>{}))>>
    : std::true_type {};

}  // namespace detail

template <class P>
inline constexpr bool is_score_map_v = detail::has_map<P>::value;

/// The factor of q . k, instead of 1/sqrt(Dqk). Any finite number of the type that is computed in; it is folded into q
/// before the dot product.
struct scale {
    double value;

    status check(const problem&) const
    {
        if (std::isfinite(value)) return {};
        return status::error(errc::invalid_argument, "scale: %g is not finite", value);
    }
};

/// A score map from a callable f(s, at): `map_score([](auto s, const auto& at) { return s - at.keys(); })`.
template <class F>
struct map_score {
    F function;

    explicit map_score(F f) : function(std::move(f)) {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        return function(s, at);
    }
};

HEED_END
