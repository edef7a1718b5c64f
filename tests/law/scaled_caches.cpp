// SPDX-License-Identifier: MIT
// Scales lie where the rows lie: int8 and fp8 caches have the bits of each sequence alone, in pages, rings, batches and
// chunks, at head sizes that fill no register.
#include "cache_laws.hpp"

using namespace test;

namespace {

const std::vector<std::array<int64, 3>> odd_shapes{{1, 7, 33}, {3, 45, 7}, {40, 33, 45}, {200, 288, 96}};

}  // namespace

TEST_CASE("int8 with a scale for each token has the bits of each sequence alone")
{
    obeys_cache_laws<std::int8_t, std::int8_t>(heed::softmax{}, scaled_by_token{}, odd_shapes);
}

TEST_CASE("int8 keys with scales of channels, fp8 values with scales of tokens have the bits of each sequence alone")
{
    obeys_cache_laws<std::int8_t, heed::fp8_e4m3>(heed::softpick{}, keys_scaled_by_channel{}, odd_shapes);
}

TEST_CASE("values that no weight asks for, as their scale is 0, are left out of pages too")
{
    stored_problem<std::int8_t, std::int8_t> p(1, 1, 1300, 64, 96, 21);
    std::mt19937_64 random(7);
    for (float& x : p.v_scales.data)
        if (random() % 10 != 0) x = 0;
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{5000}};
    const cache_laws laws(def, p, scaled_by_token{});
    laws.dense_and_pages({1300});
    for (const float x : laws.one_by_one({1300}).data) REQUIRE(std::isfinite(x));
}
