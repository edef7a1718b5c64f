// SPDX-License-Identifier: MIT
// Scales beside a cache: what NaN, 0 and negative ones mean, whom they reach, and which of them are refused.
#include "quantised.hpp"

#include <heed/append.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();
const float inf_f = std::numeric_limits<float>::infinity();

/// int8 keys and values with a scale for each token.
struct scaled_problem {
    tensor<float> q;
    tensor<std::int8_t> k, v;
    tensor<float> k_scales, v_scales;

    explicit scaled_problem(int64 queries, int64 keys = 600, int64 query_heads = 4)
        : q(normal<float>({1, query_heads, queries, 40}, 1)),
          k(drawn_elements<std::int8_t>({1, query_heads / 2, keys, 40}, 2)),
          v(drawn_elements<std::int8_t>({1, query_heads / 2, keys, 24}, 3)),
          k_scales({1, query_heads / 2, keys, 1}, 0.02f), v_scales({1, query_heads / 2, keys, 1}, 0.01f)
    {}
    auto kv() const
    {
        return heed::scaled_kv{heed::dense_kv{k.in(), v.in()}, heed::per_token{k_scales.in()},
                               heed::per_token{v_scales.in()}};
    }
    template <class Def>
    tensor<float> attend(const Def& def) const
    {
        tensor<float> out({1, q.size.heads, q.size.tokens, 24}, -7);
        heed::or_throw(heed::attend(def, q.in(), kv(), out.view()));
        return out;
    }
};

/// Calls f with both normalizers and a mask: one definition each, so that this file compiles in seconds.
template <class F>
void with_definitions(F f)
{
    f("softmax", heed::attention{heed::softmax{}, heed::causal{}});
    f("softpick", heed::attention{heed::softpick{}, heed::causal{}});
}

bool same_row(const float* a, const float* b, int64 n)
{
    return std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0;
}
bool all_nan(const float* x, int64 n)
{
    return std::all_of(x, x + n, [](float y) { return std::isnan(y); });
}

}  // namespace

TEST_CASE("NaN in the scale of a key is NaN in the rows that attend it, and in no others")
{
    for (const int64 queries : {3, 40})
        with_definitions([&](const char* name, const auto& def) {
            scaled_problem p(queries);
            const tensor<float> clean = p.attend(def);
            const int64 token = 598;  // attended by the last two rows
            p.k_scales.view().row(0, 1, token)[0] = nan_f;
            const tensor<float> out = p.attend(def);
            for (int64 h = 0; h < 4; ++h)
                for (int64 i = 0; i < queries; ++i) {
                    CAPTURE(name, queries, h, i);
                    const float* row = out.in().row(0, h, i);
                    if (h >= 2 && 600 - queries + i >= token) REQUIRE(all_nan(row, 24));
                    else REQUIRE(same_row(row, clean.in().row(0, h, i), 24));
                }
        });
}

TEST_CASE("NaN in the scale of a value is NaN in the rows that give it weight, and in no others")
{
    for (const int64 queries : {3, 40})
        with_definitions([&](const char* name, const auto& def) {
            scaled_problem p(queries);
            const tensor<float> clean = p.attend(def);
            const int64 token = 598;
            p.v_scales.view().row(0, 1, token)[0] = nan_f;
            const tensor<float> out = p.attend(def);
            int with = 0, without = 0;
            for (int64 h = 0; h < 4; ++h)
                for (int64 i = 0; i < queries; ++i) {
                    CAPTURE(name, queries, h, i);
                    const float *row = out.in().row(0, h, i), *expected = clean.in().row(0, h, i);
                    const bool attends = h >= 2 && 600 - queries + i >= token;
                    double score = 0;
                    for (int64 c = 0; c < 40; ++c)
                        score += static_cast<double>(p.q.in().row(0, h, i)[c]) *
                                 static_cast<double>(p.k.in().row(0, 1, token)[c]);
                    const bool weighs = attends && (std::string(name) == "softmax" || score > 0);
                    if (weighs) REQUIRE(all_nan(row, 24));
                    else REQUIRE(same_row(row, expected, 24));
                    ++(weighs ? with : without);
                }
            REQUIRE((with > 0 && without > 0));
        });
}

TEST_CASE("NaN in the scale of a value of weight 0 contributes nothing, be it one of few values or of many")
{
    for (const int64 queries : {1, 40})
        for (const int every : {2, 20}) {
            CAPTURE(queries, every);
            scaled_problem p(queries);
            for (float& x : p.q.data) x = std::fabs(x);
            for (int64 h = 0; h < 2; ++h)
                for (int64 j = 0; j < 600; ++j)
                    for (int64 c = 0; c < 40; ++c) {
                        std::int8_t& x = p.k.view().row(0, h, j)[c];
                        x = static_cast<std::int8_t>(j % every == 0 ? std::abs(x / 2) : -std::abs(x / 2));
                    }
            const heed::attention def{heed::softpick{}, heed::causal{}};
            const tensor<float> clean = p.attend(def);
            for (int64 h = 0; h < 2; ++h)
                for (int64 j = 0; j < 600; ++j)
                    if (j % every != 0) p.v_scales.view().row(0, h, j)[0] = j % 3 ? nan_f : inf_f;
            REQUIRE(same_bits(p.attend(def).data, clean.data));
        }
}

TEST_CASE("the scales of masked tokens change nothing, whatever they are")
{
    for (const int64 queries : {1, 3, 40})
        with_definitions([&](const char* name, const auto& def) {
            CAPTURE(name, queries);
            scaled_problem p(queries, 600);
            const tensor<float> clean = p.attend(def);
            scaled_problem longer = p;  // the same with 30 tokens behind it that no row may attend
            const auto grow = [](auto& t, auto with) {
                auto to = std::decay_t<decltype(t)>({1, 2, 630, t.size.dim}, with);
                for (int64 h = 0; h < 2; ++h)
                    std::copy_n(t.in().row(0, h, 0), 600 * t.size.dim, to.view().row(0, h, 0));
                t = to;
            };
            grow(longer.k, std::int8_t{127});
            grow(longer.v, std::int8_t{127});
            grow(longer.k_scales, nan_f);
            grow(longer.v_scales, nan_f);
            const int64 lengths[] = {600};
            const heed::scaled_kv cut{heed::dense_kv{longer.k.in(), longer.v.in(), heed::index_view(lengths, 1)},
                                      heed::per_token{longer.k_scales.in()}, heed::per_token{longer.v_scales.in()}};
            tensor<float> out(clean.size);
            heed::or_throw(heed::attend(def, p.q.in(), cut, out.view()));
            REQUIRE(same_bits(out.data, clean.data));
            // and by the mask: all rows but the last of 40 attend fewer than 600 tokens
            p.k_scales.view().row(0, 0, 599)[0] = nan_f;
            p.v_scales.view().row(0, 0, 599)[0] = -inf_f;
            const tensor<float> masked = p.attend(def);
            for (int64 h = 0; h < 4; ++h)
                for (int64 i = 0; i + 1 < queries; ++i)
                    REQUIRE(same_row(masked.in().row(0, h, i), clean.in().row(0, h, i), 24));
        });
}

TEST_CASE("a scale of 0 makes zeros of a key or value, and a negative one turns it round")
{
    for (const int64 queries : {1, 40})
        with_definitions([&](const char* name, const auto& def) {
            CAPTURE(name, queries);
            scaled_problem p(queries), turned = p, zero = p;
            for (int64 j = 0; j < 600; j += 3)
                for (int64 h = 0; h < 2; ++h) {
                    for (int64 c = 0; c < 40; ++c) {
                        std::int8_t& x = turned.k.view().row(0, h, j)[c];
                        x = static_cast<std::int8_t>(x == -128 ? 127 : -x);
                        if (p.k.in().row(0, h, j)[c] == -128) p.k.view().row(0, h, j)[c] = -127;
                    }
                    turned.k_scales.view().row(0, h, j)[0] *= -1;
                    for (int64 c = 0; c < 24; ++c) {
                        std::int8_t& x = turned.v.view().row(0, h, j)[c];
                        x = static_cast<std::int8_t>(x == -128 ? 127 : -x);
                        if (p.v.in().row(0, h, j)[c] == -128) p.v.view().row(0, h, j)[c] = -127;
                    }
                    turned.v_scales.view().row(0, h, j)[0] *= -1;
                }
            // -(scale q) is (-scale) q to the bit, of scores and of weighted values
            REQUIRE(same_bits(turned.attend(def).data, p.attend(def).data));

            scaled_problem erased = zero;
            for (int64 j = 0; j < 600; j += 3)
                for (int64 h = 0; h < 2; ++h) {
                    zero.k_scales.view().row(0, h, j)[0] = 0;
                    zero.v_scales.view().row(0, h, j)[0] = 0;
                    std::fill_n(erased.k.view().row(0, h, j), 40, std::int8_t{0});
                    std::fill_n(erased.v.view().row(0, h, j), 24, std::int8_t{0});
                }
            REQUIRE(same_bits(zero.attend(def).data, erased.attend(def).data));
        });
}

TEST_CASE("scales of powers of two have the bits of the same scales in the numbers themselves")
{
    scaled_problem p(7);
    problem<float> f(1, 4, 2, 7, 600, 40, 24);
    f.q = p.q;
    std::mt19937_64 random(5);
    for (std::size_t i = 0; i < 1200; ++i) {
        p.k_scales.data[i] = std::ldexp(random() % 2 ? 1.f : -1.f, static_cast<int>(random() % 4) - 7);
        p.v_scales.data[i] = std::ldexp(random() % 2 ? 1.f : -1.f, static_cast<int>(random() % 9) - 9);
        for (std::size_t c = 0; c < 40; ++c)
            f.k.data[i * 40 + c] = p.k_scales.data[i] * static_cast<float>(p.k.data[i * 40 + c]);
        for (std::size_t c = 0; c < 24; ++c)
            f.v.data[i * 24 + c] = p.v_scales.data[i] * static_cast<float>(p.v.data[i * 24 + c]);
    }
    with_definitions([&](const char* name, const auto& def) {
        CAPTURE(name);
        tensor<float> expected({1, 4, 7, 24});
        heed::or_throw(heed::attend(def, f.q.in(), f.k.in(), f.v.in(), expected.view()));
        REQUIRE(same_bits(p.attend(def).data, expected.data));
    });
}

namespace {

/// Any scales over int8 or fp8, and rows of q8_0: refused by attend, and by append and fetch of that sequence, with
/// nothing written.
template <class Cache>
void refused_by_all(const Cache& cache, int64 key_dim, int64 value_dim, const std::string& says, int64 sequence = 0)
{
    tensor<float> q({2, 2, 3, key_dim}, 1), out({2, 2, 3, value_dim}, 5);
    tensor<float> k({1, 2, 1, key_dim}, 1), v({1, 2, 1, value_dim}, 1);
    const auto check = [&](const heed::status& s) {
        CAPTURE(s.message());
        REQUIRE(!s);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
    };
    check(heed::attend(heed::attention{heed::softmax{}, heed::causal{}}, q.in(), cache, out.view()));
    check(heed::append(cache, sequence, 0, k.in(), v.in()));
    check(heed::fetch(cache, sequence, 0, k.view(), v.view()));
    REQUIRE(same_bits(out.data, tensor<float>(out.size, 5).data));
    REQUIRE(same_bits(k.data, tensor<float>(k.size, 1).data));
    REQUIRE(same_bits(v.data, tensor<float>(v.size, 1).data));
}

}  // namespace

TEST_CASE("scales of other shapes than the rows have, or at null, are refused")
{
    tensor<std::int8_t> k({2, 2, 6, 8}, 9), v({2, 2, 6, 4}, 9);
    tensor<float> scales({2, 2, 6, 1}, 3);
    const auto before = scales.data;
    const auto tokens_of = [&](heed::view<float> of_k, heed::view<float> of_v, const char* says) {
        refused_by_all(
            heed::scaled_kv{heed::dense_kv{k.view(), v.view()}, heed::per_token{of_k}, heed::per_token{of_v}}, 8, 4,
            says);
    };
    const auto with = [&](auto change) {
        auto view = scales.view();
        change(view);
        return view;
    };
    const auto good = scales.view();
    tokens_of(with([](auto& x) { x.size.tokens = 5; }), good, "scaled_kv: k scale: [2, 2, 5, 1], must be [2, 2, 6, 1]");
    tokens_of(with([](auto& x) { x.size.heads = 1; }), good, "scaled_kv: k scale: [2, 1, 6, 1], must be [2, 2, 6, 1]");
    tokens_of(with([](auto& x) { x.size.dim = 8; }), good, "scaled_kv: k scale: [2, 2, 6, 8], must be [2, 2, 6, 1]");
    tokens_of(good, with([](auto& x) { x.size.batch = 1; }), "scaled_kv: v scale: [1, 2, 6, 1], must be [2, 2, 6, 1]");
    tokens_of(with([](auto& x) { x.data = nullptr; }), good, "k scale.data is null");
    tokens_of(good, with([](auto& x) { x.data = nullptr; }), "v scale.data is null");
    tokens_of(good, with([](auto& x) { x.size.tokens = -6; }), "v scale: batch 2, heads 2, tokens -6");
    tokens_of(good, with([](auto& x) { x.stride.batch = std::numeric_limits<int64>::max(); }), "overflow 64 bits");
    REQUIRE(same_bits(scales.data, before));
    REQUIRE(same_bits(k.data, tensor<std::int8_t>(k.size, 9).data));
}

TEST_CASE(
    "scales of channels that have another shape, or are not finite and above 0, are refused with head and channel")
{
    tensor<std::int8_t> k({2, 2, 6, 8}, 9), v({2, 2, 6, 4}, 9);
    tensor<float> channels({1, 2, 1, 8}, 3), scales({2, 2, 6, 1}, 3);
    const auto refused = [&](heed::view<float> of_k, const char* says) {
        refused_by_all(heed::scaled_kv{heed::dense_kv{k.view(), v.view()}, heed::per_channel{of_k},
                                       heed::per_token{scales.view()}},
                       8, 4, says);
    };
    auto shape = channels.view();
    shape.size.dim = 7;
    refused(shape, "scaled_kv: k scale: [1, 2, 1, 7], must be [1, 2, 1, 8]");
    shape = channels.view();
    shape.size.batch = 2;
    shape.stride.batch = 0;
    refused(shape, "scaled_kv: k scale: [2, 2, 1, 8], must be [1, 2, 1, 8]");
    shape = channels.view();
    shape.data = nullptr;
    refused(shape, "k scale.data is null");
    for (const auto& [bad, text] : std::vector<std::pair<float, std::string>>{{nan_f, "nan"},
                                                                              {-nan_f, "nan"},
                                                                              {inf_f, "inf"},
                                                                              {-1.f, "-1"},
                                                                              {0.f, "0"},
                                                                              {-0.f, "-0"},
                                                                              {-inf_f, "-inf"}}) {
        tensor<float> one = channels;
        one.view().row(0, 1, 0)[5] = bad;
        refused(one.view(),
                ("scaled_kv: k scale: head 1, channel 5: " + std::string(std::isnan(bad) ? "" : text)).c_str());
    }
    REQUIRE(same_bits(k.data, tensor<std::int8_t>(k.size, 9).data));
    REQUIRE(same_bits(scales.data, tensor<float>(scales.size, 3).data));
}

TEST_CASE("scales of whole heads that are not finite and above 0 are refused with head and sequence")
{
    tensor<std::int8_t> k({2, 2, 6, 8}, 9), v({2, 2, 6, 4}, 9);
    for (const float bad : {nan_f, inf_f, -inf_f, 0.f, -2.f})
        for (const bool in_values : {false, true}) {
            tensor<float> heads({2, 2, 1, 1}, 3), good({2, 2, 6, 1}, 3);
            heads.view().row(1, 0, 0)[0] = bad;
            const heed::view<float> by_sequence{heads.data.data(), {2, 2, 6, 1}, {2, 1, 0}};
            refused_by_all(heed::scaled_kv{heed::dense_kv{k.view(), v.view()},
                                           heed::per_token{in_values ? good.view() : by_sequence},
                                           heed::per_token{in_values ? by_sequence : good.view()}},
                           8, 4,
                           std::string("scaled_kv: ") + (in_values ? "v" : "k") + " scale: head 0, sequence 1: ", 1);
            heads = tensor<float>({1, 2, 1, 1}, 3);
            heads.data[1] = bad;
            const heed::view<float> for_all{heads.data.data(), {2, 2, 6, 1}, {0, 1, 0}};
            refused_by_all(heed::scaled_kv{heed::dense_kv{k.view(), v.view()},
                                           heed::per_token{in_values ? good.view() : for_all},
                                           heed::per_token{in_values ? for_all : good.view()}},
                           8, 4, std::string("scaled_kv: ") + (in_values ? "v" : "k") + " scale: head 1, sequence 0: ");
        }
    REQUIRE(same_bits(k.data, tensor<std::int8_t>(k.size, 9).data));
}

TEST_CASE("rows that are no whole number of blocks are refused")
{
    std::vector<heed::q8_0> blocks(64);
    tensor<std::int8_t> v({2, 2, 6, 4}, 9);
    tensor<float> scales({2, 2, 6, 1}, 3);
    for (const int64 dim : {1, 31, 33, 48}) {
        const heed::view<heed::q8_0> k{blocks.data(), {2, 2, 6, dim}, {24, 12, 2}};
        refused_by_all(heed::scaled_kv{heed::dense_kv{k, v.view()}, heed::unscaled{}, heed::per_token{scales.view()}},
                       dim, 4, "k: dim " + std::to_string(dim) + " is not a multiple of the 32 channels of a block");
    }
    const heed::view<heed::q8_0> zero{blocks.data(), {2, 2, 6, 0}, {24, 12, 2}};
    refused_by_all(heed::scaled_kv{heed::dense_kv{zero, v.view()}, heed::unscaled{}, heed::per_token{scales.view()}}, 0,
                   4, "dim 0 >= 1");
}
