// SPDX-License-Identifier: MIT
// Listed keys have the bits of a mask over every kind of cache: pages, rings, scales beside them, blocks, 16 bits; and
// in every kind of products.
#include "cache_laws.hpp"
#include "pages.hpp"
#include "selection.hpp"

using namespace test;

namespace {

/// That `lists` and `mask` give the same bits over a source.
template <class Normalizer, class Q, class Kv, class... Policies>
void equal_bits(const Normalizer& normalizer, const tensor<Q>& q, const Kv& kv, const selection& s,
                const Policies&... policies)
{
    const heed::extents size{q.size.batch, q.size.heads, q.size.tokens, kv.value_dim()};
    tensor<float> expected(size), out(size, -7);
    const heed::window all{5000, heed::unbounded};
    heed::or_throw(heed::attend(heed::attention{normalizer, s.mask(), all, policies...}, q.in(), kv, expected.view()));
    const heed::attention listed{normalizer, s.lists(), all, policies...};
    for (const int threads : {1, 3}) {
        CAPTURE(threads);
        heed::thread_pool pool(threads);
        out.data.assign(out.data.size(), -7.f);
        heed::or_throw(heed::attend(listed, q.in(), kv, out.view(), {pool, {}, {}}));
        REQUIRE(same_bits(out.data, expected.data));
    }
}

template <class F>
void for_each_selection(F f)
{
    std::uint64_t seed = 40;
    for (const int64 queries : {1, 5, 20})
        for (const selection_shape& s :
             std::vector<selection_shape>{{1, 1, true, 3}, {1, 4, false, 40}, {24, 2, true, 30}, {128, 30, true, 40}}) {
            CAPTURE(queries, s.block, s.rows, s.percent);
            f(queries, s, ++seed);
        }
}

}  // namespace

TEST_CASE("listed tokens of pages have the bits of a mask")
{
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const stored_problem<std::int8_t, std::int8_t> p(2, queries, 1100, 32, 48, seed);
        const std::vector<int64> lengths{1100, 700};
        const selection keys(p.q.size, 2, 1100, s, seed);
        for (const int64 slots : {1, 16, 100}) {
            const page_lists lists(lengths, slots, 100);
            const page_pool k(lists, p.k, layout::page_slot_head), v(lists, p.v, layout::page_slot_head);
            const page_pool k_scales(lists, p.k_scales, layout::page_slot_head);
            const page_pool v_scales(lists, p.v_scales, layout::page_slot_head);
            equal_bits(heed::softmax{}, p.q,
                       heed::scaled_kv{heed::paged_kv{k.in(), v.in(), lists.csr()}, heed::per_token{k_scales.in()},
                                       heed::per_token{v_scales.in()}},
                       keys);
        }
    });
}

TEST_CASE("listed tokens of a ring have the bits of a mask, and those it has lost are left out")
{
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const problem<float> p(1, 4, 2, queries, 800, 24, 40, seed);
        const std::vector<int64> lengths{2000};
        const selection keys(p.q.size, 2, 2000, s, seed);
        equal_bits(heed::softpick{}, p.q, heed::ring_kv{p.k.in(), p.v.in(), heed::index_view(lengths)}, keys);
    });
}

TEST_CASE("listed tokens of quantised blocks have the bits of a mask")
{
    const auto listed = [](auto key_element, auto value_element) {
        for_each_selection([&](int64 queries, const selection_shape& s, std::uint64_t seed) {
            const tensor<float> q = normal<float>({1, 4, queries, 96}, seed);
            const auto k = drawn_elements<decltype(key_element)>({1, 2, 900, 96}, seed);
            const auto v = drawn_elements<decltype(value_element)>({1, 2, 900, 64}, seed + 1);
            equal_bits(heed::softmax{}, q, heed::dense_kv{k.in(), v.in()}, selection(q.size, 2, 900, s, seed));
        });
    };
    SECTION("q8_0 keys, q4_0 values") { listed(heed::q8_0{}, heed::q4_0{}); }
    SECTION("with zero points") { listed(heed::u8_block<96>{}, heed::u4_block<32>{}); }
}

TEST_CASE("listed tokens of 16 bits have the bits of a mask")
{
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const tensor<heed::bf16> q = normal<heed::bf16>({1, 4, queries, 40}, seed),
                                 k = normal<heed::bf16>({1, 2, 900, 40}, seed);
        const tensor<heed::bf16> v = normal<heed::bf16>({1, 2, 900, 24}, seed + 1);
        equal_bits(heed::softmax{}, q, heed::dense_kv{k.in(), v.in()}, selection(q.size, 2, 900, s, seed));
    });
}

TEST_CASE("listed tokens of a ring with pinned ones have the bits of a mask, and those it has lost are left out")
{
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const problem<float> p(2, 4, 2, queries, 800, 24, 40, seed);
        const std::vector<int64> lengths{2000, 700};
        const selection keys(p.q.size, 2, 2000, s, seed);
        for (const int64 pinned : {5, 600})  // between which and the newest a tile is lost as a whole
            equal_bits(heed::softpick{}, p.q,
                       heed::pinned_ring_kv{p.k.in(), p.v.in(), heed::index_view(lengths), pinned}, keys);
    });
}

TEST_CASE("listed tokens have the bits of a mask in products of integers")
{
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const stored_problem<std::int8_t, std::int8_t> p(1, queries, 900, 48, 33, seed);
        const heed::scaled_kv kv{heed::dense_kv{p.k.in(), p.v.in()}, heed::per_token{p.k_scales.in()},
                                 heed::per_token{p.v_scales.in()}};
        const selection keys(p.q.size, 2, 900, s, seed);
        equal_bits(heed::softmax{}, p.q, kv, keys, heed::compute<std::int8_t>{});
        equal_bits(heed::softpick{}, p.q, kv, keys, heed::compute<std::int8_t, 8>{});
    });
}

TEST_CASE("listed tokens have the bits of a mask in products of bf16")
{
    if (!heed::simd::has_bf16_dots) {
        SUCCEED("this build has no dot products of bf16");
        return;
    }
    for_each_selection([](int64 queries, const selection_shape& s, std::uint64_t seed) {
        const problem<heed::bf16> p(1, 4, 2, queries, 900, 40, 24, seed);
        equal_bits(heed::softmax{}, p.q, heed::dense_kv{p.k.in(), p.v.in()}, selection(p.q.size, 2, 900, s, seed),
                   heed::compute<heed::bf16>{});
    });
}
