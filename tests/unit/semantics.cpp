// SPDX-License-Identifier: MIT
// The written semantics, one by one: empty rows, masked bytes, NaN, infinities, extreme scores, empty sizes.
#include "tensors.hpp"
#include "two_threads.hpp"

#include <heed/reference.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();
const float inf_f = std::numeric_limits<float>::infinity();

bool is_positive_zero(float x) { return x == 0 && !std::signbit(x); }

}  // namespace

TEST_CASE("a row that attends no key is +0, with mass 0 and LSE -inf")
{
    const problem<float> p(1, 2, 2, 5, 3, 8, 20);  // causal, bottom-right: rows 0 and 1 see nothing
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        std::vector<float> shift(10), mass(10, 9), lse(10);
        tensor<float> out(p.out_size(), nan_f);
        const heed::attention def{normalizer, heed::causal{}};
        heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view(),
                                    {.stats = {shift.data(), mass.data(), lse.data()}}));
        for (const int64 h : {0, 1})
            for (const int64 i : {0, 1}) {
                for (int64 c = 0; c < 20; ++c) REQUIRE(is_positive_zero(out.view().row(0, h, i)[c]));
                REQUIRE(mass[static_cast<std::size_t>(h * 5 + i)] == 0);
                if constexpr (!heed::has_log_offset_v<decltype(normalizer)> && heed::has_mass_v<decltype(normalizer)>)
                    REQUIRE(lse[static_cast<std::size_t>(h * 5 + i)] == -inf_f);
            }
    });
}

TEST_CASE("no byte of a masked key reaches the output")
{
    const problem<float> clean(1, 2, 1, 6, 700, 24, 40);
    auto poisoned = clean;
    for (int64 j = 0; j < 700; ++j)
        if (j % 3 == 1)
            for (auto* t : {&poisoned.k, &poisoned.v})
                for (int64 c = 0; c < t->size.dim; ++c) t->view().row(0, 0, j)[c] = c % 2 ? nan_f : inf_f;
    const auto mask = heed::attend_where([](int64, int64, int64, int64 key) { return key % 3 != 1; });
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, mask};
        REQUIRE(same_bits(clean.attend(def).data, poisoned.attend(def).data));
    });
}

TEST_CASE("a key of weight 0 contributes nothing, whatever its V holds")
{
    problem<float> p(1, 1, 1, 8, 600, 16, 24);
    for (float& x : p.q.data) x = std::fabs(x);
    for (int64 j = 0; j < 600; j += 2)
        for (int64 c = 0; c < 16; ++c) p.k.view().row(0, 0, j)[c] = -std::fabs(p.k.view().row(0, 0, j)[c]);
    const heed::attention def{heed::softpick{}};
    const tensor<float> clean = p.attend(def);
    for (int64 j = 0; j < 600; j += 2)
        for (int64 c = 0; c < 24; ++c) p.v.view().row(0, 0, j)[c] = c % 2 ? nan_f : -inf_f;
    REQUIRE(same_bits(p.attend(def).data, clean.data));
}

namespace {

/// One query row whose scores are the first channel of K, and V of ones but for one key.
template <class T>
struct scored {
    tensor<T> q{{1, 1, 1, 1}, T(1)}, k, v, out{{1, 1, 1, 3}, T(-7)};

    scored(int64 keys, T score) : k({1, 1, keys, 1}, score), v({1, 1, keys, 3}, T(1)) {}
    void spoil(int64 key)
    {
        const T what[] = {std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN(),
                          -std::numeric_limits<T>::infinity()};
        std::copy(what, what + 3, v.view().row(0, 0, key));
    }
    template <class Def>
    std::vector<T> attend(const Def& def, const heed::options<T>& how = {})
    {
        heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view(), how));
        return out.data;
    }
    /// Keys [from, to) alone, folded into `s`.
    template <class Def>
    void attend_part(const Def& def, int64 from, int64 to, heed::state<T> s)
    {
        heed::or_throw(heed::attend_partial(def, q.in(), tokens(k.in(), from, to - from),
                                            tokens(v.in(), from, to - from), s, {from, k.size.tokens}));
    }
};

}  // namespace

TEMPLATE_TEST_CASE("a key whose tile's factor is 0 contributes nothing, whatever its V holds", "", float, double)
{
    using T = TestType;
    const heed::attention def{heed::softmax{}, heed::scale{1}};
    for (const int64 keys : {400, 600, 1600, 40000}) {
        for (const int64 best : {int64{0}, keys / 2, keys - 1}) {  // in the spoiled key's tile, behind it, before it
            for (const int64 bad : {int64{5}, keys - 5}) {
                INFO(keys << " keys, the score of 0 at " << best << ", Inf and NaN at " << bad);
                scored<T> row(keys, T(-1000));
                row.k.data[static_cast<std::size_t>(best)] = 0;
                row.spoil(bad);
                two_threads pool;
                REQUIRE(row.attend(def) == std::vector<T>{1, 1, 1});
                REQUIRE(row.attend(def, {.executor = pool}) == std::vector<T>{1, 1, 1});

                // in parts that are folded, and in parts that are merged, in either order
                const heed::extents size{1, 1, 1, 3};
                owned_state<T> folded(def, size), first(def, size), second(def, size), other(def, size);
                const int64 cut = keys > 512 ? 512 : 200;
                row.attend_part(def, 0, cut, folded.state());
                row.attend_part(def, cut, keys, folded.state());
                row.attend_part(def, 0, cut, first.state());
                row.attend_part(def, cut, keys, second.state());
                row.attend_part(def, cut, keys, other.state());
                heed::or_throw(heed::merge(other.state(), first.state()));
                heed::or_throw(heed::merge(first.state(), second.state()));
                for (owned_state<T>* s : {&folded, &first, &other}) {
                    heed::or_throw(heed::finish(def, s->state(), row.out.view()));
                    REQUIRE(row.out.data == std::vector<T>{1, 1, 1});
                }
            }
        }
    }
}

TEMPLATE_TEST_CASE("a sink beside which a row's keys weigh 0 leaves them out, whatever their V holds", "", float,
                   double)
{
    using T = TestType;
    const float logit = 0;
    const heed::attention def{heed::softmax_sink{&logit, 1}, heed::scale{1}};
    for (const int64 keys : {1, 40, 600}) {
        INFO(keys);
        scored<T> row(keys, T(-1000));
        row.spoil(0);
        REQUIRE(row.attend(def) == std::vector<T>{0, 0, 0});
        owned_state<T> s(def, {1, 1, 1, 3});
        row.attend_part(def, 0, keys, s.state());
        heed::or_throw(heed::finish(def, s.state(), row.out.view()));
        REQUIRE(row.out.data == std::vector<T>{0, 0, 0});
    }
}

TEST_CASE("NaN among scores poisons its row even where its tile's factor is 0")
{
    const float logit = 0;
    scored<float> row(1200, -1000);
    row.k.data[7] = nan_f;
    const auto is_nan = [](const std::vector<float>& out) {
        return std::all_of(out.begin(), out.end(), [](float x) { return std::isnan(x); });
    };
    REQUIRE(is_nan(row.attend(heed::attention{heed::softmax_sink{&logit, 1}, heed::scale{1}})));
    row.k.data[1000] = 0;
    REQUIRE(is_nan(row.attend(heed::attention{heed::softmax{}, heed::scale{1}})));
}

TEST_CASE("NaN at an attended place makes exactly the affected rows NaN")
{
    const problem<float> clean(1, 2, 1, 9, 40, 16, 16);
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{}};
        const tensor<float> expected = clean.attend(def);
        auto p = clean;
        p.q.view().row(0, 1, 4)[3] = nan_f;   // head 1, row 4
        p.k.view().row(0, 0, 38)[0] = nan_f;  // rows 7 and 8 of both heads
        const tensor<float> out = p.attend(def);
        for (int64 h = 0; h < 2; ++h)
            for (int64 i = 0; i < 9; ++i) {
                const bool affected = i >= 7 || (h == 1 && i == 4);
                for (int64 c = 0; c < 16; ++c) {
                    const float x = out.in().row(0, h, i)[c], y = expected.in().row(0, h, i)[c];
                    REQUIRE((affected ? std::isnan(x) : std::memcmp(&x, &y, sizeof x) == 0));
                }
            }
    });
}

TEST_CASE("a score of -inf from data is a masked key, +inf poisons its row alone")
{
    problem<float> p(1, 1, 1, 3, 20, 4, 4);
    for (float& x : p.q.data) x = std::fabs(x) + 0.1f;
    auto without = p;
    for (int64 c = 0; c < 4; ++c) p.k.view().row(0, 0, 7)[c] = -inf_f;
    const auto mask = heed::attend_where([](int64, int64, int64, int64 key) { return key != 7; });
    for_each_normalizer(1, [&](const char* name, auto normalizer) {
        INFO(name);
        REQUIRE(same_bits(p.attend(heed::attention{normalizer}).data,
                          without.attend(heed::attention{normalizer, mask}).data));
    });
    p.q.view().row(0, 0, 1)[0] = inf_f;
    p.k = without.k;
    for (float& x : p.k.data) x = std::fabs(x) + 0.1f;
    const tensor<float> out = p.attend(heed::attention{heed::softmax{}});
    for (int64 c = 0; c < 4; ++c) {
        REQUIRE(std::isfinite(out.in().row(0, 0, 0)[c]));
        REQUIRE(std::isnan(out.in().row(0, 0, 1)[c]));
        REQUIRE(std::isfinite(out.in().row(0, 0, 2)[c]));
    }
}

TEMPLATE_TEST_CASE("one attended key of softmax gives its V, whatever its score", "", float, double)
{
    using T = TestType;
    for (const double score :
         {0.0, 1.0, -1.0, 88.5, -104.0, -524288.0, 1e5, -2.45e5, 1e9, -1e20, 1e30, -1e30, 3e38, -3e38}) {
        INFO(score);
        const T q[] = {1}, k[] = {static_cast<T>(score)}, v[] = {T(0.7), T(-1e-3), T(12345)};
        T out[3];
        const heed::attention def{heed::softmax{}, heed::scale{1}};
        heed::or_throw(heed::attend(def, heed::bhsd(q, {1, 1, 1, 1}), heed::bhsd(k, {1, 1, 1, 1}),
                                    heed::bhsd(v, {1, 1, 1, 3}), heed::bhsd(out, {1, 1, 1, 3})));
        for (int c = 0; c < 3; ++c)
            REQUIRE(std::fabs(out[c] - v[c]) <= std::fabs(v[c]) * std::numeric_limits<T>::epsilon());
    }
}

TEST_CASE("softpick keeps relative accuracy for small scores and is exactly zero for scores that are not positive")
{
    for (const float s : {1e-30f, 1e-20f, 1e-8f, 1e-4f, 1e-2f, 0.3f}) {
        const float q[] = {1}, k[] = {s, -3 * s, 0}, v[] = {1, 10, 100};
        float out[1];
        const heed::attention def{heed::softpick{}, heed::scale{1}};
        heed::or_throw(heed::attend(def, heed::bhsd(q, {1, 1, 1, 1}), heed::bhsd(k, {1, 1, 3, 1}),
                                    heed::bhsd(v, {1, 1, 3, 1}), heed::bhsd(out, {1, 1, 1, 1})));
        const double w = std::expm1(static_cast<double>(s)), u = -std::expm1(-3.0 * static_cast<double>(s));
        REQUIRE(std::fabs(out[0] / (w / (w + u)) - 1) < 4 * 0x1p-24);
    }
    problem<float> p(1, 1, 1, 4, 50, 8, 8);
    for (float& x : p.q.data) x = std::fabs(x);
    for (float& x : p.k.data) x = -std::fabs(x);
    for (const float x : p.attend(heed::attention{heed::softpick{}}).data) REQUIRE(is_positive_zero(x));
}

TEST_CASE("empty sizes are legal")
{
    for (const auto& [b, hq, hkv, sq, skv] : std::vector<std::array<int64, 5>>{
             {0, 2, 1, 3, 4}, {1, 0, 0, 3, 4}, {1, 0, 2, 3, 4}, {1, 2, 1, 0, 4}, {2, 2, 1, 3, 0}, {0, 0, 0, 0, 0}}) {
        const problem<float> p(b, hq, hkv, sq, skv, 8, 8);
        for_each_normalizer(hq, [&, h = hq](const char* name, auto normalizer) {
            INFO(name << " " << h);
            for (const float x : p.attend(heed::attention{normalizer, heed::causal{}}).data)
                REQUIRE(is_positive_zero(x));
        });
    }
}

TEST_CASE("LSE is the natural log of the denominator, extra mass included")
{
    const problem<float> p(1, 2, 2, 7, 900, 16, 16);
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{}};
        std::vector<float> lse(14);
        std::vector<double> expected(14);
        heed::reference_dump<double> dump;
        dump.lse = expected.data();
        tensor<double> r(p.out_size());
        tensor<float> out(p.out_size());
        heed::or_throw(heed::reference(def, p.q.in(), p.k.in(), p.v.in(), r.view(), &dump));
        heed::or_throw(
            heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view(), {.stats = {nullptr, nullptr, lse.data()}}));
        for (std::size_t i = 0; i < 14; ++i)
            REQUIRE(std::fabs(lse[i] - expected[i]) < 2e-6 * (1 + std::fabs(expected[i])));
    });
}

TEST_CASE("out may be q itself")
{
    problem<float> p(2, 4, 2, 130, 700, 32, 32);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const tensor<float> expected = p.attend(def);
    heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), p.q.view()));
    REQUIRE(same_bits(p.q.data, expected.data));
}

TEST_CASE("V may be the first channels of K")
{
    problem<float> p(1, 8, 1, 20, 300, 72, 64);
    for (int64 s = 0; s < 300; ++s) std::memcpy(p.v.view().row(0, 0, s), p.k.in().row(0, 0, s), 64 * sizeof(float));
    const heed::attention def{heed::softmax{}};
    const tensor<float> expected = p.attend(def);
    tensor<float> out(p.out_size());
    const heed::view<const float> v{p.k.data.data(), {1, 1, 300, 64}, p.k.in().stride};
    heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), v, out.view()));
    REQUIRE(same_bits(out.data, expected.data));
}
