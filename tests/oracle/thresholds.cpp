// SPDX-License-Identifier: MIT
// Normalizers with a threshold against their formulas, in plain loops of double: thresholds by halves of an interval or
// by sorting. What a result may be off by follows from what its scores may be off by: a threshold moves no further than
// they do.
#include "tensors.hpp"

#include <heed/observe.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <functional>

using namespace test;

namespace {

/// Weights of the scores of a row, and their slopes, of a query of some head at a position.
struct row_weights {
    std::vector<double> p, slope;
};
using formula = std::function<row_weights(const std::vector<double>& s, int64 head, int64 position)>;

double largest(const std::vector<double>& s) { return *std::max_element(s.begin(), s.end()); }

/// p = max((s - tau) / n, 0)^n.
formula entmax_of(int n)
{
    return [n](const std::vector<double>& s, int64, int64) {
        double low = largest(s) - n, high = largest(s);
        const auto weight = [n](double y) { return y > 0 ? std::pow(y / n, n) : 0; };
        for (int i = 0; i < 100; ++i) {
            const double tau = (low + high) / 2;
            double sum = 0;
            for (const double x : s) sum += weight(x - tau);
            (sum >= 1 ? low : high) = tau;
        }
        row_weights w;
        for (const double x : s) {
            w.p.push_back(weight(x - low));
            w.slope.push_back(x - low > -1e-5 ? std::pow(std::max(x - low, 1e-5) / n, n - 1) : 0);
        }
        return w;
    };
}
std::vector<double> softmax_of(const std::vector<double>& s)
{
    std::vector<double> p;
    double sum = 0;
    for (const double x : s) sum += std::exp(x - largest(s));
    for (const double x : s) p.push_back(std::exp(x - largest(s)) / sum);
    return p;
}
formula largest_of(std::size_t k)
{
    return [k](std::vector<double> s, int64, int64) {
        std::vector<double> falling = s;
        std::sort(falling.rbegin(), falling.rend());
        const double least = falling[std::min(k, falling.size()) - 1];
        for (double& x : s)
            if (x < least) x = -INFINITY;
        const std::vector<double> p = softmax_of(s);
        return row_weights{p, p};
    };
}
/// p = f(softmax, head, position).
formula share_of(std::function<double(double, int64, int64)> f)
{
    return [f](const std::vector<double>& s, int64 head, int64 position) {
        const std::vector<double> a = softmax_of(s);
        row_weights w;
        for (const double x : a) w.p.push_back(f(x, head, position));
        w.slope = a;
        return w;
    };
}

/// Queries that stand at the end of the keys, under a causal mask.
template <class T, class Normalizer>
void judge(const Normalizer& normalizer, const formula& weights_of, double scale, int64 keys, int64 dim)
{
    constexpr double unit = std::numeric_limits<T>::epsilon() / 2;
    const int64 heads = 4, queries = 37, group = 2;
    const problem<T> p(2, heads, heads / group, queries, keys, dim, dim);
    std::vector<heed::row_threshold<T>> thresholds(static_cast<std::size_t>(2 * heads * queries));
    std::vector<T> shift(thresholds.size()), mass(thresholds.size());
    heed::options<T> how;
    how.stats = {shift, mass};
    const auto with = [&](const auto& table) {
        return heed::attention{normalizer, heed::causal{}, heed::scale{scale}, table};
    };
    const tensor<T> out = p.attend(with(heed::keep_thresholds{thresholds}), how);
    tensor<double> reference(p.out_size());
    heed::or_throw(heed::reference(heed::attention{normalizer, heed::causal{}, heed::scale{scale}}, p.q.in(), p.k.in(),
                                   p.v.in(), reference.view()));
    std::vector<T> map(static_cast<std::size_t>(queries * keys));
    heed::or_throw(heed::attention_map(with(heed::known_thresholds{thresholds}), p.q.in(), p.k.in(), {shift, mass},
                                       {1, 3, 0, queries}, map));
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < heads; ++h)
            for (int64 i = 0; i < queries; ++i) {
                const int64 position = keys - queries + i;
                std::vector<double> s;
                double error = 0;
                for (int64 j = 0; j <= position; ++j) {
                    double dot = 0, size = 0;
                    for (int64 c = 0; c < dim; ++c) {
                        const double x = static_cast<double>(static_cast<T>(scale)) *
                                         static_cast<double>(p.q.in().row(b, h, i)[c]) *
                                         static_cast<double>(p.k.in().row(b, h / group, j)[c]);
                        dot += x;
                        size += std::fabs(x);
                    }
                    s.push_back(dot);
                    error = std::max(error, unit * (std::sqrt(static_cast<double>(dim)) * size + 4));
                }
                const row_weights w = weights_of(s, h, position);
                const double depth = unit * std::sqrt(static_cast<double>(keys) + 4);
                for (int64 c = 0; c < dim; ++c) {
                    double o = 0, off = 0;
                    for (std::size_t j = 0; j < s.size(); ++j) {
                        const auto v = static_cast<double>(p.v.in().row(b, h / group, static_cast<int64>(j))[c]);
                        o += w.p[j] * v;
                        off += (2 * error * w.slope[j] + depth * w.p[j]) * std::fabs(v);
                    }
                    REQUIRE(std::fabs(static_cast<double>(out.in().row(b, h, i)[c]) - o) <= 4 * off);
                    REQUIRE(std::fabs(reference.in().row(b, h, i)[c] - o) <= 4 * off);
                }
                if (b != 1 || h != 3) continue;
                for (std::size_t j = 0; j < static_cast<std::size_t>(keys); ++j) {
                    const auto got = static_cast<double>(map[static_cast<std::size_t>(i * keys) + j]);
                    if (j >= s.size()) REQUIRE(got == 0);
                    else REQUIRE(std::fabs(got - w.p[j]) <= 4 * (2 * error * w.slope[j] + depth * w.p[j]));
                }
            }
}

}  // namespace

TEST_CASE("entmax and sparsemax are their formulas", "[plain][thresholds]")
{
    judge<float>(heed::entmax15{}, entmax_of(2), 0.3, 700, 16);
    judge<float>(heed::sparsemax{}, entmax_of(1), 0.05, 700, 16);
    judge<double>(heed::entmax<4>{}, entmax_of(4), 0.5, 130, 20);
}

TEST_CASE("top_k is softmax of the largest scores", "[plain][thresholds]")
{
    judge<float>(heed::top_k{9}, largest_of(9), 0.3, 700, 16);
}

TEST_CASE("shares are functions of softmax", "[plain][thresholds]")
{
    const std::vector<float> offsets{-1, -0.5f, -3, 0.25f};
    judge<float>(heed::elastic_softmax{offsets}, share_of([&](double a, int64 head, int64 position) {
                     const double t = static_cast<double>(offsets[static_cast<std::size_t>(head)]);
                     return std::max(a + t / static_cast<double>(position + 1), 0.);
                 }),
                 0.3, 700, 16);
    judge<float>(heed::clipped_softmax{-0.1, 1.1},
                 share_of([](double a, int64, int64) { return std::min(std::max(1.2 * a - 0.1, 0.), 1.); }), 1, 130,
                 16);
}
