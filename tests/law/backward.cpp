// SPDX-License-Identifier: MIT
// What must hold for the gradients of every normalizer, bit for bit: dq of a row depends on that row and its keys, dk
// and dv of a key on that key and its rows, and on nothing else of a call.
#include "gradients.hpp"
#include "oracle/gradient_gate.hpp"
#include "oracle/some_policies.hpp"
#include "two_threads.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

using namespace test;
using oracle::some_mask;

namespace {

/// One definition, and so one kernel, a normalizer. `position_0`: of query row 0.
template <class Normalizer>
auto definition(const Normalizer& normalizer, int64 position_0, const some_mask& mask = some_mask(heed::causal{}))
{
    return heed::attention{normalizer, mask, heed::query_offset{position_0}, heed::scale{0.25}};
}

/// Mask by positions relative to each other, so that it says the same of a part of the keys.
some_mask band(int64 left) { return some_mask(heed::causal{} & heed::window{.left = left}); }

bool same_rows(heed::view<const float> a, heed::view<const float> b)
{
    for (int64 n = 0; n < a.size.batch; ++n)
        for (int64 h = 0; h < a.size.heads; ++h)
            for (int64 s = 0; s < a.size.tokens; ++s)
                if (std::memcmp(a.row(n, h, s), b.row(n, h, s), static_cast<std::size_t>(a.size.dim) * sizeof(float)))
                    return false;
    return true;
}

/// One sequence of a batch.
heed::view<const float> sequence(const tensor<float>& t, int64 b)
{
    return {t.in().row(b, 0, 0), {1, t.size.heads, t.size.tokens, t.size.dim}, t.in().stride};
}

template <class T>
tensor<T> copy_of(heed::view<const T> v)
{
    tensor<T> t(v.size);
    for (int64 b = 0; b < v.size.batch; ++b)
        for (int64 h = 0; h < v.size.heads; ++h)
            for (int64 s = 0; s < v.size.tokens; ++s) std::copy_n(v.row(b, h, s), v.size.dim, t.view().row(b, h, s));
    return t;
}

}  // namespace

TEST_CASE("the number of threads and the executor change no bit of a gradient")
{
    // Fewer heads than workers, whose steps go by diagonals; heads enough for two workers, but not for eight; few rows.
    for (const auto& [batch, kv_heads, queries, keys] :
         std::vector<std::array<int64, 4>>{{1, 1, 230, 700}, {2, 3, 150, 430}, {1, 2, 3, 3000}, {3, 8, 40, 50}}) {
        CAPTURE(batch, kv_heads, queries, keys);
        const gradient_problem<float> p(problem<float>(batch, 2 * kv_heads, kv_heads, queries, keys, 40, 24));
        for_each_normalizer(2 * kv_heads, [&, rows = queries, n = keys](const char* name, const auto& normalizer) {
            INFO(name);
            const auto def = definition(normalizer, n - rows);
            const auto f = p.forward(def);
            const auto serial = p.backward(def, f);
            for (int threads = 2; threads <= 8; ++threads) {
                heed::thread_pool pool(threads);
                REQUIRE(p.backward(def, f, {.executor = pool}) == serial);
            }
            const two_threads own;
            REQUIRE(p.backward(def, f, {.executor = own}) == serial);
        });
    }
}

TEST_CASE("a host's own loop over stages and tasks, and fewer workers than planned, have the bits of backward")
{
    const gradient_problem<float> p(problem<float>(1, 4, 1, 120, 600, 32, 40));
    const auto def = definition(heed::softmax1{}, 480);
    const auto f = p.forward(def);
    const auto expected = p.backward(def, f);
    heed::thread_pool planned(3), fewer(2);
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();
    const heed::backward_plan plan(def, q, k, v, {.executor = planned});
    REQUIRE(plan.status());
    REQUIRE(plan.stages() > 2);
    std::vector<std::byte> scratch(plan.workspace_bytes());
    heed::options<float> how{.executor = planned, .workspace = {scratch.data(), scratch.size()}};
    auto g = p.room_for<float>(def);
    for (int stage = 0; stage < plan.stages(); ++stage)
        for (int64 task = plan.tasks(stage); task-- > 0;)
            plan.run_task({stage, task, static_cast<int>(task % 3)}, q, k, v, f.out.in(), f.stats(), p.dout.in(),
                          g.all(), how);
    REQUIRE(g == expected);
    how.executor = fewer;
    auto again = p.room_for<float>(def);
    REQUIRE(plan.run(q, k, v, f.out.in(), f.stats(), p.dout.in(), again.all(), how));
    REQUIRE(again == expected);
}

TEST_CASE("each gradient alone has the bits that it has beside the others")
{
    const gradient_problem<float> p(problem<float>(2, 4, 2, 40, 230, 20, 28));
    const std::vector<float> slopes{0.5f, 0.25f, 0.125f, 0.0625f};
    const tensor<float> added = normal<float>({1, 4, 40, 230}, 9);
    const heed::attention def{heed::softpick{1e-2}, heed::softcap{3}, heed::alibi{slopes.data(), 4},
                              heed::bias{added.in()}, heed::causal{}};
    const auto f = p.forward(def);
    const auto all = p.backward(def, f);
    const auto alone = [&](auto member) {
        auto g = p.room_for<float>(def);
        const auto everything = g.all();
        heed::gradients<float> to;
        to.*member = everything.*member;
        heed::or_throw(heed::backward(def, p.q.in(), p.k.in(), p.v.in(), f.out.in(), f.stats(), p.dout.in(), to));
        return g;
    };
    auto joined = p.room_for<float>(def), untouched = joined;
    using wanted = heed::gradients<float>;
    const auto dq = alone(&wanted::dq), dk = alone(&wanted::dk), dv = alone(&wanted::dv);
    const auto dlog_offset = alone(&wanted::dlog_offset), dbias = alone(&wanted::dbias);
    const auto dslopes = alone(&wanted::dslopes);
    joined.dq = dq.dq, joined.dk = dk.dk, joined.dv = dv.dv, joined.dbias = dbias.dbias;
    joined.dlog_offset = dlog_offset.dlog_offset, joined.dslopes = dslopes.dslopes;
    REQUIRE(joined == all);
    // And nothing else was written.
    const auto check = [&](owned_gradients<float> g, auto member) {
        g.*member = untouched.*member;
        REQUIRE(g == untouched);
    };
    using owned = owned_gradients<float>;
    check(dq, &owned::dq), check(dk, &owned::dk), check(dv, &owned::dv), check(dbias, &owned::dbias);
    check(dlog_offset, &owned::dlog_offset), check(dslopes, &owned::dslopes);
}

TEST_CASE("a sequence has the gradients that it has alone, wherever it stands in a batch")
{
    const gradient_problem<float> p(problem<float>(3, 4, 2, 19, 277, 48, 16));
    for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, 258);
        const auto whole = p.backward(def);
        for (int64 b = 0; b < 3; ++b) {
            gradient_problem<float> one(problem<float>(1, 4, 2, 19, 277, 48, 16));
            one.q = copy_of(sequence(p.q, b)), one.k = copy_of(sequence(p.k, b));
            one.v = copy_of(sequence(p.v, b)), one.dout = copy_of(sequence(p.dout, b));
            const auto g = one.backward(def);
            REQUIRE(same_rows(g.dq.in(), sequence(whole.dq, b)));
            REQUIRE(same_rows(g.dk.in(), sequence(whole.dk, b)));
            REQUIRE(same_rows(g.dv.in(), sequence(whole.dv, b)));
        }
    });
}

TEST_CASE("chunks of queries have the dq of all queries")
{
    const gradient_problem<float> p(problem<float>(2, 4, 2, 300, 500, 40, 24));
    for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto whole = p.backward(definition(normalizer, 200, band(270)));
        for (const int64 chunk : {1, 7, 96}) {
            for (int64 first = chunk == 1 ? 297 : 0; first < 300; first += chunk) {
                const int64 n = std::min<int64>(chunk, 300 - first), keys = 200 + first + n;  // later ones are masked
                gradient_problem<float> part(problem<float>(2, 4, 2, n, keys, 40, 24));
                part.q = copy_of(tokens(p.q.in(), first, n)), part.dout = copy_of(tokens(p.dout.in(), first, n));
                part.k = copy_of(tokens(p.k.in(), 0, keys)), part.v = copy_of(tokens(p.v.in(), 0, keys));
                const auto g = part.backward(definition(normalizer, 200 + first, band(270)));
                REQUIRE(same_rows(g.dq.in(), tokens(whole.dq.in(), first, n)));
            }
        }
    });
}

TEST_CASE("a part of the keys has the dk and dv that it has in the whole, given the whole's statistics and output")
{
    const gradient_problem<float> p(problem<float>(2, 4, 2, 210, 500, 40, 24));
    for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, 290, band(250));
        const auto f = p.forward(def);
        const auto whole = p.backward(def, f);
        for (const auto& [first, n] : {std::pair<int64, int64>{0, 100}, {100, 1}, {192, 250}, {333, 167}}) {
            const auto here = definition(normalizer, 290 - first, band(250));
            tensor<float> dk({2, 2, n, 40}), dv({2, 2, n, 24});
            heed::gradients<float> to;
            to.dk = dk.view(), to.dv = dv.view();
            heed::or_throw(heed::backward(here, p.q.in(), tokens(p.k.in(), first, n), tokens(p.v.in(), first, n),
                                          f.out.in(), f.stats(), p.dout.in(), to));
            REQUIRE(same_rows(dk.in(), tokens(whole.dk.in(), first, n)));
            REQUIRE(same_rows(dv.in(), tokens(whole.dv.in(), first, n)));
        }
    });
}

TEST_CASE("grouped queries have the dq of repeated kv heads, and the sums of their dk and dv")
{
    const gradient_problem<float> p(problem<float>(2, 6, 2, 50, 300, 20, 36));
    gradient_problem<float> repeated(problem<float>(2, 6, 6, 50, 300, 20, 36));
    repeated.q = p.q, repeated.dout = p.dout;
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 6; ++h) {
            std::copy_n(p.k.in().row(b, h / 3, 0), 300 * 20, repeated.k.view().row(b, h, 0));
            std::copy_n(p.v.in().row(b, h / 3, 0), 300 * 36, repeated.v.view().row(b, h, 0));
        }
    const auto add = [](tensor<float>& to, const tensor<float>& from) {
        for (float& x : to.data) x = 0;
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < 6; ++h)
                for (int64 i = 0; i < 300 * to.size.dim; ++i)
                    to.view().row(b, h / 3, 0)[i] += from.in().row(b, h, 0)[i];
    };
    for_each_normalizer(6, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, 250);
        const auto grouped = p.backward(def), each = repeated.backward(def);
        REQUIRE(same_bits(grouped.dq.data, each.dq.data));
        REQUIRE(same_bits(grouped.dlog_offset, each.dlog_offset));
        auto summed = grouped;
        add(summed.dk, each.dk);
        add(summed.dv, each.dv);
        REQUIRE(oracle::gradient_gate(def, p).judge(summed).k <= oracle::gradient_verdict::passing);
    });
}

TEST_CASE("sums that are exact are the same in any grouping of the heads")
{
    // Small whole numbers, 64 keys and relu: every product and sum is exact.
    gradient_problem<float> p(problem<float>(1, 4, 1, 7, 64, 8, 8)), repeated(problem<float>(1, 4, 4, 7, 64, 8, 8));
    for (auto* t : {&p.q, &p.k, &p.v, &p.dout})
        for (float& x : t->data) x = std::round(2 * x);
    repeated.q = p.q, repeated.dout = p.dout;
    for (int64 h = 0; h < 4; ++h) {
        std::copy_n(p.k.data.data(), 64 * 8, repeated.k.view().row(0, h, 0));
        std::copy_n(p.v.data.data(), 64 * 8, repeated.v.view().row(0, h, 0));
    }
    const auto def = definition(heed::relu<2>{}, 57, some_mask(heed::all_keys{}));
    const auto grouped = p.backward(def), each = repeated.backward(def);
    for (std::size_t i = 0; i < 64 * 8; ++i) {
        float dk = 0, dv = 0;
        for (std::size_t h = 0; h < 4; ++h) dk += each.dk.data[h * 64 * 8 + i], dv += each.dv.data[h * 64 * 8 + i];
        REQUIRE(grouped.dk.data[i] == dk);
        REQUIRE(grouped.dv.data[i] == dv);
    }
}

TEST_CASE("channels padded with zeros change no bit of a gradient")
{
    const gradient_problem<float> p(problem<float>(1, 2, 2, 30, 200, 21, 13));
    gradient_problem<float> padded(problem<float>(1, 2, 2, 30, 200, 32, 32));
    const auto copy = [](const tensor<float>& from, tensor<float>& to) {
        for (float& x : to.data) x = 0;
        for (int64 h = 0; h < from.size.heads; ++h)
            for (int64 s = 0; s < from.size.tokens; ++s)
                std::copy_n(from.in().row(0, h, s), from.size.dim, to.view().row(0, h, s));
    };
    copy(p.q, padded.q), copy(p.k, padded.k), copy(p.v, padded.v), copy(p.dout, padded.dout);
    for_each_normalizer(2, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, 170);
        const auto a = p.backward(def), b = padded.backward(def);
        REQUIRE(same_rows(a.dq.in(), b.dq.in()));
        REQUIRE(same_rows(a.dk.in(), b.dk.in()));
        REQUIRE(same_rows(a.dv.in(), b.dv.in()));
        REQUIRE(same_bits(a.dlog_offset, b.dlog_offset));
    });
}
