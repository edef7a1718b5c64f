// SPDX-License-Identifier: MIT
// Caches of q8_0, q5_0 and q4_0 blocks have the bits of float caches of the numbers that they hold, wherever they lie,
// and where they were written token by token.
#include "block_laws.hpp"

#include <heed/observe.hpp>

using namespace test;

namespace {

const std::vector<std::array<int64, 3>> shapes{{1, 288, 96}, {3, 96, 288}, {40, 64, 160}, {200, 288, 96}};

}  // namespace

TEST_CASE("attention over blocks has the bits of attention over the floats that they hold")
{
    SECTION("q8_0 keys, q4_0 values, softmax") { has_bits_of_floats<heed::q8_0, heed::q4_0>(heed::softmax{}); }
    SECTION("q4_0 keys, q8_0 values, softpick") { has_bits_of_floats<heed::q4_0, heed::q8_0>(heed::softpick{}); }
    SECTION("q5_0, softmax") { has_bits_of_floats<heed::q5_0, heed::q5_0>(heed::softmax{}); }
}

TEST_CASE("blocks in pages, rings, batches and chunks have the bits of each sequence alone")
{
    SECTION("q8_0 keys, q4_0 values, softmax")
    {
        obeys_cache_laws<heed::q8_0, heed::q4_0>(heed::softmax{}, as_they_are{}, shapes);
    }
    SECTION("q4_0 keys, q8_0 values, softpick")
    {
        obeys_cache_laws<heed::q4_0, heed::q8_0>(heed::softpick{}, as_they_are{}, shapes);
    }
    SECTION("q5_0, softmax") { obeys_cache_laws<heed::q5_0, heed::q5_0>(heed::softmax{}, as_they_are{}, shapes); }
}

TEST_CASE("blocks of V that no weight asks for are left out, wherever they lie")
{
    stored_problem<heed::q4_0, heed::q8_0> p(1, 1, 1300, 64, 96, 21);
    for (float& x : p.q.data) x = std::fabs(x);
    std::mt19937_64 random(7);
    for (int64 h = 0; h < 2; ++h)
        for (int64 j = 0; j < 1300; ++j) {
            heed::q4_0* blocks = p.k.view().row(0, h, j);
            const bool positive = random() % 20 == 0;
            for (int i = 0; i < 2; ++i) {
                blocks[i].d = heed::f16(std::fabs(static_cast<float>(blocks[i].d)) * (positive ? 1.f : -1.f));
                for (std::uint8_t& q : blocks[i].q) q = static_cast<std::uint8_t>(q | 0x88);  // q - 8 >= 0
            }
        }
    const heed::attention def{heed::softpick{}, heed::causal{} & heed::window{5000}};
    const cache_laws laws(def, p, as_they_are{});
    laws.dense_and_pages({1300});
    const auto f = in_floats(p);
    REQUIRE(same_bits(laws.one_by_one({1300}).data, cache_laws(def, f, as_they_are{}).one_by_one({1300}).data));
}

TEST_CASE("to append to blocks and attend is to attend to what fetch reads")
{
    const problem<float> p(1, 4, 2, 13, 700, 96, 64);
    stored_problem<heed::q8_0, heed::q4_0> s(1, 13, 700, 96, 64);
    s.q = p.q;
    const heed::dense_kv cache{s.k.view(), s.v.view()};
    for (int64 first = 0, n = 1; first < 700; first += n, n = std::min<int64>(3 * n, 700 - first))
        heed::or_throw(heed::append(cache, 0, first, tokens(p.k.in(), first, n), tokens(p.v.in(), first, n)));
    auto f = in_floats(s);
    f.k.data.assign(f.k.data.size(), -7.f);
    f.v.data.assign(f.v.data.size(), -7.f);
    heed::or_throw(heed::fetch(cache, 0, 0, f.k.view(), f.v.view()));
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
    const tensor<float> expected = cache_laws(def, f, as_they_are{}).one_by_one({700});
    REQUIRE(same_bits(cache_laws(def, s, as_they_are{}).one_by_one({700}).data, expected.data));

    tensor<float> out(p.out_size());  // a cache that may be written to is attended to as it stands
    heed::or_throw(heed::attend(def, p.q.in(), cache, out.view()));
    REQUIRE(same_bits(out.data, expected.data));
}

namespace {

/// What observe() says of the rows of attention over `kv`: entropy, total weight and mean distance of each.
template <class Def, class Kv>
std::vector<float> seen(const Def& def, const tensor<float>& q, const Kv& kv)
{
    const auto rows = static_cast<std::size_t>(q.size.heads * q.size.tokens);
    std::vector<float> shift(rows), mass(rows), numbers(3 * rows);
    tensor<float> out({1, q.size.heads, q.size.tokens, kv.value_dim()});
    heed::options<float> how;
    how.stats = {shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, q.in(), kv, out.view(), how));
    heed::observations<float> wanted;
    wanted.entropy = numbers.data();
    wanted.total = numbers.data() + rows;
    wanted.mean_distance = numbers.data() + 2 * rows;
    heed::or_throw(heed::observe(def, q.in(), kv, how.stats, wanted));
    return numbers;
}

/// Attention over `kv` in two parts that are folded in order.
template <class Def, class K, class V>
std::vector<float> folded(const Def& def, const tensor<float>& q, const tensor<K>& k, const tensor<V>& v)
{
    const heed::extents size{1, q.size.heads, q.size.tokens, v.size.dim};
    const auto rows = static_cast<std::size_t>(size.heads * size.tokens);
    std::vector<float> shift(rows), mass(rows);
    tensor<float> sums(size), out(size);
    const heed::state<float> s{shift.data(), mass.data(), sums.data.data(), size};
    heed::or_throw(heed::clear(def, s));
    for (const auto& [first, n] : {std::pair<int64, int64>{0, 512}, {512, k.size.tokens - 512}})
        heed::or_throw(heed::attend_partial(def, q.in(),
                                            heed::dense_kv{tokens(k.in(), first, n), tokens(v.in(), first, n)}, s,
                                            {first, k.size.tokens}));
    heed::or_throw(heed::finish(def, s, out.view()));
    return out.data;
}

}  // namespace

TEST_CASE("blocks are observed, and attended to in parts, as the floats that they hold")
{
    const stored_problem<heed::q8_0, heed::q4_0> p(1, 13, 700, 96, 64, 31);
    const auto f = in_floats(p);
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
    REQUIRE(same_bits(seen(def, p.q, heed::dense_kv{p.k.in(), p.v.in()}),
                      seen(def, p.q, heed::dense_kv{f.k.in(), f.v.in()})));
    REQUIRE(same_bits(folded(def, p.q, p.k, p.v), folded(def, p.q, f.k, f.v)));
}

TEST_CASE("scales beside keys are in what is observed of them")
{
    const stored_problem<std::int8_t, std::int8_t> p(1, 5, 700, 64, 64, 32);
    tensor<float> k = widened(p.k);
    for (int64 h = 0; h < k.size.heads; ++h)
        for (int64 t = 0; t < k.size.tokens; ++t)
            for (int64 c = 0; c < k.size.dim; ++c) k.view().row(0, h, t)[c] *= *p.k_scales.in().row(0, h, t);
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
    const heed::scaled_kv scaled{heed::dense_kv{p.k.in(), p.v.in()}, heed::per_token{p.k_scales.in()},
                                 heed::per_token{p.v_scales.in()}};
    const std::vector<float> of_scaled = seen(def, p.q, scaled),
                             of_floats = seen(def, p.q, heed::dense_kv{k.in(), k.in()});
    for (std::size_t i = 0; i < of_scaled.size(); ++i) {
        CAPTURE(i);
        // The scores of both are sums of 64 products, rounded in another order: e^s is off by a few units of each
        // score.
        REQUIRE(of_scaled[i] == Approx(of_floats[i]).epsilon(2e-4).margin(1e-5));
    }
}
