// SPDX-License-Identifier: MIT
// What makes lists of keys: summaries of blocks, scores of blocks and of tokens, the largest of them. Beside plain
// loops in double, over caches of several kinds; and from the queries to the attention in one go.
#include "quantised.hpp"
#include "tensors.hpp"

#include <heed/block_summary.hpp>
#include <heed/executor/threads.hpp>
#include <heed/key_scores.hpp>
#include <heed/top_keys.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

double number(const tensor<float>& t, int64 b, int64 h, int64 i, int64 c)
{
    const heed::extents& e = t.size;
    return static_cast<double>(t.data[static_cast<std::size_t>(((b * e.heads + h) * e.tokens + i) * e.dim + c)]);
}
bool near(float got, double want, double size = 1)
{
    return std::fabs(static_cast<double>(got) - want) <= 2e-6 * (1 + size);
}

/// The entries of a row in the order in which they are to be taken: by score, then by position.
std::vector<int64> ranked(const std::vector<float>& row)
{
    std::vector<int64> order;
    for (std::size_t j = 0; j < row.size(); ++j)
        if (!std::isnan(row[j]) && row[j] != -INFINITY) order.push_back(static_cast<int64>(j));
    std::stable_sort(order.begin(), order.end(), [&](int64 a, int64 b) {
        return row[static_cast<std::size_t>(a)] > row[static_cast<std::size_t>(b)];
    });
    return order;
}

}  // namespace

TEST_CASE("means and bounds of blocks are those of their keys, the short last block's too")
{
    for (const int64 block : {1, 7, 64, 200}) {
        const tensor<float> k = normal<float>({2, 3, 131, 20}, 5);
        const int64 blocks = (131 + block - 1) / block;
        tensor<float> mean({2, 3, blocks, 20}, -7), low = mean, high = mean;
        heed::thread_pool pool(2);
        REQUIRE(heed::block_means(heed::dense_kv{k.in(), k.in()}, block, mean.view(), 0, pool));
        REQUIRE(heed::block_bounds(heed::dense_kv{k.in(), k.in()}, block, low.view(), high.view()));
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < 3; ++h)
                for (int64 n = 0; n < blocks; ++n)
                    for (int64 c = 0; c < 20; ++c) {
                        double sum = 0, least = INFINITY, most = -INFINITY;
                        const int64 end = std::min<int64>(131, (n + 1) * block);
                        for (int64 j = n * block; j < end; ++j) {
                            const double x = number(k, b, h, j, c);
                            sum += x;
                            least = std::min(least, x);
                            most = std::max(most, x);
                        }
                        REQUIRE(near(static_cast<float>(number(mean, b, h, n, c)),
                                     sum / static_cast<double>(end - n * block)));
                        REQUIRE(number(low, b, h, n, c) == least);
                        REQUIRE(number(high, b, h, n, c) == most);
                    }
    }
}

TEST_CASE("summaries of scaled numbers are those of what is attended, and only new blocks are written")
{
    const tensor<std::int8_t> k = drawn_elements<std::int8_t>({1, 2, 90, 16}, 3);
    const tensor<float> scales = drawn_scales({1, 2, 90, 1}, 4, 0.02);
    const heed::scaled_kv kv{heed::dense_kv{k.in(), k.in()}, heed::per_token{scales.in()}, heed::unscaled{}};
    tensor<float> mean({1, 2, 3, 16}, -7);
    REQUIRE(heed::block_means(kv, 32, mean.view(), 70));
    for (int64 h = 0; h < 2; ++h)
        for (int64 c = 0; c < 16; ++c) {
            double sum = 0;
            for (int64 j = 64; j < 90; ++j)
                sum += static_cast<double>(k.in().row(0, h, j)[c]) * number(scales, 0, h, j, 0);
            REQUIRE(near(static_cast<float>(number(mean, 0, h, 2, c)), sum / 26));
            REQUIRE(mean.in().row(0, h, 1)[c] == -7);
        }
}

TEST_CASE("blocks are scored by their means and bounds, tokens by an indexer, as in double")
{
    for (const int64 dim : {5, 16, 40, 128}) {
        const tensor<float> q = normal<float>({2, 6, 3, dim}, 1), low = normal<float>({2, 2, 9, dim}, 2);
        tensor<float> high = normal<float>({2, 2, 9, dim}, 3), by_mean({2, 2, 3, 9}), by_bound({2, 2, 3, 9});
        for (std::size_t i = 0; i < high.data.size(); ++i) high.data[i] = low.data[i] + std::fabs(high.data[i]);
        REQUIRE(heed::score_block_means(q.in(), low.in(), by_mean.view()));
        REQUIRE(heed::score_block_bounds(q.in(), low.in(), high.in(), by_bound.view()));
        const tensor<float> keys = normal<float>({2, 1, 11, dim}, 4), weights = normal<float>({2, 6, 3, 1}, 5);
        tensor<float> indexed({2, 1, 3, 11});
        REQUIRE(heed::index_scores(q.in(), weights.in(), keys.in(), indexed.view()));
        for (int64 b = 0; b < 2; ++b)
            for (int64 i = 0; i < 3; ++i) {
                for (int64 h = 0; h < 2; ++h)
                    for (int64 n = 0; n < 9; ++n) {
                        double mean = 0, bound = 0, size = 0;
                        for (int64 g = 3 * h; g < 3 * h + 3; ++g)
                            for (int64 c = 0; c < dim; ++c) {
                                const double x = number(q, b, g, i, c), a = x * number(low, b, h, n, c);
                                mean += a;
                                bound += std::max(a, x * number(high, b, h, n, c));
                                size += std::fabs(a);
                            }
                        REQUIRE(near(static_cast<float>(number(by_mean, b, h, i, n)), mean, size));
                        REQUIRE(near(static_cast<float>(number(by_bound, b, h, i, n)), bound, size * 3));
                    }
                for (int64 j = 0; j < 11; ++j) {
                    double sum = 0, size = 0;
                    for (int64 h = 0; h < 6; ++h) {
                        double dot = 0;
                        for (int64 c = 0; c < dim; ++c) dot += number(q, b, h, i, c) * number(keys, b, 0, j, c);
                        sum += number(weights, b, h, i, 0) * std::max(dot, 0.);
                        size += std::fabs(number(weights, b, h, i, 0)) * static_cast<double>(dim);
                    }
                    REQUIRE(near(static_cast<float>(number(indexed, b, 0, i, j)), sum, size));
                }
            }
    }
}

TEST_CASE("the largest scores are listed in order, of equal ones the earlier; NaN and -inf are not")
{
    std::mt19937_64 random(8);
    const auto drawn = [&](int64 low, int64 high) { return std::uniform_int_distribution<int64>(low, high)(random); };
    for (int turn = 0; turn < 2000; ++turn) {
        const int64 n = drawn(1, 90), rows = drawn(1, 3);
        const heed::top_choice choice{drawn(0, 100), drawn(0, 3) ? 0 : drawn(0, 20), drawn(0, 3) ? 0 : drawn(0, 20)};
        tensor<float> scores({1, 2, rows, n});
        const bool coarse = drawn(0, 1) != 0;
        for (float& x : scores.data) {
            x = std::normal_distribution<float>()(random);
            if (coarse) x = std::round(x * 2);
            const int64 kind = drawn(0, 20);
            if (kind == 0) x = NAN;
            if (kind == 1) x = -INFINITY;
            if (kind == 2) x = INFINITY;
            if (kind == 3) x = -0.f;
            if (kind == 4) x = 1e-40f;
        }
        std::vector<std::int32_t> entries(static_cast<std::size_t>(2 * rows * std::min(choice.count, n)), -1);
        std::vector<int64> offsets(static_cast<std::size_t>(2 * rows + 1), -1);
        heed::or_throw(heed::top_keys(scores.in(), choice, offsets.data(), static_cast<int64>(offsets.size()),
                                      entries.data(), static_cast<int64>(entries.size())));
        REQUIRE(offsets[0] == 0);
        for (int64 r = 0; r < 2 * rows; ++r) {
            std::vector<float> row(scores.data.begin() + r * n, scores.data.begin() + (r + 1) * n);
            for (float& x : row) x = x == 0 ? 0 : x;
            const int64 all = std::min(choice.count, n), first = std::min(choice.first, all);
            const int64 last = std::min(choice.last, all - first);
            std::vector<int64> want;
            for (int64 j = 0; j < first; ++j) want.push_back(j);
            for (int64 j = n - last; j < n; ++j) want.push_back(j);
            for (const int64 j : ranked(row))
                if (j >= first && j < n - last && static_cast<int64>(want.size()) < all) want.push_back(j);
            std::sort(want.begin(), want.end());
            const std::vector<int64> got(entries.begin() + offsets[static_cast<std::size_t>(r)],
                                         entries.begin() + offsets[static_cast<std::size_t>(r + 1)]);
            REQUIRE(got == want);
        }
    }
}

TEST_CASE("what makes lists refuses sizes, room and memory that do not suit, with nothing written")
{
    tensor<float> scores({1, 2, 3, 10}, 1);
    std::vector<std::int32_t> offsets(7, -1), entries(24, -1);
    const auto refused = [&](const heed::status& s, const char* says) {
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        for (const std::int32_t x : entries) REQUIRE(x == -1);
        REQUIRE(offsets[0] == -1);
    };
    const auto top = [&](const heed::top_choice& choice, int64 o, int64 e) {
        return heed::top_keys(scores.in(), choice, offsets.data(), o, entries.data(), e);
    };
    refused(top({4, 0, 0}, 6, 24), "room for 6 offsets and 24 entries, for 6 lists of 4");
    refused(top({4, 0, 0}, 7, 23), "room for 7 offsets and 23 entries, for 6 lists of 4");
    refused(top({-1, 0, 0}, 7, 24), "-1 entries, the first 0 and the last 0");
    refused(top({4, -1, 0}, 7, 24), "the first -1");
    const tensor<float> k = normal<float>({1, 2, 33, 4}, 1), q = normal<float>({1, 4, 3, 4}, 2);
    const heed::dense_kv kv{k.in(), k.in()};
    tensor<float> mean({1, 2, 3, 4}, -7);
    refused(heed::block_means(kv, 0, mean.view()), "block_means: blocks of 0 keys");
    refused(heed::block_means(kv, 513, mean.view()), "blocks of 513 keys");
    refused(heed::block_means(kv, 16, mean.view(), -1), "from token -1 on");
    refused(heed::block_means(kv, 8, mean.view()), "mean is [1, 2, 3, 4], must be [1, 2, 5, 4]");
    refused(heed::block_bounds(kv, 16, mean.view(), scores.view()), "high is [1, 2, 3, 10]");
    refused(heed::score_block_means(q.in(), mean.in(), scores.view()), "scores is [1, 2, 3, 10], must be [1, 2, 3, 3]");
    refused(heed::index_scores(q.in(), mean.in(), k.in(), scores.view()), "k is [1, 2, 33, 4], must be [1, 1, 33, 4]");
    for (const float x : mean.data) REQUIRE(x == -7);
}

TEST_CASE("from queries to attention: the lists of the best blocks are taken as they are")
{
    const problem<float> p(1, 4, 2, 3, 500, 32, 32);
    tensor<float> mean({1, 2, 8, 32}), scores({1, 2, 3, 8});
    heed::or_throw(heed::block_means(heed::dense_kv{p.k.in(), p.v.in()}, 64, mean.view()));
    heed::or_throw(heed::score_block_means(p.q.in(), mean.in(), scores.view()));
    std::vector<std::int32_t> offsets(7), entries(24);
    heed::or_throw(heed::top_keys(scores.in(), {4, 1, 1}, offsets.data(), 7, entries.data(), 24));
    heed::list_shape shape;
    shape.block = 64;
    shape.heads = 2;
    shape.group = 2;
    shape.row_blocks = 3;
    shape.rows = 1;
    const tensor<float> out = p.attend(heed::selected_keys{offsets, entries, shape});
    const auto listed = [&](int64 b, int64 head, int64 position, int64 key) {
        (void)b;
        const auto list = static_cast<std::size_t>(head / 2 * 3 + (position - 497));
        const auto first = entries.begin() + offsets[list], end = entries.begin() + offsets[list + 1];
        return std::find(first, end, static_cast<std::int32_t>(key / 64)) != end;
    };
    REQUIRE(same_bits(out.data, p.attend(heed::attend_where{listed}).data));
}
