// SPDX-License-Identifier: MIT
// The functions that policies are written in. A normalizer or score map is generic in V = float, double, long double or
// a SIMD vector. This file has the scalar half, engine/simd/ the same list for vectors. Each function errs by at most
// 2 ulp, tanh of double by 2.1:
//
//     abs copysign exp exp_neg_abs expm1 fma log log1p logistic max min select softplus sqrt tanh
//
// Beside them a functor may use + - * / and their compound assignments, and < <= > >= == != with a scalar on either
// side, whose result goes into select(): a ?: or an if needs one bool, and a vector has one for each lane. A policy
// outside namespace heed writes heed::exp(x): for scalars nothing finds the plain name. One that must know whether V is
// a scalar asks heed::lanes_of<V>::count == 1.
#pragma once

#include "config.hpp"
#include "libm.hpp"

#include <cstdint>
#include <limits>
#include <type_traits>

HEED_BEGIN

/// T, where a scalar is meant: float, double or long double.
template <class T>
using if_scalar = std::enable_if_t<std::is_floating_point_v<T>, T>;

/// Keeps a parameter out of template argument deduction, so that max(t, 0) works for every V.
template <class T>
struct identity {
    using type = T;  ///< T itself
};
/// T of an argument that does not say what T is, and is converted to it.
template <class T>
using identity_t = typename identity<T>::type;

/// The larger; a NaN in the first argument is kept.
template <class T>
constexpr if_scalar<T> max(T a, identity_t<T> b)
{
    return b > a ? b : a;
}

/// The smaller; a NaN in the first argument is kept.
template <class T>
constexpr if_scalar<T> min(T a, identity_t<T> b)
{
    return b < a ? b : a;
}

/// |a|.
template <class T>
if_scalar<T> abs(T a)
{
    return libm::fabs(a);
}

/// |magnitude| with the sign of `sign`, that of -0 too.
template <class T>
if_scalar<T> copysign(T magnitude, identity_t<T> sign)
{
    return libm::copysign(magnitude, sign);
}

/// a * b + c, rounded once.
template <class T>
if_scalar<T> fma(T a, identity_t<T> b, identity_t<T> c)
{
    return libm::fma(a, b, c);
}

/// One of two that are both computed; lane by lane for vectors.
template <class T>
constexpr if_scalar<T> select(bool condition, T yes, identity_t<T> no)
{
    return condition ? yes : no;
}

/// e^a.
template <class T>
if_scalar<T> exp(T a)
{
    return libm::exp(a);
}

/// e^-|a|, which is at most 1: a function that is written in terms of it, as logistic() is, overflows at neither end.
template <class T>
if_scalar<T> exp_neg_abs(T a)
{
    return libm::exp(-libm::fabs(a));
}

/// 1 / (1 + e^-a) with relative accuracy at both ends.
template <class T>
if_scalar<T> logistic(T a)
{
    if constexpr (sizeof(T) == 4) return static_cast<T>(logistic(static_cast<double>(a)));
    if (a >= -1) return 1 / (1 + libm::exp(-a));
    const T z = libm::exp(a);  // e^-a may be infinite
    return libm::fma(-z, z / (1 + z), z);
}

/// e^a - 1 with relative accuracy for small a.
template <class T>
if_scalar<T> expm1(T a)
{
    return libm::expm1(a);
}

/// (e^a - e^-a) / (e^a + e^-a) with relative accuracy for small a.
template <class T>
if_scalar<T> tanh(T a)
{
    using wide = std::conditional_t<sizeof(T) == 4, double, T>;  // glibc's tanhf errs by more than 2 ulp
    return static_cast<T>(libm::tanh(static_cast<wide>(a)));
}

/// ln a.
template <class T>
if_scalar<T> log(T a)
{
    return libm::log(a);
}

/// ln(1 + a) with relative accuracy for small a.
template <class T>
if_scalar<T> log1p(T a)
{
    return libm::log1p(a);
}

/// ln(1 + e^a) with relative accuracy at both ends: e^a far below 0, a far above.
template <class T>
if_scalar<T> softplus(T a)
{
    return max(a, 0) + libm::log1p(exp_neg_abs(a));
}

/// The root of a >= 0, rounded once.
template <class T>
if_scalar<T> sqrt(T a)
{
    return libm::sqrt(a);
}

/// The smaller of two sizes.
inline constexpr std::int64_t min_of(std::int64_t a, std::int64_t b) { return b < a ? b : a; }
/// The larger of two sizes.
inline constexpr std::int64_t max_of(std::int64_t a, std::int64_t b) { return b > a ? b : a; }
/// a / b for a >= 0, rounded up.
inline constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
/// The greatest; of 0 and b it is b.
inline constexpr std::uint64_t common_divisor(std::uint64_t a, std::uint64_t b)
{
    while (b > 0) {
        const std::uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}
/// The next multiple of b from a >= 0 on.
inline constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// How V lays out keys. A scalar is one lane; engine/simd/lanes.hpp specialises it for vectors.
template <class V>
struct lanes_of {
    using element = V;                                                   ///< the type of a lane
    static constexpr int count = 1;                                      ///< how many lanes V has
    static V iota(std::int64_t first) { return static_cast<V>(first); }  ///< first, first + 1, ...
    /// The first `valid` of the numbers from p on; lanes behind them are 0, and nothing is read for them.
    template <class E>
    static V load(const E* p, std::int64_t /*valid*/)
    {
        return static_cast<V>(*p);
    }
};

HEED_END
