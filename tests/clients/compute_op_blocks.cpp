// SPDX-License-Identifier: MIT
// The compute op over the quantised types that its default list has not.
#include "op_run.hpp"

using namespace test;

TEST_CASE("the compute op is the textbook for ggml's other types of four and five bits")
{
    SECTION("q4_1") { several_tiles<heed::q4_1>(); }
    SECTION("q5_0") { several_tiles<heed::q5_0>(); }
    SECTION("q5_1") { several_tiles<heed::q5_1>(); }
    SECTION("iq4_nl") { several_tiles<heed::iq4_nl>(); }
}
