// SPDX-License-Identifier: MIT
// Sizes whose products leave 64 bits: whatever a plan would have to hold, count or write is a status then, and nothing
// is touched. A stride of 0 makes tensors of any size from one row.
#include "tensors.hpp"

#include <heed/observe.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

constexpr int64 two_to(int n) { return int64{1} << n; }

/// The concurrency of an executor whose tasks must not be reached.
struct workers {
    int n;
    int concurrency() const { return n; }
    void operator()(int64, heed::task_ref) const { FAIL("nothing may run"); }
};

/// A tensor of so many rows in the memory of one.
heed::view<const float> repeated(heed::extents size)
{
    static const float row[16] = {1, 2, 3};
    return {row, size, {0, 0, 0}};
}

void refused(const heed::status& s, const char* says)
{
    REQUIRE(!s);
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains(says));
}

const heed::attention softmax{heed::softmax{}};

/// Partial results of 400 rows and so many keys, in tiles, take 2^64 bytes and a few more.
constexpr int64 keys_that_wrap = 565'315'913'433'847'808;

}  // namespace

TEST_CASE("partial results beyond 64 bits are no plan, for any verb that stores them")
{
    const auto q = repeated({1, 1, 400, 1}), kv = repeated({1, 1, keys_that_wrap, 1});
    tensor<float> out({1, 1, 400, 1}, 3);
    const std::vector<float> before = out.data;
    const workers two{2};
    const heed::options<float> how{.executor = two};
    const char* says = "400 queries of 1 heads x 565315913433847808 keys for 2 workers";

    const heed::plan plan(softmax, q, kv, kv, how);
    refused(plan.status(), says);
    REQUIRE(plan.workspace_bytes() == 0);
    refused(heed::attend(softmax, q, kv, kv, out.view(), how), says);
    owned_state<float> state(softmax, out.size);
    refused(heed::attend_partial(softmax, q, kv, kv, state.state(), {}, how), says);
    std::vector<float> shift(400), mass(400);
    refused(heed::observe(softmax, q, kv, {shift.data(), mass.data()}, {.total = out.data.data()}, how), says);
    refused(heed::backward(softmax, q, kv, kv, out.in(), {shift.data(), mass.data()}, out.in(), {}, how), says);
    REQUIRE(same_bits(out.data, before));
}

TEST_CASE("partial results of sequences that differ add up beyond 64 bits: no plan")
{
    const int64 lengths[] = {two_to(58), two_to(58) - 1};
    const auto q = repeated({2, 1, 400, 1}), kv = repeated({2, 1, two_to(58), 1});
    const workers two{2};
    const heed::plan plan(softmax, q, heed::dense_kv{kv, kv, heed::index_view(lengths, 2)}, {.executor = two});
    refused(plan.status(), "keys for 2 workers");
}

TEST_CASE("a row of output beyond 64 bits is no plan")
{
    const heed::plan plan(softmax, repeated({1, 1, 4, 1}), repeated({1, 1, 0, 1}), repeated({1, 1, 0, two_to(59)}));
    refused(plan.status(), "channels");
    const int64 length = 0;
    const heed::ring_kv ring{repeated({1, 1, 0, two_to(59)}), repeated({1, 1, 0, 1}), heed::index_view(&length, 1)};
    refused(heed::plan(softmax, repeated({1, 1, 1, two_to(59)}), ring).status(), "channels");
}

TEST_CASE("an executor of two billion workers is planned for without a wrapped number of them")
{
    const workers many{std::numeric_limits<int>::max()};
    const auto q = repeated({1, 1, 400, 1}), kv = repeated({1, 1, 5000, 1});
    const heed::plan plan(softmax, q, kv, kv, {.executor = many});
    const heed::plan one(softmax, q, kv, kv);
    const std::size_t a_worker = heed::plan(softmax, repeated({1, 1, 1, 1}), kv, kv).workspace_bytes() - 64;
    REQUIRE(plan.status());
    REQUIRE(plan.workspace_bytes() > a_worker * static_cast<std::size_t>(many.n));
    REQUIRE(one.workspace_bytes() >= a_worker);
    const heed::observe_plan observe(softmax, q, kv, {.executor = many});
    REQUIRE(observe.status());
    // observe holds neither values nor outputs
    const std::size_t an_observer = heed::observe_plan(softmax, repeated({1, 1, 1, 1}), kv).workspace_bytes() - 64;
    REQUIRE(an_observer > 4 * 512);
    REQUIRE(observe.workspace_bytes() > an_observer * static_cast<std::size_t>(many.n));
    REQUIRE(heed::backward_plan(softmax, q, kv, kv, {.executor = many}).status());
}

TEST_CASE("an executor that says it has no worker is planned for as one")
{
    const workers none{-5};
    const auto q = repeated({1, 1, 400, 1}), kv = repeated({1, 1, 5000, 1});
    REQUIRE(heed::plan(softmax, q, kv, kv, {.executor = none}).workspace_bytes() ==
            heed::plan(softmax, q, kv, kv).workspace_bytes());
    REQUIRE(heed::observe_plan(softmax, q, kv, {.executor = none}).workspace_bytes() ==
            heed::observe_plan(softmax, q, kv).workspace_bytes());
}

TEST_CASE("backward: one number a row, and a stage a diagonal, are counted beyond 64 and 32 bits")
{
    const float slope = 1;
    const auto q = repeated({8, 1, two_to(59), 1}), k = repeated({8, 1, 1, 1});
    refused(heed::backward_plan(heed::attention{heed::alibi{&slope, 1}}, q, k, k).status(), "backward: ");
    const auto row = repeated({1, 1, 1, 1}), keys = repeated({1, 1, two_to(59), 1});
    const workers two{2};
    REQUIRE(heed::backward_plan(softmax, row, keys, keys).status());
    refused(heed::backward_plan(softmax, row, keys, keys, {.executor = two}).status(), "backward: ");
}

TEST_CASE("observe: lists of the largest weights beyond 64 bits are refused")
{
    const auto q = repeated({1, 1, 4, 1}), k = repeated({1, 1, 8, 1});
    float shift[4] = {}, mass[4] = {1, 1, 1, 1}, weights[4] = {3, 3, 3, 3};
    int64 keys[4] = {3, 3, 3, 3};
    for (const int64 top : {two_to(61), two_to(62), std::numeric_limits<int64>::max()}) {
        CAPTURE(top);
        refused(heed::observe(softmax, q, k, {shift, mass}, {.top_k = top, .top_keys = keys, .top_weights = weights}),
                "observe: 1 x 1 x 4 rows");
    }
    REQUIRE(keys[0] == 3);
}

TEST_CASE("attention_map: a map beyond 64 bits is refused")
{
    const auto q = repeated({1, 1, two_to(32), 1}), k = repeated({1, 1, two_to(32), 1});
    float one = 1, out = 3;
    refused(heed::attention_map(softmax, q, k, {&one, &one}, {.rows = two_to(32)}, &out), "attention_map: ");
    REQUIRE(out == 3);
}

TEST_CASE("a state beyond 64 bits, or of negative sizes, is refused by every verb that takes one")
{
    float x[3] = {3, 3, 3};
    const auto of = [&](heed::extents size) { return heed::state<float>{x, x + 1, x + 2, size}; };
    for (const heed::extents size : {heed::extents{two_to(32), two_to(32), two_to(32), 1},
                                     {4, 1, two_to(58), 16},
                                     {4, 1, two_to(57), 8},
                                     {-1, -1, 1, 1},
                                     {1, 1, 1, -1}}) {
        CAPTURE(size.batch, size.tokens, size.dim);
        refused(heed::clear(softmax, of(size)), "clear: state");
        refused(heed::merge(of(size), of(size)), "merge: into");
        REQUIRE(!heed::finish(softmax, of(size), heed::view<float>{x, size, {0, 0, 0}}));
    }
    refused(heed::attend_partial(softmax, repeated({4, 1, two_to(58), 1}), repeated({4, 1, 1, 1}),
                                 repeated({4, 1, 1, 16}), of({4, 1, two_to(58), 16})),
            "attend_partial: state");
    REQUIRE((x[0] == 3 && x[1] == 3 && x[2] == 3));
    refused(heed::clear(softmax, heed::state<float>{nullptr, x, x, {1, 1, 1, 1}}), "clear: state has a null");
}

TEST_CASE("a part of a sequence that ends beyond 64 bits is refused")
{
    const problem<float> p(1, 1, 1, 2, 3, 1, 1);
    owned_state<float> s(softmax, p.out_size());
    const auto part = [&](int64 first, int64 total) {
        return heed::attend_partial(softmax, p.q.in(), p.k.in(), p.v.in(), s.state(), {first, total});
    };
    refused(part(std::numeric_limits<int64>::max(), -1), "3 keys from key 9223372036854775807 on");
    refused(part(-1, -1), "3 keys from key -1 on");
    refused(part(0, std::numeric_limits<int64>::max()), "3 keys from key 0 on, of 9223372036854775807 in all");
    refused(part(512, 3), "3 keys from key 512 on, of 3 in all");
}

TEST_CASE("tables of pages whose tokens are counted beyond 64 bits are refused")
{
    const std::int32_t page = 0;
    const int64 begin_and_end[] = {0, two_to(62)}, last = 1, none[] = {0}, length = two_to(62);
    const auto q = repeated({1, 1, 1, 1}), pool = repeated({1, 1, 1024, 1});
    using heed::index_view, heed::page_table;
    const auto plan = [&](const page_table& table) {
        return heed::plan(softmax, q, heed::paged_kv{pool, pool, table}).status();
    };
    refused(plan(page_table::csr(index_view(begin_and_end, 2), index_view(&page, two_to(62)), index_view(&last, 1))),
            "paged_kv: sequence 0");
    refused(plan(page_table::csr(index_view(none, 1), index_view(&page, 1),
                                 index_view(&last, std::numeric_limits<int64>::max()))),
            "paged_kv: indptr has 1 entries");
    refused(plan(page_table::padded(index_view(&page, two_to(62)), two_to(62), index_view(&length, 1))), "tokens");
}

TEST_CASE("bounds of packed rows for more sequences than 64 bits can close are refused")
{
    const int64 bounds[] = {0, 1};
    const auto kv = repeated({std::numeric_limits<int64>::max(), 1, 1, 1});
    REQUIRE(!heed::plan(softmax, heed::packed<const float>{repeated({1, 1, 1, 1}), heed::index_view(bounds, 2)},
                        heed::dense_kv{kv, kv})
                 .status());
}

TEST_CASE("dense views of any sizes have strides, and those beyond 64 bits are refused")
{
    const float x = 0;
    tensor<float> out({1, 1, 1, 1});
    for (const heed::extents size : {heed::extents{1, two_to(32), two_to(32), 8},
                                     {1, two_to(40), two_to(40), 1},
                                     {two_to(32), two_to(32), 0, 1},
                                     {0, two_to(62), two_to(62), 8}}) {
        CAPTURE(size.batch, size.heads, size.tokens, size.dim);
        const auto by_head = heed::bhsd(&x, size), by_token = heed::bshd(&x, size);
        if (size.tokens > 0 && size.batch > 0) {
            refused(heed::attend(softmax, by_head, by_head, by_head, out.view()), "overflow 64 bits");
            refused(heed::attend(softmax, by_token, by_token, by_token, out.view()), "overflow 64 bits");
        } else {
            (void)heed::plan(softmax, by_head, by_head, by_head).status();
            (void)heed::plan(softmax, by_token, by_token, by_token).status();
        }
    }
}

TEST_CASE("extents of which a few do not add up in 64 bits are refused")
{
    const heed::extents most{1, 1, std::numeric_limits<int64>::max(), 1};
    refused(heed::plan(softmax, repeated(most), repeated({1, 1, 1, 1}), repeated({1, 1, 1, 1})).status(),
            "q: [1, 1, 9223372036854775807, 1] has an extent above 2^60");
    refused(heed::plan(softmax, repeated({1, 1, 1, 1}), repeated(most), repeated(most)).status(),
            "k: [1, 1, 9223372036854775807, 1] has an extent above 2^60");
}
