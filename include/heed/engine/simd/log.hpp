// SPDX-License-Identifier: MIT
// The natural logarithm, and what is made of it, for float and double vectors.
//
//     x = 2^k m, m in [sqrt 1/2, sqrt 2)     f = m - 1     s = f / (2 + f)     z = s^2
//     ln x = k ln2 + f - s (f - z Q(z))
//
// for ln(1 + f) = 2 artanh s = 2 s + s z Q(z), and 2 s = f - s f. f is exact, and what is subtracted from it is at most
// a fourteenth of it: ln x errs by at most 0.92 ulp over all floats in [1/4, 4], and 0.85 ulp was found in double. Q is
// minimax for z Q(z) and errs by 8e-10 (float) and 1.2e-18 (double) of the result.
#pragma once

#include "exp.hpp"

HEED_BEGIN
namespace simd {
template <class T>
struct log_constants;

template <>
struct log_constants<float> {
    static constexpr float ln2_high = 0x1.63p-1f;  // 10 bits: k * ln2_high is exact
    static constexpr float ln2_low = -0x1.bd0106p-13f;
    static constexpr float poly[] = {0x1.55557ap-1f, 0x1.995ebap-2f, 0x1.31e2f2p-2f};
};

template <>
struct log_constants<double> {
    static constexpr double ln2_high = 0x1.62e42feep-1;  // 32 bits
    static constexpr double ln2_low = 0x1.a39ef35793c76p-33;
    static constexpr double poly[] = {0x1.5555555555592p-1, 0x1.999999997fdb9p-2, 0x1.24924941f10acp-2,
                                      0x1.c71c520973264p-3, 0x1.74663ee3c34ffp-3, 0x1.39a1bb32f0b06p-3,
                                      0x1.2f055e8c986adp-3};
};

/// x = fraction * 2^exponent with the fraction in [sqrt 1/2, sqrt 2), for every positive finite x.
template <class T, class A>
HEED_INLINE vec<T, A> split_exponent(vec<T, A> x, vec<T, A>& exponent)
{
    auto e = raw(x);
    const auto fraction = arch::split_exponent(raw(x), e);
    exponent = native_vec<T, A>(e);
    return native_vec<T, A>(fraction);
}

/// ln x, whose small terms pass through `corrected` before they are added to the large ones.
template <class T, class A, class F>
HEED_INLINE vec<T, A> corrected_log(vec<T, A> x, F corrected)
{
    using V = vec<T, A>;
    using C = log_constants<T>;
    constexpr T infinity = libm::infinity<T>;
    constexpr int degree = static_cast<int>(sizeof(C::poly) / sizeof(T));
    V k;
    const V f = split_exponent(x, k) - V(1), s = f / (V(2) + f), z = s * s;
    V q(C::poly[degree - 1]);
    HEED_UNROLL
    for (int i = degree - 2; i >= 0; --i) q = fma(q, z, C::poly[i]);
    const V rest = corrected(fma(-s, fma(-z, q, f), k * V(C::ln2_low)));
    const V result = fma(k, C::ln2_high, f + rest);
    const V other = select(x == V(0), V(-infinity), select(x > V(0), x, V(libm::quiet_nan<T>)));
    return select((x > V(0)) & (x < V(infinity)), result, other);
}

/// ln x, subnormal numbers included; -inf for 0, NaN for what is negative.
template <class T, class A>
HEED_INLINE vec<T, A> log(vec<T, A> x)
{
    return corrected_log(x, [](vec<T, A> rest) HEED_INLINE_LAMBDA { return rest; });
}
/// ln(1 + x) with relative accuracy for small x: what the sum u = 1 + x loses is added as (x - (u - 1)) / u.
template <class T, class A>
HEED_INLINE vec<T, A> log1p(vec<T, A> x)
{
    using V = vec<T, A>;
    const V u = V(1) + x;
    // The larger of 1 and x is subtracted first: that difference is exact.
    const V lost = select(x > V(1), V(1) - (u - x), x - (u - V(1))) / u;
    const V y = corrected_log(u, [&](V rest) HEED_INLINE_LAMBDA { return rest + lost; });
    return select(u == V(1), x, y);
}

/// ln(1 + z) for z in [0, 1]. Of float z + z^2 P(z), without a division: P is minimax for the relative error of that
/// sum, and errs by 0.11 units in the last place.
template <class A>
HEED_INLINE vec<float, A> log1p_of_share(vec<float, A> z)
{
    constexpr float c[] = {-0x1.ffffd2p-2f, 0x1.554dd0p-2f,  -0x1.ff23e6p-3f, 0x1.934b54p-3f, -0x1.3a4360p-3f,
                           0x1.b4ae20p-4f,  -0x1.d6b1d0p-5f, 0x1.491c9ap-6f,  -0x1.af5e86p-9f};
    using V = vec<float, A>;
    const auto pair = [&](int i) HEED_INLINE_LAMBDA { return fma(V(c[i + 1]), z, c[i]); };
    const V z2 = z * z, z4 = z2 * z2;
    const V low = fma(pair(2), z2, pair(0)), high = fma(pair(6), z2, pair(4));
    const V p = fma(fma(V(c[8]), z4, high), z4, low);
    return fma(z2, p, z);
}
template <class A>
HEED_INLINE vec<double, A> log1p_of_share(vec<double, A> z)
{
    return log1p(z);
}

/// ln(1 + e^x), which is e^x for x far below 0, down to the smallest number, and x far above.
template <class T, class A>
HEED_INLINE vec<T, A> softplus(vec<T, A> x)
{
    return max(x, T(0)) + log1p_of_share(exp_neg_abs(x));
}

}  // namespace simd

// What functors call.
using simd::log;
using simd::log1p;
using simd::softplus;

HEED_END
