// SPDX-License-Identifier: MIT
// Stick-breaking attention in plain loops of double, from the formulas alone: products of what is left, key after key,
// and no logarithm. Beside each number stands how far a computation in T may be from it.
//
//     p_j = sigma(s_j) L_j    L_j = prod_{k > j} (1 - sigma(s_k))    U_j = -ln L_j
//     ds_j = sigma'(s_j) L_j g_j - sigma(s_j) sum_{k < j} p_k g_k    g_j = dO . v_j
#include "tensors.hpp"

#include <heed/observe.hpp>
#include <heed/reference.hpp>
#include <heed/reference_backward.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace test;

namespace {

/// What the errors of all keys of a row come to at most, of what they would come to if all had one sign. (The largest
/// seen is 0.1.)
constexpr double passing = 0.25;

/// Some keys of a row, and what the formulas say of them.
struct plain_row {
    std::vector<double> sigma, p, left, sum;  // sum: U_j
    double all = 0;                           // U of the row

    explicit plain_row(const std::vector<double>& s) : sigma(s.size()), p(s.size()), left(s.size()), sum(s.size())
    {
        double rest = 1;
        for (std::size_t j = s.size(); j-- > 0;) {
            sigma[j] = 1 / (1 + std::exp(-s[j]));
            left[j] = rest;
            sum[j] = all;
            p[j] = sigma[j] * rest;
            rest *= 1 / (1 + std::exp(s[j]));
            all += std::log1p(std::exp(s[j]));
        }
    }
};

/// A causal problem of 4 query and 2 kv heads whose scores are lowered by a number.
template <class T>
struct lowered {
    static constexpr int64 heads = 4, group = 2;
    int64 queries, keys, dim;
    double lower, scale;
    problem<T> p;

    lowered(int64 n_queries, int64 n_keys, int64 channels, double by, double factor)
        : queries(n_queries), keys(n_keys), dim(channels), lower(by), scale(factor),
          p(2, heads, heads / group, n_queries, n_keys, channels, channels, 11)
    {}
    auto definition() const
    {
        return heed::attention{heed::stick_breaking{}, heed::causal{}, heed::scale{scale},
                               heed::map_score([d = lower](auto s, const auto&) { return s - decltype(s)(d); },
                                               [](auto s, const auto&) { return decltype(s)(1); })};
    }
    double number(const tensor<T>& t, int64 b, int64 h, int64 i, int64 c) const
    {
        return static_cast<double>(t.in().row(b, h, i)[c]);
    }
    /// The scores of a row and, in units of T's last bit, how far they may be off.
    std::vector<double> scores(int64 b, int64 h, int64 i, double& error) const
    {
        std::vector<double> s;
        error = 0;
        for (int64 j = 0; j <= keys - queries + i; ++j) {
            double dot = 0, size = 0;
            for (int64 c = 0; c < dim; ++c) {
                const double x = static_cast<double>(static_cast<T>(scale)) * number(p.q, b, h, i, c) *
                                 number(p.k, b, h / group, j, c);
                dot += x;
                size += std::fabs(x);
            }
            s.push_back(dot - static_cast<double>(static_cast<T>(lower)));
            error = std::max(error, std::sqrt(static_cast<double>(dim)) * size + std::fabs(s.back()) + 4);
        }
        return s;
    }
    /// Sums of that many keys: 512 of a tile, and tiles.
    double depth() const { return std::sqrt(std::min(static_cast<double>(keys), 512.) + 4); }
    double dot(const tensor<T>& a, int64 b, int64 h, int64 i, const tensor<T>& with, int64 j) const
    {
        double x = 0;
        for (int64 c = 0; c < dim; ++c) x += number(a, b, h, i, c) * number(with, b, h / group, j, c);
        return x;
    }
};

template <class T>
void judge_forward(const lowered<T>& of)
{
    constexpr double unit = std::numeric_limits<T>::epsilon() / 2;
    const auto def = of.definition();
    const auto rows = static_cast<std::size_t>(2 * of.heads * of.queries);
    std::vector<T> shift(rows), mass(rows), map(static_cast<std::size_t>(of.queries * of.keys));
    heed::options<T> how;
    how.stats = {shift, mass};
    const tensor<T> out = of.p.attend(def, how);
    tensor<double> reference(of.p.out_size());
    heed::or_throw(heed::reference(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), reference.view()));
    heed::or_throw(heed::attention_map(def, of.p.q.in(), of.p.k.in(), {shift, mass}, {1, 3, 0, of.queries}, map));
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < of.heads; ++h)
            for (int64 i = 0; i < of.queries; ++i) {
                double error = 0;
                const plain_row w(of.scores(b, h, i, error));
                // Of a weight: its own score's, those of the newer ones' masses, and of their sum.
                const auto off = [&](std::size_t j) {
                    return unit * w.p[j] * (error * (1 + w.sum[j]) + of.depth() * (1 + w.sum[j]));
                };
                for (int64 c = 0; c < of.dim; ++c) {
                    double o = 0, at_most = 1e-40;
                    for (std::size_t j = 0; j < w.p.size(); ++j) {
                        const double v = of.number(of.p.v, b, h / of.group, static_cast<int64>(j), c);
                        o += w.p[j] * v;
                        at_most += off(j) * std::fabs(v);
                    }
                    const double got = static_cast<double>(out.in().row(b, h, i)[c]);
                    REQUIRE(std::fabs(got - o) <= passing * at_most);
                    REQUIRE(std::fabs(reference.in().row(b, h, i)[c] - o) <= passing * at_most);
                }
                const auto line = static_cast<std::size_t>((b * of.heads + h) * of.queries + i);
                if (w.all < 90)
                    REQUIRE(std::fabs(static_cast<double>(mass[line]) - w.all) <=
                            passing * unit * w.all * (error + of.depth()));
                if (b != 1 || h != 3) continue;
                for (std::size_t j = 0; j < static_cast<std::size_t>(of.keys); ++j) {
                    const auto got = static_cast<double>(map[static_cast<std::size_t>(i * of.keys) + j]);
                    if (j >= w.p.size()) REQUIRE(got == 0);
                    else REQUIRE(std::fabs(got - w.p[j]) <= off(j) + 1e-40);
                }
            }
}

/// Gradients by the formulas, and by attend() of double once more with a number moved a little.
template <class T>
void judge_backward(const lowered<T>& of)
{
    constexpr double unit = std::numeric_limits<T>::epsilon() / 2;
    const auto def = of.definition();
    const auto rows = static_cast<std::size_t>(2 * of.heads * of.queries);
    std::vector<T> shift(rows), mass(rows);
    heed::options<T> how;
    how.stats = {shift, mass};
    const tensor<T> out = of.p.attend(def, how), dout = normal<T>(of.p.out_size(), 21);
    tensor<T> got[3] = {tensor<T>(of.p.q.size), tensor<T>(of.p.k.size), tensor<T>(of.p.v.size)};
    heed::or_throw(heed::backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), out.in(), {shift, mass}, dout.in(),
                                  {.dq = got[0].view(), .dk = got[1].view(), .dv = got[2].view()}));
    tensor<double> reference[3] = {tensor<double>(of.p.q.size), tensor<double>(of.p.k.size),
                                   tensor<double>(of.p.v.size)};
    heed::or_throw(
        heed::reference_backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), dout.in(),
                                 {.dq = reference[0].view(), .dk = reference[1].view(), .dv = reference[2].view()}));
    tensor<double> want[3], at_most[3];
    for (int x = 0; x < 3; ++x) want[x] = at_most[x] = tensor<double>(got[x].size, 0.);
    const auto add = [&](int x, int64 b, int64 h, int64 i, int64 c, double value, double error) {
        want[x].view().row(b, h, i)[c] += value;
        at_most[x].view().row(b, h, i)[c] += error;
    };
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < of.heads; ++h)
            for (int64 i = 0; i < of.queries; ++i) {
                double error = 0, older = 0, products = 0;
                const plain_row w(of.scores(b, h, i, error));
                for (std::size_t j = 0; j < w.p.size(); ++j)
                    products += w.p[j] * std::fabs(of.dot(dout, b, h, i, of.p.v, static_cast<int64>(j)));
                for (std::size_t j = 0; j < w.p.size(); ++j) {
                    const auto key = static_cast<int64>(j);
                    const double g = of.dot(dout, b, h, i, of.p.v, key);
                    const double mine = w.p[j] * (1 - w.sigma[j]) * g, ds = mine - w.sigma[j] * older;
                    older += w.p[j] * g;
                    const double relative =
                        unit * ((error + of.depth()) * (2 + std::min(w.sum[j], 100.)) + static_cast<double>(of.dim));
                    const double off = relative * (std::fabs(mine) + w.sigma[j] * products);
                    for (int64 c = 0; c < of.dim; ++c) {
                        const double q = of.scale * of.number(of.p.q, b, h, i, c),
                                     k = of.scale * of.number(of.p.k, b, h / of.group, key, c),
                                     d = of.number(dout, b, h, i, c);
                        add(0, b, h, i, c, ds * k, off * std::fabs(k));
                        add(1, b, h / of.group, key, c, ds * q, off * std::fabs(q));
                        add(2, b, h / of.group, key, c, w.p[j] * d, relative * w.p[j] * std::fabs(d));
                    }
                }
            }
    for (int x = 0; x < 3; ++x) {
        double largest = 0;
        for (std::size_t n = 0; n < got[x].data.size(); ++n) {
            const double bound = at_most[x].data[n] + 1e-40;
            largest = std::max(largest, std::fabs(static_cast<double>(got[x].data[n]) - want[x].data[n]) / bound);
            REQUIRE(std::fabs(reference[x].data[n] - want[x].data[n]) <= bound);
        }
        INFO("gradient " << x << ": K " << largest);
        REQUIRE(largest <= passing);
    }
}

}  // namespace

TEST_CASE("stick-breaking attention is its formula", "[plain][ordered]")
{
    judge_forward(lowered<float>(20, 700, 16, 0, 0.3));
    judge_forward(lowered<float>(20, 700, 16, 7, 0.3));
    judge_forward(lowered<float>(3, 9000, 16, 9, 0.5));
    judge_forward(lowered<double>(9, 600, 16, 5, 1));
}

TEST_CASE("a mass of many keys alike is exact to the last bits of its logarithm", "[plain][ordered]")
{
    // Products of rounded 1 - sigma would be off by as many units as there are keys.
    const int64 keys = 131072;
    const std::vector<float> q(1, 1.f), k(static_cast<std::size_t>(keys), -10.f);
    std::vector<float> v(k.size(), 0.f);
    v[0] = 1;  // of the oldest key
    float out = 0;
    heed::or_throw(heed::attend(heed::attention{heed::stick_breaking{}, heed::scale{1}},
                                heed::bhsd<const float>(q.data(), {1, 1, 1, 1}),
                                heed::bhsd<const float>(k.data(), {1, 1, keys, 1}),
                                heed::bhsd<const float>(v.data(), {1, 1, keys, 1}), heed::bhsd(&out, {1, 1, 1, 1})));
    const double u = std::log1p(std::exp(-10.)),
                 want = std::exp(-u * static_cast<double>(keys - 1)) / (1 + std::exp(10.));
    REQUIRE(std::fabs(static_cast<double>(out) - want) < 0x1p-24 * want * (8 + u * keys * std::sqrt(512 + 256.)));
}

TEST_CASE("the gradient of stick-breaking attention is its formula", "[plain][ordered]")
{
    judge_backward(lowered<float>(20, 500, 16, 0, 0.3));
    judge_backward(lowered<float>(20, 900, 16, 7, 0.3));
    judge_backward(lowered<double>(9, 450, 8, 5, 1));
}

TEST_CASE("the gradient of stick-breaking attention agrees with differences", "[plain][ordered]")
{
    lowered<double> of(7, 45, 8, 2, 1);
    const auto def = of.definition();
    const auto rows = static_cast<std::size_t>(2 * of.heads * of.queries);
    std::vector<double> shift(rows), mass(rows);
    heed::options<double> how;
    how.stats = {shift, mass};
    const tensor<double> out = of.p.attend(def, how), dout = normal<double>(of.p.out_size(), 21);
    tensor<double> dq(of.p.q.size), dk(of.p.k.size), dv(of.p.v.size);
    heed::or_throw(heed::backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), out.in(), {shift, mass}, dout.in(),
                                  {.dq = dq.view(), .dk = dk.view(), .dv = dv.view()}));
    const auto loss = [&] {
        const tensor<double> o = of.p.attend(def);
        double sum = 0;
        for (std::size_t n = 0; n < o.data.size(); ++n) sum += o.data[n] * dout.data[n];
        return sum;
    };
    const auto compare = [&](tensor<double>& x, const tensor<double>& gradient) {
        for (std::size_t n = 3; n < x.data.size(); n += x.data.size() / 40) {
            constexpr double h = 1e-5;
            const double here = x.data[n];
            x.data[n] = here + h;
            const double above = loss();
            x.data[n] = here - h;
            const double below = loss();
            x.data[n] = here;
            REQUIRE(std::fabs((above - below) / (2 * h) - gradient.data[n]) < 2e-8 * (1 + std::fabs(gradient.data[n])));
        }
    };
    compare(of.p.q, dq);
    compare(of.p.k, dk);
    compare(of.p.v, dv);
}
