// SPDX-License-Identifier: MIT
// Caches of q4_1, q5_1, iq4_nl and mxfp4 blocks, which have a lowest number or levels of a table, have the bits of
// float caches of the numbers that they hold, wherever they lie.
#include "block_laws.hpp"

using namespace test;

TEST_CASE("attention over blocks with a lowest number, or of levels, has the bits of attention over their floats")
{
    SECTION("q4_1 keys, iq4_nl values, softmax") { has_bits_of_floats<heed::q4_1, heed::iq4_nl>(heed::softmax{}); }
    SECTION("iq4_nl keys, q5_1 values, softpick") { has_bits_of_floats<heed::iq4_nl, heed::q5_1>(heed::softpick{}); }
    SECTION("mxfp4, softmax") { has_bits_of_floats<heed::mxfp4, heed::mxfp4>(heed::softmax{}); }
}

TEST_CASE("blocks with a lowest number, or of levels, have the bits of each sequence alone in every cache")
{
    const std::vector<std::array<int64, 3>> shapes{{1, 288, 96}, {3, 96, 288}, {40, 64, 160}, {200, 288, 96}};
    obeys_cache_laws<heed::q5_1, heed::q4_1>(heed::softmax{}, as_they_are{}, shapes);
}
