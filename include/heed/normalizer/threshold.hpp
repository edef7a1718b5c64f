// SPDX-License-Identifier: MIT
// Thresholds: a number of the whole row that its normalizer asks for before any weight is known. There are three kinds,
// because only three statistics of a row occur: a root, a rank, a sum.
//
//     struct entmax15 {                                              // sum_j w(s_ij - tau_i) = 1
//         static constexpr auto threshold = heed::sum_is_one(2, 2);  // w(2) = 1; w(2 x) = 2^2 w(x)
//         template <class Score> auto terms(Score s) const           // s.value() is s_ij - tau_i
//         {
//             const auto x = heed::max(s.value() * 0.5, 0);
//             return heed::weight{x * x};
//         }
//         template <class Score> auto slopes(Score s) const;         // weight{w'}; optional: backward
//     };
//
//     struct top_k : heed::softmax {                                 // scores below the k-th largest are no keys
//         static constexpr auto threshold = heed::rank;
//         std::int64_t k;
//         std::int64_t rank(std::int64_t head) const { return k; }
//     };
//
//     struct elastic {                                               // a function of softmax's weights
//         static constexpr auto threshold = heed::share_of<heed::softmax>{};
//         double row(const heed::query_place& at) const;             // s.row(); optional
//         double least_share(const heed::query_place& at) const;     // at which a weight is 0, and below; optional
//         template <class Score> auto terms(Score s) const           // s.share() is p_ij of softmax
//         {
//             return heed::weight{heed::max(s.share() + s.row(), 0)};
//         }
//         template <class Score> auto slopes(Score s) const;         // weight{d w / d share}; optional: backward
//     };
#pragma once

#include "../base/place.hpp"
#include "../base/probe.hpp"
#include "../base/view.hpp"

HEED_BEGIN

/// The threshold tau_i is the number at which the weights of a row sum to 1. terms() returns weight{w(s.value())} with
/// w(x) = 0 for x <= 0, w growing and w(reach) >= 1; `degree` says that w(c x) = c^degree w(x), and is 1 where that is
/// not known: it makes the search shorter, and nothing else.
///
/// tau is defined, not computed: with m the largest score of a row, and sums exact of weights rounded to multiples of
/// 2^-48 (of double 2^-49), tau - m is the largest number t of T for which sum_j w((s_ij - m) - t) >= 1, and a second
/// number below its last bit that takes the sum to 1. So it does not depend on the order of keys.
struct sum_is_one {
    double reach, degree;  ///< w(reach) >= 1; w(c x) = c^degree w(x)

    /// Both are above 0.
    constexpr explicit sum_is_one(double where_w_is_one, double degree_of_w = 1)
        : reach(where_w_is_one), degree(degree_of_w)
    {}
};

/// The threshold is the rank(head)-th largest score of a row: keys below it are left out, and all that equal it stay.
struct rank_rule {};
inline constexpr rank_rule rank{};  ///< the rule of a normalizer that has rank(head)

/// terms() is a function of the weights, s.share(), that another normalizer gives.
template <class Normalizer>
struct share_of {
    using inner = Normalizer;  ///< the normalizer whose weights s.share() are
};

/// What attend() found out of a row before it weighed: of sum_is_one origin = m, the largest score, and tau = m + high
/// + low; of rank origin = m and high = the k-th largest score itself; of share_of the shift M and the denominator of
/// the inner normalizer. Zeros for a row without keys.
template <class T>
struct row_threshold {
    using number = T;  ///< the type that is computed in

    T origin = 0, high = 0, low = 0;  ///< as said above of each kind of threshold
};

/// A policy that says where attend() leaves the thresholds of rows: one for each [B, Hq, Sq], dense, of packed queries
/// [Hq, rows]; float, or double for double tensors.
///
///     std::vector<heed::row_threshold<float>> taus(B * Hq * Sq);
///     heed::attend(heed::attention{heed::entmax15{}, heed::keep_thresholds{taus}}, q, k, v, out);
///
/// `slope_out`, of the size of out and overlapping nothing, is for gradients: of sum_is_one and of share_of, where
/// thresholds move with scores, attend() leaves there what is attended by slopes,
///
///     o'_i = sum_j w'(s_ij - tau_i) v_j / sum_j w'(s_ij - tau_i)          of a share a_ij: sum_j w'(a_ij) a_ij v_j
template <class T>
struct keep_thresholds {
    number_view<row_threshold<T>> rows;  ///< [B, Hq, Sq], or [Hq, rows]
    view<T> slope_out;                   ///< of the size of out, or none

    /// Where thresholds go, and where what is attended by slopes does.
    explicit keep_thresholds(number_view<row_threshold<T>> of_rows, view<T> of_slopes = {})
        : rows(of_rows), slope_out(of_slopes)
    {}
};
template <class C, class... View>
keep_thresholds(C&&, View...) -> keep_thresholds<typename std::remove_const_t<detail::element_of_container<C>>::number>;
template <class T, class... View>
keep_thresholds(row_threshold<T>*, View...) -> keep_thresholds<T>;

/// A policy that says what the thresholds of rows are: those that attend() left. With it weights are ordinary weights
/// of a score, so that keys may come in parts, and be observed:
///
///     heed::attention known{heed::entmax15{}, heed::known_thresholds{taus}};
///     heed::observe(known, q, k, {shift, mass}, {.zeros = zeros});
///
/// backward() reads `slope_out`, too.
template <class T>
struct known_thresholds {
    number_view<row_threshold<T>> rows;  ///< [B, Hq, Sq], or [Hq, rows]
    view<const T> slope_out;             ///< of the size of out, or none

    /// What attend() left in keep_thresholds.
    explicit known_thresholds(number_view<row_threshold<T>> of_rows, view<const T> of_slopes = {})
        : rows(of_rows), slope_out(of_slopes)
    {}
};
template <class C, class... View>
known_thresholds(C&&, View...)
    -> known_thresholds<typename std::remove_const_t<detail::element_of_container<C>>::number>;
template <class T, class... View>
known_thresholds(row_threshold<T>*, View...) -> known_thresholds<T>;

namespace detail {

enum class threshold_kind { none, sum, rank, share, unsound };

template <class Rule>
inline constexpr threshold_kind kind_of_rule = threshold_kind::unsound;
template <>
inline constexpr threshold_kind kind_of_rule<sum_is_one> = threshold_kind::sum;
template <>
inline constexpr threshold_kind kind_of_rule<rank_rule> = threshold_kind::rank;
template <class N>
inline constexpr threshold_kind kind_of_rule<share_of<N>> = threshold_kind::share;

template <class N, class = void>
inline constexpr threshold_kind threshold_kind_v = threshold_kind::none;
template <class N>  // a constant of the type: a normalizer may hold a number of that name
inline constexpr threshold_kind threshold_kind_v<N, std::enable_if_t<std::is_pointer_v<decltype(&N::threshold)>>> =
    kind_of_rule<std::remove_cv_t<decltype(N::threshold)>>;

/// What terms() of a normalizer with a sum receives.
template <class V>
class score_above_threshold {
public:
    HEED_INLINE explicit score_above_threshold(V distance) : distance_(distance) {}
    HEED_INLINE V value() const { return distance_; }

private:
    V distance_;
};

/// What terms() of a share receives.
template <class V>
class score_share {
public:
    HEED_INLINE score_share(V share, V row) : share_(share), row_(row) {}
    HEED_INLINE V share() const { return share_; }
    HEED_INLINE V row() const { return row_; }

private:
    V share_, row_;
};

template <class P>
inline constexpr bool keeps_thresholds_v = false;
template <class T>
inline constexpr bool keeps_thresholds_v<keep_thresholds<T>> = true;
template <class P>
inline constexpr bool knows_thresholds_v = false;
template <class T>
inline constexpr bool knows_thresholds_v<known_thresholds<T>> = true;
template <class P>
inline constexpr bool is_threshold_table_v = keeps_thresholds_v<P> || knows_thresholds_v<P>;

/// Whether a table is one of T's thresholds.
template <class T, class Table>
inline constexpr bool is_table_of_v =
    std::is_same_v<Table, keep_thresholds<T>> || std::is_same_v<Table, known_thresholds<T>>;

template <class N, class = void>
struct has_rank : std::false_type {};
template <class N>
struct has_rank<N, std::void_t<decltype(std::int64_t{std::declval<const N&>().rank(std::int64_t{})})>>
    : std::true_type {};

template <class N, class = void>
struct has_row_number : std::false_type {};
template <class N>
struct has_row_number<N, std::void_t<decltype(double{std::declval<const N&>().row(query_place{})})>> : std::true_type {
};
HEED_NAMES_MEMBER(row, has_row_number)

template <class N, class = void>
struct has_least_share : std::false_type {};
template <class N>
struct has_least_share<N, std::void_t<decltype(double{std::declval<const N&>().least_share(query_place{})})>>
    : std::true_type {};
HEED_NAMES_MEMBER(least_share, has_least_share)

}  // namespace detail

/// True for a normalizer that asks for a threshold.
template <class N>
inline constexpr bool has_threshold_v = detail::threshold_kind_v<N> != detail::threshold_kind::none;

/// True where the threshold moves with the scores, so that gradients need slope_out. (A rank stays where it is.)
template <class N>
inline constexpr bool needs_slope_out_v = detail::threshold_kind_v<N> == detail::threshold_kind::sum ||
                                          detail::threshold_kind_v<N> == detail::threshold_kind::share;

HEED_END
