// SPDX-License-Identifier: MIT
// The recipes of examples/guide keep the contract, and are what their formulas say.
#include "../../examples/guide/recipes.hpp"
#include "../tensors.hpp"

#include <heed/testing.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <string>

namespace {

using test::int64;
using numbers = std::vector<double>;

std::string says(const heed::status& s) { return s.message(); }

/// What a definition makes of one row of given scores, at the position of the last.
template <class... Policies>
numbers weights_of(const numbers& scores, const Policies&... policies)
{
    const auto keys = static_cast<int64>(scores.size());
    test::tensor<double> q({1, 1, 1, 1}, 1), k({1, 1, keys, 1}), v({1, 1, keys, keys}), out({1, 1, 1, keys});
    k.data = scores;
    for (int64 j = 0; j < keys; ++j) v.data[static_cast<std::size_t>(j * keys + j)] = 1;
    heed::or_throw(
        heed::attend(heed::attention{policies..., heed::scale{1}}, q.in(), k.in(), v.in(), out.view()));
    return out.data;
}

numbers each(const numbers& x, const std::function<double(double)>& f)
{
    numbers y;
    for (const double e : x) y.push_back(f(e));
    return y;
}

double sum(const numbers& x)
{
    double s = 0;
    for (const double e : x) s += e;
    return s;
}

numbers shares(const numbers& x)
{
    return each(x, [total = sum(x)](double e) { return e / total; });
}

void equal(const numbers& got, const numbers& want)
{
    REQUIRE(got.size() == want.size());
    for (std::size_t j = 0; j < got.size(); ++j) {
        INFO("key " << j);
        CHECK(got[j] == Approx(want[j]).epsilon(1e-12).margin(1e-14));
    }
}

const numbers scores{0.5, -4, 1.75, 2, -1, 0.25, -0.125};

}  // namespace

TEST_CASE("recipes keep the contract")
{
    CHECK(says(heed::check(recipe::relu_softmax{})) == "ok");
    CHECK(says(heed::check(recipe::rectified_only{})) == "ok");
    CHECK(says(heed::check(recipe::normalized_sigmoid{})) == "ok");
    CHECK(says(heed::check(recipe::softplus_share{})) == "ok");
    CHECK(says(heed::check(recipe::taylor_softmax{})) == "ok");
    CHECK(says(heed::check(recipe::cubic{})) == "ok");
    CHECK(says(heed::check(recipe::rela{})) == "ok");
    CHECK(says(heed::check(recipe::entmax125{})) == "ok");
    CHECK(says(heed::check(recipe::softplus_reweighted{})) == "ok");
    const float table[2 * 8] = {1, 2, -1, 0.5f, 0, 3, -2, 1, -1, -2, 1, 0.25f, 2, 0, 1, -3};
    const heed::problem p{2, 2, 1, 70, 700};
    CHECK(says(heed::check(recipe::t5_bias(table, 8, 128), p)) == "ok");
    CHECK(says(heed::check(recipe::rare_scores(1), p)) == "ok");
}

TEST_CASE("recipes are their formulas")
{
    equal(weights_of(scores, recipe::relu_softmax{}), shares(each(scores, [](double s) { return std::max(std::expm1(s), 0.); })));
    equal(weights_of(scores, recipe::rectified_only{}), shares(each(scores, [](double s) { return s < 0 ? 0 : std::exp(s); })));
    equal(weights_of(scores, recipe::normalized_sigmoid{}), shares(each(scores, [](double s) { return 1 / (1 + std::exp(-s)); })));
    const numbers soft = shares(each(scores, [](double s) { return std::log1p(std::exp(s)); }));
    equal(weights_of(scores, recipe::softplus_share{}), soft);
    equal(weights_of(scores, recipe::softplus_reweighted{}),
          shares(each(soft, [](double a) { return std::pow(std::max(7 * a - 1, 0.), 3); })));
    equal(weights_of(scores, recipe::taylor_softmax{}), shares(each(scores, [](double s) { return 1 + s + s * s / 2; })));
    equal(weights_of(scores, recipe::cubic{}), each(scores, [](double s) { return s * s * s / 7; }));
    equal(weights_of(scores, recipe::rela{}), each(scores, [](double s) { return std::max(s, 0.); }));
    equal(weights_of(scores, recipe::entmax125{}), weights_of(scores, heed::entmax<4>{}));
    equal(weights_of(scores, recipe::rare_scores(2), recipe::rela{}),
          each(scores, [](double s) { return std::max(s - std::sqrt(2 * std::log(3.5)), 0.); }));
}

TEST_CASE("T5's buckets are one distance wide, and then wider up to the farthest")
{
    float table[8];
    for (int b = 0; b < 8; ++b) table[b] = static_cast<float>(b + 1);
    const auto biases = weights_of(numbers(40, 0), recipe::t5_bias(table, 8, 32), recipe::rela{});  // the newest key is last
    const auto bucket = [&](int past) { return biases[biases.size() - 1 - static_cast<std::size_t>(past)] - 1; };
    for (int past = 0; past < 4; ++past) CHECK(bucket(past) == past);
    CHECK(bucket(4) == 4);
    CHECK(bucket(7) == 5);  // 4 * 8^(1/4) = 6.7
    CHECK(bucket(11) == 5);
    CHECK(bucket(12) == 6);  // 4 * 8^(1/2) = 11.3
    CHECK(bucket(19) == 6);
    CHECK(bucket(20) == 7);  // 4 * 8^(3/4) = 19.03
    CHECK(bucket(39) == 7);
}
