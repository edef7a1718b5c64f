// SPDX-License-Identifier: MIT
// A batch of sequences of any lengths, prefill, chunks of it and decode mixed, has the bits of each sequence alone,
// whatever stands beside it, in which order, and however many threads there are.
#include "pages.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

struct request {
    int64 sequence, queries;  // the last ones of the sequence
};

const std::vector<int64> lengths{1203, 0, 700, 80, 9000, 5};

/// Sequences of these lengths, the last up to 700 rows of each as queries.
const problem<float>& everything()
{
    static const problem<float> p(6, 4, 2, 700, 9000, 24, 20);
    return p;
}

/// Output rows and statistics of one request alone; queries are rows [700 - n, 700) of the sequence.
struct result {
    tensor<float> out;
    std::vector<float> shift, mass, lse;
};
template <class Def>
result alone(const Def& def, const request& r)
{
    const problem<float>& p = everything();
    const int64 n = lengths[static_cast<std::size_t>(r.sequence)];
    const auto rows = static_cast<std::size_t>(4 * r.queries);
    result one{tensor<float>({1, 4, r.queries, 20}), std::vector<float>(rows), std::vector<float>(rows),
               std::vector<float>(rows)};
    heed::or_throw(heed::attend(def, tokens(sequence(p.q, r.sequence, 700), 700 - r.queries, r.queries),
                                sequence(p.k, r.sequence, n), sequence(p.v, r.sequence, n), one.out.view(),
                                {.stats = {one.shift.data(), one.mass.data(), one.lse.data()}}));
    return one;
}

/// Requests packed into one tensor, and the source of their keys in the same order.
struct batch {
    std::vector<std::int32_t> bounds{0};
    std::vector<int64> own_lengths;
    tensor<float> q, k, v;

    explicit batch(const std::vector<request>& requests)
    {
        const problem<float>& p = everything();
        for (const request& r : requests) {
            bounds.push_back(bounds.back() + static_cast<std::int32_t>(r.queries));
            own_lengths.push_back(lengths[static_cast<std::size_t>(r.sequence)]);
        }
        const auto n = static_cast<int64>(requests.size());
        q = tensor<float>({1, 4, bounds.back(), 24});
        k = tensor<float>({n, 2, 9000, 24}, std::numeric_limits<float>::quiet_NaN());
        v = tensor<float>({n, 2, 9000, 20}, std::numeric_limits<float>::quiet_NaN());
        for (int64 b = 0; b < n; ++b) {
            const request& r = requests[static_cast<std::size_t>(b)];
            for (int64 h = 0; h < 4; ++h)
                std::copy_n(p.q.in().row(r.sequence, h, 700 - r.queries), r.queries * 24,
                            q.view().row(0, h, bounds[static_cast<std::size_t>(b)]));
            for (int64 h = 0; h < 2; ++h) {
                std::copy_n(p.k.in().row(r.sequence, h, 0), length(b) * 24, k.view().row(b, h, 0));
                std::copy_n(p.v.in().row(r.sequence, h, 0), length(b) * 20, v.view().row(b, h, 0));
            }
        }
    }
    int64 length(int64 b) const { return own_lengths[static_cast<std::size_t>(b)]; }
    int64 size() const { return static_cast<int64>(own_lengths.size()); }
    heed::packed<const float> queries() const { return {q.in(), {bounds.data(), size() + 1}}; }
    heed::dense_kv<const float> dense() const { return {k.in(), v.in(), {own_lengths.data(), size()}}; }
    tensor<float> output() const { return tensor<float>({1, 4, q.size.tokens, 20}, -7); }
};

template <class Def, class Kv>
void check(const Def& def, const std::vector<request>& requests, const batch& b, const Kv& kv,
           const heed::options<float>& with = {})
{
    tensor<float> out = b.output();
    const auto rows = static_cast<std::size_t>(4 * out.size.tokens);
    std::vector<float> shift(rows), mass(rows), lse(rows);
    heed::options<float> how = with;
    how.stats = {shift.data(), mass.data(), lse.data()};
    heed::or_throw(heed::attend(def, b.queries(), kv, out.view(), how));
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const result expected = alone(def, requests[i]);
        const int64 n = requests[i].queries;
        CAPTURE(i, n);
        if (n == 0) continue;  // nothing to compare, and no address to compare it at
        for (int64 h = 0; h < 4; ++h) {
            REQUIRE(std::memcmp(out.in().row(0, h, b.bounds[i]), expected.out.in().row(0, h, 0),
                                static_cast<std::size_t>(n * 20) * sizeof(float)) == 0);
            const int64 at = h * out.size.tokens + b.bounds[i];
            for (const auto& [got, want] :
                 {std::pair(&shift, &expected.shift), {&mass, &expected.mass}, {&lse, &expected.lse}})
                REQUIRE(std::memcmp(got->data() + at, want->data() + h * n,
                                    static_cast<std::size_t>(n) * sizeof(float)) == 0);
        }
    }
}

const heed::attention causal{heed::softmax{}, heed::causal{}};

}  // namespace

TEST_CASE("a mixed batch has the bits of each sequence alone, in any composition and order, with any number of threads")
{
    const std::vector<std::vector<request>> batches{
        {{0, 203}, {1, 3}, {2, 1}, {3, 80}, {4, 1}, {5, 5}},
        {{4, 1}, {2, 1}, {0, 1}, {3, 1}},
        {{5, 2}, {4, 700}, {2, 0}, {2, 100}},
        {{2, 1}, {2, 1}, {2, 7}},
        {{4, 37}},
        {{1, 4}},
    };
    for (const auto& requests : batches) {
        const batch b(requests);
        CAPTURE(requests.size());
        check(causal, requests, b, b.dense());
        const paged<float> pages(b.k, b.v, b.own_lengths, 16, layout::page_slot_head);
        for (const int threads : {1, 2, 3, 8}) {
            heed::thread_pool pool(threads);
            check(causal, requests, b, b.dense(), {.executor = pool});
            check(causal, requests, b, pages.source(pages.csr()), {.executor = pool});
        }
    }
}

TEST_CASE("decode of sequences of very different lengths has the bits of each alone")
{
    const problem<float>& p = everything();
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const heed::dense_kv kv{p.k.in(), p.v.in(), heed::index_view(lengths.data(), 6)};
    for (const int threads : {1, 2, 5}) {
        heed::thread_pool pool(threads);
        tensor<float> out({6, 4, 1, 20});
        heed::or_throw(heed::attend(def, tokens(p.q.in(), 699, 1), kv, out.view(), {.executor = pool}));
        for (int64 b = 0; b < 6; ++b) {
            tensor<float> one({1, 4, 1, 20});
            const int64 n = lengths[static_cast<std::size_t>(b)];
            heed::or_throw(heed::attend(def, tokens(sequence(p.q, b, 700), 699, 1), sequence(p.k, b, n),
                                        sequence(p.v, b, n), one.view()));
            REQUIRE(std::memcmp(one.data.data(), out.in().row(b, 0, 0), 80 * sizeof(float)) == 0);
        }
    }
}

TEST_CASE("a host's own loop over stages and tasks, in any order, has the bits of attend")
{
    const std::vector<request> requests{{0, 1}, {4, 1}, {3, 40}, {1, 2}};
    const batch b(requests);
    tensor<float> expected = b.output(), out = b.output();
    heed::or_throw(heed::attend(causal, b.queries(), b.dense(), expected.view()));
    heed::thread_pool four(4);
    const heed::plan plan(causal, b.queries(), b.dense(), {.executor = four});
    heed::or_throw(plan.status());
    std::vector<std::byte> scratch(plan.workspace_bytes() + 1, std::byte{0xff});
    const heed::options<float> how{.executor = four, .workspace = {scratch.data(), plan.workspace_bytes()}};
    heed::or_throw(plan.check_run(b.queries(), b.dense(), out.view(), how));
    REQUIRE(plan.stages() == 3);  // lists the tasks, walks over keys, folds what was split
    for (int stage = 0; stage < plan.stages(); ++stage)
        for (int64 task = plan.tasks(stage); task-- > 0;)
            plan.run_task({stage, task, static_cast<int>(task % 4)}, b.queries(), b.dense(), out.view(), how);
    REQUIRE(scratch.back() == std::byte{0xff});
    REQUIRE(same_bits(out.data, expected.data));
}

TEST_CASE("a long sequence beside many short ones is cut into tasks that are a small share of the work")
{
    std::vector<int64> keys(63, 256);
    keys.push_back(16384);
    const auto q = heed::bhsd<const float>(nullptr, {64, 32, 1, 128}),
               k = heed::bhsd<const float>(nullptr, {64, 8, 16384, 128});
    struct two {
        int concurrency() const { return 2; }
        void operator()(int64, heed::task_ref) const { FAIL("planned only"); }
    } const executor;
    const heed::dense_kv kv{k, k, heed::index_view(keys.data(), 64)};
    const heed::plan plan(causal, q, kv, {.executor = executor});
    heed::or_throw(plan.status());
    REQUIRE(plan.stages() == 2);  // 8 kv heads give each worker 4 tasks of the long one: no need to cut
    const auto single = heed::bhsd<const float>(nullptr, {64, 4, 1, 128}),
               mqa = heed::bhsd<const float>(nullptr, {64, 1, 16384, 128});
    const heed::plan cut(causal, single, heed::dense_kv{mqa, mqa, heed::index_view(keys.data(), 64)},
                         {.executor = executor});
    REQUIRE(cut.stages() == 3);
    REQUIRE(cut.tasks(1) == 63 + 5);  // it is 4.03 of 8 tasks of equal length
    REQUIRE(cut.tasks(2) == 1);
}

TEST_CASE("bounds and lengths that do not fit are refused, and so are other lengths than those planned for")
{
    const std::vector<request> requests{{0, 3}, {3, 1}};
    const batch b(requests);
    tensor<float> out = b.output();
    const auto refused = [&](std::vector<int64> bounds, const char* says) {
        const heed::packed q{b.q.in(), heed::index_view(bounds.data(), static_cast<int64>(bounds.size()))};
        const heed::status s = heed::attend(causal, q, b.dense(), out.view());
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Catch::Matchers::Contains(says));
    };
    refused({0, 3}, "packed: 2 bounds and q.batch 1 for 2 sequences, must be 3 and 1");
    refused({0, 4, 3}, "packed: bounds[2] = 3");
    refused({1, 3, 4}, "packed: bounds[0] = 1");
    refused({0, -3, 4}, "packed: bounds[1] = -3");
    refused({0, 3, 5}, "packed: bounds[2] = 5; bounds rise from 0 to the 4 rows of q");
    refused({0, 1, 3}, "packed: bounds end at 3, q has 4 rows");
    REQUIRE(same_bits(out.data, b.output().data));

    const heed::plan plan(causal, b.queries(), b.dense());
    std::vector<std::byte> scratch(plan.workspace_bytes());
    std::vector<int64> shorter{b.length(0), b.length(1) + 2000};
    const heed::dense_kv other{b.k.in(), b.v.in(), heed::index_view(shorter.data(), 2)};
    const heed::status s = plan.run(b.queries(), other, out.view(), {.workspace = {scratch.data(), scratch.size()}});
    REQUIRE(!s);
    REQUIRE(same_bits(out.data, b.output().data));
}
