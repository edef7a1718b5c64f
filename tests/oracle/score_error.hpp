// SPDX-License-Identifier: MIT
// What a score's own roundings are worth, in units of u: g1 sigma_j = sqrt(Dqk) |scale| sum_c |q_c k_jc| through the
// slope of the score maps, plus the maps' results.
#pragma once

#include "../tensors.hpp"

#include <algorithm>
#include <cmath>

namespace oracle {

using test::int64;

/// What judges tensors that are computed in T.
template <class T>
struct wider;
template <>
struct wider<float> {
    using type = double;
};
template <>
struct wider<double> {
    using type = long double;
};
template <class T>
using wider_t = typename wider<T>::type;

/// One score, and its error in units of u.
template <class Real>
struct judged_score {
    Real scaled = 0, mapped = 0;
    Real scaled_error = 0, mapped_error = 0;
};

/// The score at a place that says batch, head, row, position and key.
template <class Real, class Def, class E, class K>
judged_score<Real> judge_score(const Def& def, const heed::view<const E>& q, const heed::view<const K>& k,
                               const heed::score_place<Real>& at)
{
    constexpr Real map_error = 2;  // of a score map, in units of its result
    const E* a = q.row(at.batch, at.head, at.row);
    const K* b = k.row(at.batch, at.head / (q.size.heads / k.size.heads), at.key_at(0));
    const Real scale = static_cast<heed::compute_t<E>>(def.scale_for(q.size.dim));
    Real dot = 0, sum = 0;
    for (int64 c = 0; c < q.size.dim; ++c) {
        const Real x = static_cast<Real>(a[c]) * static_cast<Real>(b[c]);
        dot += x;
        sum += std::fabs(x);
    }
    judged_score<Real> s;
    s.scaled = s.mapped = scale * dot;
    s.scaled_error = s.mapped_error = std::sqrt(static_cast<Real>(q.size.dim)) * std::fabs(scale) * sum;
    if constexpr (Def::has_score_maps) {
        const Real step = std::max<Real>(std::fabs(s.scaled), 1) / 10000, added = def.map_score(Real(0), at);
        const Real slope =
            std::fabs(def.map_score(s.scaled + step, at) - def.map_score(s.scaled - step, at)) / (2 * step);
        s.mapped = def.map_score(s.scaled, at);
        s.mapped_error = slope * s.scaled_error + map_error * std::fabs(s.mapped - added) + std::fabs(added);
    }
    return s;
}

}  // namespace oracle
