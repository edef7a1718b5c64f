// SPDX-License-Identifier: MIT
// Views of other libraries' containers, and what a container's size is checked against.
#include <heed/heed.hpp>
#include <heed/observe.hpp>
#include <heed/reference.hpp>
#include <heed/reference_backward.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <vector>
#if __has_include(<span>) && __cplusplus >= 202002L
#include <span>
#endif

using Catch::Matchers::Contains;

namespace {

/// What heed looks at of an mdspan.
template <class T>
struct mdspan_like {
    T* pointer;
    std::array<long, 4> sizes, steps;

    static constexpr int rank() { return 4; }
    T* data_handle() const { return pointer; }
    long extent(int i) const { return sizes[static_cast<std::size_t>(i)]; }
    long stride(int i) const { return steps[static_cast<std::size_t>(i)]; }
};

constexpr heed::extents eight{1, 1, 8, 8};

}  // namespace

TEST_CASE("a view that is larger than its container is refused with both sizes, before anything is written")
{
    std::vector<float> small(4), enough(64), out(64, 7.f);
    const auto refused = [&](const auto& q, const auto& k, const auto& v, const auto& o, const char* name) {
        const heed::status s = heed::attend(q, k, v, o);
        CHECK_FALSE(s);
        CHECK_THAT(s.message(), Contains(std::string(name) + ": [1, 1, 8, 8] takes 64 elements, its container has 4"));
        CHECK(out == std::vector<float>(64, 7.f));
    };
    const auto good = heed::bhsd(enough, eight), bad = heed::bhsd(small, eight);
    refused(bad, good, good, heed::bhsd(out, eight), "q");
    refused(good, bad, good, heed::bhsd(out, eight), "k");
    refused(good, good, bad, heed::bhsd(out, eight), "v");
    refused(good, good, good, bad, "out");
    CHECK_FALSE(heed::attend(heed::bshd(small, eight), good, good, heed::bhsd(out, eight)));
    CHECK(heed::attend(good, good, good, heed::bhsd(out, eight)));
    // one element too few, and all of them
    std::vector<float> most(63);
    CHECK_FALSE(heed::attend(heed::bhsd(most, eight), good, good, heed::bhsd(out, eight)));
}

TEST_CASE("views of constant containers, arrays and spans are views of their elements")
{
    const std::vector<float> constant(64);
    std::array<double, 64> array{};
    static_assert(std::is_same_v<decltype(heed::bhsd(constant, eight)), heed::view<const float>>);
    static_assert(std::is_same_v<decltype(heed::bshd(array, eight)), heed::view<double>>);
    CHECK(heed::bhsd(constant, eight).capacity == 64);
    CHECK(heed::view<const double>(heed::bshd(array, eight)).capacity == 64);
    CHECK(heed::bhsd(array.data(), eight).capacity == -1);
#if defined(__cpp_lib_span)
    std::vector<float> numbers(100);
    const heed::view<float> v = heed::bhsd(std::span(numbers).subspan(36), eight);
    CHECK(v.data == numbers.data() + 36);
    CHECK(v.capacity == 64);
#endif
}

TEST_CASE("tables of indices convert from containers of 32 and of 64 bits")
{
    const std::vector<std::int32_t> narrow{3, 4};
    std::array<std::int64_t, 3> wide{5, 6, std::int64_t{1} << 40};
    const heed::index_view a = narrow, b = wide;
    CHECK(a.size() == 2);
    CHECK(a[1] == 4);
    CHECK(b.size() == 3);
    CHECK(b[2] == std::int64_t{1} << 40);
    static_assert(!std::is_convertible_v<const std::vector<float>&, heed::index_view>);
    const std::vector<float> zeros(2 * 8);
    std::vector<float> out(2 * 8);
    const auto rows = heed::bhsd(zeros, {2, 1, 1, 8});
    const std::vector<std::int32_t> lengths{1, 2};  // the second is longer than the cache
    const heed::status s =
        heed::attend(heed::attention{}, rows, heed::dense_kv{rows, rows, lengths}, heed::bhsd(out, {2, 1, 1, 8}));
    CHECK_THAT(s.message(), Contains("dense_kv") && Contains("2"));
}

TEST_CASE("an mdspan of rank 4 is a view, in either order of indices")
{
    std::array<float, 2 * 3 * 5 * 7> numbers{};
    const mdspan_like<float> m{numbers.data(), {2, 3, 5, 7}, {105, 35, 7, 1}};
    const heed::view<float> a = heed::bhsd(m), b = heed::bshd(m);
    CHECK(a.row(1, 2, 4) == numbers.data() + 105 + 70 + 28);
    CHECK((b.size.heads == 5 && b.size.tokens == 3));
    CHECK(b.row(1, 4, 2) == a.row(1, 2, 4));
    // channels that lie apart are refused
    const mdspan_like<float> apart{numbers.data(), {2, 3, 7, 5}, {105, 35, 1, 7}};
    CHECK_THAT(heed::attend(heed::bhsd(apart), a, a, a).message(), Contains("dim 0"));
}

TEST_CASE("documents, key lengths and query offsets take tables of 32 bits and containers, with the same result")
{
    const std::vector<std::int32_t> narrow{0, 3, 8};
    const std::vector<std::int64_t> wide{0, 3, 8};
    std::vector<float> x(2 * 8 * 8), out(x.size()), other(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    const heed::extents e{2, 1, 8, 8};
    const auto rows = heed::bhsd(x, e);
    const auto same = [&](const auto& a, const auto& b) {
        REQUIRE(heed::attend(heed::attention{heed::softmax{}, a}, rows, rows, rows, heed::bhsd(out, e)));
        REQUIRE(heed::attend(heed::attention{heed::softmax{}, b}, rows, rows, rows, heed::bhsd(other, e)));
        CHECK(out == other);
    };
    same(heed::document{narrow}, heed::document{wide.data(), 3});
    same(heed::document{narrow.data(), 3}, heed::document{wide});
    const std::vector<std::int32_t> lengths{8, 5};
    const std::vector<std::int64_t> long_lengths{8, 5};
    same(heed::key_lengths{lengths}, heed::key_lengths{long_lengths.data(), 2});
    same(heed::causal{} & heed::key_lengths{lengths}, heed::causal{} & heed::key_lengths{long_lengths});
    const heed::attention narrow_offsets{heed::causal{}, heed::query_offset{lengths}};
    const heed::attention wide_offsets{heed::causal{}, heed::query_offset{long_lengths.data(), 2}};
    REQUIRE(heed::attend(narrow_offsets, rows, rows, rows, heed::bhsd(out, e)));
    REQUIRE(heed::attend(wide_offsets, rows, rows, rows, heed::bhsd(other, e)));
    CHECK(out == other);
}

TEST_CASE("options need no type for floats")
{
    heed::options how;
    std::vector<float> lse(1);
    how.stats.lse = lse.data();
    const std::vector<float> x{2};
    std::vector<float> out(1);
    const auto row = heed::bhsd(x, {1, 1, 1, 1});
    REQUIRE(heed::attend(heed::attention{heed::scale{1}}, row, row, row, heed::bhsd(out, {1, 1, 1, 1}), how));
    CHECK(std::fabs(lse[0] - 4) < 1e-6);
}

TEST_CASE("a page table from page p on holds the tokens behind it, and two parts are the whole, bit by bit", "[views]")
{
    constexpr std::int64_t slots = 16, skipped = heed::key_tile / slots, dim = 32;
    const std::vector<std::int32_t> lengths{900, 512, 100};
    std::vector<std::int32_t> padded(3 * 57, -1), csr, indptr{0}, last;
    std::int32_t page = 0;
    for (std::size_t b = 0; b < 3; ++b) {
        const int n = (lengths[b] + 15) / 16;
        for (int i = 0; i < n; ++i, ++page) {
            padded[b * 57 + static_cast<std::size_t>(i)] = page;
            csr.push_back(page);
        }
        indptr.push_back(page);
        last.push_back(lengths[b] - (n - 1) * 16);
    }
    std::vector<float> k(static_cast<std::size_t>(page) * slots * dim), v(k.size()), q(3 * dim), whole(3 * dim),
        parts(3 * dim), shift(3), mass(3), o(3 * dim);
    for (std::size_t i = 0; i < k.size(); ++i) {
        k[i] = static_cast<float>(i * 7919 % 101) / 50 - 1;
        v[i] = static_cast<float>(i * 104729 % 97) / 48 - 1;
    }
    for (std::size_t i = 0; i < q.size(); ++i) q[i] = static_cast<float>(i % 5) - 2;
    const heed::extents pool{page, 1, slots, dim}, row{3, 1, 1, dim};
    const auto K = heed::bhsd(k, pool), V = heed::bhsd(v, pool);
    const heed::attention def{heed::softpick{}};
    for (const heed::page_table& table :
         {heed::page_table::padded(padded, 57, lengths), heed::page_table::csr(indptr, csr, last)}) {
        const heed::page_table rest = table.from_page(skipped);
        CHECK(rest.length(0, slots) == 900 - 512);
        CHECK(rest.length(1, slots) == 0);
        CHECK(rest.length(2, slots) == 0);
        CHECK(rest.from_page(1).length(0, slots) == 900 - 528);
        REQUIRE(heed::attend(def, heed::bhsd(q, row), heed::paged_kv{K, V, table}, heed::bhsd(whole, row)));
        const heed::state<float> s{shift.data(), mass.data(), o.data(), row};
        REQUIRE(heed::clear(def, s));
        const std::vector<std::int32_t> first{512, 512, 100};
        REQUIRE(heed::attend_partial(def, heed::bhsd(q, row),
                                     heed::paged_kv{K, V, heed::page_table::padded(padded, 57, first)}, s, {0, 900}));
        REQUIRE(heed::attend_partial(def, heed::bhsd(q, row), heed::paged_kv{K, V, rest}, s, {512, 900}));
        REQUIRE(heed::finish(def, s, heed::bhsd(parts, row)));
        CHECK(parts == whole);
        CHECK_FALSE(
            heed::attend(def, heed::bhsd(q, row), heed::paged_kv{K, V, table.from_page(-1)}, heed::bhsd(parts, row)));
    }
}

TEST_CASE("statistics, parameters and observations in containers are refused where they are too small", "[views]")
{
    const heed::extents size{1, 2, 4, 8};
    std::vector<float> x(64, 0.5f), out(64, 7.f), rows(8), few(7), heads{0.25f, 0.5f}, one(1), dq(64);
    const auto q = heed::bhsd(x, size), o = heed::bhsd(out, size);
    const heed::attention def{heed::softmax_sink{heads}, heed::alibi{heads}};
    const auto attended = [&](const heed::row_statistics<float>& stats) {
        return std::string(heed::attend(def, q, q, q, o, {.stats = stats}).message());
    };
    CHECK(attended({few, rows, nullptr}) == "run: stats.shift has 7 numbers, must be 8");
    CHECK(attended({rows, few}) == "run: stats.mass has 7 numbers, must be 8");
    CHECK(attended({.lse = few}) == "run: stats.lse has 7 numbers, must be 8");
    CHECK(out == std::vector<float>(64, 7.f));

    std::vector<float> mass(8), lse(9);
    const heed::row_statistics<float> stats{rows, mass, lse};
    CHECK(heed::attend(def, q, q, q, o, {.stats = stats}));
    CHECK(lse[7] != 0.f);
    CHECK(lse[8] == 0.f);

    const auto learnt = [&](const heed::row_statistics<float>& s, const heed::gradients<float>& g) {
        return std::string(heed::backward(def, q, q, q, o, s, o, g).message());
    };
    const auto DQ = heed::bhsd(dq, size);
    CHECK(learnt({few, mass}, {.dq = DQ}) == "backward: stats.shift has 7 numbers, must be 8");
    CHECK(learnt(stats, {.dq = DQ, .dlog_offset = one}) == "backward: dlog_offset has 1 numbers, must be 2");
    CHECK(learnt(stats, {.dq = DQ, .dslopes = one}) == "backward: dslopes has 1 numbers, must be 2");
    CHECK(dq == std::vector<float>(64));
    std::vector<float> dslopes(2);
    CHECK(learnt(stats, {.dq = DQ, .dslopes = dslopes}) == "ok");

    const auto observed = [&](const heed::observations<float>& wanted) {
        return std::string(heed::observe(def, q, q, stats, wanted).message());
    };
    std::vector<std::int64_t> counts(8), few_counts(7), keys(16);
    std::vector<float> entropy(8), weights(15);
    CHECK(observed({.entropy = few}) == "observe: entropy has 7 numbers, must be 8");
    CHECK(observed({.attended = few_counts}) == "observe: attended has 7 numbers, must be 8");
    CHECK(observed({.top_k = 2, .top_keys = keys, .top_weights = weights}) ==
          "observe: top_weights has 15 numbers, must be 16");
    CHECK(observed({.entropy = entropy, .attended = counts}) == "ok");
    CHECK(counts == std::vector<std::int64_t>(8, 4));

    CHECK(std::string(heed::attend(heed::softmax_sink{one}, q, q, q, o).message()) ==
          "softmax_sink: 1 logits for 2 query heads");
    CHECK(std::string(heed::attend(heed::attention{heed::softmax{}, heed::alibi{one}}, q, q, q, o).message()) ==
          "alibi: 1 slopes for 2 query heads");
}

TEST_CASE("a score map's table in a container gives NaN for entries that it does not have, and reads none", "[views]")
{
    std::vector<float> table(40);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i);
    using V = heed::simd::vec<float>;
    for (std::int64_t first = 0; first < 40; ++first)
        for (const std::int64_t offset : {-20, -3, 0, 1, 20}) {
            float got[V::lanes];
            const heed::score_place<V> at({}, first, 40 - first);
            heed::simd::store(got, at.load(table, offset));
            for (int lane = 0; lane < V::lanes && first + lane < 40; ++lane) {
                const std::int64_t entry = first + lane + offset;
                CAPTURE(first, offset, lane);
                if (entry >= 0 && entry < 40) CHECK(got[lane] == static_cast<float>(entry));
                else CHECK(std::isnan(got[lane]));
                const heed::score_place<float> alone({}, first + lane);
                const float x = alone.load(table, offset);
                CHECK((x == got[lane] || (std::isnan(x) && std::isnan(got[lane]))));
            }
        }
}

TEST_CASE("every verb takes one policy in place of a definition, and means the same", "[views]")
{
    const heed::extents size{1, 2, 5, 8};
    std::vector<float> x(80), one(80), other(80), shift(10), mass(10), partial(80), lse(10), few(9);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
    const auto q = heed::bhsd(x, size), a = heed::bhsd(one, size), b = heed::bhsd(other, size);
    REQUIRE(heed::attend(heed::attention{heed::softpick{}}, q, q, q, a));
    const heed::state<float> s{shift.data(), mass.data(), partial.data(), size};
    REQUIRE(heed::clear(heed::softpick{}, s));
    REQUIRE(heed::attend_partial(heed::softpick{}, q, q, q, s));
    CHECK_THAT(heed::finish(heed::softpick{}, s, b, few).message(), Contains("finish: lse has 9 numbers, must be 10"));
    REQUIRE(heed::finish(heed::softpick{}, s, b, lse));
    CHECK(one == other);

    std::vector<double> plain(80), dumped(80);
    REQUIRE(heed::reference(heed::softpick{}, q, q, q, heed::bhsd(plain, size)));
    REQUIRE(heed::reference(heed::attention{heed::softpick{}}, q, q, q, heed::bhsd(dumped, size)));
    CHECK(plain == dumped);
    heed::gradients<double> to{.dq = heed::bhsd(plain, size)}, again{.dq = heed::bhsd(dumped, size)};
    REQUIRE(heed::reference_backward(heed::softpick{}, q, q, q, q, to));
    REQUIRE(heed::reference_backward(heed::attention{heed::softpick{}}, q, q, q, q, again));
    CHECK(plain == dumped);
}
