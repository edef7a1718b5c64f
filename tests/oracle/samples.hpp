// SPDX-License-Identifier: MIT
// Random families of problems: scores of any spread, sorted, tied, exact, one hot; odd sizes, grouped heads.
#pragma once

#include "../tensors.hpp"

#include <cmath>
#include <sstream>
#include <string>

namespace oracle {

using test::int64;

/// A problem, its scale, and whether its scores may be squared.
template <class T>
struct sample {
    test::problem<T> p;
    double scale;
    bool powers = true;

    explicit sample(test::problem<T> drawn)
        : p(std::move(drawn)), scale(1 / std::sqrt(static_cast<double>(p.q.size.dim)))
    {}
};

struct shape {
    int64 batch = 1, query_heads = 2, kv_heads = 2, queries = 5, keys = 300, key_dim = 64, value_dim = 64;
};

template <class T>
test::problem<T> drawn(const shape& s, std::uint64_t seed, double spread = 1)
{
    return {s.batch, s.query_heads, s.kv_heads, s.queries, s.keys, s.key_dim, s.value_dim, seed, spread};
}

/// Scores of about `score(row of keys)`: q is near one direction, key j near score(j) times it.
template <class T, class F>
sample<T> directed(const shape& s, std::uint64_t seed, F score)
{
    sample<T> x{drawn<T>(s, seed)};
    const auto direction = test::normal<double>({1, 1, 1, s.key_dim}, seed + 3);
    double norm = 0;
    for (const double d : direction.data) norm += d * d;
    const auto fill = [&](test::tensor<T>& t, auto factor) {
        for (std::size_t i = 0; i < t.data.size(); ++i) {
            const auto dim = static_cast<std::size_t>(s.key_dim);
            const auto token = static_cast<int64>(i / dim) % t.size.tokens;
            t.data[i] = static_cast<T>(0.02 * static_cast<double>(t.data[i]) + factor(token) * direction.data[i % dim]);
        }
    };
    fill(x.p.q, [](int64) { return 1.0; });
    fill(x.p.k, [&](int64 j) { return score(j) / norm; });
    x.scale = 1;
    return x;
}

/// Exact scores: one channel holds q = 1 and k = score, the others 0.
template <class T, class F>
sample<T> exact(const shape& s, std::uint64_t seed, F score)
{
    sample<T> x{drawn<T>(s, seed)};
    std::mt19937_64 random(seed + 4);
    const auto dim = static_cast<std::size_t>(s.key_dim);
    for (std::size_t i = 0; i < x.p.q.data.size(); ++i) x.p.q.data[i] = T(i % dim == 0);
    for (std::size_t i = 0; i < x.p.k.data.size(); ++i)
        x.p.k.data[i] = i % dim == 0 ? static_cast<T>(score(random)) : T(0);
    x.scale = 1;
    return x;
}

/// Calls f(name, sample) for every family.
template <class T, class F>
void for_each_family(std::uint64_t seed, F f)
{
    for (const double spread : {1e-4, 1e-2, 1., 8., 64.}) {
        std::ostringstream name;
        name << "scores of spread " << spread;
        f(name.str(), sample<T>{drawn<T>({.queries = 6, .keys = 700, .key_dim = 80, .value_dim = 64}, seed, spread)});
    }
    const shape tiles{.queries = 4, .keys = 1200, .key_dim = 32, .value_dim = 33};
    f("sorted ascending", directed<T>(tiles, seed, [](int64 j) { return 0.05 * static_cast<double>(j) - 30; }));
    f("sorted descending", directed<T>(tiles, seed, [](int64 j) { return 30 - 0.05 * static_cast<double>(j); }));
    f("all negative", directed<T>(tiles, seed, [](int64 j) { return -5 - 0.01 * static_cast<double>(j % 77); }));
    f("very negative", directed<T>(tiles, seed, [](int64 j) { return -150 - static_cast<double>(j % 77); }));
    f("one hot", directed<T>(tiles, seed, [](int64 j) { return j == 777 ? 60. : 0.1 * static_cast<double>(j % 5); }));

    sample<T> ties{drawn<T>({.queries = 5, .keys = 600, .key_dim = 24}, seed, 4)};
    for (std::size_t i = 24 * 3; i < ties.p.k.data.size(); ++i) ties.p.k.data[i] = ties.p.k.data[i % (24 * 3)];
    f("ties", ties);

    sample<T> offset{drawn<T>({.queries = 5, .keys = 600}, seed, 2)};
    for (T& x : offset.p.v.data) x += T(50);
    f("values around 50", offset);

    sample<T> zero{drawn<T>({.queries = 3, .keys = 100}, seed)};
    for (T& x : zero.p.q.data) x = T(0);
    f("every score 0", zero);

    const shape few{.queries = 4, .keys = 530, .key_dim = 8, .value_dim = 17};
    std::uniform_int_distribution<int> top(88, 90), coin(0, 1);
    f("88, 89, 90", exact<T>(few, seed, [&](auto& random) { return top(random); }));
    f("-88, -89, -90", exact<T>(few, seed, [&](auto& random) { return -top(random); }));
    f("88, 89, 90 of both signs",
      exact<T>(few, seed, [&](auto& random) { return coin(random) ? top(random) : -top(random); }));

    std::uniform_real_distribution<double> decades(-30, 30);
    sample<T> huge =
        exact<T>(few, seed, [&](auto& random) { return (coin(random) ? 1 : -1) * std::pow(10., decades(random)); });
    huge.powers = false;
    f("scores up to 1e30", huge);

    for (const int64 keys : {1, 2, 15, 16, 17, 511, 512, 513, 1025})
        f("odd sizes", sample<T>{drawn<T>({.batch = 2,
                                           .query_heads = 1,
                                           .kv_heads = 1,
                                           .queries = 3 + keys % 7,
                                           .keys = keys,
                                           .key_dim = 1 + keys % 71,
                                           .value_dim = 1 + keys % 45},
                                          seed, 3)});
    f("wide heads", sample<T>{drawn<T>({.queries = 7, .keys = 40, .key_dim = 300, .value_dim = 530}, seed)});
    f("grouped heads",
      sample<T>{drawn<T>({.query_heads = 8, .kv_heads = 2, .queries = 3, .keys = 400, .key_dim = 40}, seed, 2)});
    f("one head of keys", sample<T>{drawn<T>({.query_heads = 6, .kv_heads = 1, .queries = 1, .keys = 1000}, seed, 2)});
    f("one query, many keys",
      sample<T>{drawn<T>({.queries = 1, .keys = 5000, .key_dim = 128, .value_dim = 48}, seed, 2)});
    f("many queries",
      sample<T>{drawn<T>({.query_heads = 1, .kv_heads = 1, .queries = 150, .keys = 150, .key_dim = 32, .value_dim = 32},
                         seed, 2)});
}

constexpr bool is_power(const heed::relu<2>&) { return true; }
template <class N>
constexpr bool is_power(const N&)
{
    return false;
}

}  // namespace oracle
