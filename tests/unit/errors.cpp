// SPDX-License-Identifier: MIT
// Hostile shapes, strides, pointers and parameters: the right status, a sentence with the numbers, nothing written.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

template <class Def>
void refused(const Def& def, heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
             heed::view<float> out, tensor<float>& memory, const char* says)
{
    const std::vector<float> before = memory.data;
    const heed::status s = heed::attend(def, q, k, v, out);
    REQUIRE(!s);
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains(says));
    REQUIRE(same_bits(memory.data, before));
}

}  // namespace

TEST_CASE("wrong shapes are refused with the argument, the sizes and the rule")
{
    const problem<float> p(2, 6, 3, 5, 9, 8, 4);
    tensor<float> out(p.out_size(), 3);
    const heed::attention def{heed::softmax{}};
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();
    const auto with = [](auto view, auto change) {
        change(view);
        return view;
    };
    refused(def, with(q, [](auto& x) { x.size.heads = 5; }), k, v, out.view(), out,
            "q.heads 5 is not a multiple of kv.heads 3");
    refused(def, with(q, [](auto& x) { x.size.dim = 7; }), k, v, out.view(), out, "q.dim 7 differs from k.dim 8");
    refused(def, with(q, [](auto& x) { x.size.batch = 1; }), k, v, out.view(), out, "q.batch 1 differs from k.batch 2");
    refused(def, with(q, [](auto& x) { x.size.tokens = -1; }), k, v, out.view(), out, "q: batch 2, heads 6, tokens -1");
    refused(def, with(q, [](auto& x) { x.size.dim = 0; }), with(k, [](auto& x) { x.size.dim = 0; }), v, out.view(), out,
            "dim 0 >= 1");
    refused(def, q, k, with(v, [](auto& x) { x.size.tokens = 8; }), out.view(), out,
            "v: batch 2, heads 3, tokens 8 differ from k's 2, 3, 9");
    refused(def, q, with(k, [](auto& x) { x.size.heads = 0; }), with(v, [](auto& x) { x.size.heads = 0; }), out.view(),
            out, "kv.heads 0");
    refused(def, q, k, v, with(out.view(), [](auto& x) { x.size.tokens = 4; }), out,
            "out is [2, 6, 4, 4], must be [2, 6, 5, 4]");
    refused(def, with(q, [](auto& x) { x.data = nullptr; }), k, v, out.view(), out, "q.data is null");
    refused(def, q, with(k, [](auto& x) { x.data = nullptr; }), v, out.view(), out, "k.data is null");
    refused(def, q, k, v, with(out.view(), [](auto& x) { x.data = nullptr; }), out, "out.data is null");
    refused(def, q, k, v, with(out.view(), [](auto& x) { x.stride.tokens = 0; }), out,
            "let rows of 4 channels overlap");
    refused(def, q, k, v, with(out.view(), [](auto& x) { x.stride.heads = 3; }), out, "let rows of 4 channels overlap");
    refused(def, q, with(k, [](auto& x) { x.stride.batch = int64{1} << 62; }), v, out.view(), out, "overflow 64 bits");
    refused(def, with(q, [](auto& x) { x.size.tokens = int64{1} << 60; }), k, v, out.view(), out, "overflow 64 bits");
    refused(
        def,
        with(q, [](auto& x) { x.data = reinterpret_cast<const float*>(reinterpret_cast<const char*>(x.data) + 1); }), k,
        v, out.view(), out, "q.data is not aligned");
}

TEST_CASE("an output that overlaps an input is refused, unless it is q itself or lies beside it in a packed buffer")
{
    tensor<float> packed({1, 4, 3 * 2, 8});  // tokens x (q, k, v) x 2 heads, as one row of 48 floats
    const auto part = [&](int64 i) {
        return heed::view<float>{packed.data.data() + i * 16, {1, 2, 4, 8}, {192, 8, 48}};
    };
    const heed::attention def{heed::softmax{}};
    refused(def, part(0), part(1), part(2), part(1), packed, "out overlaps k or v");
    refused(def, part(0), part(1), part(2), part(2), packed, "out overlaps k or v");
    auto shifted = part(0);
    shifted.data += 4;
    refused(def, part(0), part(1), part(2), shifted, packed, "out overlaps q");
    REQUIRE(heed::attend(def, heed::view<const float>(part(0)), heed::view<const float>(part(1)),
                         heed::view<const float>(part(2)), part(0)));
}

TEST_CASE("policies with wrong parameters are refused")
{
    const problem<float> p(2, 4, 2, 5, 9, 8, 4);
    tensor<float> out(p.out_size(), 3);
    const auto check = [&](const auto& def, const char* says) {
        refused(def, p.q.in(), p.k.in(), p.v.in(), out.view(), out, says);
    };
    const float slopes[4] = {}, sink[4] = {0, 0, std::numeric_limits<float>::quiet_NaN(), 0};
    const int64 lengths[] = {3, 10}, bounds[] = {0, 5, 4}, offsets[] = {0};
    const tensor<float> wrong({1, 1, 5, 8});
    const bool mask[45] = {};
    check(heed::attention{heed::softcap{0}}, "softcap: cap is 0");
    check(heed::attention{heed::softcap{std::numeric_limits<double>::infinity()}}, "softcap: cap is inf");
    check(heed::attention{heed::softcap{1e39}}, "softcap: cap is 1e+39");
    check(heed::attention{heed::softcap{1e-50}}, "softcap: cap is 1e-50");
    check(heed::attention{heed::scale{std::nan("")}}, "scale: nan is not finite");
    check(heed::attention{heed::scale{1e39}}, "scale: 1e+39 is not finite in float");
    check(heed::attention{heed::alibi{slopes, 3}}, "alibi: 3 slopes for 4 query heads");
    check(heed::attention{heed::softmax_sink{slopes, 2}}, "softmax_sink: 2 logits for 4 query heads");
    check(heed::attention{heed::softmax_sink{sink, 4}}, "softmax_sink: logit 2 is nan");
    check(heed::attention{heed::softmax1{-1}}, "softmax1: n is -1");
    check(heed::attention{heed::softpick{-1e-6}}, "softpick: eps is -1e-06");
    check(heed::attention{heed::sigmoid{std::nan("")}}, "sigmoid: bias nan");
    check(heed::attention{heed::bias{wrong.in()}}, "bias: [1, 1, 5, 8] does not broadcast to [2, 4, 5, 9]");
    check(heed::attention{heed::dense_mask{heed::bhsd(mask, {1, 3, 5, 9})}},
          "dense_mask: [1, 3, 5, 9] does not broadcast");
    check(heed::attention{heed::key_lengths{lengths, 2}}, "key_lengths: lengths[1] = 10 is not in [0, 9]");
    check(heed::attention{heed::key_lengths{lengths, 1}}, "key_lengths: 1 lengths for batch 2");
    check(heed::attention{heed::document{bounds, 3}}, "bounds[2] = 4 is below bounds[1] = 5");
    check(heed::attention{heed::window{-1, 0}}, "window: left -1");
    check(heed::attention{heed::prefix{-1}}, "prefix: -1 keys");
    check(heed::attention{heed::query_offset{offsets, 1}}, "query_offset: 1 entries for batch 2");
    check(heed::attention{heed::prefix{2} | (heed::causal{} & heed::window{-1, 0})}, "window: left -1");
}

TEST_CASE("a plan refuses what it was not made for")
{
    const problem<float> p(1, 2, 2, 5, 9, 8, 4), other(1, 2, 2, 6, 9, 8, 4);
    tensor<float> out(p.out_size(), 3);
    const std::vector<float> before = out.data;
    const heed::plan plan(heed::attention{heed::softmax{}}, p.q.in(), p.k.in(), p.v.in());
    std::vector<std::byte> scratch(plan.workspace_bytes());
    const heed::workspace enough{scratch.data(), scratch.size()};
    heed::thread_pool pool(2);
    const auto says = [&](const heed::status& s, heed::errc code, const char* text) {
        REQUIRE(s.code() == code);
        REQUIRE_THAT(std::string(s.message()), Contains(text));
        REQUIRE(same_bits(out.data, before));
    };
    says(plan.run(other.q.in(), p.k.in(), p.v.in(), out.view(), {.workspace = enough}), heed::errc::invalid_argument,
         "q is [1, 2, 6, 8], must be [1, 2, 5, 8]");
    says(plan.run(p.q.in(), p.k.in(), p.v.in(), out.view(), {.workspace = {scratch.data(), scratch.size() - 1}}),
         heed::errc::workspace_too_small, "workspace of");
    says(plan.run(p.q.in(), p.k.in(), p.v.in(), out.view(), {}), heed::errc::workspace_too_small, "at null");
    says(plan.run(p.q.in(), p.k.in(), p.v.in(), out.view(), {.executor = pool, .workspace = enough}),
         heed::errc::invalid_argument, "the executor has 2 workers, planned for 1");
    REQUIRE_THAT(std::string(plan.describe().text), Contains("decode, f32, ") && Contains(heed::isa_name()));
}
