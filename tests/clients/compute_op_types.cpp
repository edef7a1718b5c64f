// SPDX-License-Identifier: MIT
// The compute op for every type of keys and values that it has kernels for unless told otherwise.
#include "op_run.hpp"

using namespace test;

TEST_CASE("the compute op is the textbook over several key tiles, for every type of keys")
{
    const compute_op::same_types all;
    SECTION("f32") { several_tiles<float>(all); }
    SECTION("f16") { several_tiles<heed::f16>(all); }
    SECTION("bf16") { several_tiles<heed::bf16>(all); }
    SECTION("q8_0") { several_tiles<heed::q8_0>(all); }
    SECTION("q4_0") { several_tiles<heed::q4_0>(all); }
}
