// SPDX-License-Identifier: MIT
// Rotations against the matrix itself, and what they are for: products stay, rows come back, and a cache of int8 loses
// less where a few channels of K are far larger than the rest.
#include "../tensors.hpp"

#include <heed/hadamard.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <iomanip>
#include <iostream>

namespace {

using namespace test;

constexpr int64 largest = 8192;

/// Whether i and j have an odd number of bits in common.
bool is_negative(int64 i, int64 j) { return __builtin_popcountll(static_cast<unsigned long long>(i & j)) % 2 != 0; }

/// R x by the matrix: x of dim numbers, with signs or without.
template <class Real, class T>
std::vector<Real> by_matrix(const T* x, int64 dim, const float* signs)
{
    std::vector<Real> y;
    for (int64 i = 0; i < dim; ++i) {
        Real sum = 0;
        for (int64 j = 0; j < dim; ++j) {
            const Real term = static_cast<Real>(x[j]) * (signs ? static_cast<Real>(signs[j]) : 1);
            sum += is_negative(i, j) ? -term : term;
        }
        y.push_back(sum / std::sqrt(static_cast<Real>(dim)));
    }
    return y;
}

template <class Real, class A, class B>
Real distance(const A* a, const B* b, int64 dim)
{
    Real sum = 0;
    for (int64 c = 0; c < dim; ++c) sum += std::pow(static_cast<Real>(a[c]) - static_cast<Real>(b[c]), 2);
    return std::sqrt(sum);
}
template <class Real, class T>
Real norm(const T* x, int64 dim)
{
    const std::vector<T> zero(static_cast<std::size_t>(dim));
    return distance<Real>(x, zero.data(), dim);
}

/// The bound of one rotation in terms of the norm of a row: a rounding for each stage, two for the factor.
template <class T, class Real>
Real bound(int64 dim)
{
    Real roundings = 2;
    for (int64 d = dim; d > 1; d /= 2) ++roundings;
    const Real u = static_cast<Real>(std::numeric_limits<T>::epsilon()) / 2;
    return std::pow(1 + u, roundings) - 1;
}

std::vector<float> random_signs()
{
    std::mt19937_64 random(3);
    std::vector<float> signs(largest);
    for (float& s : signs) s = random() % 2 == 0 ? 1.f : -1.f;
    return signs;
}

/// Sum of squared differences in terms of that of `exact`.
double squared_error(const tensor<float>& out, const tensor<float>& exact)
{
    const auto n = static_cast<int64>(exact.data.size());
    return std::pow(distance<double>(out.data.data(), exact.data.data(), n) / norm<double>(exact.data.data(), n), 2);
}

/// Outputs of attention over an int8 cache, whose keys and values, and the queries, are rotated or not.
template <class Def>
tensor<float> over_int8(const Def& def, const problem<float>& p, bool keys, bool values)
{
    const heed::hadamard by;
    tensor<std::int8_t> k(p.k.size), v(p.v.size);
    tensor<float> k_scale({p.k.size.batch, p.k.size.heads, p.k.size.tokens, 1}), v_scale = k_scale, q = p.q;
    tensor<float> out(p.out_size());
    const heed::scaled_kv cache{heed::dense_kv{k.view(), v.view()}, heed::per_token{k_scale.view()},
                                heed::per_token{v_scale.view()}};
    if (keys) heed::or_throw(heed::rotate(q.view(), by));
    if (keys && values) heed::or_throw(heed::append(cache, 0, 0, p.k.in(), p.v.in(), heed::row_transforms{by, by}));
    else if (keys) heed::or_throw(heed::append(cache, 0, 0, p.k.in(), p.v.in(), by));
    else heed::or_throw(heed::append(cache, 0, 0, p.k.in(), p.v.in()));
    heed::or_throw(heed::attend(def, q.in(), cache, out.view()));
    if (values) heed::or_throw(heed::rotate_back(out.view(), by));
    return out;
}

}  // namespace

TEMPLATE_TEST_CASE("rotations are products with the matrix, within their bound, at every size", "[oracle]", float,
                   double)
{
    using Real = std::conditional_t<std::is_same_v<TestType, float>, double, long double>;
    const std::vector<float> signs = random_signs();
    for (int64 dim = 1; dim <= largest; dim *= 2) {
        const int64 rows = dim <= 512 ? 4 : 1;
        const auto x = normal<TestType>({1, rows, 1, dim}, static_cast<std::uint64_t>(dim));
        for (const bool with_signs : {false, true}) {
            CAPTURE(dim, with_signs);
            const heed::hadamard by{with_signs ? heed::number_view<const float>(signs) : nullptr};
            tensor<TestType> y(x.size), again(x.size);
            heed::or_throw(heed::rotate(x.in(), y.view(), by));
            heed::or_throw(heed::rotate_back(y.in(), again.view(), by));
            for (int64 r = 0; r < rows; ++r) {
                const TestType* const row = x.in().row(0, r, 0);
                const Real length = norm<Real>(row, dim), once = bound<TestType, Real>(dim);
                REQUIRE(distance<Real>(again.in().row(0, r, 0), row, dim) <= (2 + once) * once * length);
                if (dim > 2048) continue;  // the matrix takes dim^2 sums
                const auto expected = by_matrix<Real>(row, dim, with_signs ? signs.data() : nullptr);
                REQUIRE(distance<Real>(y.in().row(0, r, 0), expected.data(), dim) <= once * length);
            }
        }
    }
}

TEST_CASE("rotated rows have the products of the rows that they were", "[oracle]")
{
    const std::vector<float> signs = random_signs();
    for (int64 dim = 1; dim <= largest; dim *= 2)
        for (const bool outliers : {false, true}) {
            CAPTURE(dim, outliers);
            auto q = normal<float>({1, 1, 1, dim}, 1), k = normal<float>({1, 1, 1, dim}, 2);
            if (outliers) k.data[static_cast<std::size_t>(dim / 2)] = 50;
            auto q_turned = q, k_turned = k;
            heed::or_throw(heed::rotate(q_turned.view(), {signs}));
            heed::or_throw(heed::rotate(k_turned.view(), {signs}));
            const auto product = [&](const tensor<float>& a, const tensor<float>& b) {
                double sum = 0;
                for (std::size_t c = 0; c < a.data.size(); ++c)
                    sum += static_cast<double>(a.data[c]) * static_cast<double>(b.data[c]);
                return sum;
            };
            const double once = bound<float, double>(dim);
            const double lengths = norm<double>(q.data.data(), dim) * norm<double>(k.data.data(), dim);
            REQUIRE(std::fabs(product(q_turned, k_turned) - product(q, k)) <= (2 + once) * once * lengths);
        }
}

TEST_CASE("over int8, with four channels of K at 50x, rotated keys lose a tenth of what others lose, or less",
          "[oracle]")
{
    problem<float> p(1, 4, 2, 16, 1024, 128, 128, 5, 0.3);
    for (const int64 c : {3, 40, 77, 120})
        for (int64 h = 0; h < 2; ++h)
            for (int64 t = 0; t < 1024; ++t) p.k.view().row(0, h, t)[c] *= 50;
    const auto compare = [&](const char* name, const auto& def) {
        const tensor<float> exact = p.attend(def);
        const double plain = squared_error(over_int8(def, p, false, false), exact);
        const double keys = squared_error(over_int8(def, p, true, false), exact);
        const double both = squared_error(over_int8(def, p, true, true), exact);
        std::cout << "squared error over int8, four channels of K at 50x, " << name << ": " << std::scientific
                  << std::setprecision(1) << plain << ", keys rotated " << keys << ", values too " << both
                  << std::defaultfloat << std::setprecision(6) << '\n';
        CHECK(keys < plain / 10);
        CHECK(both < plain / 10);
    };
    compare("softmax", heed::attention{heed::softmax{}});
    compare("softpick", heed::attention{heed::softpick{}});
}
