// SPDX-License-Identifier: MIT
// Checks that refuse one too many and take as many as there are, and what else is told by its last step alone.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

using namespace test;
using Catch::Matchers::Contains;

TEST_CASE("rows of an output may lie side by side, and not share one element")
{
    const problem<float> p(2, 3, 3, 4, 5, 6, 7);
    std::vector<float> memory(2 * 3 * 4 * 8, -7);
    const auto attend_to = [&](heed::strides step) {
        return heed::attend(heed::attention{heed::softmax{}}, p.q.in(), p.k.in(), p.v.in(),
                            heed::view<float>{memory.data(), p.out_size(), step});
    };
    const std::vector<float> before = memory;
    for (const heed::strides step : {heed::strides{84, 28, 6}, heed::strides{84, 27, 7}, heed::strides{83, 28, 7},
                                     heed::strides{84, 6, 21}, heed::strides{7, 0, 21}, heed::strides{84, 7, 20}}) {
        const heed::status s = attend_to(step);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains("let rows of 7 channels overlap"));
        REQUIRE(memory == before);
    }
    for (const heed::strides step : {heed::strides{84, 28, 7}, heed::strides{84, 7, 21}, heed::strides{96, 32, 8}})
        REQUIRE(attend_to(step));
}

TEST_CASE("a plan for sequences of some lengths runs on no others, longer or shorter")
{
    const problem<float> p(3, 2, 1, 2, 900, 8, 8);
    using lengths = std::vector<int64>;
    const auto source = [&](const lengths& of) {
        return heed::dense_kv{p.k.in(), p.v.in(), heed::index_view{of.data(), static_cast<int64>(of.size())}};
    };
    const heed::attention def{heed::softmax{}};
    const lengths planned{900, 30, 600};
    tensor<float> out(p.out_size(), 3);
    const std::vector<float> before = out.data;
    const heed::plan<heed::attention<heed::softmax>, float> plan(def, p.q.in(), source(planned));
    std::vector<std::byte> scratch(plan.workspace_bytes() + 4096);
    const heed::options<float> how{.workspace = {scratch.data(), scratch.size()}};
    for (const lengths& others : {lengths{900, 30, 601}, lengths{900, 31, 600}, lengths{900, 30, 513}}) {
        const heed::status s = plan.run(p.q.in(), source(others), out.view(), how);
        REQUIRE(s.code() == heed::errc::invalid_argument);
        REQUIRE_THAT(std::string(s.message()), Contains("not those planned for"));
        REQUIRE(out.data == before);
    }
    REQUIRE(plan.run(p.q.in(), source(planned), out.view(), how));
}

TEST_CASE("a cache takes as many tokens as it holds, and not one more")
{
    tensor<float> k({1, 2, 6, 4}, -7), v({1, 2, 6, 3}, -7);
    const int64 length[]{5};
    const heed::dense_kv cache{k.view(), v.view(), heed::index_view{length, 1}};
    const auto rows_k = normal<float>({1, 2, 3, 4}, 1), rows_v = normal<float>({1, 2, 3, 3}, 2);
    const heed::status s = heed::append(cache, 0, 3, rows_k.in(), rows_v.in());
    REQUIRE(s.code() == heed::errc::invalid_argument);
    REQUIRE_THAT(std::string(s.message()), Contains("3 tokens from position 3 on; the cache holds [0, 5)"));
    REQUIRE(k.data == std::vector<float>(k.data.size(), -7));
    REQUIRE(heed::append(cache, 0, 2, rows_k.in(), rows_v.in()));
    for (int64 h = 0; h < 2; ++h) {
        REQUIRE(*k.in().row(0, h, 1) == -7);
        REQUIRE(*k.in().row(0, h, 4) == *rows_k.in().row(0, h, 2));
        REQUIRE(*v.in().row(0, h, 2) == *rows_v.in().row(0, h, 0));
        REQUIRE(*k.in().row(0, h, 5) == -7);
    }
}

TEST_CASE("the page behind the last one of a pool is refused")
{
    tensor<float> k({2, 1, 4, 3}, -7), v({2, 1, 4, 3}, -7);
    const auto rows = normal<float>({1, 1, 3, 3}, 1);
    const int64 length[]{7};
    for (const int64 last : {1, 2}) {
        const int64 pages[]{0, last};
        const heed::paged_kv cache{k.view(), v.view(), heed::page_table::padded({pages, 2}, 2, {length, 1})};
        const heed::status s = heed::append(cache, 0, 4, rows.in(), rows.in());
        REQUIRE(bool(s) == (last == 1));
    }
}

TEST_CASE("a sign, a half and the largest number of a row decide how it is quantised")
{
    float x[32] = {};
    x[0] = -127, x[1] = 64.6f, x[2] = 0.4f;
    std::int8_t whole[32];
    REQUIRE(heed::micro::quantise(x, 32, whole) == 1);
    REQUIRE((whole[0] == -127 && whole[1] == 65 && whole[2] == 0));

    x[0] = -7, x[1] = 8, x[2] = -7.4f;  // 8 steps to one side, 7 to the other
    heed::q4_0 block;
    heed::micro::quantise(x, block);
    REQUIRE(float(block.d) == -1);
    for (int c = 0; c < 32; ++c) REQUIRE(std::fabs(block[c] - x[c]) <= 0.5f);
}

TEST_CASE("softmax1 adds n to the denominator, and the scale is 1 / sqrt(Dqk)")
{
    tensor<float> q({1, 1, 1, 4}, 0), k({1, 1, 4, 4}, 0), v({1, 1, 4, 4}, 0), out({1, 1, 1, 4});
    q.data[0] = 2;  // times 1/2 and j ln 2: e^s = 2^j
    for (int64 j = 0; j < 4; ++j) {
        *k.view().row(0, 0, j) = static_cast<float>(j) * std::log(2.f);
        v.view().row(0, 0, j)[j] = 1;
    }
    REQUIRE(heed::attend(heed::attention{heed::softmax1{3}}, q.in(), k.in(), v.in(), out.view()));
    for (int64 j = 0; j < 4; ++j) {
        const double expected = std::ldexp(1, static_cast<int>(j)) / 18;
        REQUIRE(std::fabs(static_cast<double>(out.data[static_cast<std::size_t>(j)]) - expected) <= 1e-6 * expected);
    }
}

TEST_CASE("a plan whose workspace leaves 64 bits is a status")
{
    const float one = 1;
    struct {
        int concurrency() const { return 2; }
        void operator()(int64, heed::task_ref) const {}
    } two;
    const heed::view<const float> q{&one, {1, 1, 400, 1}, {}}, k{&one, {1, 1, 565'315'913'433'847'808, 1}, {}};
    const heed::attention def{heed::softmax{}};
    const heed::plan<heed::attention<heed::softmax>, float> plan(def, q, heed::dense_kv{k, k}, {.executor = two});
    REQUIRE(plan.status().code() == heed::errc::invalid_argument);
    REQUIRE(plan.workspace_bytes() == 0);
}

TEST_CASE("out may be q of one token, whatever its stride")
{
    problem<float> p(1, 2, 2, 1, 5, 4, 4);
    const std::vector<float> expected = p.attend(heed::attention{heed::softmax1{3}}).data;
    for (const int64 stride : {int64{0}, int64{1} << 62}) {
        tensor<float> q = p.q;
        const heed::view<float> both{q.data.data(), q.size, {8, 4, stride}};
        REQUIRE(heed::attend(heed::attention{heed::softmax1{3}}, both, p.k.in(), p.v.in(), both));
        REQUIRE(same_bits(q.data, expected));
        const heed::view<float> late{q.data.data() + 1, {1, 1, 1, 4}, {8, 4, stride}};
        const heed::view<const float> head{q.data.data(), {1, 1, 1, 4}, {8, 4, stride}};
        const auto k = heed::strided(p.k.in().data, {1, 1, 5, 4}, p.k.in().stride);
        REQUIRE(!heed::attend(heed::attention{heed::softmax1{3}}, head, k, k, late));
    }
}

TEST_CASE("finish checks the normalizer that it uses")
{
    const float logits[4] = {};
    const heed::attention one{heed::softmax_sink{logits, 1}}, four{heed::softmax_sink{logits, 4}};
    owned_state<float> s(four, {2, 4, 3, 8});
    tensor<float> out(s.size, 3);
    REQUIRE(heed::finish(one, s.state(), out.view()).code() == heed::errc::invalid_argument);
    REQUIRE(out.data == std::vector<float>(out.data.size(), 3));
    REQUIRE(heed::finish(four, s.state(), out.view()));
}

TEST_CASE("a null table is refused where there are scores, as many as may be")
{
    constexpr int64 n = int64{1} << 16;
    const heed::bias none{heed::view<const float>{nullptr, {1, 1, 1, n}, {}}};
    REQUIRE(!none.check({n, n, n, n, n}));  // n^4 is 2^64
    REQUIRE(none.check({n, 0, n, n, n}));
}

TEST_CASE("places of many keys load, gather and move on")
{
    using V = heed::simd::vec<float>;
    constexpr int lanes = V::lanes;
    std::vector<float> table(2 * lanes + 16);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i) + 0.5f;
    heed::score_place<V> at({0, 0, 0, 7}, 5, 2 * lanes);
    const auto is = [&](V got, double first, double step, int existing) {
        float x[lanes];
        heed::simd::store(x, got);
        for (int i = 0; i < lanes; ++i) REQUIRE(static_cast<double>(x[i]) == (i < existing ? first + step * i : 0));
    };
    is(at.load(table.data()), 5.5, 1, lanes);
    is(at.load(table.data() + 7, -at.position), 5.5, 1, lanes);
    is(at.gather([](int64 key) { return 3 * key; }), 15, 3, lanes);
    is(at.distances(), -2, 1, lanes);
    at.advance(lanes + 1);
    REQUIRE(at.key_at(2) == 5 + lanes + 1 + 2);
    is(at.load(table.data()), 6.5 + lanes, 1, lanes - 1);
    is(at.gather([](int64 key) { return key; }), 6 + lanes, 1, lanes - 1);
}

TEST_CASE("workers that wake up when a round is over find nothing to do")
{
    heed::thread_pool pool(24);  // more than there are cores: most are late
    std::atomic<int64> sum{0};
    for (int64 round = 1; round <= 50; ++round) {
        pool(24, [&](int64 task, int) { sum += task; });
        REQUIRE(sum == round * (24 * 23 / 2));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // for them to wake up in
    }
}

TEST_CASE("a call of a pool ends when those who are at work have ended")
{
    heed::thread_pool pool(4);
    for (int round = 0; round < 5; ++round) {
        std::atomic<int> ended{0};
        pool(12, [&](int64, int worker) {
            std::this_thread::sleep_for(std::chrono::milliseconds(worker == 0 ? 1 : 4));
            ++ended;
        });
        REQUIRE(ended == 12);
    }
}

TEST_CASE("a pool that is called out of its own task runs every task once")
{
    heed::thread_pool pool(3);
    std::atomic<int64> outer{0}, inner{0};
    pool(8, [&](int64, int) {
        ++outer;
        pool(5, [&](int64 task, int) { inner += task; });
    });
    REQUIRE(outer == 8);
    REQUIRE(inner == 8 * (0 + 1 + 2 + 3 + 4));
}

TEST_CASE("an executor that leaves out a task is told so")
{
    struct {
        int concurrency() const { return 2; }
        void operator()(int64 n, heed::task_ref f) const
        {
            for (int64 task = 1; task < n; ++task) f(task, 0);
        }
    } lazy;
    const problem<float> p(1, 8, 8, 128, 128, 32, 32);
    tensor<float> out(p.out_size());
    const heed::attention def{heed::softmax1{3}};
    REQUIRE(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view(), {.executor = lazy}).code() ==
            heed::errc::executor_failed);
}

TEST_CASE("a state of NaN makes NaN of shift, mass and output, on either side of merge")
{
    const problem<float> p(1, 1, 1, 1, 3, 4, 4);
    problem<float> poisoned = p;
    poisoned.k.data[4] = INFINITY;  // with queries of 1, a score of +Inf
    const tensor<float> q({1, 1, 1, 4}, 1);
    const heed::attention def{heed::softmax{}};
    const auto state_of = [&](const problem<float>& of) {
        owned_state<float> s(def, {1, 1, 1, 4});
        heed::or_throw(heed::attend_partial(def, q.in(), of.k.in(), of.v.in(), s.state()));
        return s;
    };
    owned_state<float> sound = state_of(p), nan = state_of(poisoned);
    const auto is_nan = [](const owned_state<float>& s) {
        return std::isnan(s.shift[0]) && std::isnan(s.mass[0]) && std::isnan(s.out[0]) && std::isnan(s.out[3]);
    };
    REQUIRE(is_nan(nan));
    owned_state<float> also = sound;
    REQUIRE(heed::merge(also.state(), nan.state()));
    REQUIRE(is_nan(also));
    REQUIRE(heed::merge(nan.state(), sound.state()));
    REQUIRE(is_nan(nan));
}
