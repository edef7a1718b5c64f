// SPDX-License-Identifier: MIT
// Caches of blocks with a zero point, of groups of channels and of whole rows, have the bits of float caches of the
// numbers that they hold, wherever they lie.
#include "block_laws.hpp"

#include <heed/append.hpp>

using namespace test;
using heed::u4_block, heed::u8_block;

TEST_CASE("attention over blocks with a zero point has the bits of attention over their floats")
{
    SECTION("u8 keys, u4 values") { has_bits_of_floats<u8_block<64>, u4_block<32>>(heed::softmax{}); }
    SECTION("u4 keys, u8 values") { has_bits_of_floats<u4_block<128>, u8_block<96>>(heed::softpick{}); }
}

TEST_CASE("blocks with a zero point have the bits of each sequence alone in every cache")
{
    const std::vector<std::array<int64, 3>> shapes{{1, 256, 96}, {3, 64, 288}, {40, 128, 160}};
    obeys_cache_laws<u8_block<64>, u4_block<32>>(heed::softmax{}, as_they_are{}, shapes);
}

TEST_CASE("to append to blocks with a zero point and attend is to attend to what fetch reads")
{
    const problem<float> p(1, 4, 2, 3, 700, 128, 64);
    tensor<u4_block<128>> k(p.k.size);
    tensor<u8_block<64>> v(p.v.size);
    const heed::dense_kv cache{k.view(), v.view()};
    for (int64 t = 0, n; t < 700; t += n) {
        n = t % 7 == 0 ? 1 : std::min<int64>(60, 700 - t);
        heed::or_throw(heed::append(cache, 0, t, tokens(p.k.in(), t, n), tokens(p.v.in(), t, n)));
    }
    problem<float> back = p;
    heed::or_throw(heed::fetch(cache, 0, 0, back.k.view(), back.v.view()));
    const heed::attention def{heed::softmax{}, heed::causal{}};
    tensor<float> out(p.out_size(), -7);
    heed::or_throw(heed::attend(def, p.q.in(), cache, out.view()));
    REQUIRE(same_bits(out.data, back.attend(def).data));
    REQUIRE(!same_bits(out.data, p.attend(def).data));  // as it would be were nothing rounded
}
