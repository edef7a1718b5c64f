// SPDX-License-Identifier: MIT
// What backward refuses: the right status, a sentence with the argument and the numbers, nothing written.
#include "gradients.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

/// Every argument of backward, right until a test spoils one.
struct arguments {
    heed::view<const float> q, k, v, out, dout;
    heed::row_statistics<float> stats;
    heed::gradients<float> to;
    heed::options<float> how;
};

/// A definition with everything that has a gradient, and one with nothing but dq, dk and dv.
struct fixture {
    gradient_problem<float> p{problem<float>(2, 6, 3, 5, 9, 8, 4)};
    std::vector<float> slopes = std::vector<float>(6, 0.5f);
    tensor<float> added = normal<float>({1, 6, 5, 9}, 4);
    heed::attention<heed::softmax1, heed::alibi, heed::bias<float>> rich{
        heed::softmax1{}, heed::alibi{slopes.data(), 6}, heed::bias{added.in()}};
    heed::attention<heed::softmax> poor{heed::softmax{}};
    forward_pass<float> forward = p.forward(rich);
    owned_gradients<float> g = p.room_for<float>(rich, 3);

    arguments right()
    {
        return {p.q.in(), p.k.in(), p.v.in(), forward.out.in(), p.dout.in(), forward.stats(), g.all(), {}};
    }
    template <class Def>
    heed::status run(const Def& def, const arguments& a)
    {
        return heed::backward(def, a.q, a.k, a.v, a.out, a.stats, a.dout, a.to, a.how);
    }
    /// Whether `spoil` makes `def` refuse, saying `says`, with no gradient written.
    template <class Def, class Spoil>
    void refused(const Def& def, const char* says, Spoil spoil, heed::errc code = heed::errc::invalid_argument)
    {
        arguments a = right();
        spoil(a);
        const auto before = g;
        const heed::status s = run(def, a);
        INFO(says);
        REQUIRE(s.code() == code);
        REQUIRE_THAT(std::string(s.message()), Contains(says));
        REQUIRE(g == before);
    }
    template <class Spoil>
    void refused(const char* says, Spoil spoil)
    {
        refused(rich, says, spoil);
    }
};

}  // namespace

TEST_CASE("backward refuses tensors of wrong sizes by name and numbers")
{
    fixture f;
    f.refused("q.heads 5 is not a multiple of kv.heads 3", [](auto& a) { a.q.size.heads = 5; });
    f.refused("q.dim 7 differs from k.dim 8", [](auto& a) { a.q.size.dim = 7; });
    f.refused("q.batch 1 differs from k.batch 2", [](auto& a) { a.q.size.batch = 1; });
    f.refused("q: batch 2, heads 6, tokens -1", [](auto& a) { a.q.size.tokens = -1; });
    f.refused("v: batch 2, heads 3, tokens 8 differ from k's 2, 3, 9", [](auto& a) { a.v.size.tokens = 8; });
    f.refused("overflow 64 bits", [](auto& a) { a.k.stride.batch = int64{1} << 62; });
    f.refused("out is [2, 6, 4, 4], must be [2, 6, 5, 4]", [](auto& a) { a.out.size.tokens = 4; });
    f.refused("out is [2, 3, 5, 4], must be [2, 6, 5, 4]", [](auto& a) { a.out.size.heads = 3; });
    f.refused("dout is [2, 6, 5, 3], must be [2, 6, 5, 4]", [](auto& a) { a.dout.size.dim = 3; });
    f.refused("dout is [1, 6, 5, 4], must be [2, 6, 5, 4]", [](auto& a) { a.dout.size.batch = 1; });
    f.refused("dq is [2, 6, 5, 4], must be [2, 6, 5, 8]", [](auto& a) { a.to.dq.size.dim = 4; });
    f.refused("dq is [2, 3, 5, 8], must be [2, 6, 5, 8]", [](auto& a) { a.to.dq.size.heads = 3; });
    f.refused("dk is [2, 6, 9, 8], must be [2, 3, 9, 8]", [](auto& a) { a.to.dk.size.heads = 6; });
    f.refused("dv is [2, 3, 5, 4], must be [2, 3, 9, 4]", [](auto& a) { a.to.dv.size.tokens = 5; });
    f.refused("dbias is [3, 6, 5, 9], must be [2, 6, 5, 9]", [](auto& a) { a.to.dbias.size.batch = 3; });
    f.refused("dbias is [1, 2, 1, 9], must be [1, 6, 1, 9]", [](auto& a) { a.to.dbias.size = {1, 2, 1, 9}; });
    f.refused("dbias is [2, 1, 5, 1], must be [2, 1, 5, 9]", [](auto& a) { a.to.dbias.size = {2, 1, 5, 1}; });
    REQUIRE(f.run(f.rich, f.right()));
}

TEST_CASE("backward refuses gradients of another size where there is nothing to write")
{
    const heed::attention def{heed::softmax{}};
    float x[8] = {};
    heed::view<const float> q{x, {1, 1, 1, 2}, {}}, none{x, {1, 1, 0, 2}, {}};
    float shift = 0, mass = 0;
    const auto backward = [&](const heed::gradients<float>& to) {
        return heed::backward(def, q, none, none, q, {&shift, &mass, nullptr}, q, to, {});
    };
    float g[4] = {1, 2, 3, 4};
    heed::gradients<float> to;
    to.dk = {g, {1, 1, 0, 2}, {}};
    REQUIRE(backward(to));
    to.dk.size.tokens = 1;  // no row of it would be written
    REQUIRE_THAT(std::string(backward(to).message()), Contains("dk is [1, 1, 1, 2], must be [1, 1, 0, 2]"));

    double d[4] = {};
    heed::gradients<double> other;
    other.dv = {d, {1, 1, 0, 1}, {}};
    REQUIRE_THAT(std::string(heed::reference_backward(def, q, none, none, q, other).message()),
                 Contains("dv is [1, 1, 0, 1], must be [1, 1, 0, 2]"));
}

TEST_CASE("backward refuses null, unaligned and missing memory")
{
    fixture f;
    f.refused("q.data is null", [](auto& a) { a.q.data = nullptr; });
    f.refused("k.data is null", [](auto& a) { a.k.data = nullptr; });
    f.refused("v.data is null", [](auto& a) { a.v.data = nullptr; });
    f.refused("out.data is null", [](auto& a) { a.out.data = nullptr; });
    f.refused("dout.data is null", [](auto& a) { a.dout.data = nullptr; });
    const auto off_by_a_byte = [](auto* p) {
        return reinterpret_cast<decltype(p)>(reinterpret_cast<std::uintptr_t>(p) + 1);
    };
    f.refused("dout.data is not aligned", [&](auto& a) { a.dout.data = off_by_a_byte(a.dout.data); });
    f.refused("dk.data is not aligned", [&](auto& a) { a.to.dk.data = off_by_a_byte(a.to.dk.data); });
    f.refused("stats.shift is null; attend() fills it for 60 rows", [](auto& a) { a.stats.shift = nullptr; });
    f.refused("stats.mass is null; attend() fills it for 60 rows", [](auto& a) { a.stats.mass = nullptr; });
}

TEST_CASE("backward refuses gradients that overlap an input, each other or themselves")
{
    fixture f;
    // Inputs may be made of any memory, so it is the inputs that are moved under the gradients.
    f.refused("dq overlaps q", [](auto& a) { a.q.data = a.to.dq.data; });
    f.refused("dq overlaps k", [](auto& a) { a.k.data = a.to.dq.data + 10; });
    f.refused("dk overlaps v", [](auto& a) { a.v.data = a.to.dk.data; });
    f.refused("dk overlaps dout", [](auto& a) { a.dout.data = a.to.dk.data + 100; });
    // out and dout are larger than dv and reach what lies behind it.
    f.refused("dv overlaps out", [](auto& a) {
        a.out.data = a.to.dv.data;
        a.to.dq = a.to.dk = a.to.dbias = {};
    });
    f.refused("dv overlaps dout", [](auto& a) {
        a.dout.data = a.to.dv.data;
        a.to.dq = a.to.dk = a.to.dbias = {};
    });
    f.refused("dbias overlaps q", [](auto& a) { a.q.data = a.to.dbias.data + 5; });
    f.refused("dq overlaps dk", [](auto& a) { a.to.dk.data = a.to.dq.data; });
    f.refused("dq overlaps dv", [](auto& a) { a.to.dv.data = a.to.dq.data + 200; });
    f.refused("dk overlaps dv", [](auto& a) { a.to.dv.data = a.to.dk.data; });
    f.refused("dbias overlaps dq", [](auto& a) { a.to.dq.data = a.to.dbias.data; });
    f.refused("dbias overlaps dk", [](auto& a) { a.to.dk.data = a.to.dbias.data; });
    f.refused("dbias overlaps dv", [](auto& a) { a.to.dv.data = a.to.dbias.data; });
    f.refused("dq: strides 240, 40, 7 let rows of 8 channels overlap", [](auto& a) { a.to.dq.stride.tokens = 7; });
    f.refused("dk: strides 216, 72, 0 let rows of 8 channels overlap", [](auto& a) { a.to.dk.stride.tokens = 0; });
    f.refused("dv: strides 0, 36, 4 let rows of 4 channels overlap", [](auto& a) { a.to.dv.stride.batch = 0; });
    f.refused("dbias: strides 270, 0, 9 let rows of 9 channels overlap", [](auto& a) { a.to.dbias.stride.heads = 0; });
}

TEST_CASE("backward refuses gradients that the definition has not")
{
    fixture f;
    const auto only = [](auto member) {
        return [member](arguments& a) {
            auto all = a.to;
            a.to = {};
            a.to.*member = all.*member;
        };
    };
    f.refused(f.poor, "dlog_offset: the normalizer has no extra mass", only(&heed::gradients<float>::dlog_offset));
    f.refused(f.poor, "dbias: no score map has a parameter for each score", only(&heed::gradients<float>::dbias));
    f.refused(f.poor, "dslopes: no score map has a parameter for each head", only(&heed::gradients<float>::dslopes));
}

TEST_CASE("backward refuses a dlse of another size, and sequences that do not fit the tensors")
{
    fixture f;
    const arguments a = f.right();
    const auto before = f.g;
    const auto says = [&](const heed::status& s, const char* text) {
        INFO(s.message());
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains(text));
        REQUIRE(f.g == before);
    };
    const heed::output_gradients of{a.out, a.stats, a.dout};
    const std::vector<float> dlse(59);
    says(heed::backward(f.rich, a.q, heed::dense_kv{a.k, a.v}, heed::output_gradients{a.out, a.stats, a.dout, dlse},
                        a.to),
         "dlse has 59 numbers, must be 60");

    const std::vector<int64> lengths{9, 10};
    const heed::dense_kv kv{a.k, a.v, lengths};
    says(heed::backward_plan(f.rich, a.q, kv).status(), "lengths[1] = 10 is not in [0, 9]");
    const std::vector<std::int32_t> bounds{0, 3, 6};
    heed::view<const float> q = a.q, k = a.k, v = a.v;
    q.size.batch = k.size.batch = v.size.batch = 1;
    const heed::packed_kv packed{k, v, bounds};
    says(heed::backward_plan(f.rich, heed::packed{q, bounds}, packed).status(), "bounds[2] = 6; bounds rise");
    const std::vector<std::int32_t> all{0, 3, 5}, others{0, 1, 5};
    const heed::backward_plan plan(f.rich, heed::packed{q, all}, packed);
    REQUIRE(plan.status());
    says(plan.check_run(heed::packed{q, others}, packed, of, a.to, {}),
         "up to 4 queries and 3 tokens, planned for 3 and 3");
    const std::vector<std::int32_t> longer{0, 4, 6};
    says(plan.check_run(heed::packed{q, all}, heed::packed_kv{k, v, longer}, of, a.to, {}),
         "k is [2, 3, 4, 8], must be [2, 3, 3, 8]");

    const std::vector<int64> full{9, 9};
    const heed::backward_plan dense(f.rich, a.q, a.k, a.v);
    says(dense.check_run(a.q, heed::ring_kv{a.k, a.v, full}, of, a.to, {}),
         "a kv source or lengths that were not planned for");
    const heed::backward_plan ring(f.rich, a.q, heed::ring_kv{a.k, a.v, full});
    REQUIRE(ring.check_run(a.q, heed::ring_kv{a.k, a.v, full}, of, a.to, {}).code() == heed::errc::workspace_too_small);
}

TEST_CASE("backward refuses policies with wrong parameters, and a workspace or an executor that it was not planned for")
{
    fixture f;
    f.refused(heed::attention{heed::softmax1{-1}, heed::alibi{f.slopes.data(), 6}, heed::bias{f.added.in()}},
              "softmax1: n is -1", [](auto&) {});
    f.refused(heed::attention{heed::softmax1{}, heed::alibi{f.slopes.data(), 5}, heed::bias{f.added.in()}},
              "alibi: 5 slopes for 6 query heads", [](auto&) {});
    const arguments a = f.right();
    const heed::backward_plan plan(f.rich, a.q, a.k, a.v);
    REQUIRE(plan.status());
    std::vector<std::byte> scratch(plan.workspace_bytes());
    f.refused(
        f.rich, "workspace of",
        [&](auto& x) {
            x.how.workspace = {scratch.data(), scratch.size() - 1};
        },
        heed::errc::workspace_too_small);

    heed::thread_pool pool(2);
    const auto before = f.g;
    const auto says = [&](const heed::status& s, heed::errc code, const char* text) {
        REQUIRE(s.code() == code);
        REQUIRE_THAT(std::string(s.message()), Contains(text));
        REQUIRE(f.g == before);
    };
    const heed::workspace enough{scratch.data(), scratch.size()};
    const auto run = [&](const arguments& x, const heed::options<float>& how) {
        return plan.run(x.q, x.k, x.v, x.out, x.stats, x.dout, x.to, how);
    };
    says(run(a, {}), heed::errc::workspace_too_small, "at null, needs");
    says(run(a, {.executor = pool, .workspace = enough}), heed::errc::invalid_argument,
         "the executor has 2 workers, planned for 1");
    arguments other = a;
    other.q.size.tokens = 4;
    says(run(other, {.workspace = enough}), heed::errc::invalid_argument, "q is [2, 6, 4, 8], must be [2, 6, 5, 8]");
    other = a;
    other.k.size.tokens = other.v.size.tokens = 8;
    says(run(other, {.workspace = enough}), heed::errc::invalid_argument, "k is [2, 3, 8, 8], must be [2, 3, 9, 8]");
    REQUIRE_THAT(std::string(plan.describe().text), Contains("backward, f32, ") && Contains(heed::isa_name()));
    REQUIRE(run(a, {.workspace = enough}));
}
