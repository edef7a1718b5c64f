// SPDX-License-Identifier: MIT
// Normalizers with a threshold, as kernels see them: once the threshold of a row is known, each is an ordinary
// normalizer of that row. So a definition with one becomes a definition that is asked for the normalizer of a row, and
// scores, masks, products, folding and finishing are those of any other.
#pragma once

#include "shift.hpp"

HEED_BEGIN
namespace kernel {

using detail::threshold_kind;

/// The normalizer N of a row whose threshold is `at`; `number` is what N says of the row.
template <class N, class T, threshold_kind Kind = detail::threshold_kind_v<N>>
struct row_normalizer;

/// Weights that sum to 1: a score is seen from the threshold, and the mass is the weight.
template <class N, class T>
struct row_normalizer<N, T, threshold_kind::sum> {
    static constexpr auto shift = heed::shift::none;

    N policy;
    row_threshold<T> at = {};
    T number = 0;

    template <class Score>
    HEED_INLINE auto terms(Score s) const
    {
        const auto x = s.value();
        using V = std::decay_t<decltype(x)>;
        const V w = policy.terms(detail::score_above_threshold<V>(((x - V(at.origin)) - V(at.high)) - V(at.low))).value;
        return ratio{w, w};
    }
    HEED_INLINE T shift_of_row() const { return T(0); }
};

/// The largest scores: what is below the threshold has no terms. All tiles have the shift of the row's largest score,
/// so that they need not know what they left out.
template <class N, class T>
struct row_normalizer<N, T, threshold_kind::rank> {
    static constexpr auto shift = N::shift;

    N policy;
    row_threshold<T> at = {};
    T number = 0;

    template <class Score>
    HEED_INLINE auto terms(Score s) const
    {
        const auto t = policy.terms(s);
        using V = std::decay_t<decltype(s.value())>;
        const auto out = s.value() < V(at.high);
        if constexpr (has_mass_v<N>) return ratio{select(out, V(0), V(t.weight)), select(out, V(0), V(t.mass))};
        else return weight{select(out, V(0), V(t.value))};
    }
    template <class P = N>
    auto log_offset(std::int64_t head) const -> decltype(std::declval<const P&>().log_offset(head))
    {
        return policy.log_offset(head);
    }
    HEED_INLINE T shift_of_row() const { return shift_for<N::shift>(at.origin); }
};

/// The score that an inner normalizer receives: as in its own pass.
template <class T>
HEED_INLINE auto shifted_by(vec<T> s, T shift)
{
    return shifted_score<T>(s, vec<T>(shift), power_of_two(vec<T>(-shift)));
}
template <class T>
HEED_INLINE detail::score_archetype shifted_by(detail::probe::number, T)
{
    return {};
}

/// A function of the inner normalizer's weights.
template <class N, class T>
struct row_normalizer<N, T, threshold_kind::share> {
    static constexpr auto shift = heed::shift::none;
    using inner = typename std::remove_cv_t<decltype(N::threshold)>::inner;

    N policy;
    row_threshold<T> at = {};
    T number = 0;

    template <class Score>
    HEED_INLINE auto terms(Score s) const
    {
        using V = std::decay_t<decltype(s.value())>;
        const V share = V(inner{}.terms(shifted_by(s.value(), at.origin)).weight) / V(at.high == T(0) ? T(1) : at.high);
        return policy.terms(detail::score_share<V>(share, V(number)));
    }
    HEED_INLINE T shift_of_row() const { return T(0); }
};

/// Where the thresholds of some rows stand: of packed queries, row 0 of a sequence is bounds[sequence].
template <class T>
struct threshold_rows {
    const row_threshold<T>* at = nullptr;
    std::int64_t first = 0, of_batch = 0, of_head = 0, of_row = 0;  // and from one to the next
    index_view bounds = {};

    HEED_INLINE const row_threshold<T>& operator()(const query_place& p) const
    {
        const std::int64_t from = bounds.size() > 0 ? bounds[p.batch] : p.batch * of_batch;
        return at[first + from + p.head * of_head + p.row * of_row];
    }
};

/// A definition whose normalizer has a threshold, beside the thresholds of rows.
template <class Def, class T>
struct thresholded : Def {
    using policy_type = typename Def::normalizer_type;
    using normalizer_type = row_normalizer<policy_type, T>;

    explicit thresholded(const Def& def, const threshold_rows<T>& of = {}) : Def(def), rows(of) {}

    /// That of no row, of which nothing is asked but what all rows share.
    normalizer_type normalizer() const { return {Def::normalizer(), {}, T(0)}; }
    HEED_INLINE normalizer_type normalizer_of(const query_place& place) const
    {
        normalizer_type n{Def::normalizer(), rows(place), T(0)};
        if constexpr (detail::has_row_number<policy_type>::value) n.number = static_cast<T>(n.policy.row(place));
        return n;
    }

    threshold_rows<T> rows;
};

template <class Def, class T>
inline constexpr bool is_thresholded_v<thresholded<Def, T>> = true;

/// The inner normalizer of a share, for scores that are mapped: `Def` is a definition of it.
template <class Def>
struct inner_definition {
    using normalizer_type = typename Def::normalizer_type::inner;
    static constexpr bool has_score_maps = Def::has_score_maps;
    static constexpr int lists = Def::lists;

    HEED_INLINE normalizer_type normalizer() const { return {}; }
};

/// The thresholds that a call knows, or leaves: dense, one for each row of q.
template <class T>
threshold_rows<T> threshold_rows_of(row_threshold<T>* at, const extents& q, index_view bounds)
{
    return {at, 0, q.heads * q.tokens, q.tokens, 1, bounds};
}

/// What kernels compute of a definition.
template <class Def, class T, bool = has_threshold_v<typename Def::normalizer_type>>
struct computed_definition {
    using type = Def;
};
template <class Def, class T>
struct computed_definition<Def, T, true> {
    using type = thresholded<Def, T>;
};
template <class Def, class T>
using computed_definition_t = typename computed_definition<Def, T>::type;

}  // namespace kernel
HEED_END
