// SPDX-License-Identifier: MIT
// The written semantics of the backward pass: rows without keys or mass, masked and weightless keys, NaN and
// infinities, empty sizes, strides, and element types.
#include "gradients.hpp"
#include "oracle/some_policies.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

using namespace test;
using oracle::some_mask;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();
const float inf_f = std::numeric_limits<float>::infinity();

/// One definition, and so one kernel, a normalizer.
template <class Normalizer>
auto definition(const Normalizer& normalizer, const some_mask& mask = some_mask(heed::all_keys{}))
{
    return heed::attention{normalizer, mask, heed::scale{0.25}};
}

some_mask causal() { return some_mask(heed::causal{}); }

/// The mask that leaves out key `key` of every row, and all keys of query row `row`.
some_mask without(int64 key, int64 row, int64 position_0)
{
    return some_mask(
        heed::attend_where{[=](int64, int64, int64 at, int64 j) { return j != key && at != position_0 + row; }});
}

template <class T>
void fill(heed::view<T> v, int64 batch, int64 head, int64 token, T value)
{
    for (int64 c = 0; c < v.size.dim; ++c) v.row(batch, head, token)[c] = value;
}

bool are_zero(const std::vector<float>& x)
{
    return std::all_of(x.begin(), x.end(), [](float y) { return y == 0; });
}

/// Whether `got` is finite exactly where the reference is, and has the bits of `clean` wherever the reference has those
/// of its own clean run: what is not affected is not touched.
void is_affected_alike(const owned_gradients<float>& got, const owned_gradients<float>& clean,
                       const owned_gradients<double>& expected, const owned_gradients<double>& clean_expected)
{
    const auto lists = [](const auto& g) {
        std::vector<std::decay_t<decltype(&g.dq.data)>> all;
        g.for_each([&](const char*, const auto& x) { all.push_back(&x); });
        return all;
    };
    const auto g = lists(got), c = lists(clean);
    const auto e = lists(expected), r = lists(clean_expected);
    for (std::size_t n = 0; n < g.size(); ++n)
        for (std::size_t i = 0; i < g[n]->size(); ++i) {
            CAPTURE(n, i, (*g[n])[i], (*e[n])[i]);
            REQUIRE(std::isfinite((*g[n])[i]) == std::isfinite((*e[n])[i]));
            if ((*e[n])[i] == (*r[n])[i]) REQUIRE(std::memcmp(&(*g[n])[i], &(*c[n])[i], sizeof(float)) == 0);
        }
}

}  // namespace

TEST_CASE("a query row that attends no key has gradient 0, and adds nothing to any key")
{
    const gradient_problem<float> p(problem<float>(1, 2, 1, 6, 4, 8, 20));  // causal, bottom-right: rows 0 and 1
    for_each_normalizer(2, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, causal());
        const auto g = p.backward(def);
        gradient_problem<float> late(problem<float>(1, 2, 1, 4, 4, 8, 20));
        late.k = p.k, late.v = p.v;
        for (const int64 h : {0, 1}) {
            for (const int64 i : {0, 1})
                for (int64 c = 0; c < 8; ++c) REQUIRE(g.dq.in().row(0, h, i)[c] == 0);
            for (int64 i = 0; i < 4; ++i) {
                std::copy_n(p.q.in().row(0, h, i + 2), 8, late.q.view().row(0, h, i));
                std::copy_n(p.dout.in().row(0, h, i + 2), 20, late.dout.view().row(0, h, i));
            }
        }
        const auto without_them = late.backward(def);
        REQUIRE(same_bits(g.dk.data, without_them.dk.data));
        REQUIRE(same_bits(g.dv.data, without_them.dv.data));
        REQUIRE(same_bits(g.dlog_offset, without_them.dlog_offset));
    });
}

TEST_CASE("softpick rows without a positive score have gradient 0, whatever dO holds")
{
    gradient_problem<float> p(problem<float>(1, 2, 1, 40, 300, 16, 24));
    for (float& x : p.q.data) x = std::fabs(x) + 0.01f;
    for (float& x : p.k.data) x = -std::fabs(x);
    p.dout.view().row(0, 1, 7)[3] = nan_f;
    p.v.view().row(0, 0, 50)[3] = nan_f;
    for (const double eps : {0., 1e-3}) {
        const auto g = p.backward(definition(heed::softpick{eps}));
        g.for_each([](const char*, const auto& x) { REQUIRE(are_zero(x)); });
    }
}

TEST_CASE("a row whose denominator is 0 has gradient 0")
{
    gradient_problem<float> p(problem<float>(1, 2, 2, 5, 40, 8, 8));
    for (float& x : p.q.data) x = 0;  // every score is 0: softpick has neither weight nor mass
    const auto g = p.backward(definition(heed::softpick{}));
    g.for_each([](const char*, const auto& x) { REQUIRE(are_zero(x)); });

    const auto nothing = p.backward(definition(heed::softmax1{0}, some_mask(heed::prefix{0})));
    nothing.for_each([](const char*, const auto& x) { REQUIRE(are_zero(x)); });
}

namespace {

/// Scores that are whole multiples of the smallest number of T, and so exact, in rows of softpick: their denominators
/// have no reciprocal in T.
template <class T, class Real>
void is_sound_near_zero(double tiny)
{
    gradient_problem<T> p(problem<T>(1, 2, 1, 5, 40, 4, 8));
    std::mt19937_64 random(3);
    for (auto* t : {&p.q, &p.k})
        for (T& x : t->data) x = static_cast<T>(tiny) * static_cast<T>(static_cast<int>(random() % 7) - 3);
    const heed::attention def{heed::softpick{}, heed::scale{1}};
    for (const double size : {1., 1e-20}) {  // of dO: ds is then beyond T, or within
        for (T& x : p.dout.data) x *= static_cast<T>(size);
        const auto g = p.backward(def);
        const auto expected = p.template reference<Real>(def);
        const auto judge = [](const std::vector<T>& got, const std::vector<Real>& want, Real tolerance) {
            Real largest = 0;
            for (const Real x : want) largest = std::max(largest, std::fabs(x));
            REQUIRE(largest > 0);
            for (std::size_t i = 0; i < want.size(); ++i) {
                CAPTURE(i, got[i], static_cast<double>(want[i]));
                REQUIRE(std::fabs(static_cast<Real>(got[i]) - want[i]) <= tolerance * largest);
            }
        };
        judge(g.dv.data, expected.dv.data, Real(1e-6));
        if (size < 1) {
            // by `out`, whose sums are of subnormal numbers: 2^-149 beside 2^-130
            judge(g.dq.data, expected.dq.data, Real(1e-4));
            judge(g.dk.data, expected.dk.data, Real(1e-4));
        }
    }
}

}  // namespace

TEST_CASE(
    "softpick rows with no score beyond 1e-38 have sound weights, and gradients where those of scores are in range")
{
    is_sound_near_zero<float, double>(0x1p-69);
}

TEST_CASE("no byte of a masked key, or of a row that attends nothing, reaches a gradient")
{
    const gradient_problem<float> clean(problem<float>(1, 4, 2, 30, 230, 24, 40));
    auto poisoned = clean;
    for (int64 h = 0; h < 2; ++h) {
        fill(poisoned.k.view(), 0, h, 203, nan_f);
        fill(poisoned.v.view(), 0, h, 203, inf_f);
    }
    for (int64 h = 0; h < 4; ++h) {
        fill(poisoned.q.view(), 0, h, 11, inf_f);
        fill(poisoned.dout.view(), 0, h, 11, nan_f);
    }
    for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer, without(203, 11, 200));
        const auto expected = clean.backward(def);
        REQUIRE(poisoned.backward(def) == expected);
        for (int64 h = 0; h < 2; ++h)
            for (int64 c = 0; c < 24; ++c) REQUIRE(expected.dk.in().row(0, h, 203)[c] == 0);
        for (int64 h = 0; h < 2; ++h)
            for (int64 c = 0; c < 40; ++c) REQUIRE(expected.dv.in().row(0, h, 203)[c] == 0);
    });
}

TEST_CASE("a key of weight and slope 0 passes nothing on, whatever its V holds")
{
    gradient_problem<float> p(problem<float>(1, 2, 1, 8, 400, 16, 24));
    for (float& x : p.q.data) x = std::fabs(x);
    for (int64 j = 0; j < 400; j += 2)
        for (int64 c = 0; c < 16; ++c) p.k.view().row(0, 0, j)[c] = -std::fabs(p.k.view().row(0, 0, j)[c]);
    const auto check = [&](const auto& def) {
        const auto clean = p.backward(def);
        auto poisoned = p;
        for (int64 j = 0; j < 400; j += 2)
            for (int64 c = 0; c < 24; ++c) poisoned.v.view().row(0, 0, j)[c] = c % 2 ? nan_f : -inf_f;
        REQUIRE(poisoned.backward(def) == clean);
        for (int64 j = 0; j < 400; j += 2)
            for (int64 c = 0; c < 24; ++c) REQUIRE(clean.dv.in().row(0, 0, j)[c] == 0);
    };
    check(definition(heed::softpick{}));
    check(definition(heed::relu<1>{}));
    check(definition(heed::relu<2>{}));
}

TEST_CASE("NaN and Inf at an attended place reach exactly the gradients that they have a part in")
{
    const gradient_problem<float> clean(problem<float>(1, 4, 2, 30, 230, 24, 20));
    const auto poisons = {1, 2, 3, 4, 5, 6};
    for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        const auto def = definition(normalizer, causal());
        const auto g = clean.backward(def);
        const auto reference = clean.reference<double>(def);
        for (const int poison : poisons) {
            auto p = clean;
            switch (poison) {
            case 1: p.q.view().row(0, 1, 4)[3] = nan_f; break;       // head 1, row 4
            case 2: p.k.view().row(0, 0, 220)[0] = nan_f; break;     // heads 0 and 1, rows from 20 on
            case 3: p.v.view().row(0, 1, 219)[5] = nan_f; break;     // heads 2 and 3, rows from 19 on
            case 4: p.dout.view().row(0, 3, 9)[7] = nan_f; break;    // head 3, row 9
            case 5: p.dout.view().row(0, 0, 29)[19] = inf_f; break;  // head 0, the last row
            case 6: p.v.view().row(0, 0, 229)[0] = -inf_f; break;    // heads 0 and 1, the last row
            }
            INFO(name << ", poison " << poison);
            is_affected_alike(p.backward(def), g, p.reference<double>(def), reference);
        }
    });
}

TEST_CASE("NaN in a key makes the gradients of its rows NaN, and of the keys that share a softmax with it")
{
    gradient_problem<float> p(problem<float>(1, 1, 1, 6, 30, 8, 8));
    p.k.view().row(0, 0, 27)[2] = nan_f;  // rows 3, 4 and 5 see it
    const auto rows_of_nan = [](const tensor<float>& t) {
        std::vector<int64> rows;
        for (int64 i = 0; i < t.size.tokens; ++i) {
            int64 n = 0;
            for (int64 c = 0; c < t.size.dim; ++c) n += std::isnan(t.in().row(0, 0, i)[c]);
            REQUIRE((n == 0 || n == t.size.dim));
            if (n > 0) rows.push_back(i);
        }
        return rows;
    };
    std::vector<int64> all(30);
    for (int64 j = 0; j < 30; ++j) all[static_cast<std::size_t>(j)] = j;
    const auto check = [&](const char* name, const auto& normalizer, const std::vector<int64>& keys) {
        INFO(name);
        const auto g = p.backward(definition(normalizer, causal()));
        REQUIRE(rows_of_nan(g.dq) == std::vector<int64>{3, 4, 5});
        REQUIRE(rows_of_nan(g.dk) == keys);
        REQUIRE(rows_of_nan(g.dv) == keys);
    };
    check("softmax", heed::softmax{}, all);
    check("softpick", heed::softpick{}, all);
    check("sigmoid", heed::sigmoid{-2}, {27});
    check("relu<1>", heed::relu<1>{}, {27});
    check("relu<2>", heed::relu<2>{}, {27});
}

TEST_CASE("empty sizes are legal, and what there is has gradient 0")
{
    for (const auto& [b, hq, hkv, sq, skv] : std::vector<std::array<int64, 5>>{
             {0, 2, 1, 3, 4}, {1, 0, 0, 3, 4}, {1, 0, 2, 3, 4}, {1, 2, 1, 0, 4}, {2, 2, 1, 3, 0}, {0, 0, 0, 0, 0}}) {
        const gradient_problem<float> p(problem<float>(b, hq, hkv, sq, skv, 8, 8));
        for_each_normalizer(hq, [&, h = hq](const char* name, const auto& normalizer) {
            INFO(name << " " << h);
            const auto g = p.backward(definition(normalizer, causal()));
            g.for_each([](const char*, const auto& x) { REQUIRE(are_zero(x)); });
        });
    }
}

TEST_CASE("strides of inputs, negative and 0 too, and of gradients change no bit")
{
    const gradient_problem<float> dense(problem<float>(2, 4, 2, 33, 250, 9, 7));
    gradient_problem<float> p = dense;
    for (auto* t : {&p.k, &p.v})  // both sequences share their keys
        std::copy_n(t->data.begin(), t->data.size() / 2,
                    t->data.begin() + static_cast<std::ptrdiff_t>(t->data.size() / 2));
    const auto def = definition(heed::softpick{1e-3}, causal());
    const auto f = p.forward(def);
    const auto expected = p.backward(def, f);

    // The same numbers as [B, S, H, D] with gaps, tokens in reverse.
    const auto spread = [](const tensor<float>& t, std::vector<float>& memory) {
        const heed::strides step{t.size.tokens * t.size.heads * 11 + 5, 11, t.size.heads * 11};
        memory.assign(static_cast<std::size_t>(t.size.batch * step.batch), nan_f);
        const heed::view<float> v{memory.data(), t.size, step};
        return heed::view<float>{v.row(0, 0, t.size.tokens - 1), t.size, {step.batch, step.heads, -step.tokens}};
    };
    const auto copied = [&](const tensor<float>& t, std::vector<float>& memory) {
        const auto v = spread(t, memory);
        for (int64 b = 0; b < t.size.batch; ++b)
            for (int64 h = 0; h < t.size.heads; ++h)
                for (int64 s = 0; s < t.size.tokens; ++s) std::copy_n(t.in().row(b, h, s), t.size.dim, v.row(b, h, s));
        return heed::view<const float>(v);
    };
    std::vector<float> memory[8];
    const auto once = [](heed::view<const float> v) {
        v.stride.batch = 0;
        return v;
    };
    const auto q = copied(p.q, memory[0]), k = once(copied(p.k, memory[1])), v = once(copied(p.v, memory[2]));
    const auto out = copied(f.out, memory[3]), dout = copied(p.dout, memory[4]);
    auto g = p.room_for<float>(def);
    heed::gradients<float> to = g.all();
    to.dq = spread(g.dq, memory[5]), to.dk = spread(g.dk, memory[6]), to.dv = spread(g.dv, memory[7]);
    heed::or_throw(heed::backward(def, q, k, v, out, f.stats(), dout, to));
    const auto same = [](const tensor<float>& a, heed::view<float> b) {
        for (int64 i = 0; i < a.size.batch * a.size.heads * a.size.tokens; ++i) {
            const int64 s = i % a.size.tokens, h = i / a.size.tokens % a.size.heads,
                        n = i / a.size.tokens / a.size.heads;
            if (std::memcmp(a.in().row(n, h, s), b.row(n, h, s), static_cast<std::size_t>(a.size.dim) * sizeof(float)))
                return false;
        }
        return true;
    };
    REQUIRE(same(expected.dq, to.dq));
    REQUIRE(same(expected.dk, to.dk));
    REQUIRE(same(expected.dv, to.dv));
    REQUIRE(same_bits(g.dlog_offset, expected.dlog_offset));
    const auto untouched_between = [](const tensor<float>& t, const std::vector<float>& from) {
        const auto rows = static_cast<std::size_t>(t.size.tokens * t.size.heads) * 11;
        for (std::size_t i = 0; i < from.size(); ++i) {
            const std::size_t x = i % (rows + 5);
            if ((x >= rows || x % 11 >= static_cast<std::size_t>(t.size.dim)) && !std::isnan(from[i])) return false;
        }
        return true;
    };
    REQUIRE(untouched_between(g.dq, memory[5]));
    REQUIRE(untouched_between(g.dk, memory[6]));
    REQUIRE(untouched_between(g.dv, memory[7]));
}

TEST_CASE("tensors of bf16 and f16 in any mix have the gradients of the same numbers in float")
{
    const problem<heed::bf16> b(2, 4, 2, 30, 210, 19, 21);
    const problem<heed::f16> h(2, 4, 2, 30, 210, 19, 21);
    const auto dout = normal<heed::f16>(b.out_size(), 8);
    const auto widened = [](const auto& t) {
        tensor<float> wide(t.size);
        for (std::size_t i = 0; i < t.data.size(); ++i) wide.data[i] = static_cast<float>(t.data[i]);
        return wide;
    };
    gradient_problem<float> p(problem<float>(2, 4, 2, 30, 210, 19, 21));
    p.q = widened(h.q), p.k = widened(b.k), p.v = widened(h.v), p.dout = widened(dout);
    const auto def = definition(heed::softmax1{}, causal());
    auto f = p.forward(def);
    tensor<heed::bf16> out(p.out_size());  // rounded: what D is made of
    for (std::size_t i = 0; i < out.data.size(); ++i) out.data[i] = heed::bf16(f.out.data[i]);
    f.out = widened(out);
    auto g = p.room_for<float>(def);
    heed::or_throw(heed::backward(def, h.q.in(), b.k.in(), h.v.in(), out.in(), f.stats(), dout.in(), g.all()));
    REQUIRE(g == p.backward(def, f));
}

namespace {

/// The concurrency of an executor, for plans that are not run.
struct workers {
    int n;
    int concurrency() const { return n; }
    void operator()(int64, heed::task_ref) const { FAIL("planned only"); }
};

template <class Def>
std::size_t workspace_of(const Def& def, int64 queries, int64 keys, int64 group, int n)
{
    const heed::view<const float> q = heed::bhsd<const float>(nullptr, {1, 2 * group, queries, 128});
    const heed::view<const float> kv = heed::bhsd<const float>(nullptr, {1, 2, keys, 128});
    const workers executor{n};
    const heed::backward_plan plan(def, q, kv, kv, {.executor = executor});
    heed::or_throw(plan.status());
    return plan.workspace_bytes();
}

}  // namespace

TEST_CASE("backward needs a constant a worker, and a number a row where a score map has a parameter a head")
{
    const heed::attention plain{heed::softmax{}, heed::causal{}};
    const float slopes[32] = {};
    for (const int64 group : {1, 4, 16}) {
        const heed::attention learning{heed::softmax{}, heed::causal{}, heed::alibi{slopes, 2 * group}};
        for (const int n : {1, 4, 64}) {
            CAPTURE(group, n);
            const std::size_t one = workspace_of(plain, 1000, 1000, group, 1) - 64;  // 64 bytes to align what follows
            REQUIRE(one <= std::size_t{2} << 20);
            REQUIRE(workspace_of(plain, 1000, 1000, group, n) == 64 + static_cast<std::size_t>(n) * one);
            REQUIRE(workspace_of(plain, 1000, int64{1} << 30, group, n) == 64 + static_cast<std::size_t>(n) * one);
            REQUIRE(workspace_of(plain, int64{1} << 30, 1000, group, n) <=
                    64 + static_cast<std::size_t>(n) * (one + (one >> 4)));
            const std::size_t few = workspace_of(learning, 1 << 10, 1000, group, n);
            const std::size_t many = workspace_of(learning, 1 << 20, 1000, group, n);
            const auto a_row = static_cast<std::size_t>(2 * group) * sizeof(float);
            REQUIRE(many - few <= a_row * ((1 << 20) - (1 << 10)) + static_cast<std::size_t>(n) * (one >> 4));
        }
    }
}
