// SPDX-License-Identifier: MIT
// The compute op for every type of keys and values that it has kernels for unless told otherwise.
#include "op_run.hpp"

using namespace test;

namespace {

/// The same tensor with tokens `distance` bytes apart, in memory whose gaps poison whoever reads them.
compute_op::tensor padded(const compute_op::tensor& of, std::size_t distance, std::vector<unsigned char>& memory)
{
    compute_op::tensor t = of;
    const std::size_t token = of.nb[2] * as_size(of.ne[2]);  // its rows of all heads lie side by side
    t.nb[1] = distance;
    t.nb[3] = distance * as_size(of.ne[1]);
    memory.assign(t.nb[3] * as_size(of.ne[3]), 0x7f);
    for (std::size_t b = 0; b < as_size(of.ne[3]); ++b)
        for (std::size_t j = 0; j < as_size(of.ne[1]); ++j)
            std::memcpy(memory.data() + b * t.nb[3] + j * distance,
                        static_cast<const char*>(of.data) + b * of.nb[3] + j * of.nb[1], token);
    t.data = memory.data();
    return t;
}

}  // namespace

TEST_CASE("the compute op is the textbook over several key tiles, for every type of keys")
{
    const compute_op::same_types all;
    SECTION("f32") { several_tiles<float>(all); }
    SECTION("f16") { several_tiles<heed::f16>(all); }
    SECTION("bf16") { several_tiles<heed::bf16>(all); }
    SECTION("q8_0") { several_tiles<heed::q8_0>(all); }
    SECTION("q4_0") { several_tiles<heed::q4_0>(all); }
}

TEST_CASE("tokens of q8_0 padded to 1152 bytes, which no number of blocks fills, have the bits of packed ones")
{
    for (const int64 queries : {1, 70}) {
        CAPTURE(queries);
        op_case<heed::q8_0> op({.dim = 128,
                                .value_dim = 128,
                                .queries = queries,
                                .keys = 700,
                                .heads = 16,
                                .kv_heads = 8,
                                .interleaved = true},
                               compute_op::type::q8_0);
        run(op, 2);
        const std::vector<float> packed = op.out_data;
        std::vector<unsigned char> keys, values;
        op.t.k = padded(op.t.k, 1152, keys);
        op.t.v = padded(op.t.v, 2048 + 34 + 2, values);
        run(op, 2);
        REQUIRE(same_bits(op.out_data, packed));
    }
}
