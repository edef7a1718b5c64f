// SPDX-License-Identifier: MIT
// Where keys and values lie changes no bit: pages, rings and caches longer than their sequences have the bits of dense
// tensors, and each sequence those it has alone.
#include "pages.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

/// Each sequence alone, over the first lengths[b] tokens of dense keys and values.
template <class E, class Def>
tensor<E> one_by_one(const Def& def, const problem<E>& p, const std::vector<int64>& lengths)
{
    tensor<E> out(p.out_size(), E(-7.f));
    for (int64 b = 0; b < p.q.size.batch; ++b) {
        const int64 n = lengths[static_cast<std::size_t>(b)];
        const heed::view<E> to{
            out.view().row(b, 0, 0), {1, out.size.heads, out.size.tokens, out.size.dim}, out.view().stride};
        heed::or_throw(
            heed::attend(def, sequence(p.q, b, p.q.size.tokens), sequence(p.k, b, n), sequence(p.v, b, n), to));
    }
    return out;
}

template <class E, class Def, class Kv>
tensor<E> attend_to(const Def& def, const problem<E>& p, const Kv& kv,
                    const heed::options<heed::compute_t<E>>& how = {})
{
    tensor<E> out(p.out_size(), E(-7.f));
    heed::or_throw(heed::attend(def, p.q.in(), kv, out.view(), how));
    return out;
}

template <class E, class Def>
void pages_are_dense(const Def& def, int64 key_dim, int64 value_dim)
{
    for (const int64 queries : {1, 3, 40, 200}) {
        const std::vector<int64> lengths{1203, 0, 513, 80};
        const problem<E> p(4, 4, 2, queries, 1203, key_dim, value_dim);
        problem<E> shared = p;  // 100 tokens in common
        for (int64 b = 1; b < 4; ++b)
            for (int64 h = 0; h < 2; ++h) {
                std::copy_n(p.k.in().row(0, h, 0), 100 * key_dim, shared.k.view().row(b, h, 0));
                std::copy_n(p.v.in().row(0, h, 0), 100 * value_dim, shared.v.view().row(b, h, 0));
            }
        const tensor<E> expected = one_by_one(def, p, lengths), expected_shared = one_by_one(def, shared, lengths);
        heed::thread_pool pool(3);
        for (const int64 slots : {1, 5, 8, 16, 64, 512, 4096})
            for (const layout how : {layout::page_slot_head, layout::page_head_slot, layout::both_in_one_pool}) {
                CAPTURE(queries, slots, static_cast<int>(how));
                const paged<E> pages(p.k, p.v, lengths, slots, how);
                REQUIRE(same_bits(attend_to(def, p, pages.source(pages.csr())).data, expected.data));
                const auto padded = pages.source(pages.padded());
                REQUIRE(same_bits(attend_to(def, p, padded, {.executor = pool}).data, expected.data));
                const paged<E> twice(shared.k, shared.v, lengths, slots, how, 100);
                REQUIRE(same_bits(attend_to(def, shared, twice.source(twice.csr())).data, expected_shared.data));
            }
    }
}

}  // namespace

TEST_CASE("pages of any size, order, layout and table, shared or not, have the bits of dense keys and values")
{
    SECTION("softmax, float") { pages_are_dense<float>(heed::attention{heed::softmax{}, heed::causal{}}, 33, 20); }
    SECTION("softpick, bf16")
    {
        pages_are_dense<heed::bf16>(heed::attention{heed::softpick{}, heed::causal{} & heed::window{700}}, 64, 48);
    }
    SECTION("double") { pages_are_dense<double>(heed::attention{heed::softmax1{}}, 12, 16); }
}

TEST_CASE("rows of V that no weight asks for are left out of pages, too")
{
    problem<float> p(1, 4, 2, 1, 1300, 64, 96);
    for (float& x : p.q.data) x = std::fabs(x);
    std::mt19937_64 random(7);
    for (int64 h = 0; h < 2; ++h)
        for (int64 j = 0; j < 1300; ++j) {
            float* k = p.k.view().row(0, h, j);
            const bool positive = random() % 20 == 0;
            for (int64 c = 0; c < 64; ++c) k[c] = positive ? std::fabs(k[c]) : -std::fabs(k[c]);
        }
    const heed::attention def{heed::softpick{}, heed::causal{} & heed::window{700}};
    const tensor<float> expected = p.attend(def);
    for (const int64 slots : {1, 5, 16, 512}) {
        const paged<float> pages(p.k, p.v, {1300}, slots, layout::page_slot_head);
        REQUIRE(same_bits(attend_to(def, p, pages.source(pages.csr())).data, expected.data));
    }
}

TEST_CASE("a ring has the bits of the whole sequence under a window that it holds, NaN in what it never held included")
{
    for (const auto& [capacity, queries, key_dim] :
         {std::tuple<int64, int64, int64>{700, 1, 32}, {705, 3, 33}, {1300, 40, 32}, {1536, 150, 24}}) {
        const std::vector<int64> lengths{1900, 300, 0, capacity};
        const problem<float> p(4, 4, 2, queries, 1900, key_dim, 24);
        tensor<float> k({4, 2, capacity, key_dim}, std::numeric_limits<float>::quiet_NaN()),
            v({4, 2, capacity, 24}, std::numeric_limits<float>::quiet_NaN());
        for (int64 b = 0; b < 4; ++b)
            for (int64 h = 0; h < 2; ++h)
                for (int64 t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
                    std::copy_n(p.k.in().row(b, h, t), key_dim, k.view().row(b, h, t % capacity));
                    std::copy_n(p.v.in().row(b, h, t), 24, v.view().row(b, h, t % capacity));
                }
        const heed::ring_kv ring{k.in(), v.in(), heed::index_view(lengths.data(), 4)};
        const heed::attention windowed{heed::softmax{}, heed::causal{} & heed::window{capacity - queries}};
        const tensor<float> expected = one_by_one(windowed, p, lengths);
        REQUIRE(same_bits(attend_to(windowed, p, ring).data, expected.data));
        heed::thread_pool pool(3);
        REQUIRE(same_bits(attend_to(windowed, p, ring, {.executor = pool}).data, expected.data));

        // Without that window: what the ring has lost does not exist.
        const int64 kept = capacity;
        const heed::attention held{heed::softpick{}, heed::causal{},
                                   heed::attend_where{[&](int64 b, int64, int64, int64 key) {
                                       return key >= lengths[static_cast<std::size_t>(b)] - kept;
                                   }}};
        tensor<float> out(p.out_size());
        const heed::dense_kv dense{p.k.in(), p.v.in(), heed::index_view(lengths.data(), 4)};
        heed::or_throw(heed::attend(held, p.q.in(), dense, out.view()));
        REQUIRE(same_bits(attend_to(heed::attention{heed::softpick{}, heed::causal{}}, p, ring).data, out.data));
    }
}

TEST_CASE("a cache longer than its sequences has the bits of each sequence alone, NaN behind them included")
{
    for (const int64 queries : {1, 5, 90}) {
        const std::vector<std::int32_t> lengths{700, 3, 0};
        const problem<float> p(3, 4, 2, queries, 1100, 40, 24);
        problem<float> poisoned = p;
        for (auto* t : {&poisoned.k, &poisoned.v})
            for (int64 b = 0; b < 3; ++b)
                for (int64 h = 0; h < 2; ++h)
                    std::fill(t->view().row(b, h, lengths[static_cast<std::size_t>(b)]),
                              t->view().row(b, h, 0) + 1100 * t->size.dim, std::numeric_limits<float>::quiet_NaN());
        const heed::dense_kv kv{poisoned.k.in(), poisoned.v.in(), heed::index_view(lengths.data(), 3)};
        const heed::attention def{heed::softmax{}, heed::causal{}};
        REQUIRE(same_bits(attend_to(def, p, kv).data, one_by_one(def, p, {700, 3, 0}).data));
    }
}

TEST_CASE("parts of a sequence may lie in a dense prefix and in pages")
{
    const problem<float> p(1, 4, 2, 6, 1300, 32, 32);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    tensor<float> k({1, 2, 276, 32}), v({1, 2, 276, 32}), out(p.out_size());
    for (int64 h = 0; h < 2; ++h) {
        std::copy_n(p.k.in().row(0, h, 1024), 276 * 32, k.view().row(0, h, 0));
        std::copy_n(p.v.in().row(0, h, 1024), 276 * 32, v.view().row(0, h, 0));
    }
    const paged<float> pages(k, v, {276}, 16, layout::page_slot_head);
    owned_state<float> s(def, p.out_size());
    heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), 0, 1024), tokens(p.v.in(), 0, 1024), s.state(),
                                        {0, 1300}));
    heed::or_throw(heed::attend_partial(def, p.q.in(), pages.source(pages.csr()), s.state(), {1024, -1}));
    heed::or_throw(heed::finish(def, s.state(), out.view()));
    REQUIRE(same_bits(out.data, p.attend(def).data));
}

TEST_CASE("what observe says of weights over pages and rings is what it says over dense keys")
{
    const problem<float> p(2, 4, 2, 9, 1203, 24, 16);
    const heed::attention def{heed::softpick{}, heed::causal{} & heed::window{500}};
    const std::vector<int64> lengths{1203, 700};
    const auto seen = [&](const auto& kv) {
        std::vector<float> shift(72), mass(72), numbers(3 * 72), totals(2 * 2 * 1203, -7.f);
        std::vector<int64> zeros(72);
        const heed::row_statistics<float> stats{shift.data(), mass.data()};
        tensor<float> out(p.out_size());
        heed::or_throw(heed::attend(def, p.q.in(), kv, out.view(), {.stats = stats}));
        heed::observations<float> wanted;
        wanted.entropy = numbers.data();
        wanted.total = numbers.data() + 72;
        wanted.mean_distance = numbers.data() + 144;
        wanted.zeros = zeros.data();
        heed::or_throw(heed::observe(def, p.q.in(), kv, stats, wanted));
        heed::or_throw(heed::key_totals(def, p.q.in(), kv, stats, totals));
        numbers.insert(numbers.end(), totals.begin(), totals.end());
        return std::pair(numbers, zeros);
    };
    const auto expected = seen(heed::dense_kv{p.k.in(), p.v.in(), heed::index_view(lengths.data(), 2)});
    const paged<float> pages(p.k, p.v, lengths, 5, layout::page_slot_head);
    REQUIRE(seen(pages.source(pages.csr())) == expected);
    tensor<float> k({2, 2, 600, 24}), v({2, 2, 600, 16});
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 2; ++h)
            for (int64 t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
                std::copy_n(p.k.in().row(b, h, t), 24, k.view().row(b, h, t % 600));
                std::copy_n(p.v.in().row(b, h, t), 16, v.view().row(b, h, t % 600));
            }
    REQUIRE(seen(heed::ring_kv{k.in(), v.in(), heed::index_view(lengths.data(), 2)}) == expected);
}
