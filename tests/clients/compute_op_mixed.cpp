// SPDX-License-Identifier: MIT
// The compute op with keys and values of two types, for the pairs of all_types.
#include "op_run.hpp"

using namespace test;
using Catch::Matchers::Contains;
using compute_op::type;

TEST_CASE("the compute op is the textbook for keys and values of two types")
{
    SECTION("q8_0, q4_0") { several_tiles<heed::q8_0, heed::q4_0>(); }
    SECTION("q4_0, q8_0") { several_tiles<heed::q4_0, heed::q8_0>(); }
    SECTION("q4_0, f16") { several_tiles<heed::q4_0, heed::f16>(); }
    SECTION("f16, q4_0") { several_tiles<heed::f16, heed::q4_0>(); }
    SECTION("f16, f32") { several_tiles<heed::f16, float>(); }
}

TEST_CASE("a list of types takes the pairs that it names and says which it has not")
{
    const auto says = [](const heed::status& s) { return std::string(s.message()); };
    op_case<heed::q8_0, heed::q4_0> op({}, type::q8_0, type::q4_0);
    REQUIRE(says(compute_op::supports<compute_op::all_types>(op.p, op.t)) == "ok");
    REQUIRE(says(compute_op::supports<compute_op::kernels<>>(op.p, op.t)) ==
            "compute_op: no kernel for k of q8_0 and v of q4_0 is compiled");
    REQUIRE(compute_op::scratch_bytes<compute_op::same_types>(op.p, op.t, 2) == 0);
    op.t.v.type = static_cast<type>(9);
    REQUIRE_THAT(says(compute_op::supports<compute_op::all_types>(op.p, op.t)), Contains("v: type 9 is none"));
}
