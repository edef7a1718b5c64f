// SPDX-License-Identifier: MIT
// Every verb checks every policy that it uses, and no policy takes a null table for one that is not read.
#include "tensors.hpp"

#include <heed/observe.hpp>
#include <heed/reference_backward.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

void refused(const heed::status& s, const char* says)
{
    REQUIRE(!s);
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains(says));
}

/// Calls every verb that takes a definition: each is refused with the same sentence, and writes nothing.
template <class Def>
void refused_by_all(const Def& def, const char* says)
{
    const problem<float> p(2, 4, 2, 5, 9, 8, 8);
    const auto rows = static_cast<std::size_t>(2 * 4 * 5);
    tensor<float> out(p.out_size(), 3), dq(p.q.size, 3), dk(p.k.size, 3);
    const std::vector<float> before = out.data;
    std::vector<float> shift(rows), mass(rows, 1.f), map(5 * 9, 3.f);
    const heed::row_statistics<float> stats{shift.data(), mass.data()};
    owned_state<float> s(heed::attention{heed::softmax{}}, p.out_size());
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();

    refused(heed::attend(def, q, k, v, out.view()), says);
    refused(heed::attend_partial(def, q, k, v, s.state()), says);
    refused(heed::observe(def, q, k, stats, {.total = out.data.data()}), says);
    refused(heed::attention_map(def, q, k, stats, {.rows = 5}, map.data()), says);
    heed::gradients<float> to;
    to.dq = dq.view();
    to.dk = dk.view();
    refused(heed::backward(def, q, k, v, out.in(), stats, out.in(), to), says);
    tensor<double> exact(p.out_size(), 3), dexact(p.q.size, 3);
    refused(heed::reference(def, q, k, v, exact.view()), says);
    heed::gradients<double> exact_to;
    exact_to.dq = dexact.view();
    refused(heed::reference_backward(def, q, k, v, out.in(), exact_to), says);

    REQUIRE(same_bits(out.data, before));
    REQUIRE(same_bits(map, std::vector<float>(5 * 9, 3.f)));
    REQUIRE(exact.data == std::vector<double>(exact.data.size(), 3));
    REQUIRE(dexact.data == std::vector<double>(dexact.data.size(), 3));
    REQUIRE(same_bits(dk.data, std::vector<float>(dk.data.size(), 3)));
}

}  // namespace

TEST_CASE("a table of another number of heads is refused by every verb, finish() included")
{
    const float logit = 0;
    const heed::attention sink{heed::softmax_sink{&logit, 1}};
    refused_by_all(sink, "softmax_sink: 1 logits for 4 query heads");
    refused_by_all(heed::attention{heed::alibi{&logit, 1}}, "alibi: 1 slopes for 4 query heads");

    owned_state<float> s(sink, {2, 4, 5, 8});
    tensor<float> out(s.size, 3);
    std::vector<float> lse(40, 3);
    refused(heed::finish(sink, s.state(), out.view(), lse.data()), "softmax_sink: 1 logits for 4 query heads");
    refused(heed::finish(heed::attention{heed::softmax1{-1}}, s.state(), out.view()), "softmax1: n is -1");
    REQUIRE(same_bits(out.data, std::vector<float>(out.data.size(), 3)));
    REQUIRE(same_bits(lse, std::vector<float>(40, 3)));
}

TEST_CASE("finish() asks nothing of policies that it does not use: of keys it knows none")
{
    const int64 lengths[] = {9, 9};
    const heed::attention def{heed::softmax{}, heed::key_lengths{lengths, 2}};
    owned_state<float> s(def, {2, 4, 5, 8});
    tensor<float> out(s.size, 3);
    heed::or_throw(heed::finish(def, s.state(), out.view()));
    REQUIRE(same_bits(out.data, std::vector<float>(out.data.size())));
}

TEST_CASE("a null mask or bias is refused where B Hq Sq Skv wraps to 0, and taken where one of them is 0")
{
    const int64 n = int64{1} << 16;
    const heed::problem wraps{n, n, n, n, n};
    const heed::view<const bool> no_mask{nullptr, {1, 1, 1, n}, {}};
    const heed::view<const float> no_bias{nullptr, {1, 1, 1, n}, {}};
    refused(heed::dense_mask{no_mask}.check(wraps), "dense_mask");
    refused(heed::bias{no_bias}.check(wraps), "bias");
    for (heed::problem empty : {heed::problem{0, n, n, n, n}, {n, 0, n, n, n}, {n, n, n, 0, n}}) {
        REQUIRE(heed::dense_mask{no_mask}.check(empty));
        REQUIRE(heed::bias{no_bias}.check(empty));
    }
    REQUIRE(heed::dense_mask{heed::view<const bool>{nullptr, {1, 1, 1, 0}, {}}}.check({n, n, n, n, 0}));
}

TEST_CASE("tables of a mask or a bias are views: their strides and their alignment are checked as any view's")
{
    const problem<float> p(2, 4, 2, 5, 9, 8, 8);
    tensor<float> out(p.out_size(), 3);
    const bool bits[9] = {};
    const float numbers[10] = {};
    const int64 far = std::numeric_limits<int64>::max();
    const auto attend = [&](const auto& def) { return heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view()); };
    for (const heed::strides step : {heed::strides{far, 0, 0}, {0, far, 0}, {0, 0, far}}) {
        const heed::extents size{step.batch ? 2 : 1, step.heads ? 4 : 1, step.tokens ? 5 : 1, 9};
        refused(attend(heed::attention{heed::dense_mask{heed::view<const bool>{bits, size, step}}}),
                "overflow 64 bits");
        refused(attend(heed::attention{heed::bias{heed::view<const float>{numbers, size, step}}}), "overflow 64 bits");
    }
    const auto* odd = reinterpret_cast<const float*>(reinterpret_cast<const char*>(numbers) + 1);
    refused(attend(heed::attention{heed::bias{heed::view<const float>{odd, {1, 1, 1, 9}, {}}}}), "not aligned");
}

TEST_CASE("an empty table of query offsets is no offset")
{
    const heed::problem two{2, 1, 1, 5, 9};
    refused(heed::query_offset(nullptr, 0).check(two), "query_offset: 0 entries at null for batch 2");
    refused(heed::query_offset(nullptr, 2).check(two), "query_offset: 2 entries at null");
    REQUIRE(heed::query_offset(nullptr, 0).check({0, 1, 1, 5, 9}));
    REQUIRE(heed::query_offset(0).check(two));
}

TEST_CASE("reference() refuses shapes that do not fit, as attend() does")
{
    const problem<float> p(2, 4, 2, 5, 9, 8, 8);
    tensor<double> out(p.out_size(), 3), small({2, 4, 4, 8}, 3);
    const heed::attention def{heed::softmax{}};
    const auto heads = [](auto view, int64 n) {
        view.size.heads = n;
        return view;
    };
    refused(heed::reference(def, heads(p.q.in(), 3), p.k.in(), p.v.in(), out.view()), "q.heads 3");
    refused(heed::reference(def, p.q.in(), heads(p.k.in(), 0), heads(p.v.in(), 0), out.view()), "kv.heads 0");
    refused(heed::reference(def, p.q.in(), p.k.in(), p.v.in(), small.view()), "out is [2, 4, 4, 8]");
    REQUIRE(out.data == std::vector<double>(out.data.size(), 3));
}
