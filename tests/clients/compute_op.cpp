// SPDX-License-Identifier: MIT
// The compute op against the textbook, with any number of threads, in scratch of the size it asked for.
#include "op_run.hpp"

using namespace test;
using Catch::Matchers::Contains;
using compute_op::type;

namespace {

template <class E>
void every_option()
{
    for (const int64 mask_heads : {0, 1, 2, 6})
        for (const bool sinks : {false, true})
            for (const float softcap : {0.f, 3.f})
                for (const float max_bias : {0.f, 8.f})
                    if (mask_heads > 0 || max_bias <= 0)
                        is_the_textbook<E>({.dim = 64,
                                            .value_dim = 96,
                                            .queries = 5,
                                            .keys = 43,
                                            .heads = 6,
                                            .kv_heads = 2,
                                            .batch = sinks ? 4 : 2,
                                            .mask_heads = mask_heads,
                                            .mask_batch = sinks ? 2 : 1,
                                            .sinks = sinks,
                                            .softcap = softcap,
                                            .max_bias = max_bias,
                                            .interleaved = softcap > 0,
                                            .f32_mask = sinks});
}

}  // namespace

TEST_CASE("the compute op is the textbook, with and without mask, sinks, softcap and ALiBi")
{
    SECTION("f16") { every_option<heed::f16>(); }
    SECTION("q8_0") { every_option<heed::q8_0>(); }
}

TEST_CASE("a mask of f32 has the bits of one of f16, and one that adds nothing those of its summary")
{
    for (const bool zeros : {false, true})
        for (const bool f32 : {false, true}) {
            op_sizes sizes{.queries = 40, .keys = 1100, .mask_heads = 2, .zeros = zeros};
            op_case<heed::f16> halves(sizes, type::f16);
            run(halves, 1);
            sizes.f32_mask = f32;
            op_case<heed::f16> op(sizes, type::f16);
            run(op, 2);
            REQUIRE(same_bits(op.out_data, halves.out_data));
        }
}

TEST_CASE("one kv head keeps all threads busy that can wait for each other")
{
    op_case<heed::f16> op({.queries = 1, .keys = 8192, .heads = 4, .kv_heads = 1, .batch = 1}, type::f16);
    run(op, 2);
    const std::vector<float> alone = op.out_data;
    REQUIRE(run(op, 4, true) == 2);  // slopes and summary, then parts of keys, which are folded
    REQUIRE(same_bits(op.out_data, alone));
}

TEST_CASE("a row that the mask leaves nothing is +0, and what nobody attends may hold anything")
{
    for (const bool sinks : {false, true}) {
        op_case<heed::q8_0> op({.queries = 3, .mask_heads = 1, .sinks = sinks}, type::q8_0);
        run(op, 2);
        for (int64 b = 0; b < op.n.batch; ++b)
            for (int64 h = 0; h < op.n.heads; ++h)
                for (int64 c = 0; c < op.n.value_dim; ++c) {
                    const float x = row_of<float>(op.t.out, h, 1, b)[c];
                    REQUIRE((x == 0 && !std::signbit(x)));
                    REQUIRE(std::isfinite(row_of<float>(op.t.out, h, 2, b)[c]));
                }
    }
}

TEST_CASE("support and scratch are known before any tensor has memory")
{
    for (const int64 mask_heads : {0, 1})
        for (const bool sinks : {false, true}) {
            CAPTURE(mask_heads, sinks);
            op_case<heed::q4_0> op({.keys = 1100, .mask_heads = mask_heads, .sinks = sinks, .softcap = 20}, type::q4_0);
            const std::size_t bytes = compute_op::scratch_bytes(op.p, op.t, 3);
            REQUIRE(bytes > 0);
            for (auto* t : {&op.t.q, &op.t.k, &op.t.v, &op.t.out, &op.mask, &op.sinks}) t->data = nullptr;
            REQUIRE(compute_op::supports(op.p, op.t));
            REQUIRE(compute_op::scratch_bytes(op.p, op.t, 3) == bytes);
        }
}

TEST_CASE("slopes of ALiBi are those of its paper, for numbers of heads that are no powers of two as well")
{
    const auto slopes = [](int64 heads) {
        std::vector<double> s;
        for (int64 h = 0; h < heads; ++h) s.push_back(double{compute_op::alibi_slope(8, h, heads)});
        return s;
    };
    const std::vector<double> eight{0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625};
    for (std::size_t h = 0; h < 8; ++h) REQUIRE(slopes(8)[h] == Approx(eight[h]));
    const std::vector<double> six{0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125};
    for (std::size_t h = 0; h < 6; ++h) REQUIRE(slopes(6)[h] == Approx(six[h]));
    REQUIRE(double{compute_op::alibi_slope(0, 3, 8)} == 1);
}

TEST_CASE("an op without rows, keys or heads does what little there is to do")
{
    using sizes = op_sizes;
    for (const sizes& empty :
         {sizes{.queries = 0}, sizes{.keys = 0}, sizes{.heads = 0, .kv_heads = 0}, sizes{.batch = 0}}) {
        op_case<heed::f16> op(empty, type::f16);
        run(op, 2);
        for (int64 i = 0; i < op.n.batch * op.n.queries * op.n.heads * op.n.value_dim; ++i)
            REQUIRE(op.result(as_size(i)) == 0);
    }
}

TEST_CASE("inconsistent tensors are refused by every part, with their names and sizes, and nothing is written")
{
    std::vector<unsigned char> scratch(1 << 20);
    std::size_t bytes = scratch.size();
    int nth = 2;
    const auto refused = [&](const std::string& says, auto change, bool asks = false) {
        op_case<heed::q8_0> op({.mask_heads = 2, .sinks = true, .max_bias = 8}, type::q8_0);
        bytes = scratch.size(), nth = 2;
        change(op);
        REQUIRE((compute_op::scratch_bytes(op.p, op.t, nth) > 0) == asks);
        if (nth > 0) REQUIRE(bool(compute_op::supports(op.p, op.t)) == asks);
        for (const int ith : {0, 1}) {
            const heed::status s =
                compute_op::compute<kernels_of<heed::q8_0>>(op.p, op.t, ith, nth, scratch.data(), bytes);
            REQUIRE(!s);
            REQUIRE_THAT(std::string(s.message()), Contains(says));
        }
        REQUIRE(op.out_untouched());
    };
    constexpr bool at_run = true;  // by compute() alone: what scratch_bytes() need not know
    refused("k: nb[1] = 71 is not a multiple of 2, the alignment of q8_0", [](auto& op) { op.t.k.nb[1] = 71; });
    refused("q: nb[3] = 5122 is not a multiple of 4, the bytes of f32", [](auto& op) { op.t.q.nb[3] = 5122; });
    refused("mask: nb[1] = 81 is not a multiple of 2, the bytes of f16", [](auto& op) { op.mask.nb[1] = 81; });
    refused("v: rows of ne[0] = 64 are not contiguous: nb[0] = 68, must be 34", [](auto& op) { op.t.v.nb[0] = 68; });
    refused("out: rows of ne[0] = 64 are not contiguous: nb[0] = 8", [](auto& op) { op.t.out.nb[0] = 8; });
    refused("q: is of f16, must be of f32", [](auto& op) { op.t.q.type = type::f16; });
    refused("no kernel for k of q8_0 and v of f16 is compiled", [](auto& op) { op.t.v.type = type::f16; });
    refused("mask: is of bf16, must be of f16", [](auto& op) { op.mask.type = type::bf16; });
    refused("mask: nb[1] = 82 is not a multiple of 4, the bytes of f32", [](auto& op) {
        op.mask.type = type::f32;
        op.mask.nb[0] = 4;
        op.mask.nb[1] = 82;
    });
    refused("sinks: is of f16, must be of f32", [](auto& op) { op.sinks.type = type::f16; });
    refused("k: type 9 is none", [](auto& op) { op.t.k.type = static_cast<type>(9); });
    refused("q.dim 64 differs from k.dim 32", [](auto& op) { op.t.k.ne[0] = 32; });
    refused("k: dim 72 is not a multiple of the 32 channels", [](auto& op) { op.t.k.ne[0] = op.t.q.ne[0] = 72; });
    refused("v: batch 2, heads 1, tokens 40 differ from k's 2, 2, 40", [](auto& op) { op.t.v.ne[2] = 1; });
    refused("q.heads 4 is not a multiple of kv.heads 3", [](auto& op) { op.t.k.ne[2] = op.t.v.ne[2] = 3; });
    refused("out: [64, 4, 4, 2], must be [64, 4, 5, 2]", [](auto& op) { op.t.out.ne[2] = 4; });
    refused("out: nb[1] = 8 is less than the 256 bytes it must step over", [](auto& op) { op.t.out.nb[1] = 8; });
    refused("out: nb[3] = 268 is less than the 1072 bytes it must step over",
            [](auto& op) { op.t.out.nb[3] = op.t.out.nb[1]; });
    refused("mask: [39, 7, 2, 1] does not repeat to [40, 5, 4, 2]", [](auto& op) { op.mask.ne[0] = 39; });
    refused("mask: [40, 4, 2, 1] does not repeat", [](auto& op) { op.mask.ne[1] = 4; });
    refused("mask: [40, 7, 3, 1] does not repeat", [](auto& op) { op.mask.ne[2] = 3; });
    refused("mask: [40, 7, 2, 0] does not repeat", [](auto& op) { op.mask.ne[3] = 0; });
    refused(
        "mask: data is null", [](auto& op) { op.mask.data = nullptr; }, at_run);
    refused("mask: data is not aligned", [](auto& op) { op.mask.data = static_cast<char*>(op.mask.data) + 1; });
    heed::mask_summary summary;
    std::vector<std::byte> memory(4000);
    const std::vector<heed::f16> entries(40);
    heed::or_throw(heed::summarise(heed::view<const heed::f16>{entries.data(), {1, 2, 7, 40}, {}},
                                   {memory.data(), memory.size()}, summary));
    refused("mask_summary: of [40, 7, 2, 1], must be of [40, 5, 2, 1]",
            [&](auto& op) { op.t.mask_summary = &summary; });
    refused("sinks: [3, 1, 1, 1] for 4 heads", [](auto& op) { op.sinks.ne[0] = 3; });
    refused(
        "sinks: data is null", [](auto& op) { op.sinks.data = nullptr; }, at_run);
    refused(
        "logit 2 is nan", [](auto& op) { op.sink_data[2] = NAN; }, at_run);
    refused(
        "k.data is null", [](auto& op) { op.t.k.data = nullptr; }, at_run);
    refused(
        "out.data is null", [](auto& op) { op.t.out.data = nullptr; }, at_run);
    refused("scale: nan", [](auto& op) { op.p.scale = NAN; });
    refused("softcap: cap is -2", [](auto& op) { op.p.logit_softcap = -2; });
    refused("softcap: cap is nan", [](auto& op) { op.p.logit_softcap = NAN; });
    refused("max_bias is -1", [](auto& op) { op.p.max_bias = -1; });
    refused("max_bias is 8, and no mask", [](auto& op) { op.t.mask = nullptr; });
    refused(
        "scratch of 100 bytes, needs", [&](auto&) { bytes = 100; }, at_run);
    refused("of 0", [&](auto&) { nth = 0; });
    refused("of -3", [&](auto&) { nth = -3; });
    op_case<heed::q8_0> op({}, type::q8_0);
    REQUIRE_THAT(std::string(compute_op::compute<kernels_of<heed::q8_0>>(op.p, op.t, 0, 1, nullptr, 1 << 20).message()),
                 Contains("at null"));
    REQUIRE_THAT(
        std::string(
            compute_op::compute<kernels_of<heed::q8_0>>(op.p, op.t, 2, 2, scratch.data(), scratch.size()).message()),
        Contains("part 2 of 2"));
}
