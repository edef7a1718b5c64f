// SPDX-License-Identifier: MIT
// The functions that functors call: their accuracy over the whole range, what they do at its ends, and that they can be
// written alike for scalars and vectors.
#include <heed/heed.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

template <class T, class Real>
double ulps(T got, Real exact)
{
    if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e9;
    if (std::isinf(exact) || exact == 0) return got == static_cast<T>(exact) ? 0 : 1e9;
    if (std::fabs(exact) > std::numeric_limits<T>::max()) return std::isinf(got) ? 0 : 1e9;
    const int exponent = std::max(std::ilogb(exact) + 1, std::numeric_limits<T>::min_exponent);
    return static_cast<double>(std::fabs(static_cast<Real>(got) - exact) *
                               std::ldexp(Real(1), std::numeric_limits<T>::digits - exponent));
}

template <class T>
using wide = std::conditional_t<sizeof(T) == 4, double, long double>;

/// Numbers of every magnitude between the smallest and the largest, of both signs, and what is special.
template <class T>
std::vector<T> samples(T lowest, T highest)
{
    std::mt19937_64 random(7);
    std::vector<T> x;
    const int low = std::numeric_limits<T>::min_exponent - 20, high = std::numeric_limits<T>::max_exponent;
    std::uniform_int_distribution<int> exponent(low, high);
    std::uniform_real_distribution<T> fraction(T(0.5), T(1)), near(-30, 30);
    while (x.size() < 200'000) {
        const T a = std::ldexp(fraction(random), exponent(random)), b = near(random), c = std::ldexp(b, -5);
        for (const T y : {a, -a, b, c})
            if (y >= lowest && y <= highest) x.push_back(y);
    }
    for (const T y : {T(0), T(-0.0), T(1), T(-1), std::numeric_limits<T>::infinity(),
                      -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()})
        x.push_back(y);
    while (x.size() % 16 != 0) x.push_back(T(1));
    return x;
}

/// The largest error of f(vector) and of f(scalar) against `exact` in wider numbers.
template <class T, class F, class Exact>
void within(const char* name, double most, T lowest, T highest, F f, Exact exact)
{
    using V = heed::simd::vec<T>;
    const std::vector<T> x = samples(lowest, highest);
    double worst = 0, worst_scalar = 0;
    for (std::size_t i = 0; i < x.size(); i += static_cast<std::size_t>(V::lanes)) {
        T y[V::lanes];
        heed::simd::store(y, f(heed::simd::load(&x[i])));
        for (int k = 0; k < V::lanes; ++k) {
            const T at = x[i + static_cast<std::size_t>(k)];
            const wide<T> e = exact(static_cast<wide<T>>(at));
            const double error = ulps(y[k], e), scalar = ulps(f(at), e);
            if (!(error <= most)) FAIL(name << "(" << at << ") = " << y[k] << ", " << error << " ulp off");
            if (!(scalar <= most)) FAIL(name << "(" << at << ") = " << f(at) << ", " << scalar << " ulp off, scalar");
            worst = std::max(worst, error);
            worst_scalar = std::max(worst_scalar, scalar);
        }
    }
    std::printf("%s of %s: largest error %.3f ulp, scalar %.3f\n", name, sizeof(T) == 4 ? "float" : "double", worst,
                worst_scalar);
    CHECK(worst > 0.1);  // or nothing was compared
}

}  // namespace

TEMPLATE_TEST_CASE("functions that functors call err by at most 2 ulp, tanh of double by 2.1", "", float, double)
{
    using T = TestType;
    constexpr T largest = std::numeric_limits<T>::max(), infinity = std::numeric_limits<T>::infinity();
    const T bottom = sizeof(T) == 4 ? T(-87) : T(-708);  // e^x is a normal number
    within<T>(
        "log1p", 2, -infinity, largest, [](auto x) { return heed::log1p(x); }, [](auto x) { return std::log1p(x); });
    within<T>(
        "log", 2, -infinity, largest, [](auto x) { return heed::log(x); }, [](auto x) { return std::log(x); });
    within<T>(
        "softplus", 2, bottom, largest, [](auto x) { return heed::softplus(x); },
        [](auto x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); });
    within<T>(
        "logistic", 2, bottom, largest, [](auto x) { return heed::logistic(x); },
        [](auto x) { return x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); });
    within<T>(
        "exp", 2, bottom, largest, [](auto x) { return heed::exp(x); }, [](auto x) { return std::exp(x); });
    within<T>(
        "expm1", 2, -largest, largest, [](auto x) { return heed::expm1(x); }, [](auto x) { return std::expm1(x); });
    within<T>(
        "tanh", sizeof(T) == 4 ? 2 : 2.1, -largest, largest, [](auto x) { return heed::tanh(x); }, [](auto x) { return std::tanh(x); });
    within<T>(
        "sqrt", 0.501, -largest, largest, [](auto x) { return heed::sqrt(x); }, [](auto x) { return std::sqrt(x); });
}

TEST_CASE("softplus keeps relative accuracy to its smallest values")
{
    for (const float x : {-17.f, -50.f, -87.f}) {
        const double exact = std::exp(static_cast<double>(x));
        float y[heed::simd::vec<float>::lanes];
        heed::simd::store(y, heed::softplus(heed::simd::vec<float>(x)));
        CHECK(std::fabs(y[0] - exact) < 2e-7 * exact);
        CHECK(std::fabs(heed::softplus(x) - exact) < 2e-7 * exact);
    }
    CHECK(heed::softplus(-100.f) > 0);
}

namespace {

/// Weight softplus(s)^2 where s > -1, written once for scalars and vectors: compound assignment, comparisons with a
/// scalar on either side.
struct squared_softplus {
    static constexpr auto shift = heed::shift::none;
    template <class Score>
    auto terms(Score s) const
    {
        auto x = s.value();
        x += 1;
        x -= 1;
        x *= 2;
        x /= 2;
        auto w = heed::softplus(x);
        w *= w;
        w = heed::select(x > -1, w, 0);
        w = heed::select(-1 < x, w, 0);
        w = heed::select(x != x, x, w);
        return heed::ratio{w, w};
    }
};

}  // namespace

TEST_CASE("a functor in compound assignments and comparisons on either side is attended by kernels and reference alike")
{
    std::mt19937_64 random(3);
    std::normal_distribution<float> normal;
    std::vector<float> q(4 * 16), k(70 * 16), out(4 * 16);
    for (float& x : q) x = normal(random);
    for (float& x : k) x = normal(random);
    std::vector<double> expected(out.size());
    const auto Q = heed::bhsd(q, {1, 1, 4, 16}), K = heed::bhsd(k, {1, 1, 70, 16});
    const heed::attention def{squared_softplus{}};
    REQUIRE(heed::attend(def, Q, K, K, heed::bhsd(out, {1, 1, 4, 16})));
    REQUIRE(heed::reference(def, Q, K, K, heed::bhsd(expected, {1, 1, 4, 16})));
    for (std::size_t i = 0; i < out.size(); ++i) CHECK(std::fabs(out[i] - expected[i]) < 2e-6);
}
