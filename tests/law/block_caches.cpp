// SPDX-License-Identifier: MIT
// Caches of q8_0 and q4_0 blocks have the bits of float caches of the numbers that they hold, wherever they lie, and
// where they were written token by token.
#include "cache_laws.hpp"

using namespace test;

namespace {

template <class K, class V>
stored_problem<float, float> in_floats(const stored_problem<K, V>& p)
{
    stored_problem<float, float> f(1, 1, 100, 1, 1);
    f.q = p.q;
    f.k = widened(p.k);
    f.v = widened(p.v);
    f.k_scales = p.k_scales;
    f.v_scales = p.v_scales;
    return f;
}

template <class K, class V, class Normalizer>
void has_bits_of_floats(const Normalizer& normalizer)
{
    const heed::attention def{normalizer, heed::causal{} & heed::window{5000}};
    for (const auto& [queries, keys, key_dim, value_dim] : std::vector<std::array<int64, 4>>{{1, 1203, 288, 96},
                                                                                             {1, 37, 32, 64},
                                                                                             {3, 700, 96, 288},
                                                                                             {40, 600, 544, 32},
                                                                                             {13, 1100, 64, 160},
                                                                                             {200, 1203, 288, 96}}) {
        CAPTURE(queries, keys, key_dim, value_dim);
        const stored_problem<K, V> p(1, queries, std::max<int64>(keys, 100), key_dim, value_dim, 11);
        const auto f = in_floats(p);
        REQUIRE(same_bits(cache_laws(def, p, as_they_are{}).alone(0, queries, keys).data,
                          cache_laws(def, f, as_they_are{}).alone(0, queries, keys).data));
    }
}

const std::vector<std::array<int64, 3>> shapes{{1, 288, 96}, {3, 96, 288}, {40, 64, 160}, {200, 288, 96}};

}  // namespace

TEST_CASE("attention over blocks has the bits of attention over the floats that they hold")
{
    SECTION("q8_0 keys, q4_0 values, softmax") { has_bits_of_floats<heed::q8_0, heed::q4_0>(heed::softmax{}); }
    SECTION("q4_0 keys, q8_0 values, softpick") { has_bits_of_floats<heed::q4_0, heed::q8_0>(heed::softpick{}); }
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
