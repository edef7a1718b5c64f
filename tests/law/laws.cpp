// SPDX-License-Identifier: MIT
// What must hold for every normalizer, bit for bit: a row's result depends on its query and its keys alone.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <memory>

using namespace test;

TEST_CASE("chunked prefill and token-by-token decode have the bits of one prefill")
{
    const problem<float> p(2, 4, 2, 700, 1300, 40, 24);
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{} & heed::window{900, 0}};
        const tensor<float> whole = p.attend(def);
        for (const int64 chunk : {1, 7, 96, 300}) {
            tensor<float> out(p.out_size());
            const int64 last = chunk == 1 ? 660 : 0;  // single tokens: the last forty
            for (int64 first = last; first < 700; first += chunk) {
                const int64 n = std::min<int64>(chunk, 700 - first), keys = 600 + first + n;
                const auto view = tokens(out.view(), first, n);
                heed::or_throw(heed::attend(def, tokens(p.q.in(), first, n), tokens(p.k.in(), 0, keys),
                                            tokens(p.v.in(), 0, keys), view));
            }
            for (int64 b = 0; b < 2; ++b)
                for (int64 h = 0; h < 4; ++h)
                    REQUIRE(std::memcmp(out.in().row(b, h, last), whole.in().row(b, h, last),
                                        static_cast<std::size_t>((700 - last) * 24) * sizeof(float)) == 0);
        }
    });
}

TEST_CASE("parts folded in order into one state have the bits of the whole")
{
    const problem<float> p(1, 4, 2, 37, 1700, 33, 20);
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{}};
        const tensor<float> whole = p.attend(def);
        owned_state<float> s(def, p.out_size());
        int64 first = 0;
        for (const int64 end : {512, 1536, 1700}) {
            heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), first, end - first),
                                                tokens(p.v.in(), first, end - first), s.state(), {first, 1700}));
            first = end;
        }
        tensor<float> out(p.out_size());
        heed::or_throw(heed::finish(def, s.state(), out.view()));
        REQUIRE(same_bits(out.data, whole.data));
    });
}

TEST_CASE("the empty state is the identity of merge, and merge commutes")
{
    const problem<float> p(1, 4, 2, 5, 900, 16, 19);
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer};
        owned_state<float> a(def, p.out_size()), b(def, p.out_size()), empty(def, p.out_size());
        heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), 0, 300), tokens(p.v.in(), 0, 300),
                                            a.state(), {0, 900}));
        heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), 300, 600), tokens(p.v.in(), 300, 600),
                                            b.state(), {300, 900}));
        auto left = a, right = empty;
        heed::or_throw(heed::merge(left.state(), empty.state()));
        heed::or_throw(heed::merge(right.state(), a.state()));
        REQUIRE(left == a);
        REQUIRE(right == a);
        auto ab = a, ba = b;
        heed::or_throw(heed::merge(ab.state(), b.state()));
        heed::or_throw(heed::merge(ba.state(), a.state()));
        REQUIRE(ab == ba);
    });
}

TEST_CASE("merge is associative: exactly where sums are exact, else to the last bits")
{
    // Whole numbers: every product and sum is exact, so any grouping has the same bits.
    problem<float> p(1, 2, 2, 4, 48, 8, 8);
    for (auto* t : {&p.q, &p.k, &p.v})
        for (float& x : t->data) x = std::round(4 * x);
    const heed::attention exact{heed::relu<2>{}, heed::scale{1}};
    const heed::attention rounded{heed::softmax{}};
    const auto grouped = [&](const auto& d, bool left_first) {
        std::vector<owned_state<float>> s(3, owned_state<float>(d, p.out_size()));
        for (int i = 0; i < 3; ++i)
            heed::or_throw(heed::attend_partial(d, p.q.in(), tokens(p.k.in(), 16 * i, 16), tokens(p.v.in(), 16 * i, 16),
                                                s[static_cast<std::size_t>(i)].state(), {16 * i, 48}));
        if (left_first) {
            heed::or_throw(heed::merge(s[0].state(), s[1].state()));
            heed::or_throw(heed::merge(s[0].state(), s[2].state()));
        } else {
            heed::or_throw(heed::merge(s[1].state(), s[2].state()));
            heed::or_throw(heed::merge(s[0].state(), s[1].state()));
        }
        return s[0];
    };
    REQUIRE(grouped(exact, true) == grouped(exact, false));
    const auto a = grouped(rounded, true), b = grouped(rounded, false);
    REQUIRE(same_bits(a.shift, b.shift));
    for (std::size_t i = 0; i < a.mass.size(); ++i)
        REQUIRE(std::fabs(a.mass[i] - b.mass[i]) <= 2 * 0x1p-23f * a.mass[i]);
}

TEST_CASE("rows of V that no weight asks for are left out without changing a bit")
{
    for (const int64 group : {1, 2, 4, 8})
        for (const double share : {0.0, 0.03, 0.3, 0.7, 1.0}) {
            CAPTURE(group, share);
            problem<float> p(1, 2 * group, 2, 40, 1300, 64, 96);
            std::mt19937_64 random(7);
            for (float& x : p.q.data) x = std::fabs(x);
            for (int64 h = 0; h < 2; ++h)
                for (int64 j = 0; j < 1300; ++j) {
                    const bool positive = std::uniform_real_distribution<double>()(random) < share;
                    float* k = p.k.view().row(0, h, j);
                    for (int64 c = 0; c < 64; ++c) k[c] = positive ? std::fabs(k[c]) : -std::fabs(k[c]);
                }
            const heed::attention def{heed::softpick{}, heed::causal{}};
            const tensor<float> whole = p.attend(def);
            for (const int64 first : {39, 38, 32}) {
                tensor<float> out(p.out_size());
                heed::or_throw(heed::attend(def, tokens(p.q.in(), first, 40 - first), p.k.in(), p.v.in(),
                                            tokens(out.view(), first, 40 - first)));
                for (int64 h = 0; h < 2 * group; ++h)
                    REQUIRE(std::memcmp(out.in().row(0, h, first), whole.in().row(0, h, first),
                                        static_cast<std::size_t>((40 - first) * 96) * sizeof(float)) == 0);
            }
        }
}

TEST_CASE("the number of threads does not change a bit")
{
    for (const auto& [queries, keys] : {std::pair<int64, int64>{1, 8000}, {3, 4097}, {200, 700}, {64, 3000}}) {
        const problem<float> p(1, 4, 2, queries, keys, 24, 32);
        for_each_normalizer(4, [&, n = queries](const char* name, auto normalizer) {
            INFO(name << " " << n);
            const heed::attention def{normalizer, heed::causal{}};
            const tensor<float> serial = p.attend(def);
            for (int threads = 2; threads <= 8; ++threads) {
                heed::thread_pool pool(threads);
                REQUIRE(same_bits(p.attend(def, {.executor = pool}).data, serial.data));
            }
        });
    }
}

TEST_CASE("grouped queries have the bits of repeated kv heads")
{
    const problem<float> p(2, 6, 2, 50, 600, 20, 36);
    problem<float> repeated(2, 6, 6, 50, 600, 20, 36);
    repeated.q = p.q;
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 6; ++h) {
            std::memcpy(repeated.k.view().row(b, h, 0), p.k.in().row(b, h / 3, 0), 600 * 20 * sizeof(float));
            std::memcpy(repeated.v.view().row(b, h, 0), p.v.in().row(b, h / 3, 0), 600 * 36 * sizeof(float));
        }
    for_each_normalizer(6, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{}};
        REQUIRE(same_bits(p.attend(def).data, repeated.attend(def).data));
    });
}

TEST_CASE("a sequence has the bits it has alone, wherever it stands in a batch")
{
    const problem<float> p(3, 4, 2, 19, 777, 48, 16);
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::softcap{20}, heed::causal{}};
        const tensor<float> whole = p.attend(def);
        for (int64 b = 0; b < 3; ++b) {
            tensor<float> out({1, 4, 19, 16});
            const auto alone = [&](const tensor<float>& t) {
                return heed::view<const float>{
                    t.in().row(b, 0, 0), {1, t.size.heads, t.size.tokens, t.size.dim}, t.in().stride};
            };
            heed::or_throw(heed::attend(def, alone(p.q), alone(p.k), alone(p.v), out.view()));
            REQUIRE(std::memcmp(out.data.data(), whole.in().row(b, 0, 0), out.data.size() * sizeof(float)) == 0);
        }
    });
}

TEST_CASE("channels padded with zeros change no bit")
{
    const problem<float> p(1, 2, 2, 30, 200, 21, 13);
    problem<float> padded(1, 2, 2, 30, 200, 32, 32);
    const auto copy = [](const tensor<float>& from, tensor<float>& to) {
        for (float& x : to.data) x = 0;
        for (int64 h = 0; h < from.size.heads; ++h)
            for (int64 s = 0; s < from.size.tokens; ++s)
                std::memcpy(to.view().row(0, h, s), from.in().row(0, h, s),
                            static_cast<std::size_t>(from.size.dim) * sizeof(float));
    };
    copy(p.q, padded.q), copy(p.k, padded.k), copy(p.v, padded.v);
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::scale{0.25}};
        const tensor<float> a = p.attend(def), b = padded.attend(def);
        for (int64 h = 0; h < 2; ++h)
            for (int64 s = 0; s < 30; ++s)
                REQUIRE(std::memcmp(a.in().row(0, h, s), b.in().row(0, h, s), 13 * sizeof(float)) == 0);
    });
}

TEST_CASE("strides do not change a bit")
{
    const problem<double> p(2, 4, 2, 33, 150, 9, 7);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const tensor<double> expected = p.attend(def);
    // The same numbers as [B, S, H, D] with gaps, the output with the tokens in reverse.
    const auto spread = [](const tensor<double>& t, std::vector<double>& memory) {
        const heed::strides step{t.size.tokens * t.size.heads * 11 + 5, 11, t.size.heads * 11};
        memory.assign(static_cast<std::size_t>(t.size.batch * step.batch), std::numeric_limits<double>::quiet_NaN());
        const heed::view<double> v{memory.data(), t.size, step};
        for (int64 b = 0; b < t.size.batch; ++b)
            for (int64 h = 0; h < t.size.heads; ++h)
                for (int64 s = 0; s < t.size.tokens; ++s)
                    std::memcpy(v.row(b, h, s), t.in().row(b, h, s),
                                static_cast<std::size_t>(t.size.dim) * sizeof(double));
        return heed::view<const double>(v);
    };
    std::vector<double> mq, mk, mv;
    tensor<double> out(p.out_size());
    auto reversed = out.view();
    reversed.data = reversed.row(0, 0, 32);
    reversed.stride.tokens = -reversed.stride.tokens;
    heed::or_throw(heed::attend(def, spread(p.q, mq), spread(p.k, mk), spread(p.v, mv), reversed));
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 4; ++h)
            for (int64 s = 0; s < 33; ++s)
                REQUIRE(std::memcmp(out.in().row(b, h, 32 - s), expected.in().row(b, h, s), 7 * sizeof(double)) == 0);
}

TEMPLATE_TEST_CASE("where values lie does not change a bit", "", float, double)
{
    // Whole lines without gaps may be read in place, others are packed.
    for (const int64 dim : {16, 64, 80, 128, 256}) {
        const problem<TestType> p(1, 2, 1, 40, 700, 24, dim);
        const heed::attention def{heed::softmax{}, heed::causal{}};
        const tensor<TestType> expected = p.attend(def);
        for (const int64 gap : {0, 16})
            for (const int64 off : {0, 1, 16}) {
                const int64 step = dim + gap;
                std::vector<TestType> memory(static_cast<std::size_t>(700 * step) + 32,
                                             std::numeric_limits<TestType>::quiet_NaN());
                void* line = memory.data();
                std::size_t space = memory.size() * sizeof(TestType);
                auto* const first = static_cast<TestType*>(std::align(64, 64, line, space)) + off;
                for (int64 s = 0; s < 700; ++s)
                    std::memcpy(first + s * step, p.v.in().row(0, 0, s),
                                static_cast<std::size_t>(dim) * sizeof(TestType));
                tensor<TestType> out(p.out_size());
                heed::or_throw(heed::attend(def, p.q.in(), p.k.in(),
                                            heed::strided<const TestType>(first, p.v.size, {0, 0, step}), out.view()));
                REQUIRE(same_bits(out.data, expected.data));
            }
    }
}

TEST_CASE("a host's own loop over stages and tasks has the bits of run")
{
    const problem<float> p(1, 4, 2, 2, 3000, 32, 32);
    heed::thread_pool pool(3);
    const heed::attention def{heed::softmax{}};
    const tensor<float> expected = p.attend(def);
    const heed::plan plan(def, p.q.in(), p.k.in(), p.v.in(), {.executor = pool});
    REQUIRE(plan.status());
    REQUIRE(plan.stages() == 2);
    std::vector<std::byte> scratch(plan.workspace_bytes());
    const heed::options<float> how{.executor = pool, .workspace = {scratch.data(), scratch.size()}};
    tensor<float> out(p.out_size());
    for (int stage = 0; stage < plan.stages(); ++stage)
        for (int64 task = plan.tasks(stage); task-- > 0;)
            plan.run_task({stage, task, static_cast<int>(task % 3)}, p.q.in(), p.k.in(), p.v.in(), out.view(), how);
    REQUIRE(same_bits(out.data, expected.data));
}
