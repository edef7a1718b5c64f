// SPDX-License-Identifier: MIT
// One append for the rows of all sequences writes what one append a sequence writes, and refuses pages that are listed
// twice; rows that are moved keep their bytes.
#include "quantised.hpp"

#include <heed/move_rows.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

constexpr int64 heads = 2, slots = 4;
const std::vector<int64> lengths{9, 0, 4, 17}, bounds{0, 3, 3, 4, 10};

/// Pages of int8 with scales of tokens, in which each sequence has as many as it needs.
struct pool {
    page_lists lists{lengths, slots};
    tensor<std::int8_t> k{{lists.pool_pages(), heads, slots, 32}}, v = k;
    tensor<float> k_scale{{lists.pool_pages(), heads, slots, 1}}, v_scale = k_scale;

    auto of(const heed::page_table& table)
    {
        return heed::scaled_kv{heed::paged_kv{k.view(), v.view(), table}, heed::per_token{k_scale.view()},
                               heed::per_token{v_scale.view()}};
    }
    auto cache() { return of(lists.padded()); }
    bool operator==(const pool& o) const
    {
        return same_bits(k.data, o.k.data) && same_bits(v.data, o.v.data) && same_bits(k_scale.data, o.k_scale.data) &&
               same_bits(v_scale.data, o.v_scale.data);
    }
};

}  // namespace

TEST_CASE("packed rows of all sequences are written as one append a sequence writes them")
{
    const tensor<float> k = normal<float>({1, heads, 10, 32}, 1), v = normal<float>({1, heads, 10, 32}, 2);
    const auto turn = [](float* row, int64, int64 head, int64 position) {
        row[0] = static_cast<float>(100 * head + position);
    };
    pool one, all;
    for (int64 b = 0; b < 4; ++b) {
        const int64 first = bounds[static_cast<std::size_t>(b)], n = bounds[static_cast<std::size_t>(b + 1)] - first;
        heed::or_throw(heed::append(one.cache(), b, lengths[static_cast<std::size_t>(b)] - n, tokens(k.in(), first, n),
                                    tokens(v.in(), first, n), turn));
    }
    REQUIRE(heed::append(all.cache(), list(bounds), k.in(), v.in(), turn));
    REQUIRE(all == one);

    tensor<heed::q8_0> k8({3, heads, 20, 32}), v8({3, heads, 20, 32}), k1 = k8, v1 = v8;
    const std::vector<int64> ends{20, 6, 0}, cut{0, 4, 10, 10};
    REQUIRE(heed::append(heed::dense_kv{k8.view(), v8.view(), list(ends)}, list(cut), k.in(), v.in()));
    const heed::dense_kv alone{k1.view(), v1.view(), list(ends)};
    REQUIRE(heed::append(alone, 0, 16, tokens(k.in(), 0, 4), tokens(v.in(), 0, 4)));
    REQUIRE(heed::append(alone, 1, 0, tokens(k.in(), 4, 6), tokens(v.in(), 4, 6)));
    REQUIRE((same_bits(k8.data, k1.data) && same_bits(v8.data, v1.data)));
}

TEST_CASE("append of packed rows refuses bounds, lengths and shared pages, and writes nothing")
{
    pool p;
    const pool before = p;
    tensor<float> k = normal<float>({1, heads, 10, 32}, 1), v = normal<float>({1, heads, 10, 32}, 2);
    const auto refused = [&](const heed::status& s, const char* says) {
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(p == before);
    };
    const auto with = [&](const std::vector<int64>& at) { return heed::append(p.cache(), list(at), k.in(), v.in()); };
    refused(with({0, 3, 3, 10}), "4 bounds");
    refused(with({0, 3, 2, 4, 10}), "bounds[2] = 2");
    refused(with({0, 3, 3, 4, 9}), "bounds end at 9");
    refused(with({1, 3, 3, 4, 10}), "bounds[0] = 1");
    refused(with({0, 0, 1, 4, 10}), "sequence 1: 1 new tokens, and the cache holds 0 in all: its length is raised first");
    refused(with({0, 10, 10, 10, 10}), "sequence 0: 10 new tokens, and the cache holds 9 in all");
    const std::int64_t far = std::numeric_limits<std::int64_t>::max();
    refused(with({0, far, far, far, 10}), "bounds[");
    refused(heed::append(p.cache(), heed::index_view(static_cast<const int64*>(nullptr), 5), k.in(), v.in()), "null");

    // The page of the third sequence is the last page of the first one, where both are written to; or the first page
    // of another, which is not written to.
    const int64 width = 5;
    std::vector<int64> pages(4 * width, -1), own(lengths);
    int64 next = 0;
    for (int64 b = 0; b < 4; ++b)
        for (int64 i = 0; i * slots < lengths[static_cast<std::size_t>(b)]; ++i)
            pages[static_cast<std::size_t>(b * width + i)] = next++;
    const auto table = [&] { return heed::page_table::padded(list(pages), width, list(own)); };
    const auto packed = [&] { return heed::append(p.of(table()), list(bounds), k.in(), v.in()); };
    const auto kept = pages;
    pages[2 * width] = pages[2];
    refused(packed(), "is listed twice and would be written to");
    pages = kept;
    pages[3 * width] = pages[2 * width];
    refused(packed(), "sequence 3: its page 0, page 3 of the pool, is listed twice and would be written to");
    pages = kept;
    pages[3 * width + 1] = pages[0];  // neither is written to
    REQUIRE(packed());

    pool q;
    k.data[5 * 32] = NAN;
    tensor<float> given({1, 1, 1, 1}, 0.1f);
    const heed::view<float> one{given.data.data(), {q.k.size.batch, heads, slots, 1}, {0, 0, 0}};
    const heed::scaled_kv fixed{heed::paged_kv{q.k.view(), q.v.view(), q.lists.padded()}, heed::per_token{one},
                                heed::per_token{one}};
    const pool clean = q;
    const heed::status s = heed::append(fixed, list(bounds), k.in(), v.in());
    REQUIRE_THAT(std::string(s.message()), Contains("k rows: head 0, token 5: NaN or Inf"));
    REQUIRE(q == clean);
}

TEST_CASE("pages are listed once, however many are written")
{
    const int64 n = 1300;  // more than are looked at together
    std::vector<int64> pages, own(static_cast<std::size_t>(n), 1), each;
    for (int64 b = 0; b < n; ++b) pages.push_back((b * 7) % n);
    for (int64 b = 0; b <= n; ++b) each.push_back(b);
    tensor<float> k({n, 1, 1, 8}), v = k;
    const tensor<float> rows = normal<float>({1, 1, n, 8}, 3);
    const auto write = [&] {
        return heed::append(heed::paged_kv{k.view(), v.view(), heed::page_table::padded(list(pages), 1, list(own))},
                            list(each), rows.in(), rows.in());
    };
    REQUIRE(write());
    for (int64 b = 0; b < n; ++b) REQUIRE(*k.in().row((b * 7) % n, 0, 0) == *rows.in().row(0, 0, b));
    for (const std::size_t at : {std::size_t{1}, std::size_t{700}, std::size_t{1299}}) {
        const int64 kept = pages[at];
        pages[at] = pages[0];
        const heed::status s = write();
        REQUIRE_THAT(std::string(s.message()), Contains("page 0 of the pool, is listed twice"));
        pages[at] = kept;
    }
}

TEST_CASE("rows that are moved keep their bytes, their scales with them")
{
    pool p;
    for (auto* of : {&p.k, &p.v})
        for (std::size_t i = 0; i < of->data.size(); ++i) of->data[i] = static_cast<std::int8_t>(i * 37 + 11);
    for (auto* of : {&p.k_scale, &p.v_scale})
        for (std::size_t i = 0; i < of->data.size(); ++i) of->data[i] = static_cast<float>(i + 1) * 0.37f;
    const pool before = p;
    pool expected = p;
    const std::vector<int64> from{6, 9, 10, 15};
    for (int64 i = 0; i < 4; ++i)
        for (int64 h = 0; h < heads; ++h) {
            const int64 source = from[static_cast<std::size_t>(i)], target = 6 + i;
            const auto copy = [&](const auto& old, auto& to, int64 n) {
                std::copy_n(old.in().row(p.lists.page_of(3, source), h, source % slots), n,
                            to.view().row(p.lists.page_of(3, target), h, target % slots));
            };
            copy(before.k, expected.k, 32);
            copy(before.v, expected.v, 32);
            copy(before.k_scale, expected.k_scale, 1);
            copy(before.v_scale, expected.v_scale, 1);
        }
    REQUIRE(heed::move_rows(p.cache(), 3, 6, list(from)));
    REQUIRE(p == expected);
    REQUIRE(heed::move_rows(p.cache(), 3, 17, list({})));
    REQUIRE(p == expected);

    tensor<heed::q4_0> k({1, heads, 9, 64}), v({1, heads, 9, 32});
    std::mt19937_64 random(5);
    for (auto* of : {&k.data, &v.data})
        for (heed::q4_0& x : *of) draw(random, x);
    tensor<heed::q4_0> moved = k;
    for (int64 h = 0; h < heads; ++h) std::copy_n(k.in().row(0, h, 7), 2, moved.view().row(0, h, 2));
    const std::vector<int64> one{7};
    REQUIRE(heed::move_rows(heed::dense_kv{k.view(), v.view()}, 0, 2, list(one)));
    REQUIRE(same_bits(k.data, moved.data));
}

TEST_CASE("rows are not moved to later places, out of order, or from what a cache does not hold")
{
    pool p;
    const pool before = p;
    const auto refused = [&](int64 sequence, int64 position, const std::vector<int64>& from, const char* says) {
        const heed::status s = heed::move_rows(p.cache(), sequence, position, list(from));
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(p == before);
    };
    const std::int64_t far = std::numeric_limits<std::int64_t>::max(), low = std::numeric_limits<std::int64_t>::min();
    refused(3, 6, {8, 8}, "from[1] = 8");
    refused(3, 6, {9, 8}, "from[1] = 8");
    refused(3, 6, {5}, "from[0] = 5");
    refused(3, 6, {7, far}, "from[1] = 9223372036854775807");
    refused(3, low, {0}, "to position -9223372036854775808");
    refused(3, 6, {low}, "from[0] = -9223372036854775808");
    refused(3, 6, {17}, "sequence 3: 12 tokens from position 6 on; the cache holds [0, 17)");
    refused(3, far, {}, "the cache holds [0, 17)");
    refused(4, 0, {0}, "sequence 4 of 4");
    refused(-1, 0, {0}, "sequence -1 of 4");
    const heed::status s = heed::move_rows(p.cache(), 3, 6, heed::index_view(static_cast<const int64*>(nullptr), 2));
    REQUIRE_THAT(std::string(s.message()), Contains("2 tokens at null"));
}
