// SPDX-License-Identifier: MIT
// Keys of codes have the bits of float keys of the numbers that they stand for: in one piece and in pages, decode and
// prefill, on any number of threads, in parts, listed and observed.
#include "../channel_blocks.hpp"
#include "../selection.hpp"

#include <heed/block_summary.hpp>
#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

/// A problem whose keys were appended as codes in blocks of `n` tokens, and are floats again in `back`.
template <int Bits>
struct coded_problem {
    problem<float> back;
    key_blocks<Bits> k;

    coded_problem(int64 batch, int64 queries, int64 keys, int64 n, std::uint64_t seed = 1)
        : back(batch, 4, 2, queries, keys, 96, 40, seed), k(back.k.size, n)
    {
        const tensor<float> keys_given = back.k, values_given = back.v;
        const auto cache = k.dense(back.v.view());
        for (int64 b = 0; b < batch; ++b)
            heed::or_throw(
                heed::append(cache, b, 0, of_sequence(keys_given, b, keys), of_sequence(values_given, b, keys)));
        tensor<float> v(back.v.size);
        for (int64 b = 0; b < batch; ++b)
            heed::or_throw(heed::fetch(
                cache, b, 0, heed::view<float>{back.k.view().row(b, 0, 0), {1, 2, keys, 96}, back.k.view().stride},
                heed::view<float>{v.view().row(b, 0, 0), {1, 2, keys, 40}, v.view().stride}));
        REQUIRE(!same_bits(back.k.data, keys_given.data));  // as they would be were nothing rounded
        REQUIRE(same_bits(v.data, values_given.data));
    }
    const key_blocks<Bits>& keys() const { return k; }
};

template <class Def, class Q, class Kv>
void has_bits(const Def& def, const Q& q, const Kv& kv, const tensor<float>& expected)
{
    for (const int threads : {1, 3}) {
        heed::thread_pool pool(threads);
        tensor<float> out(expected.size, -7);
        heed::or_throw(heed::attend(def, q, kv, out.view(), {.executor = pool}));
        CAPTURE(threads);
        REQUIRE(same_bits(out.data, expected.data));
    }
}

}  // namespace

TEMPLATE_TEST_CASE("codes have the bits of their floats in one piece and in pages", "", heed::codes<8>, heed::codes<4>)
{
    constexpr int bits = sizeof(TestType) == 32 ? 8 : 4;
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
    for (const auto& [queries, n] : std::vector<std::array<int64, 2>>{{1, 64}, {3, 16}, {40, 48}, {200, 1216}}) {
        CAPTURE(queries, n);
        const coded_problem<bits> p(2, queries, 1203, n);
        const std::vector<int64> lengths{1203, 700};
        const heed::index_view all(lengths);
        tensor<float> expected(p.back.out_size());
        heed::or_throw(
            heed::attend(def, p.back.q.in(), heed::dense_kv{p.back.k.in(), p.back.v.in(), all}, expected.view()));
        has_bits(def, p.back.q.in(), p.keys().dense(p.back.v.in(), all), expected);

        const int64 slots = n == 1216 ? n : 2 * n;
        const page_lists lists(lengths, slots);
        key_blocks<bits> pool({lists.pool_pages(), 2, slots, 96}, n);
        tensor<float> v({lists.pool_pages(), 2, slots, 40}, std::numeric_limits<float>::quiet_NaN());
        lists.fill(p.k.codes.in(), pool.codes.view());
        lists.fill(p.back.v.in(), v.view());
        for (int64 b = 0; b < 2; ++b)
            for (int64 t = 0; t < lists.length(b); t += n)
                for (int64 h = 0; h < 2; ++h) {
                    const int64 page = lists.page_of(b, t), block = t % slots / n;
                    std::copy_n(p.k.scale.in().row(b, h, t / n), 96, pool.scale.view().row(page, h, block));
                    std::copy_n(p.k.zero.in().row(b, h, t / n), 96, pool.zero.view().row(page, h, block));
                }
        const auto& read = pool;
        has_bits(def, p.back.q.in(), read.paged(v.in(), lists.csr()), expected);
    }
}

TEST_CASE("listed codes, codes in parts, observed codes and their summaries have the bits of their floats")
{
    for (const int64 queries : {1, 5, 20}) {
        CAPTURE(queries);
        const coded_problem<8> p(1, queries, 1100, 32, 9);
        const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
        const auto codes = p.keys().dense(p.back.v.in());
        const tensor<float> all = p.back.attend(def);
        const selection s(p.back.q.size, 2, 1100, {1, 4, true, 10}, 3);
        tensor<float> expected(all.size);
        const heed::attention listed{heed::softmax{}, s.lists()};
        heed::or_throw(heed::attend(listed, p.back.q.in(), p.back.k.in(), p.back.v.in(), expected.view()));
        has_bits(listed, p.back.q.in(), codes, expected);

        // as KIVI keeps its newest tokens: codes, and floats behind them
        const heed::view<const float> k = p.back.k.in(), v = p.back.v.in();
        owned_state<float> state(def, all.size);
        key_blocks<8> old({1, 2, 1024, 96}, 32);
        heed::or_throw(heed::attend_partial(
            def, p.back.q.in(),
            heed::scaled_kv{heed::dense_kv{tokens(p.k.codes.in(), 0, 1024), tokens(v, 0, 1024)},
                            heed::per_channel_block{tokens(p.k.scale.in(), 0, 32), tokens(p.k.zero.in(), 0, 32), 32},
                            heed::unscaled{}},
            state.state(), {0, 1100}));
        heed::or_throw(heed::attend_partial(def, p.back.q.in(), tokens(k, 1024, 76), tokens(v, 1024, 76), state.state(),
                                            {1024, 1100}));
        tensor<float> out(all.size, -7);
        heed::or_throw(heed::finish(def, state.state(), out.view()));
        REQUIRE(same_bits(out.data, all.data));

        const auto rows = static_cast<std::size_t>(4 * queries);
        std::vector<float> shift(rows), mass(rows), of_floats(rows), of_codes(rows, -7);
        heed::or_throw(heed::attend(def, p.back.q.in(), codes, out.view(), {.stats = {shift.data(), mass.data()}}));
        heed::or_throw(
            heed::observe(def, p.back.q.in(), k, {shift.data(), mass.data()}, {.entropy = of_floats.data()}));
        heed::or_throw(
            heed::observe(def, p.back.q.in(), codes, {shift.data(), mass.data()}, {.entropy = of_codes.data()}));
        REQUIRE(same_bits(of_codes, of_floats));

        tensor<float> mean({1, 2, 18, 96}), other(mean.size, -7);
        heed::or_throw(heed::block_means(heed::dense_kv{k, v}, 64, mean.view()));
        heed::or_throw(heed::block_means(codes, 64, other.view()));
        REQUIRE(same_bits(other.data, mean.data));
    }
}
