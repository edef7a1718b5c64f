// SPDX-License-Identifier: MIT
// Rows whose weights depend on a threshold have the bits that they have alone: whatever route their keys, weights and
// values take. And what is no number, or no key, is what it is for every normalizer.
#include "pages.hpp"
#include "tensors.hpp"
#include "two_threads.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

/// The same problem by every route: all rows, rows alone, known thresholds and so keys in spans, threads, pages.
template <class Normalizer>
void same_on_every_route(const Normalizer& normalizer, double scale)
{
    const int64 queries = 50, keys = 1100;
    const problem<float> p(2, 4, 2, queries, keys, 32, 32);
    std::vector<heed::row_threshold<float>> thresholds(static_cast<std::size_t>(2 * 4 * queries));
    const heed::attention def{normalizer, heed::causal{}, heed::scale{scale}, heed::keep_thresholds{thresholds}};
    const tensor<float> all = p.attend(def);
    const std::vector<heed::row_threshold<float>> found = thresholds;

    const heed::attention known{normalizer, heed::causal{}, heed::scale{scale}, heed::known_thresholds{thresholds}};
    REQUIRE(same_bits(p.attend(known).data, all.data));
    const two_threads both;
    heed::options<float> how;
    how.executor = both;
    REQUIRE(same_bits(p.attend(def, how).data, all.data));
    REQUIRE(same_bits(p.attend(known, how).data, all.data));

    const paged<float> pages(p.k, p.v, {keys, keys}, 24, layout::page_head_slot);
    tensor<float> out(p.out_size());
    heed::or_throw(heed::attend(def, p.q.in(), pages.source(pages.csr()), out.view()));
    REQUIRE(same_bits(out.data, all.data));
    REQUIRE(std::memcmp(thresholds.data(), found.data(), found.size() * sizeof(found[0])) == 0);

    for (const int64 i : {int64{0}, int64{17}, queries - 1}) {
        const heed::attention alone{normalizer, heed::causal{}, heed::scale{scale},
                                    heed::query_offset{keys - queries + i}};
        tensor<float> one({2, 4, 1, 32});
        heed::or_throw(heed::attend(alone, tokens(p.q.in(), i, 1), p.k.in(), p.v.in(), one.view()));
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < 4; ++h)
                REQUIRE(std::memcmp(one.in().row(b, h, 0), all.in().row(b, h, i), 32 * sizeof(float)) == 0);
    }
}

/// A row of scores as they are: keys of one channel, and a query of 1. Gives its output and its mass.
std::vector<float> attended(const std::vector<float>& scores, const std::vector<float>& values)
{
    const auto n = static_cast<int64>(scores.size());
    std::vector<float> q(1, 1.f), out(2, -7.f), shift(1);
    heed::options<float> how;
    how.stats = {shift.data(), out.data() + 1};
    heed::or_throw(
        heed::attend(heed::attention{heed::entmax15{}, heed::scale{1}}, heed::bhsd<const float>(q.data(), {1, 1, 1, 1}),
                     heed::bhsd<const float>(scores.data(), {1, 1, n, 1}),
                     heed::bhsd<const float>(values.data(), {1, 1, n, 1}), heed::bhsd(out.data(), {1, 1, 1, 1}), how));
    return out;
}

}  // namespace

TEST_CASE("thresholds: the bits of a row do not depend on its route", "[thresholds]")
{
    same_on_every_route(heed::entmax15{}, 0.4);
    same_on_every_route(heed::entmax15{}, 0.004);  // most keys have a weight
    same_on_every_route(heed::top_k{11}, 0.3);
    const std::vector<float> offsets{-1, -0.5f, -3, 0.25f};
    same_on_every_route(heed::elastic_softmax{offsets}, 0.4);
}

TEST_CASE("thresholds: lists that do not fit give the same", "[thresholds]")
{
    // Of equal keys none can be left out. 90 rows have 4369 places each, and 23 four times as many.
    const int64 keys = 9000;
    problem<float> p(1, 1, 1, 90, keys, 4, 16);
    for (float& x : p.k.data) x = 0.5f;
    const heed::attention def{heed::entmax15{}};
    const tensor<float> all = p.attend(def);
    tensor<float> one({1, 1, 1, 16});
    heed::or_throw(heed::attend(def, tokens(p.q.in(), 7, 1), p.k.in(), p.v.in(), one.view()));
    REQUIRE(std::memcmp(one.in().row(0, 0, 0), all.in().row(0, 0, 7), 16 * sizeof(float)) == 0);
    double mean = 0;
    for (int64 j = 0; j < keys; ++j) mean += static_cast<double>(p.v.in().row(0, 0, j)[3]) / static_cast<double>(keys);
    REQUIRE(std::fabs(static_cast<double>(one.data[3]) - mean) < 0x1p-24 * std::sqrt(static_cast<double>(keys)));
}

TEST_CASE("thresholds: of a row that is longer than all lists, scores are computed again", "[thresholds]")
{
    std::vector<float> scores(500000, 0.25f), values(scores.size(), 3.f);
    scores[499999] = 0.2500001f;
    const double sums = std::sqrt(512 + 500000. / 512);  // of 512 keys each
    REQUIRE(std::fabs(static_cast<double>(attended(scores, values)[0]) - 3) < 4 * 3 * 0x1p-24 * sums);
    REQUIRE(std::isnan(attended(
        [&] {
            scores[77] = not_a_number;
            return scores;
        }(),
        values)[0]));
}

TEST_CASE("thresholds: what is no number and what is no key", "[thresholds]")
{
    std::vector<float> scores(700, -3.f), values(700, 1.f);
    scores[5] = 1;
    scores[600] = 0.5f;
    values[100] = not_a_number;  // of weight 0
    const float usual = attended(scores, values)[0];
    REQUIRE(std::fabs(usual - 1) < 1e-6f);
    scores[300] = -infinity;
    REQUIRE(attended(scores, values)[0] == usual);
    std::vector<float> other = scores;
    other[650] = infinity;
    REQUIRE(std::isnan(attended(other, values)[0]));
    other[650] = not_a_number;
    REQUIRE(std::isnan(attended(other, values)[0]));
    other = scores;
    other[650] = std::numeric_limits<float>::max();
    other[651] = -std::numeric_limits<float>::max();
    REQUIRE(attended(other, values)[0] == 1);  // one key
    REQUIRE(attended(std::vector<float>(40, -infinity), std::vector<float>(40, not_a_number))[0] == 0);
    REQUIRE(!std::signbit(attended(std::vector<float>(40, -infinity), std::vector<float>(40, -1.f))[0]));
}

TEST_CASE("thresholds: weights sum to 1 where the last bit of a threshold moves them by more than that", "[thresholds]")
{
    constexpr int64 n = 131072;
    const std::vector<float> q(1, 1.f), values(n, 1.f);
    std::vector<float> scores(n, -1.98f), out(1);
    scores[1000] = 0;
    std::vector<heed::row_threshold<float>> tau(1);
    heed::or_throw(
        heed::attend(heed::attention{heed::entmax15{}, heed::scale{1}, heed::keep_thresholds<float>{tau}},
                     heed::bhsd(q.data(), {1, 1, 1, 1}), heed::bhsd<const float>(scores.data(), {1, 1, n, 1}),
                     heed::bhsd(values.data(), {1, 1, n, 1}), heed::bhsd(out.data(), {1, 1, 1, 1})));
    // sums of floats, tile by tile, would be off by more
    const auto sum = [&](double low) {
        double all = 0;
        for (const float s : scores) {
            const double x = static_cast<double>(s) - static_cast<double>(tau[0].origin) -
                             static_cast<double>(tau[0].high) - low;
            all += x > 0 ? x * x / 4 : 0;
        }
        return all;
    };
    REQUIRE(std::fabs(sum(static_cast<double>(tau[0].low)) - 1) < 1e-7);
    REQUIRE(std::fabs(sum(0) - 1) > 5e-7);
}

TEST_CASE("thresholds: scores that equal the k-th largest all stay", "[thresholds]")
{
    const std::vector<float> q(1, 1.f), scores{1, 4, 2, 2, 2, 0, 4, -1}, values{0, 1, 10, 20, 30, 0, 3, 0};
    float out = 0;
    heed::or_throw(heed::attend(heed::attention{heed::top_k{3}, heed::scale{1}},
                                heed::bhsd<const float>(q.data(), {1, 1, 1, 1}),
                                heed::bhsd<const float>(scores.data(), {1, 1, 8, 1}),
                                heed::bhsd<const float>(values.data(), {1, 1, 8, 1}), heed::bhsd(&out, {1, 1, 1, 1})));
    const double e = std::exp(-2.), expected = (4 + e * 60) / (2 + 3 * e);
    REQUIRE(std::fabs(static_cast<double>(out) - expected) < 8 * 0x1p-24 * expected);
}

TEST_CASE("thresholds: states of parts are merged where thresholds are known", "[thresholds]")
{
    const int64 keys = 1500, cut = 1024;
    const problem<float> p(1, 4, 2, 20, keys, 32, 32);
    std::vector<heed::row_threshold<float>> thresholds(4 * 20);
    const tensor<float> all = p.attend(heed::attention{heed::entmax15{}, heed::keep_thresholds{thresholds}});
    const heed::attention known{heed::entmax15{}, heed::known_thresholds{thresholds}};
    REQUIRE(same_bits(attend_in_parts(known, p, cut).data, all.data));
}

TEST_CASE("thresholds: what is wrong is said before anything is written", "[thresholds]")
{
    const problem<float> p(1, 2, 1, 3, 20, 8, 8);
    tensor<float> out(p.out_size(), 5.f);
    const auto fails = [&](const auto& def, const char* words) {
        const heed::status s = heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view());
        INFO(s.message());
        return !s && std::strstr(s.message(), words) && out.data == std::vector<float>(out.data.size(), 5.f);
    };
    std::vector<heed::row_threshold<float>> few(5);
    REQUIRE(fails(heed::attention{heed::entmax15{}, heed::keep_thresholds{few}}, "thresholds"));
    REQUIRE(fails(heed::top_k{0}, "top_k: k is 0"));
    const std::vector<float> one(1);
    REQUIRE(fails(heed::elastic_softmax{one}, "elastic_softmax: 1 offsets for 2 query heads"));
    REQUIRE(fails(heed::clipped_softmax{0.5, 1}, "clipped_softmax: gamma 0.5"));
}
