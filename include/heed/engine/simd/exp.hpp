// SPDX-License-Identifier: MIT
// The one exponential, for float and double vectors.
//
//     s = r ln2 + f, r whole                     g = e^f - 1 = f + f^2 P(f)
//     2^-M e^s       = 2^(r-M) g + 2^(r-M)
//     2^-M (e^s - 1) = 2^(r-M) g + (2^(r-M) - 2^-M)
//
// The second line does not cancel for small s. For float, f lies in [-0.2877, 0.4055] and not in the middle: below
// -0.2877 g and f would round twice as coarsely, while the result already has half the unit in the last place. P is
// minimax on that interval for that unit and errs by 0.08 of it; e^s errs by at most 0.92 over all floats in [-104, 0].
// P for double interpolates at the Chebyshev nodes of [-ln2/2, ln2/2] and errs by 9e-19 |f|.
// Beyond |s| = 2^21 a score's own last bit is worth more than |f|: f is clamped there, so that every finite score,
// however large, has finite terms and the largest of a row weighs about 1.
#pragma once

#include "vec.hpp"

HEED_BEGIN
namespace simd {
template <class T>
struct exp_constants;

template <>
struct exp_constants<float> {
    static constexpr float log2_e = 0x1.715476p+0f;
    static constexpr float lean = 0.085f;          // of f to the positive side, in units of ln2
    static constexpr float ln2_high = 0x1.63p-1f;  // 10 bits: r * ln2_high is exact
    static constexpr float ln2_low = -0x1.bd0106p-13f;
    static constexpr float largest = 0x1p127f;  // of |r|
    static constexpr float top = 127;           // 2^top is finite,
    static constexpr float overflow = 128.4f;   // and e^s is infinite from about here on
    static constexpr float underflow = -104;    // e^s is 0 from here down
    static constexpr int lift = 64;             // 2^(r + lift) is a normal number for all e^s above that
    static constexpr float lifted = 0x1p64f, unlifted = 0x1p-64f;
    static constexpr float poly[] = {0x1.000006p-1f, 0x1.5554d2p-3f, 0x1.55438p-5f, 0x1.11f302p-7f, 0x1.808952p-10f};
};

template <>
struct exp_constants<double> {
    static constexpr double log2_e = 0x1.71547652b82fep+0;
    static constexpr double lean = 0;
    static constexpr double ln2_high = 0x1.62e42feep-1;  // 32 bits
    static constexpr double ln2_low = 0x1.a39ef35793c76p-33;
    static constexpr double largest = 0x1p1023;
    static constexpr double top = 1023;
    static constexpr double overflow = 1024.4;
    static constexpr double underflow = -746;
    static constexpr int lift = 512;
    static constexpr double lifted = 0x1p512, unlifted = 0x1p-512;
    static constexpr double poly[] = {0.5,
                                      0x1.5555555555557p-3,
                                      0x1.5555555555556p-5,
                                      0x1.11111111100dfp-7,
                                      0x1.6c16c16c162d6p-10,
                                      0x1.a01a01abe62ddp-13,
                                      0x1.a01a01a6d7808p-16,
                                      0x1.71de02375656cp-19,
                                      0x1.27e4db67b4303p-22,
                                      0x1.af4ddd84882fep-26,
                                      0x1.1f72fc730b4ffp-29};
};

/// r and g of e^s = 2^r (1 + g).
template <class T, class A>
struct exp_split {
    vec<T, A> r, g;

    /// Any s: |r| <= largest.
    HEED_INLINE exp_split(vec<T, A> s, T largest)
        : r(round(max(min(fma(s, C::log2_e, -C::lean), largest), -C::largest))),
          g(power(max(min(rest(s), T(0.55)), T(-0.55))))
    {}
    /// The same bits for s that needs no clamp.
    HEED_INLINE explicit exp_split(vec<T, A> s) : r(round(fma(s, C::log2_e, -C::lean))), g(power(rest(s))) {}

private:
    using C = exp_constants<T>;

    HEED_INLINE vec<T, A> rest(vec<T, A> s) const { return fma(r, -C::ln2_low, fma(r, -C::ln2_high, s)); }
    HEED_INLINE static vec<T, A> power(vec<T, A> f)
    {
        constexpr int degree = static_cast<int>(sizeof(C::poly) / sizeof(T));
        vec<T, A> p(C::poly[degree - 1]);
        HEED_UNROLL
        for (int i = degree - 2; i >= 0; --i) p = fma(p, f, C::poly[i]);
        return fma(f * f, p, f);
    }
};

/// e^s, at most 1 ulp; infinite above the range, gradual underflow below. 2^r in two factors that need no clamps.
template <class T, class A>
HEED_INLINE vec<T, A> exp(vec<T, A> s)
{
    using C = exp_constants<T>;
    const exp_split<T, A> e(s, C::overflow);
    const vec<T, A> r = max(e.r, T(-2) * C::top), half = round(r * vec<T, A>(T(0.5)));
    const vec<T, A> p = power_of_two_unclamped(half);
    return fma(e.g, p, p) * power_of_two_unclamped(r - half);
}

/// 2^lift e^-|s|: never subnormal, so that one clamp and one power do.
template <class T, class A>
HEED_INLINE vec<T, A> lifted_exp_neg_abs(vec<T, A> s)
{
    using C = exp_constants<T>;
    const exp_split<T, A> e(max(-abs(s), C::underflow));
    const vec<T, A> p = power_of_two_unclamped(e.r, vec<T, A>(C::lift));
    return fma(e.g, p, p);
}

/// e^-|s|, the same bits as exp(-abs(s)) for fewer operations.
template <class T, class A>
HEED_INLINE vec<T, A> exp_neg_abs(vec<T, A> s)
{
    return lifted_exp_neg_abs(s) * vec<T, A>(exp_constants<T>::unlifted);
}

/// 1 / (1 + e^-s) with relative accuracy at both ends: at most 1.7 ulp. Of 1 + e^-s = (2^r + 1) + 2^r g, what 2^r + 1
/// loses is added to the second part; all of it is divided by 2^lift, and so finite down to where the quotient is 0.
template <class T, class A>
HEED_INLINE vec<T, A> logistic(vec<T, A> s)
{
    using C = exp_constants<T>;
    const exp_split<T, A> e(min(max(-s, T(-40)), -C::underflow));  // from 40 on it is 1
    const vec<T, A> p = power_of_two_unclamped(e.r, vec<T, A>(-C::lift)), one(C::unlifted);
    const vec<T, A> sum = p + one;
    return one / (sum + fma(e.g, p, one - (sum - p)));
}

/// e^s - 1, relative accuracy for small s too.
template <class T, class A>
HEED_INLINE vec<T, A> expm1(vec<T, A> s)
{
    const exp_split<T, A> e(s, exp_constants<T>::overflow);
    const vec<T, A> r = min(e.r, exp_constants<T>::top), p = power_of_two(r), rest = power_of_two(e.r - r);
    return fma(e.g, p, p - vec<T, A>(1) / rest) * rest;
}

/// tanh s = (1 - e^-2|s|) / (1 + e^-2|s|), odd by construction. The divisor is at most 2, so that what is rounded before
/// the division is worth no more units in the last place behind it: at most 2 ulp, 2.1 in double.
template <class T, class A>
HEED_INLINE vec<T, A> tanh(vec<T, A> s)
{
    const exp_split<T, A> e(min(abs(s), T(std::numeric_limits<T>::digits)) * vec<T, A>(-2));
    const vec<T, A> p = power_of_two_unclamped(e.r), one(1);
    return copysign(fma(e.g, p, p - one) / fma(e.g, p, p + one), s);
}

/// How far a row's scores lie from its shift: `near` ones need no clamp, and 2^-M e^s is a normal number.
enum class range { any, near };

/// Whether all scores between these are near a shift.
template <class T>
HEED_INLINE bool is_near(T lowest, T highest, T shift)
{
    using C = exp_constants<T>;
    return lowest > T(-1e6) && highest < T(1e6) && lowest * C::log2_e > shift - (C::top - 3) &&
           highest * C::log2_e < shift + (C::top - 3);
}

/// How far scores are from a shift: all_near() of these distances says whether the scores are near it, as is_near()
/// does.
template <class T, class A>
HEED_INLINE vec<T, A> distance(vec<T, A> s, vec<T, A> shift)
{
    using C = exp_constants<T>;
    return max(abs(s * vec<T, A>(C::log2_e) - shift), abs(s) * vec<T, A>((C::top - 3) / T(1e6)));
}
template <class T, class A>
HEED_INLINE bool all_near(vec<T, A> distances)
{
    return all(distances < vec<T, A>(exp_constants<T>::top - 3));
}

/// A score, seen from a row's shift M: what a normalizer's terms() receives in the kernels.
template <class T, class A = native_arch, range Range = range::any>
class shifted_score {
    using V = vec<T, A>;

public:
    HEED_INLINE shifted_score(V s, V shift, V one) : s_(s), shift_(shift), one_(one) {}

    HEED_INLINE V value() const { return s_; }
    HEED_INLINE V one() const { return one_; }
    HEED_INLINE V exp() const
    {
        const auto e = split();
        const V p = power(e.r);
        return fma(e.g, p, p);
    }
    HEED_INLINE V expm1() const
    {
        const auto e = split();
        const V p = power(e.r);
        return fma(e.g, p, p - one_);
    }

private:
    HEED_INLINE exp_split<T, A> split() const
    {
        if constexpr (Range == range::near) return exp_split<T, A>(s_);
        else return {s_, exp_constants<T>::largest};
    }
    /// 2^(r - shift)
    HEED_INLINE V power(V r) const
    {
        if constexpr (Range == range::near) return power_of_two_unclamped(r, V(0) - shift_);
        else return power_of_two(r - shift_);
    }

    V s_, shift_, one_;
};

}  // namespace simd

// What functors call.
using simd::exp;
using simd::exp_neg_abs;
using simd::expm1;
using simd::logistic;
using simd::tanh;

HEED_END
