// SPDX-License-Identifier: MIT
// append writes the same bytes to every kind of cache, in chunks of any size, and no others; what it refuses it leaves
// as it was.
#include "quantised.hpp"

#include <heed/append.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;
using heed::bf16, heed::fp8_e4m3, heed::q4_0, heed::q8_0;

namespace {

constexpr int64 heads = 2, key_dim = 96, value_dim = 64;
const std::vector<int64> lengths{30, 0, 17};

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

struct unscaled_rows {
    template <class Source>
    auto operator()(const Source& source, heed::view<float>, heed::view<float>) const
    {
        return source;
    }
};
struct scaled_rows {
    template <class Source>
    auto operator()(const Source& source, heed::view<float> k, heed::view<float> v) const
    {
        return heed::scaled_kv{source, heed::per_token{k}, heed::per_token{v}};
    }
};
struct scaled_keys {
    template <class Source>
    auto operator()(const Source& source, heed::view<float> k, heed::view<float>) const
    {
        return heed::scaled_kv{source, heed::per_token{k}, heed::unscaled{}};
    }
};

/// Everything that a cache writes to.
template <class K, class V>
struct memory {
    tensor<K> k;
    tensor<V> v;
    tensor<float> k_scales, v_scales;

    explicit memory(int64 batch, int64 tokens)
        : k(poisoned<K>({batch, heads, tokens, key_dim})), v(poisoned<V>({batch, heads, tokens, value_dim})),
          k_scales(poisoned<float>({batch, heads, tokens, 1})), v_scales(poisoned<float>({batch, heads, tokens, 1}))
    {}
    bool operator==(const memory& o) const
    {
        return same_bits(k.data, o.k.data) && same_bits(v.data, o.v.data) &&
               same_bits(k_scales.data, o.k_scales.data) && same_bits(v_scales.data, o.v_scales.data);
    }
};

/// Calls append(sequence, first, n) for chunks of random sizes up to `most`, of all sequences in turns.
template <class F>
void in_chunks(int64 most, F append)
{
    std::mt19937_64 random(9);
    std::vector<int64> at(lengths.size(), 0);
    for (bool more = true; more;) {
        more = false;
        for (std::size_t b = 0; b < lengths.size(); ++b) {
            const int64 n =
                std::min(static_cast<int64>(random() % static_cast<std::uint64_t>(most + 1)), lengths[b] - at[b]);
            append(static_cast<int64>(b), at[b], n);
            at[b] += n;
            more = more || at[b] < lengths[b];
        }
    }
}

/// Rows of E, in caches of K and V.
template <class K, class V, class E, class How>
void same_bytes_everywhere(const How& how)
{
    const tensor<E> k = normal<E>({3, heads, 30, key_dim}, 1), v = normal<E>({3, heads, 30, value_dim}, 2);
    const auto write = [&](const auto& cache, int64 b, int64 first, int64 n) {
        heed::or_throw(
            heed::append(cache, b, first, tokens(sequence(k, b, 30), first, n), tokens(sequence(v, b, 30), first, n)));
    };
    memory<K, V> whole(3, 30);
    const auto dense = [&](memory<K, V>& m) {
        return how(heed::dense_kv{m.k.view(), m.v.view(), list(lengths)}, m.k_scales.view(), m.v_scales.view());
    };
    for (std::size_t b = 0; b < lengths.size(); ++b) write(dense(whole), static_cast<int64>(b), 0, lengths[b]);
    for (int64 t = 17; t < 30; ++t)  // behind a sequence nothing is written
        for (const auto* row = whole.k.in().row(2, 1, t);
             row != whole.k.in().row(2, 1, t) + heed::elements_for<K>(key_dim); ++row) {
            const K untouched = poisoned<K>({1, 1, 1, heed::channels_of<K>}).data[0];
            REQUIRE(std::memcmp(row, &untouched, sizeof untouched) == 0);
        }

    memory<K, V> chunked(3, 30);
    in_chunks(7, [&](int64 b, int64 first, int64 n) { write(dense(chunked), b, first, n); });
    REQUIRE(chunked == whole);

    memory<K, V> ring(3, 11), last(3, 11);
    std::vector<int64> so_far(lengths.size(), 0);
    in_chunks(11, [&](int64 b, int64 first, int64 n) {
        so_far[static_cast<std::size_t>(b)] = first + n;
        write(
            how(heed::ring_kv{ring.k.view(), ring.v.view(), list(so_far)}, ring.k_scales.view(), ring.v_scales.view()),
            b, first, n);
    });
    last.k = in_ring(whole.k, lengths, 11);
    last.v = in_ring(whole.v, lengths, 11);
    last.k_scales = in_ring(whole.k_scales, lengths, 11);
    last.v_scales = in_ring(whole.v_scales, lengths, 11);
    REQUIRE(ring == last);

    for (const int64 slots : {1, 5, 16, 64})
        for (const layout where : {layout::page_slot_head, layout::page_head_slot})
            for (const bool csr : {true, false}) {
                CAPTURE(slots, static_cast<int>(where), csr);
                const page_lists lists(lengths, slots);
                const page_pool expected_k(lists, whole.k, where);
                const page_pool expected_v(lists, whole.v, where);
                const page_pool expected_ks(lists, whole.k_scales, where);
                const page_pool expected_vs(lists, whole.v_scales, where);
                page_pool<K> pool_k(lists, heads, key_dim, where);
                page_pool<V> pool_v(lists, heads, value_dim, where);
                page_pool<float> pool_ks(lists, heads, 1, where), pool_vs(lists, heads, 1, where);
                const auto cache = how(heed::paged_kv{pool_k.view(), pool_v.view(), csr ? lists.csr() : lists.padded()},
                                       pool_ks.view(), pool_vs.view());
                in_chunks(9, [&](int64 b, int64 first, int64 n) { write(cache, b, first, n); });
                REQUIRE(same_bits(pool_k.data(), expected_k.data()));
                REQUIRE(same_bits(pool_v.data(), expected_v.data()));
                REQUIRE(same_bits(pool_ks.data(), expected_ks.data()));
                REQUIRE(same_bits(pool_vs.data(), expected_vs.data()));

                tensor<float> back_k({1, heads, 17, key_dim}), back_v({1, heads, 17, value_dim});
                tensor<float> read_k({1, heads, 17, key_dim}), read_v({1, heads, 17, value_dim});
                heed::or_throw(heed::fetch(cache, 2, 0, back_k.view(), back_v.view()));
                heed::or_throw(heed::fetch(dense(whole), 2, 0, read_k.view(), read_v.view()));
                REQUIRE((same_bits(back_k.data, read_k.data) && same_bits(back_v.data, read_v.data)));
            }
}

}  // namespace

TEST_CASE("every kind of cache gets the same bytes, in chunks of any size, and no others")
{
    SECTION("q8_0 and q4_0") { same_bytes_everywhere<q8_0, q4_0, float>(unscaled_rows{}); }
    SECTION("q4_0 and fp8, of bf16 rows") { same_bytes_everywhere<q4_0, fp8_e4m3, bf16>(unscaled_rows{}); }
    SECTION("int8 and fp8 with scales") { same_bytes_everywhere<std::int8_t, fp8_e4m3, float>(scaled_rows{}); }
    SECTION("fp8 with scales and q8_0") { same_bytes_everywhere<fp8_e4m3, q8_0, float>(scaled_keys{}); }
    SECTION("fp8 of both kinds, keys with scales")
    {
        same_bytes_everywhere<heed::fp8_e5m2, fp8_e4m3, float>(scaled_keys{});
    }
    SECTION("q5_0") { same_bytes_everywhere<heed::q5_0, heed::q5_0, float>(unscaled_rows{}); }
    SECTION("q4_1 and iq4_nl") { same_bytes_everywhere<heed::q4_1, heed::iq4_nl, float>(unscaled_rows{}); }
    SECTION("bf16 and float") { same_bytes_everywhere<bf16, float, float>(unscaled_rows{}); }
}

TEST_CASE("what is not quantised is stored as it is, or rounded once")
{
    const tensor<float> k = normal<float>({1, 2, 4, 13}, 1), v = normal<float>({1, 2, 4, 5}, 2);
    tensor<bf16> kept_k(k.size);
    tensor<float> kept_v(v.size);
    heed::or_throw(heed::append(heed::dense_kv{kept_k.view(), kept_v.view()}, 0, 0, k.in(), v.in()));
    for (std::size_t i = 0; i < k.data.size(); ++i) REQUIRE(kept_k.data[i].bits == bf16(k.data[i]).bits);
    REQUIRE(same_bits(kept_v.data, v.data));
    const tensor<double> d = normal<double>({1, 2, 4, 13}, 3), e = normal<double>({1, 2, 4, 5}, 4);
    tensor<double> kept_d(d.size), kept_e(e.size), read_d(d.size), read_e(e.size);
    const heed::dense_kv doubles{kept_d.view(), kept_e.view()};
    heed::or_throw(heed::append(doubles, 0, 0, d.in(), e.in()));
    heed::or_throw(heed::fetch(doubles, 0, 0, read_d.view(), read_e.view()));
    REQUIRE((same_bits(read_d.data, d.data) && same_bits(read_e.data, e.data)));
}

TEST_CASE("a transform sees each row of keys once written, its head and its position; values and rows stay as they are")
{
    const tensor<float> k = normal<float>({1, 3, 9, 32}, 1), v = normal<float>({1, 3, 9, 32}, 2);
    const auto turn = [](float* row, int64 dim, int64 head, int64 position) {
        for (int64 c = 0; c + 1 < dim; c += 2) {
            const float angle = static_cast<float>(position) / static_cast<float>(c + 3) + static_cast<float>(head);
            const float a = row[c], b = row[c + 1];
            row[c] = a * std::cos(angle) - b * std::sin(angle);
            row[c + 1] = a * std::sin(angle) + b * std::cos(angle);
        }
    };
    tensor<float> turned = k;
    for (int64 h = 0; h < 3; ++h)
        for (int64 t = 0; t < 9; ++t) turn(turned.view().row(0, h, t), 32, h, 100 + t);
    const auto rows_before = k.data;
    const std::vector<int64> so_far{109};
    tensor<std::int8_t> a({1, 3, 16, 32}), b({1, 3, 16, 32});
    tensor<q8_0> av({1, 3, 16, 32}), bv({1, 3, 16, 32});
    tensor<float> as({1, 3, 16, 1}), bs({1, 3, 16, 1});
    const auto cache = [&](auto& of_k, auto& of_v, auto& scales) {
        return heed::scaled_kv{heed::ring_kv{of_k.view(), of_v.view(), list(so_far)}, heed::per_token{scales.view()},
                               heed::unscaled{}};
    };
    heed::or_throw(heed::append(cache(a, av, as), 0, 100, k.in(), v.in(), turn));
    heed::or_throw(heed::append(cache(b, bv, bs), 0, 100, turned.in(), v.in()));
    REQUIRE((same_bits(a.data, b.data) && same_bits(av.data, bv.data) && same_bits(as.data, bs.data)));
    REQUIRE(same_bits(k.data, rows_before));
    tensor<float> plain_k({1, 3, 9, 32}), plain_v({1, 3, 9, 32});
    const auto at = [&](float* row, int64 dim, int64 head, int64 position) { turn(row, dim, head, position + 100); };
    heed::or_throw(heed::append(heed::dense_kv{plain_k.view(), plain_v.view()}, 0, 0, k.in(), v.in(), at));
    REQUIRE((same_bits(plain_k.data, turned.data) && same_bits(plain_v.data, v.data)));
}

namespace {

/// A pool of 6 pages of 4 tokens, three sequences.
struct pool {
    tensor<q8_0> k = poisoned<q8_0>({6, 2, 4, 32});
    tensor<std::int8_t> v = poisoned<std::int8_t>({6, 2, 4, 7});
    tensor<float> v_scales = poisoned<float>({6, 2, 4, 1});
    tensor<float> k_rows{{1, 2, 3, 32}, 1}, v_rows{{1, 2, 3, 7}, 1};

    auto cache(const heed::page_table& table)
    {
        return heed::scaled_kv{heed::paged_kv{k.view(), v.view(), table}, heed::unscaled{},
                               heed::per_token{v_scales.view()}};
    }
    bool untouched() const
    {
        const pool fresh;
        return same_bits(k.data, fresh.k.data) && same_bits(v.data, fresh.v.data) &&
               same_bits(v_scales.data, fresh.v_scales.data);
    }
};

template <class Cache, class K, class V>
void refused(const Cache& cache, int64 sequence, int64 position, const heed::view<K>& k, const heed::view<V>& v,
             const std::string& says)
{
    const heed::status s = heed::append(cache, sequence, position, k, v);
    CAPTURE(s.message());
    REQUIRE(!s);
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains(says));
}

}  // namespace

TEST_CASE("a cache that is asked says who else lists a page that is to be written")
{
    pool p;
    const std::vector<int64> held{7, 12, 5};
    const auto padded = [&](const std::vector<int64>& pages) {
        return heed::page_table::padded(list(pages), 3, list(held));
    };
    const auto listed = [&](const heed::page_table& table, int64 sequence, int64 position, const char* says) {
        const heed::status s = p.cache(table).check_exclusive(sequence, position, position + 3);
        REQUIRE(std::string(s.message()) == says);
    };
    const std::vector<int64> shared{4, 2, -1, 4, 0, 1, 5, 3, -1};  // the first page of sequences 0 and 1
    listed(padded(shared), 1, 2, "paged_kv: sequence 1: its page 0, page 4 of the pool, is also page 0 of sequence 0");
    listed(padded(shared), 0, 3, "paged_kv: sequence 0: its page 0, page 4 of the pool, is also page 0 of sequence 1");
    const std::vector<int64> twice{4, 2, -1, 0, 1, 0, 5, 3, -1};  // twice in sequence 1
    listed(padded(twice), 1, 9, "paged_kv: sequence 1: its page 2, page 0 of the pool, is also page 0 of sequence 1");
    const std::vector<int64> indptr{0, 2, 5, 7}, pages{4, 2, 0, 1, 3, 2, 5}, last{3, 4, 1};
    listed(heed::page_table::csr(list(indptr), list(pages), list(last)), 0, 4,
           "paged_kv: sequence 0: its page 1, page 2 of the pool, is also page 0 of sequence 2");
    REQUIRE(p.cache(padded(shared)).check_exclusive(1, 4, 7));  // behind what is shared

    const auto k = p.k_rows.in(), v = p.v_rows.in();
    heed::or_throw(heed::append(p.cache(padded(shared)), 1, 0, tokens(k, 0, 0), tokens(v, 0, 0)));  // no token
    REQUIRE(p.untouched());
    heed::or_throw(heed::append(p.cache(padded(shared)), 1, 4, k, v));  // behind what is shared
    REQUIRE(!p.untouched());
    for (int64 h = 0; h < 2; ++h) REQUIRE(p.v_scales.in().row(0, h, 2)[0] == 1.f / 127);
}

TEST_CASE("tokens that a cache does not hold, sequences that it lacks and rows of other shapes are refused")
{
    pool p;
    constexpr int64 most = std::numeric_limits<int64>::max(), least = std::numeric_limits<int64>::min();
    const std::vector<int64> held{7, 12, 5}, pages{4, 2, -1, 0, 1, 3, 5, 2, -1};
    const auto cache = p.cache(heed::page_table::padded(list(pages), 3, list(held)));
    const auto k = p.k_rows.in(), v = p.v_rows.in();
    refused(cache, 0, 5, k, v, "append: sequence 0: 3 tokens from position 5 on; the cache holds [0, 7)");
    refused(cache, 0, -1, k, v, "sequence 0: 3 tokens from position -1 on");
    refused(cache, 0, most, k, v, "from position 9223372036854775807 on");
    refused(cache, 0, least, k, v, "from position -9223372036854775808 on");
    refused(cache, 3, 0, k, v, "append: sequence 3 of 3");
    refused(cache, -1, 0, k, v, "append: sequence -1 of 3");
    refused(cache, least, 0, k, v, "append: sequence -9223372036854775808 of 3");
    const auto with = [](auto view, auto change) {
        change(view);
        return view;
    };
    refused(cache, 0, 0, with(k, [](auto& x) { x.size.heads = 1; }), v,
            "k rows is [1, 1, 3, 32], must be [1, 2, 3, 32]");
    refused(cache, 0, 0, with(k, [](auto& x) { x.size.batch = 2; }), v, "k rows is [2, 2, 3, 32]");
    refused(cache, 0, 0, with(k, [](auto& x) { x.size.dim = 31; }), v, "k rows is [1, 2, 3, 31]");
    refused(cache, 0, 0, k, with(v, [](auto& x) { x.size.tokens = 2; }),
            "v rows is [1, 2, 2, 7], must be [1, 2, 3, 7]");
    refused(cache, 0, 0, k, with(v, [](auto& x) { x.size.tokens = -1; }), "v rows: batch 1, heads 2, tokens -1");
    refused(cache, 0, 0, with(k, [](auto& x) { x.data = nullptr; }), v, "append: k rows.data is null");
    refused(cache, 0, 0, k, with(v, [](auto& x) { x.stride.heads = most / 2; }), "overflow 64 bits");
    const std::vector<int64> wrong_page{4, 9, -1, 0, 1, 3, 5, 2, -1};
    refused(p.cache(heed::page_table::padded(list(wrong_page), 3, list(held))), 0, 2, k, v,
            "sequence 0: page 1 of 2 is 9; the pool has 6");
    const std::vector<int64> too_long{7, 13, 5};
    refused(p.cache(heed::page_table::padded(list(pages), 3, list(too_long))), 1, 0, k, v,
            "sequence 1: length 13 is not in 3 pages of 4 tokens");
    const std::vector<int64> indptr{0, 2, 8, 7}, listed{4, 2, 0, 1, 3, 2, 5}, last{3, 4, 1};
    refused(p.cache(heed::page_table::csr(list(indptr), list(listed), list(last))), 1, 0, k, v,
            "sequence 1: indptr [2, 8) is not within the 7 pages listed");
    REQUIRE(p.untouched());
    tensor<float> back_k({1, 2, 3, 32}, 3), back_v({1, 2, 3, 7}, 3);
    const heed::status s = heed::fetch(p.cache(heed::page_table::padded(list(wrong_page), 3, list(held))), 0, 4,
                                       back_k.view(), back_v.view());
    REQUIRE_THAT(std::string(s.message()), Contains("sequence 0: page 1 of 2 is 9; the pool has 6"));

    // What is wrong with other pages and sequences is no matter of this one's.
    heed::or_throw(heed::append(p.cache(heed::page_table::padded(list(wrong_page), 3, list(held))), 0, 1, k, v));
    heed::or_throw(heed::append(p.cache(heed::page_table::padded(list(pages), 3, list(too_long))), 0, 1, k, v));
    REQUIRE(!p.untouched());

    tensor<q8_0> ring_k({1, 2, 8, 32}), ring_v({1, 2, 8, 32});
    const std::vector<int64> so_far{20};
    const heed::ring_kv ring{ring_k.view(), ring_v.view(), list(so_far)};
    const tensor<float> rows({1, 2, 9, 32}, 1);
    refused(ring, 0, 11, rows.in(), rows.in(), "9 tokens from position 11 on; the cache holds [12, 20)");
    refused(ring, 0, 12, rows.in(), rows.in(), "9 tokens from position 12 on; the cache holds [12, 20)");
    heed::or_throw(heed::append(ring, 0, 12, tokens(rows.in(), 0, 8), tokens(rows.in(), 0, 8)));
}

TEST_CASE("a cache whose rows overlap, or overlap what is written to them, is refused")
{
    tensor<float> k({1, 2, 8, 16}, 3), v({1, 2, 8, 16}, 3), rows({1, 2, 2, 16}, 1);
    tensor<std::int8_t> k8({1, 2, 8, 16}), v8({1, 2, 8, 16});
    tensor<float> scales({1, 2, 8, 1}, 3);
    const heed::dense_kv cache{k.view(), v.view()};
    refused(cache, 0, 4, tokens(k.in(), 0, 2), rows.in(), "append: k of the cache overlaps the rows to be written");
    refused(cache, 0, 4, rows.in(), tokens(k.in(), 0, 2), "append: k of the cache overlaps the rows to be written");
    refused(cache, 0, 4, tokens(v.in(), 0, 2), rows.in(), "append: v of the cache overlaps the rows to be written");
    const auto scaled = [&](heed::view<float> of_v) {
        return heed::scaled_kv{heed::dense_kv{k8.view(), v8.view()}, heed::per_token{scales.view()},
                               heed::per_token{of_v}};
    };
    const heed::view<const float> in_scales{scales.data.data(), {1, 2, 1, 16}, {0, 0, 0}};
    refused(scaled(scales.view()), 0, 4, in_scales, tokens(rows.in(), 0, 1),
            "append: k scale of the cache overlaps the rows to be written");
    auto twice = k.view();
    twice.stride.heads = 0;
    refused(heed::dense_kv{twice, v.view()}, 0, 4, rows.in(), rows.in(),
            "append: k: strides 256, 0, 16 let rows of 16");
    tensor<float> one_row({1, 1, 8, 1}, 3);  // scales of tokens that all heads have in common cannot be chosen
    refused(scaled({one_row.data.data(), {1, 2, 8, 1}, {8, 0, 1}}), 0, 4, rows.in(), rows.in(),
            "append: v scale: strides 8, 0, 1 let rows of 1");
    REQUIRE(same_bits(k.data, tensor<float>(k.size, 3).data));
    REQUIRE(same_bits(scales.data, tensor<float>(scales.size, 3).data));
    REQUIRE(same_bits(k8.data, tensor<std::int8_t>(k8.size).data));

    // fetch, the other way round
    tensor<float> back({1, 2, 2, 16}, 3);
    const auto not_fetched = [&](heed::view<float> to_k, heed::view<float> to_v, const char* says) {
        const heed::status s = heed::fetch(cache, 0, 0, to_k, to_v);
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
    };
    not_fetched(tokens(k.view(), 4, 2), back.view(), "fetch: k of the cache overlaps the rows to be filled");
    not_fetched(back.view(), tokens(k.view(), 4, 2), "fetch: k of the cache overlaps the rows to be filled");
    not_fetched({back.data.data(), back.size, {0, 0, 16}}, tensor<float>(back.size).view(), "fetch: k rows: strides");
    REQUIRE(same_bits(back.data, tensor<float>(back.size, 3).data));
}

TEST_CASE("rows of 8192 channels are written, those of more are refused")
{
    const std::vector<float> x = normal<float>({1, 1, 1, 8224}, 1).data;
    const auto rows = [&](int64 dim) { return heed::bhsd(x.data(), {1, 1, 1, dim}); };
    tensor<q4_0> k({1, 1, 1, 8192}), wide({1, 1, 1, 8224}), untouched({1, 1, 1, 8224});
    tensor<q4_0> v({1, 1, 1, 32});
    heed::or_throw(heed::append(heed::dense_kv{k.view(), v.view()}, 0, 0, rows(8192), rows(32)));
    REQUIRE(std::fabs(heed::channel_of(k.data.data(), 8191) - x[8191]) < 0.5f);
    refused(heed::dense_kv{wide.view(), v.view()}, 0, 0, rows(8224), rows(32),
            "append: rows of 8224 and 32 channels; at most 8192 are possible");
    refused(heed::dense_kv{v.view(), wide.view()}, 0, 0, rows(32), rows(8224), "rows of 32 and 8224 channels");
    REQUIRE(same_bits(wide.data, untouched.data));
}
