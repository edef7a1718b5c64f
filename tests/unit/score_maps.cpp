// SPDX-License-Identifier: MIT
// Score maps that scale by the length of a row and that fade by gates, each against its own formula.
#include "gradients.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <string>

using namespace test;

namespace {

/// The mapped scores of one head and one row at `position`, scores first: relu divides them by their number, and needs
/// them to be above 0.
template <class T, class... Maps>
std::vector<T> mapped(const std::vector<T>& scores, int64 position, const Maps&... maps)
{
    const auto keys = static_cast<int64>(scores.size());
    tensor<T> q({1, 1, 1, 1}, 1), k({1, 1, keys, 1}), v({1, 1, keys, keys}), out({1, 1, 1, keys});
    k.data = scores;
    for (int64 j = 0; j < keys; ++j) v.data[static_cast<std::size_t>(j * keys + j)] = static_cast<T>(keys);
    const heed::attention def{heed::relu<1>{}, maps..., heed::scale{1}, heed::query_offset{position}};
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view()));
    return out.data;
}

std::string refusal(const heed::attention<heed::softmax, heed::log_length_scale>& def)
{
    const tensor<float> q({1, 2, 1, 1});
    tensor<float> out({1, 2, 1, 1});
    return heed::attend(def, q.in(), q.in(), q.in(), out.view()).message();
}

constexpr double ulp = 0x1p-24;

}  // namespace

TEST_CASE("scores are multiplied by the logarithm of the number of keys up to the row")
{
    const std::vector<float> scores{1, 0.5f, 3, 100, 1e-3f};
    const float factor = 0.375f;
    heed::log_length_scale plain{&factor, 1}, moved = plain, limited = plain;
    moved.offset = 0.25;
    limited.least = 1;
    for (const int64 position : {-3, 0, 1, 4, 511, 512, 100000}) {
        const double log_n = std::log(static_cast<double>(std::max<int64>(position, 0) + 1));
        const auto plainly = mapped(scores, position, plain), offset = mapped(scores, position, moved),
                   at_least = mapped(scores, position, limited);
        for (std::size_t j = 0; j < scores.size(); ++j) {
            INFO("position " << position << ", score " << scores[j]);
            const double s = scores[j];
            CHECK(plainly[j] == Approx(0.375 * log_n * s).epsilon(8 * ulp));
            CHECK(offset[j] == Approx((0.375 * log_n + 0.25) * s).epsilon(8 * ulp));
            CHECK(at_least[j] == Approx(std::max(0.375 * log_n, 1.) * s).epsilon(8 * ulp));
        }
    }
}

TEST_CASE("a factor learns nothing from rows whose scale is the least one")
{
    // Gradients in double are differences of attend in tests/oracle; these rows are all on one side of the limit.
    const std::array<float, 1> factor{0.5f};
    const gradient_problem<double> p(problem<double>(1, 1, 1, 4, 4, 2, 2, 1));
    for (const double least : {0.0, 10.0}) {
        heed::log_length_scale scale{factor};
        scale.least = least;
        const auto g = p.backward(heed::attention{heed::softmax{}, scale, heed::causal{}});
        CHECK((g.dslopes[0] == 0) == (least == 10));
    }
}

TEST_CASE("a key that is masked before its score is scaled stays masked where the scale is 0")
{
    const std::vector<float> added{0, -std::numeric_limits<float>::infinity()};
    const float factor = 1;
    tensor<float> q({1, 1, 1, 1}, 1), k({1, 1, 2, 1}, 1), v({1, 1, 2, 1}), out({1, 1, 1, 1});
    v.data = {3, 5};
    const heed::attention def{heed::softmax{}, heed::bias(heed::bhsd(added.data(), {1, 1, 1, 2})),
                              heed::log_length_scale{&factor, 1}, heed::query_offset{0}};
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view()));
    CHECK(out.data[0] == 3);
}

TEST_CASE("factors and limits that are not those of the heads are refused")
{
    const std::vector<float> factors{1, 2, 3};
    heed::log_length_scale scale{factors};
    CHECK(refusal(heed::attention{heed::softmax{}, scale}) == "log_length_scale: 3 factors for 2 query heads");
    scale.count = 2;
    CHECK(refusal(heed::attention{heed::softmax{}, scale}) == "ok");
    scale.offset = std::numeric_limits<double>::infinity();
    CHECK(refusal(heed::attention{heed::softmax{}, scale}) ==
          "log_length_scale: offset inf and least -inf, must be finite and below infinity");
    scale.offset = 0;
    scale.least = std::numeric_limits<double>::quiet_NaN();
    CHECK(refusal(heed::attention{heed::softmax{}, scale}) ==
          "log_length_scale: offset 0 and least nan, must be finite and below infinity");
}

TEMPLATE_TEST_CASE("scores fade by the gates between a row and a key", "", float, double)
{
    using T = TestType;
    constexpr int64 keys = 600;
    tensor<T> sums({1, 1, 1, keys});
    double sum = 0;
    for (int64 t = 0; t < keys; ++t)
        sums.data[static_cast<std::size_t>(t)] = static_cast<T>(sum -= t % 64 == 0 ? 1 : 0.0625);
    const std::vector<T> scores(keys, 60);
    for (const int64 position : {int64{-2}, int64{0}, int64{5}, keys - 1, keys + 100}) {
        const int64 own = std::min(std::max<int64>(position, 0), keys - 1);
        const auto faded = mapped(scores, position, heed::decay(sums.in()));
        for (int64 j = 0; j < keys; ++j) {
            INFO("position " << position << ", key " << j);
            const auto at = [&](int64 t) { return static_cast<double>(sums.data[static_cast<std::size_t>(t)]); };
            CHECK(faded[static_cast<std::size_t>(j)] == Approx(std::max(60 + at(own) - at(j), 0.)).epsilon(8 * ulp));
        }
    }
}

TEST_CASE("sequences and heads have gates of their own, or share them")
{
    const tensor<float> sums = normal<float>({2, 4, 1, 9}, 3), q = normal<float>({2, 4, 3, 8}, 1),
                        k = normal<float>({2, 2, 9, 8}, 2);
    const auto with = [&](const heed::view<const float>& c) {
        tensor<float> out(q.size);
        const heed::attention def{heed::softpick{}, heed::decay(c)};
        heed::or_throw(heed::attend(def, q.in(), k.in(), k.in(), out.view()));
        return out.data;
    };
    for (const bool one_sequence : {false, true})
        for (const bool one_head : {false, true}) {
            const heed::extents some{one_sequence ? 1 : 2, one_head ? 1 : 4, 1, 9};
            tensor<float> repeated(sums.size);
            for (int64 b = 0; b < 2; ++b)
                for (int64 h = 0; h < 4; ++h)
                    for (int64 j = 0; j < 9; ++j)
                        repeated.view().row(b, h, 0)[j] = sums.in().row(one_sequence ? 0 : b, one_head ? 0 : h, 0)[j];
            CHECK(same_bits(with({sums.data.data(), some, {36, 9, 9}}), with(repeated.in())));
        }
}

TEST_CASE("gates of another size are refused")
{
    const tensor<float> sums({1, 1, 2, 9}), q({1, 1, 3, 8}), k({1, 1, 9, 8});
    tensor<float> out(q.size);
    const auto refused = [&](const heed::view<const float>& c) {
        const heed::attention def{heed::softmax{}, heed::decay(c)};
        return std::string(heed::attend(def, q.in(), k.in(), k.in(), out.view()).message());
    };
    CHECK(refused(sums.in()) == "decay: 2 rows of sums, must be 1");
    CHECK(refused(heed::bhsd(sums.data.data(), {1, 1, 1, 8})) ==
          "decay: [1, 1, 1, 8] does not broadcast to [1, 1, 3, 9]");
    CHECK(refused(heed::bhsd(sums.data.data(), {1, 1, 1, 9})) == "ok");
}
