// SPDX-License-Identifier: MIT
// rotate, rotate_back and append by a hadamard: small rows by hand, what they share with one another, and what they
// refuse.
#include "guarded.hpp"
#include "quantised.hpp"
#include "two_threads.hpp"

#include <heed/hadamard.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;
using heed::bf16;

namespace {

template <class T>
heed::view<T> one_row(std::vector<T>& x)
{
    return heed::bhsd(x, {1, 1, 1, static_cast<int64>(x.size())});
}

/// `count` signs without a pattern.
std::vector<float> some_signs(int64 count)
{
    std::mt19937_64 random(7);
    std::vector<float> signs(static_cast<std::size_t>(count));
    for (float& s : signs) s = random() % 2 == 0 ? 1.f : -1.f;
    return signs;
}

void refused(const heed::status& s, const std::string& says)
{
    CAPTURE(s.message());
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains(says));
}

}  // namespace

TEMPLATE_TEST_CASE("small rows rotate as by hand, and back", "", float, double)
{
    using row = std::vector<TestType>;
    row one{-3}, two{5, 3}, four{1, 2, 3, 4}, signed_row = four;
    REQUIRE(heed::rotate(one_row(one)));
    REQUIRE(one == row{-3});
    REQUIRE(heed::rotate(one_row(two)));
    const auto inverse_root = static_cast<TestType>(1 / std::sqrt(2.));
    REQUIRE(two == row{8 * inverse_root, 2 * inverse_root});
    REQUIRE(heed::rotate(one_row(four)));
    REQUIRE(four == row{5, -1, -2, 0});
    REQUIRE(heed::rotate(one_row(four)));  // its own inverse, and exact here
    REQUIRE(four == row{1, 2, 3, 4});

    const std::vector<float> signs{1, -1, 1, -1};
    REQUIRE(heed::rotate(one_row(signed_row), {signs}));
    REQUIRE(signed_row == row{-1, 5, 0, -2});
    REQUIRE(heed::rotate_back(one_row(signed_row), {signs}));
    REQUIRE(signed_row == row{1, 2, 3, 4});
}

TEST_CASE("rows of 16 bits are rotated in float and rounded once, in place or not, whatever their strides")
{
    const std::vector<float> signs = some_signs(64);
    for (const int64 dim : {1, 2, 8, 64}) {
        CAPTURE(dim);
        const auto x = normal<bf16>({2, 3, 5, dim}, 1);
        tensor<float> rotated(x.size), back(x.size);
        REQUIRE(heed::rotate(x.in(), rotated.view(), {signs}));
        REQUIRE(heed::rotate_back(x.in(), back.view(), {signs}));

        guarded memory(1 << 16);  // rows at the end of what there is, each behind another tensor's
        bf16* const mixed = memory.place<bf16>(2 * 3 * 5 * 2 * dim - dim, -1);
        const auto at = heed::strided(mixed, x.size, {30 * dim, 2 * dim, 6 * dim});
        const auto check = [&](const tensor<float>& expected) {
            for (int64 b = 0; b < 2; ++b)
                for (int64 h = 0; h < 3; ++h)
                    for (int64 t = 0; t < 5; ++t)
                        for (int64 c = 0; c < dim; ++c)
                            REQUIRE(at.row(b, h, t)[c].bits == bf16(expected.in().row(b, h, t)[c]).bits);
        };
        REQUIRE(heed::rotate(x.in(), at, {signs}));
        check(rotated);
        tensor<bf16> in_place = x;
        REQUIRE(heed::rotate_back(in_place.view(), {signs}));
        REQUIRE(heed::rotate_back(x.in(), at, {signs}));
        check(back);
        for (std::size_t i = 0; i < x.data.size(); ++i) REQUIRE(in_place.data[i].bits == bf16(back.data[i]).bits);
    }
}

TEST_CASE("threads rotate as one does")
{
    const tensor<float> x = normal<float>({1, 8, 64, 512}, 1);
    tensor<float> one(x.size), two(x.size);
    REQUIRE(heed::rotate(x.in(), one.view()));
    const two_threads executor;
    REQUIRE(heed::rotate(x.in(), two.view(), {}, executor));
    REQUIRE(same_bits(one.data, two.data));
}

TEST_CASE("append by a rotation writes the bytes of rows that were rotated first, of keys or of both, packed too")
{
    const std::vector<float> signs = some_signs(64);
    const heed::hadamard of_keys{signs}, of_values;
    const tensor<float> k = normal<float>({1, 2, 9, 64}, 1), v = normal<float>({1, 2, 9, 32}, 2);
    tensor<float> turned_k(k.size), turned_v(v.size);
    REQUIRE(heed::rotate(k.in(), turned_k.view(), of_keys));
    REQUIRE(heed::rotate(v.in(), turned_v.view(), of_values));
    struct memory {
        tensor<std::int8_t> k{{1, 2, 9, 64}};
        tensor<heed::q8_0> v{{1, 2, 9, 32}};
        tensor<float> scales{{1, 2, 9, 1}};
        auto cache()
        {
            return heed::scaled_kv{heed::dense_kv{k.view(), v.view()}, heed::per_token{scales.view()},
                                   heed::unscaled{}};
        }
        bool operator==(const memory& o) const
        {
            return same_bits(k.data, o.k.data) && same_bits(v.data, o.v.data) && same_bits(scales.data, o.scales.data);
        }
    } expected, alone, packed, keys_only, expected_keys;
    heed::or_throw(heed::append(expected.cache(), 0, 0, turned_k.in(), turned_v.in()));
    heed::or_throw(heed::append(expected_keys.cache(), 0, 0, turned_k.in(), v.in()));
    const heed::row_transforms both{of_keys, of_values};
    const auto k_before = k.data;
    heed::or_throw(heed::append(alone.cache(), 0, 0, k.in(), v.in(), both));
    REQUIRE(alone == expected);
    const std::vector<int64> bounds{0, 9};
    heed::or_throw(heed::append(packed.cache(), {bounds.data(), 2}, k.in(), v.in(), both));
    REQUIRE(packed == expected);
    heed::or_throw(heed::append(keys_only.cache(), 0, 0, k.in(), v.in(), of_keys));
    REQUIRE(keys_only == expected_keys);
    REQUIRE(same_bits(k.data, k_before));
}

TEST_CASE("rows, signs and places that a rotation cannot take are refused, and nothing is written")
{
    tensor<float> x({1, 2, 3, 96}, 2), y = x, four({1, 1, 1, 4}, 2);
    refused(heed::rotate(x.in(), y.view()),
            "rotate: rows have 96 channels; a rotation takes a power of two, at most 8192");
    refused(heed::rotate_back(x.view()), "rotate_back: rows have 96 channels");
    tensor<float> wide({1, 1, 1, 16384}, 2);
    refused(heed::rotate(wide.view()), "rows have 16384 channels");
    const std::vector<float> three{1, 1, 1}, half{1, 1, 0.5, 1}, none{1, std::nanf(""), 1, 1};
    refused(heed::rotate(four.view(), {three}), "rotate: signs has 3 numbers, must be 4");
    refused(heed::rotate(four.view(), {half}), "rotate: signs[2] is 0.5, must be 1 or -1");
    refused(heed::rotate(four.view(), {none}), "rotate: signs[1] is nan");
    refused(heed::rotate(four.in(), x.view()), "rotate: to is [1, 2, 3, 96], must be [1, 1, 1, 4]");
    refused(heed::rotate(heed::view<const float>(nullptr, {1, 1, 1, 4}, {4, 4, 4}), four.view()), "rows.data is null");

    std::vector<float> buffer(12, 2);
    const heed::extents two_rows{1, 1, 2, 4};
    refused(heed::rotate(heed::bhsd(buffer.data(), two_rows), heed::bhsd(buffer.data() + 4, two_rows)),
            "rotate: to overlaps rows, and is not the same");
    refused(heed::rotate(heed::strided(buffer.data(), two_rows, {0, 0, 2})),
            "rotate: to: strides 0, 0, 2 let rows of 4");

    REQUIRE(same_bits(x.data, tensor<float>(x.size, 2).data));
    REQUIRE(same_bits(four.data, tensor<float>(four.size, 2).data));
    REQUIRE(same_bits(wide.data, tensor<float>(wide.size, 2).data));
    REQUIRE(buffer == std::vector<float>(12, 2));
    heed::or_throw(heed::rotate(heed::view<float>(nullptr, {1, 0, 3, 4}, {0, 0, 0})));  // no rows
}

TEST_CASE("append asks a transform first whether it can change rows of keys and of values")
{
    tensor<bf16> k({1, 2, 3, 64}, bf16(3)), v({1, 2, 3, 48}, bf16(3));
    const auto before_k = k.data, before_v = v.data;
    const tensor<float> k_rows({1, 2, 3, 64}, 1), v_rows({1, 2, 3, 48}, 1);
    const heed::dense_kv cache{k.view(), v.view()};
    const heed::hadamard by;
    refused(heed::append(cache, 0, 0, k_rows.in(), v_rows.in(), heed::row_transforms{by, by}),
            "append: v rows have 48 channels; a rotation takes a power of two, at most 8192");
    const heed::dense_kv turned{v.view(), k.view()};
    refused(heed::append(turned, 0, 0, v_rows.in(), k_rows.in(), by), "append: k rows have 48 channels");
    const std::vector<int64> bounds{0, 3};
    refused(heed::append(turned, {bounds.data(), 2}, v_rows.in(), k_rows.in(), by), "append: k rows have 48 channels");
    REQUIRE((same_bits(k.data, before_k) && same_bits(v.data, before_v)));
    heed::or_throw(heed::append(cache, 0, 0, k_rows.in(), v_rows.in(), by));  // values stay as they are
    REQUIRE(float(v.data[0]) == 1);

    std::vector<float> six(6, 1);
    by(six.data(), 6);
    for (const float c : six) REQUIRE(std::isnan(c));
    by.back(six.data(), 6);
    for (const float c : six) REQUIRE(std::isnan(c));
}

TEST_CASE("values that become NaN or Inf under their transform are refused where whole numbers have a given scale")
{
    tensor<std::int8_t> k({1, 1, 2, 4}, 3), v({1, 1, 2, 4}, 3);
    tensor<float> scale({1, 1, 1, 1}, 1);
    const heed::per_token given{heed::view<float>(scale.data.data(), {1, 1, 2, 1}, {0, 0, 0})};
    tensor<float> rows({1, 1, 2, 4}, 1), poisoned_rows = rows;
    poisoned_rows.data[6] = std::numeric_limits<float>::infinity();
    const heed::scaled_kv cache{heed::dense_kv{k.view(), v.view()}, given, given};
    const heed::row_transforms both{heed::hadamard{}, heed::hadamard{}};
    refused(heed::append(cache, 0, 0, rows.in(), poisoned_rows.in(), both),
            "append: v rows: head 0, token 1: NaN or Inf, in int8 with a given scale");
    REQUIRE(same_bits(k.data, tensor<std::int8_t>(k.size, 3).data));
    heed::or_throw(heed::append(cache, 0, 0, rows.in(), rows.in(), both));
    REQUIRE(k.data == std::vector<std::int8_t>{2, 0, 0, 0, 2, 0, 0, 0});
    REQUIRE(v.data == k.data);
}
