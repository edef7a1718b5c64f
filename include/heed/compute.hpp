// SPDX-License-Identifier: MIT
// What the two products are computed in, where that is not float or double.
#pragma once

#include "base/element.hpp"

HEED_BEGIN

namespace detail {
template <class E, int OperandBits>
inline constexpr bool has_products = false;
template <>
inline constexpr bool has_products<bf16, 16> = true;
template <>
inline constexpr bool has_products<std::int8_t, 16> = true;
template <>
inline constexpr bool has_products<std::int8_t, 8> = true;
}  // namespace detail

/// What the two products are computed in. float and double need no name. compute<bf16> takes q, k and v of bf16 and
/// rounds the weights to bf16 (2^-8), for dot products of pairs (AVX512-BF16, ARM's BFDOT): twice the multiply-adds. It
/// is an error class of its own: with p_j the weights, u_j the masses over the denominator,
///
///     |o - exact| <= about 2^-8 (sum_j p_j |v_j| + |o| sum_j u_j)
///
/// and as the mass is the sum of the rounded terms, errors of one sign cancel: equal keys give their V exactly. Numbers
/// below 2^-126 count as 0. The bits depend on query and keys alone as ever, but x86 and ARM have each their own: x86
/// rounds after every product, to nearest, and BFDOT after the sum of two, to odd. Elsewhere plan.status() says that
/// the build has no such products.
///
/// compute<std::int8_t> multiplies K and V as they are stored, whole numbers of 8 bits or less times a scale (int8,
/// q8_0, q4_0), by queries and weights that are rounded to whole numbers of 16 bits; compute<std::int8_t, 8> rounds
/// them to 8 bits. Sums of products are exact, so that the bits are the same on every machine with FMA. A row of
/// queries q, already multiplied by the scale of scores and those of channels, has one step, and so have the weights of
/// a row in a key tile, multiplied by the scales of their values (v is d n, a scale and a whole number; in blocks of
/// channels, one step a block):
///
///     step_q = max_c |q_c| / L          |q_c - rounded| <= step_q / 2          L = 32639 for 16 bits, 127 for 8
///     step_p = max_j |w_j d_j| / L      |w_j d_j - rounded| <= step_p / 2
///
///     |s_j - exact| <= step_q / 2 sum_c |k_jc|     |o_c - exact| <= sum over tiles (step_p / 2 sum_j |n_jc|) / mass
///
/// the latter for given weights, and both but for roundings in float. L is less for more than 514 channels in one sum,
/// (2^31 - 1) / (128 channels); steps are at least 2^-126. A row whose q, or whose weight of an attended key, is not
/// finite is NaN. There is no backward pass and no observe() in it.
template <class E, int OperandBits = 16>
struct compute {
    static_assert(detail::has_products<E, OperandBits>,
                  "heed: compute<E> exists for bf16 and std::int8_t, and compute<std::int8_t, bits> for 16 and 8");
};

namespace detail {

template <class P>
inline constexpr bool is_compute_v = false;
template <class E, int OperandBits>
inline constexpr bool is_compute_v<compute<E, OperandBits>> = true;
/// Bits of the operands of products of integers, or 0.
template <class P>
inline constexpr int integer_bits_v = 0;
template <int OperandBits>
inline constexpr int integer_bits_v<compute<std::int8_t, OperandBits>> = OperandBits;

}  // namespace detail
HEED_END
