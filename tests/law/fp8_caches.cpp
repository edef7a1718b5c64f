// SPDX-License-Identifier: MIT
// Caches of fp8: without scales they have the bits of float caches of the same numbers, with one scale for a head those
// of each sequence alone; and their keys go with values of any other element.
#include "cache_laws.hpp"

using namespace test;

TEMPLATE_TEST_CASE("attention over fp8 without scales has the bits of attention over the same floats, at any head size",
                   "", heed::fp8_e4m3, heed::fp8_e5m2)
{
    const heed::attention def{heed::softmax{}, heed::causal{}};
    for (const auto& [queries, keys, key_dim, value_dim] : std::vector<std::array<int64, 4>>{{1, 1203, 7, 33},
                                                                                             {1, 530, 45, 7},
                                                                                             {3, 700, 33, 288},
                                                                                             {40, 600, 300, 45},
                                                                                             {13, 1100, 64, 160},
                                                                                             {200, 1203, 288, 96}}) {
        CAPTURE(queries, keys, key_dim, value_dim);
        problem<float> p(1, 4, 2, queries, keys, key_dim, value_dim);
        const auto k = drawn_elements<TestType>(p.k.size, 31), v = drawn_elements<TestType>(p.v.size, 32);
        p.k = widened(k);
        p.v = widened(v);
        tensor<float> out(p.out_size(), -7);
        heed::or_throw(heed::attend(def, p.q.in(), k.in(), v.in(), out.view()));
        REQUIRE(same_bits(out.data, p.attend(def).data));
    }
}

TEST_CASE("fp8 keys with one scale for a head, beside values of q4_0, have the bits of each sequence alone")
{
    obeys_cache_laws<heed::fp8_e4m3, heed::q4_0>(heed::softpick{}, keys_scaled_by_head{},
                                                 {{1, 33, 96}, {3, 7, 64}, {40, 45, 32}, {200, 288, 96}});
}

TEST_CASE("fp8 of 5 bits of exponent beside values of 4 have the bits of each sequence alone")
{
    obeys_cache_laws<heed::fp8_e5m2, heed::fp8_e4m3>(heed::softmax{}, keys_scaled_by_head{},
                                                     {{1, 33, 96}, {3, 7, 64}, {40, 45, 32}});
}

TEST_CASE("a scale of a head that is a power of two has the bits of the scale of attention")
{
    // 2^-3 for every key is exact, and so is the scale 2^-3 that stands for it.
    const problem<float> p(1, 4, 2, 13, 700, 33, 64);
    const auto k = drawn_elements<heed::fp8_e4m3>(p.k.size, 31);
    const auto v = drawn_elements<heed::q4_0>(p.v.size, 32);
    const float eighth = 0.125f;
    const heed::scaled_kv scaled{heed::dense_kv{k.in(), v.in()},
                                 heed::per_token{heed::view<const float>{&eighth, {1, 2, 700, 1}, {0, 0, 0}}},
                                 heed::unscaled{}};
    using heed::causal, heed::window;
    const heed::attention whole{heed::softpick{}, causal{} & window{5000}, heed::scale{0.25}};
    const heed::attention eighths{heed::softpick{}, causal{} & window{5000}, heed::scale{0.25 / 8}};
    tensor<float> out(p.out_size()), expected(p.out_size());
    heed::or_throw(heed::attend(whole, p.q.in(), scaled, out.view()));
    heed::or_throw(heed::attend(eighths, p.q.in(), k.in(), v.in(), expected.view()));
    REQUIRE(same_bits(out.data, expected.data));
}
