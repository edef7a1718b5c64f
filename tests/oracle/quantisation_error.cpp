// SPDX-License-Identifier: MIT
// What quantisation itself brings to the outputs, type by type: a table. The gates judge attention over the numbers
// that a cache holds; this compares with those that they were before.
#include "stored.hpp"

#include <catch2/catch.hpp>

#include <iomanip>
#include <iostream>
#include <vector>

namespace {

using namespace oracle;

template <class T>
tensor<float> in_floats(const tensor<T>& t)
{
    tensor<float> f(t.size);
    std::transform(t.data.begin(), t.data.end(), f.data.begin(), [](T x) { return static_cast<float>(x); });
    return f;
}

/// The root mean square of a - b in terms of that of b.
double relative(const tensor<float>& a, const tensor<float>& b)
{
    double error = 0, whole = 0;
    for (std::size_t i = 0; i < a.data.size(); ++i) {
        error += std::pow(static_cast<double>(a.data[i]) - static_cast<double>(b.data[i]), 2);
        whole += std::pow(static_cast<double>(b.data[i]), 2);
    }
    return std::sqrt(error / whole);
}

/// Errors of the outputs of keys that were quantised, of values, and of both.
struct errors {
    double keys, values, both;
};
template <class Normalizer, class Cache>
errors errors_of(const Normalizer& normalizer, const test::problem<float>& p, const Cache& cache)
{
    const heed::attention def{normalizer, heed::scale{1 / std::sqrt(static_cast<double>(p.q.size.dim))}};
    const tensor<float> exact = p.attend(def);
    test::problem<float> keys = p, values = p, both = p;
    keys.k = both.k = in_floats(cache.keys());
    values.v = both.v = in_floats(cache.values());
    return {relative(keys.attend(def), exact), relative(values.attend(def), exact), relative(both.attend(def), exact)};
}

/// One line of the table for each type; returns the errors of both in the order of lines.
template <class Normalizer>
std::vector<double> print_errors(const char* name, const Normalizer& normalizer, const test::problem<float>& p)
{
    std::vector<double> of_both;
    const auto line = [&](const char* type, const auto& cache) {
        const errors e = errors_of(normalizer, p, cache);
        std::cout << "  " << std::left << std::setw(10) << name << std::setw(18) << type << std::right
                  << std::scientific << std::setprecision(1) << std::setw(9) << e.keys << std::setw(9) << e.values
                  << std::setw(9) << e.both << std::defaultfloat << std::setprecision(6) << '\n';
        of_both.push_back(e.both);
    };
    line("q8_0", stored<q8_0, q8_0>(p, scales::none, scales::none));
    line("int8 by channel", stored<std::int8_t, std::int8_t>(p, scales::of_channels, scales::of_tokens));
    line("int8 by token", stored<std::int8_t, std::int8_t>(p, scales::of_tokens, scales::of_tokens));
    line("fp8 by token", stored<fp8_e4m3, fp8_e4m3>(p, scales::of_tokens, scales::of_tokens));
    line("fp8 by head", stored<fp8_e4m3, fp8_e4m3>(p, scales::of_heads, scales::of_heads));
    line("q4_0", stored<q4_0, q4_0>(p, scales::none, scales::none));
    line("q5_0", stored<q5_0, q5_0>(p, scales::none, scales::none));
    line("q4_1", stored<q4_1, q4_1>(p, scales::none, scales::none));
    line("q5_1", stored<q5_1, q5_1>(p, scales::none, scales::none));
    line("iq4_nl", stored<iq4_nl, iq4_nl>(p, scales::none, scales::none));
    line("fp8_e5m2 by token", stored<fp8_e5m2, fp8_e5m2>(p, scales::of_tokens, scales::of_tokens));
    return of_both;
}

}  // namespace

TEST_CASE("what quantisation itself costs grows with the step of each type", "[oracle]")
{
    for (const double spread : {1., 4.}) {
        const test::problem<float> p(1, 4, 2, 64, 1024, 128, 128, 12, spread);
        std::cout << "errors that quantisation brings to outputs, relative RMS; scores of spread " << spread
                  << ", 1024 keys, D 128:\n                                 keys   values     both\n";
        for (const std::vector<double>& e :
             {print_errors("softmax", heed::softmax{}, p), print_errors("softpick", heed::softpick{}, p)}) {
            const double q8 = e[0], by_channel = e[1], by_token = e[2], fp8 = e[3], fp8_by_head = e[4], q4 = e[5],
                         q5 = e[6], q4_with_lowest = e[7], q5_with_lowest = e[8], levels = e[9], fp8_e5m2 = e[10];
            CHECK(q8 > 0);
            CHECK(q8 < by_token);  // a scale for 32 channels, not 128
            CHECK(by_token < fp8);
            CHECK(by_channel < fp8);
            CHECK(fp8 < 2 * fp8_by_head);  // steps follow the numbers, whatever the scale
            CHECK(fp8_by_head < 2 * fp8);
            CHECK(fp8 < q4);
            CHECK(1.6 * fp8 < fp8_e5m2);  // a bit less of fraction
            CHECK(fp8_e5m2 < 2.4 * fp8);
            CHECK(4 * q8 < q4);
            CHECK(2 * q8 < q5);
            CHECK(1.5 * q5 < q4);
            CHECK(q4_with_lowest < q4);
            CHECK(q5_with_lowest < q5);
            CHECK(1.5 * q5_with_lowest < q4_with_lowest);
            CHECK(levels < 1.01 * q4);  // levels that lie where normal numbers do: as good, and no better
            CHECK(q4 < 1);
        }
    }
}
