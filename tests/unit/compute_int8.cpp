// SPDX-License-Identifier: MIT
// compute<std::int8_t>: what is NaN, what is exact, what a plan says of it.
#include "quantised.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace test;

namespace {

constexpr heed::compute<std::int8_t> by_16{};
constexpr heed::compute<std::int8_t, 8> by_8{};

struct small_cache {
    tensor<float> q = normal<float>({1, 2, 3, 48}, 1);
    tensor<std::int8_t> k = drawn_elements<std::int8_t>({1, 1, 40, 48}, 2),
                        v = drawn_elements<std::int8_t>({1, 1, 40, 20}, 3);
    tensor<float> k_scales = drawn_scales(k.size, 4, 0.01), v_scales = drawn_scales(k.size, 5, 0.01);

    auto kv() const
    {
        return heed::scaled_kv{heed::dense_kv{k.in(), v.in()}, heed::per_token{k_scales.in()},
                               heed::per_token{v_scales.in()}};
    }
    template <class... Policies>
    tensor<float> attend(const Policies&... policies) const
    {
        tensor<float> out({1, 2, 3, 20}, -7);
        heed::or_throw(heed::attend(heed::attention{policies...}, q.in(), kv(), out.view()));
        return out;
    }
};

int rows_of_nan(const tensor<float>& out)
{
    int rows = 0;
    for (std::size_t i = 0; i < out.data.size(); i += 20) {
        int n = 0;
        for (std::size_t c = 0; c < 20; ++c) n += std::isnan(out.data[i + c]);
        REQUIRE((n == 0 || n == 20));
        rows += n == 20;
    }
    return rows;
}

}  // namespace

TEST_CASE("a plan of compute<int8> says what its products are of")
{
    const small_cache x;
    const heed::attention wide{heed::softmax{}, by_16};
    const heed::attention narrow{heed::softmax{}, by_8};
    REQUIRE(std::string(heed::plan(wide, x.q.in(), x.kv()).describe().text).find(", int8 by 16 bits, ") !=
            std::string::npos);
    REQUIRE(std::string(heed::plan(narrow, x.q.in(), x.kv()).describe().text).find(", int8, ") != std::string::npos);
}

TEST_CASE("in products of integers a query row that is not finite is NaN, and no other row")
{
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        small_cache x;
        const tensor<float> before = x.attend(heed::softmax{}, by_16);
        x.q.view().row(0, 1, 2)[47] = bad;
        const tensor<float> after = x.attend(heed::softmax{}, by_16);
        REQUIRE(rows_of_nan(after) == 1);
        REQUIRE(std::isnan(after.in().row(0, 1, 2)[0]));
        REQUIRE(std::equal(after.data.begin(), after.data.begin() + 100, before.data.begin()));
    }
}

TEST_CASE("in products of integers the scale of a masked key reaches no output, and that of an attended one does")
{
    small_cache x;
    const heed::causal mask = heed::causal::top_left();
    const tensor<float> before = x.attend(heed::softpick{}, mask, by_16);
    for (float* scale : {&x.k_scales.data[2], &x.v_scales.data[2], &x.k_scales.data[30], &x.v_scales.data[30]})
        *scale = std::numeric_limits<float>::quiet_NaN();
    const tensor<float> after = x.attend(heed::softpick{}, mask, by_16);
    REQUIRE(rows_of_nan(after) == 2);  // row 2 of each head attends key 2
    for (const int64 head : {0, 1})
        REQUIRE(std::equal(after.in().row(0, head, 0), after.in().row(0, head, 2), before.in().row(0, head, 0)));
}

TEST_CASE("in products of integers one attended key gives its V to the rounding of its weight")
{
    const small_cache x;
    const tensor<float> out = x.attend(heed::softmax{}, heed::causal::top_left(), by_16);
    for (int64 c = 0; c < 20; ++c) {
        const float v = static_cast<float>(x.v.data[static_cast<std::size_t>(c)]) * x.v_scales.data[0];
        REQUIRE(out.in().row(0, 0, 0)[c] == Approx(v).epsilon(1e-6));
    }
}

TEST_CASE("in products of integers a row that attends nothing is 0, and so is one whose weights are")
{
    const small_cache x;
    const tensor<float> out = x.attend(heed::softmax{}, heed::causal::offset(-1), by_8);
    for (const int64 head : {0, 1})
        for (int64 c = 0; c < 20; ++c) REQUIRE(out.in().row(0, head, 0)[c] == 0);
    small_cache zeros;
    std::fill(zeros.q.data.begin(), zeros.q.data.end(), 0.f);
    for (const float y : zeros.attend(heed::softpick{}, by_16).data) REQUIRE(y == 0);
}

TEST_CASE("in products of integers tiny queries and scales do not divide by 0")
{
    small_cache x;
    for (float& y : x.q.data) y *= 1e-40f;
    for (float& y : x.v_scales.data) y *= 1e-38f;
    for (const float y : x.attend(heed::softmax{}, by_16).data) REQUIRE(std::isfinite(y));
}
