// SPDX-License-Identifier: MIT
// Score maps by the distance of keys, as models have them: a table by distance, T5's buckets, Swin's windows; forward,
// gradient and what is seen of the weights, each against plain loops.
#include "gradients.hpp"

#include <heed/observe.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <cmath>

using namespace test;

namespace {

constexpr int64 heads = 4, buckets = 32, longest_distance = 128;

/// The bucket of a distance, as in T5 (Raffel et al. 2020), of a decoder that may look ahead: half of the buckets for
/// either side, half of these exact and half logarithmic.
int64 bucket_of(int64 distance)
{
    const int64 side = buckets / 2, exact = side / 2, far = std::abs(distance);
    int64 bucket = far;
    if (far >= exact)
        bucket = std::min<int64>(side - 1, exact + static_cast<int64>(std::log(static_cast<double>(far) / exact) /
                                                                      std::log(longest_distance / exact) * exact));
    return distance > 0 ? bucket + side : bucket;
}

/// A learned bias a bucket and head: the table [buckets, heads] of T5.
struct t5_bias {
    const double* table;

    double at(int64 head, int64 query, int64 key) const { return table[bucket_of(key - query) * heads + head]; }
    template <class V>
    V map(V s, const heed::score_place<V>& place) const
    {
        return s + place.gather([&](int64 key) { return at(place.head, place.position, key); });
    }
    template <class V>
    V slope(V, const heed::score_place<V>&) const
    {
        return V(1);
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const heed::score_place<V>&) const
    {
        return V(1);
    }
};

/// Softmax in plain loops, of scores + added(head, query, key) where attends(query, key): weights and outputs.
template <class T, class Added, class Attends>
struct plain_attention {
    std::vector<double> p, out;  // [Hq, Sq, Skv], [Hq, Sq, Dv]

    plain_attention(const problem<T>& x, Added added, Attends attends)
    {
        const int64 queries = x.q.size.tokens, keys = x.k.size.tokens, group = x.q.size.heads / x.k.size.heads;
        const double scale = static_cast<double>(static_cast<T>(1 / std::sqrt(static_cast<double>(x.q.size.dim))));
        for (int64 h = 0; h < x.q.size.heads; ++h)
            for (int64 i = 0; i < queries; ++i) {
                const int64 position = keys - queries + i;
                std::vector<double> e(static_cast<std::size_t>(keys), 0);
                double sum = 0;
                for (int64 j = 0; j < keys; ++j) {
                    if (!attends(position, j)) continue;
                    double dot = 0;
                    for (int64 c = 0; c < x.q.size.dim; ++c)
                        dot += static_cast<double>(x.q.in().row(0, h, i)[c]) *
                               static_cast<double>(x.k.in().row(0, h / group, j)[c]);
                    sum += e[static_cast<std::size_t>(j)] = std::exp(scale * dot + added(h, position, j));
                }
                for (const double w : e) p.push_back(sum == 0 ? 0 : w / sum);
                for (int64 c = 0; c < x.v.size.dim; ++c) {
                    double o = 0;
                    for (int64 j = 0; j < keys; ++j)
                        o += e[static_cast<std::size_t>(j)] / sum *
                             static_cast<double>(x.v.in().row(0, h / group, j)[c]);
                    out.push_back(o);
                }
            }
    }
};
template <class T, class Added, class Attends>
plain_attention(const problem<T>&, Added, Attends) -> plain_attention<T, Added, Attends>;

template <class T>
double largest_difference(const std::vector<T>& got, const std::vector<double>& expected)
{
    REQUIRE(got.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i)
        worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - expected[i]));
    return worst;
}

std::vector<double> numbers(int64 n, std::uint64_t seed) { return normal<double>({1, 1, 1, n}, seed).data; }

const auto up_to_query = [](int64 query, int64 key) { return key <= query; };
const auto everywhere = [](int64, int64) { return true; };

}  // namespace

TEMPLATE_TEST_CASE("a table by distance is a map of one load", "", float, double)
{
    const double tolerance = std::is_same_v<TestType, float> ? 4e-6 : 1e-13;
    for (const auto& [queries, keys] : {std::pair<int64, int64>{600, 600}, {1, 600}, {37, 530}}) {
        INFO(queries << " queries, " << keys << " keys");
        const problem<TestType> x(1, heads, 2, queries, keys, 24, 20);
        std::vector<TestType> table;  // of distances from -(keys - 1) to keys - 1
        for (const double n : numbers(2 * keys - 1, 7)) table.push_back(static_cast<TestType>(n));
        const TestType* t = table.data() + (keys - 1);
        const auto map = heed::map_score([t](auto s, const auto& at) { return s + at.load(t, -at.position); });
        const auto added = [t](int64, int64 query, int64 key) { return static_cast<double>(t[key - query]); };
        REQUIRE(largest_difference(x.attend(heed::attention{map}).data, plain_attention(x, added, everywhere).out) <
                tolerance);
        REQUIRE(largest_difference(x.attend(heed::attention{map, heed::causal{}}).data,
                                   plain_attention(x, added, up_to_query).out) < tolerance);
    }
}

TEMPLATE_TEST_CASE("T5's buckets are a map of one gather", "", float, double)
{
    const double tolerance = std::is_same_v<TestType, float> ? 4e-6 : 1e-13;
    const std::vector<double> table = numbers(buckets * heads, 11);
    const t5_bias bias{table.data()};
    const auto added = [&](int64 head, int64 query, int64 key) { return bias.at(head, query, key); };
    for (const auto& [queries, keys] : {std::pair<int64, int64>{600, 600}, {1, 600}, {37, 530}}) {
        INFO(queries << " queries, " << keys << " keys");
        const problem<TestType> x(1, heads, 2, queries, keys, 24, 20);
        REQUIRE(largest_difference(x.attend(heed::attention{bias}).data, plain_attention(x, added, everywhere).out) <
                tolerance);
        const heed::attention causal{bias, heed::causal{}};
        const plain_attention expected(x, added, up_to_query);
        REQUIRE(largest_difference(x.attend(causal).data, expected.out) < tolerance);

        // The same buckets as a callable, and the same mask as a predicate: the same bits.
        const auto map = heed::map_score([&](auto s, const auto& at) {
            return s + at.gather([&](int64 key) { return bias.at(at.head, at.position, key); });
        });
        const auto mask = heed::attend_where([](int64, int64, int64 query, int64 key) { return key <= query; });
        REQUIRE(same_bits(x.attend(heed::attention{map, mask}).data, x.attend(causal).data));
    }
}

TEST_CASE("Swin's relative positions in a window are a map of one gather")
{
    constexpr int64 side = 7, tokens = side * side, windows = 3;
    problem<double> x(windows, heads, heads, tokens, tokens, 16, 16);
    const std::vector<double> table = numbers((2 * side - 1) * (2 * side - 1) * heads, 3);
    const auto of = [&](int64 head, int64 query, int64 key) {
        const int64 down = query / side - key / side + side - 1, right = query % side - key % side + side - 1;
        return table[static_cast<std::size_t>((down * (2 * side - 1) + right) * heads + head)];
    };
    const auto map = heed::map_score([&](auto s, const auto& at) {
        return s + at.gather([&](int64 key) { return of(at.head, at.position, key); });
    });
    const std::vector<double> got = x.attend(heed::attention{map}).data;
    for (int64 w = 0; w < windows; ++w) {
        problem<double> one(1, heads, heads, tokens, tokens, 16, 16);
        const auto part = [&](const tensor<double>& all) {
            const auto n = static_cast<std::ptrdiff_t>(all.data.size() / windows);
            return std::vector<double>(all.data.begin() + w * n, all.data.begin() + (w + 1) * n);
        };
        one.q.data = part(x.q), one.k.data = part(x.k), one.v.data = part(x.v);
        const auto n = static_cast<std::ptrdiff_t>(got.size() / windows);
        REQUIRE(largest_difference(std::vector<double>(got.begin() + w * n, got.begin() + (w + 1) * n),
                                   plain_attention(one, of, everywhere).out) < 1e-13);
    }
}

TEST_CASE("the gradient of T5's table is that of its scores, bucket by bucket")
{
    const std::vector<double> table = numbers(buckets * heads, 11);
    const t5_bias bias{table.data()};
    const gradient_problem<double> x(problem<double>(1, heads, 2, 70, 530, 24, 20));
    const heed::attention def{bias, heed::causal{}};
    const owned_gradients<double> got = x.backward(def);
    const plain_attention expected(
        x, [&](int64 head, int64 query, int64 key) { return bias.at(head, query, key); }, up_to_query);

    std::vector<double> by_hand(table.size(), 0), by_heed(table.size(), 0), of_scores;
    for (int64 h = 0, line = 0; h < heads; ++h)
        for (int64 i = 0; i < 70; ++i, ++line) {
            const double* const dout = x.dout.in().row(0, h, i);
            double d = 0;
            for (int64 c = 0; c < 20; ++c) d += dout[c] * expected.out[static_cast<std::size_t>(line * 20 + c)];
            for (int64 j = 0; j < 530; ++j) {
                double dp = 0;
                for (int64 c = 0; c < 20; ++c) dp += dout[c] * x.v.in().row(0, h / 2, j)[c];
                const double ds = expected.p[static_cast<std::size_t>(line * 530 + j)] * (dp - d);
                const auto entry = static_cast<std::size_t>(bucket_of(j - (460 + i)) * heads + h);
                by_hand[entry] += ds;
                by_heed[entry] += got.dbias.in().row(0, h, i)[j];
                of_scores.push_back(ds);
            }
        }
    REQUIRE(largest_difference(got.dbias.data, of_scores) < 1e-14);
    REQUIRE(largest_difference(by_heed, by_hand) < 1e-13);
    REQUIRE(std::fabs(by_hand[0]) > 0.01);
}

TEST_CASE("what is observed of T5's weights, and the reference, have their buckets too")
{
    const std::vector<double> table = numbers(buckets * heads, 11);
    const t5_bias bias{table.data()};
    const problem<double> x(1, heads, 2, 70, 530, 24, 20);
    const heed::attention def{bias, heed::causal{}};
    const plain_attention expected(
        x, [&](int64 head, int64 query, int64 key) { return bias.at(head, query, key); }, up_to_query);

    tensor<double> out(x.out_size()), by_loops(x.out_size()), map({1, heads, 70, 530});
    std::vector<double> shift(heads * 70), mass(shift.size()), distance(shift.size());
    const heed::row_statistics<double> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, x.q.in(), x.k.in(), x.v.in(), out.view(), {.stats = stats}));
    heed::or_throw(heed::observe(def, x.q.in(), x.k.in(), stats, {.mean_distance = distance.data()}));
    for (int64 h = 0; h < heads; ++h)
        heed::or_throw(
            heed::attention_map(def, x.q.in(), x.k.in(), stats, {.head = h, .rows = 70}, map.view().row(0, h, 0)));
    REQUIRE(largest_difference(map.data, expected.p) < 1e-14);

    std::vector<double> distances;
    for (int64 line = 0; line < heads * 70; ++line) {
        double sum = 0;
        for (int64 j = 0; j < 530; ++j)
            sum += expected.p[static_cast<std::size_t>(line * 530 + j)] * static_cast<double>(460 + line % 70 - j);
        distances.push_back(sum);
    }
    REQUIRE(largest_difference(distance, distances) < 1e-10);

    heed::or_throw(heed::reference<double>(def, x.q.in(), x.k.in(), x.v.in(), by_loops.view()));
    REQUIRE(largest_difference(by_loops.data, expected.out) < 1e-13);
}

TEST_CASE("a gather asks for the keys that exist, each with its own position")
{
    const problem<float> x(1, 2, 1, 3, 530, 8, 8);
    std::vector<int> asked(530, 0);
    const auto map = heed::map_score([&](auto s, const auto& at) {
        using V = std::decay_t<decltype(s)>;
        constexpr int lanes = heed::lanes_of<V>::count;
        float lane[lanes];
        store(lane, at.gather([&](int64 key) {
            ++asked.at(static_cast<std::size_t>(key));
            return key + 1;
        }));
        for (int i = 0; i < lanes; ++i) REQUIRE(lane[i] == static_cast<float>(i < at.valid ? at.key_at(i) + 1 : 0));
        return s;
    });
    REQUIRE(same_bits(x.attend(heed::attention{map}).data, x.attend(heed::attention{}).data));
    for (const int n : asked) REQUIRE(n > 0);
}
