// SPDX-License-Identifier: MIT
// Normalizers with an order: keys take their shares one after the other, the newest first, of what newer ones left.
//
//     p_ij = w(s_ij) e^-U_ij          U_ij = sum_{k > j} u(s_ik), of the keys k that the row attends
//
//     struct stick_breaking {                                         // e^-u is what a key leaves of what it finds
//         static constexpr auto order = heed::order::from_the_right;
//         template <class Score> auto terms(Score s) const
//         {
//             return heed::ratio{heed::logistic(s.value()), heed::softplus(s.value())};
//         }
//     };
//
// The mass u is at least 0 and grows with what a key takes; the mass of a row is the sum of it, and e^-U the remainder
// that is left to older keys. Nothing is divided by it. s.exp() and so on are those of the shift M = 0.
//
// A row ends with the key tile (heed::key_tile keys) in which its remainder underflows: at U = 104, of double 746.
// Older tiles have weights of 0: they are not read where nobody else needs them, nothing in them reaches the row, NaN
// included, and its mass is the sum up to there.
#pragma once

#include "../base/config.hpp"

#include <type_traits>

HEED_BEGIN

/// The order in which keys of a row take their shares.
enum class order {
    from_the_right,  ///< the newest attended key first, at the largest position
};

namespace detail {

template <class N, class = void>
struct names_order : std::false_type {};
template <class N>
struct names_order<N, std::void_t<decltype(N::order)>> : std::true_type {};

template <class N, class = void>
struct has_order : std::false_type {};
template <class N>
struct has_order<N, std::enable_if_t<std::is_same_v<std::remove_cv_t<decltype(N::order)>, order>>> : std::true_type {};

}  // namespace detail

/// True for a normalizer whose keys take their shares in an order.
template <class N>
inline constexpr bool has_order_v = detail::has_order<N>::value;

HEED_END
