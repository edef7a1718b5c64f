// SPDX-License-Identifier: MIT
// The call sites of engines allocate nothing, errors included.
#include "allocations.hpp"

#include "../../examples/clients/llama2c_attention.hpp"
#include "op_case.hpp"

using namespace test;

TEST_CASE("attend_token allocates nothing")
{
    const llama2c::attention_shape s{8, 2, 32, 1200};
    const std::vector<float> q(8 * 32, 1.f), cache(2 * 32 * 1200, 1.f);
    std::vector<float> xb(q.size());
    std::vector<char> scratch(llama2c::attention_scratch_bytes(s));
    for (const int pos : {0, 700, 1199, 1200}) {
        heed::status status;
        REQUIRE(allocations_of([&] {
                    status = llama2c::attend_token(xb.data(), q.data(), cache.data(), cache.data(), pos, s,
                                                   {scratch.data(), scratch.size()});
                }) == 0);
        REQUIRE(bool(status) == (pos < 1200));
    }
}

TEST_CASE("a part of the compute op allocates nothing")
{
    op_case<heed::q8_0> op({.queries = 70, .keys = 600, .mask_heads = 1, .sinks = true, .softcap = 20, .max_bias = 8},
                           compute_op::type::q8_0);
    std::vector<char> scratch(compute_op::scratch_bytes(op.p, op.t, 3));
    for (const int ith : {0, 1, 2, 3}) {
        heed::status status;
        REQUIRE(allocations_of(
                    [&] { status = compute_op::compute(op.p, op.t, ith, 3, scratch.data(), scratch.size()); }) == 0);
        REQUIRE(bool(status) == (ith < 3));
    }
    REQUIRE(allocations_of([&] { (void)compute_op::scratch_bytes(op.p, op.t, 3); }) == 0);
    REQUIRE(allocations_of([&] { (void)compute_op::supports(op.p, op.t); }) == 0);
}
