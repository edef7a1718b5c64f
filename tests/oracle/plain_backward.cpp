// SPDX-License-Identifier: MIT
// The gradients of every policy, against formulas that share no code with heed.
#include "plain_cases.hpp"

#include "../gradients.hpp"

namespace {

using namespace oracle;

void judge(const char* name, const std::vector<plain::sum_of>& want, const std::vector<float>& got)
{
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) check(name, i, want[i].result(), got[i]);
}

/// Three workers, as far as plans know: there are then too few heads, and steps go by diagonals.
struct three_workers {
    int concurrency() const { return 3; }
    template <class F>
    void operator()(int64 n, F f) const
    {
        for (int64 task = n; task-- > 0;) f(task, static_cast<int>(task % 3));
    }
};

template <class Def>
void judge(const stated_case& of, const Def& def, const plain::definition& formula, const plain::problem& numbers)
{
    const auto rows = static_cast<std::size_t>(of.batch * of.heads * of.queries);
    std::vector<float> shift(rows), mass(rows);
    const test::tensor<float> out = of.p.attend(def, {.stats = {shift.data(), mass.data(), nullptr}});
    test::owned_gradients<float> got(def, of.p.q.size, of.p.k.size, of.p.v.size);
    REQUIRE(heed::backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), out.in(), {shift.data(), mass.data(), nullptr},
                           of.dout.in(), got.all()));
    const plain::gradients want = plain::gradients_of(formula, numbers);
    test::owned_gradients<float> again(def, of.p.q.size, of.p.k.size, of.p.v.size);
    three_workers executor;
    REQUIRE(heed::backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), out.in(), {shift.data(), mass.data(), nullptr},
                           of.dout.in(), again.all(), {.executor = executor}));
    CHECK(got == again);
    judge("dq", want.dq, got.dq.data);
    judge("dk", want.dk, got.dk.data);
    judge("dv", want.dv, got.dv.data);
    judge("dbias", want.dbias, got.dbias.data);
    judge("dslopes", want.dtilt, got.dslopes);
    if (!got.dlog_offset.empty()) judge("dlog_offset", want.dlog_c, got.dlog_offset);
}

/// The masks of these names, or all.
void judge_all(const stated_case& of, const std::vector<bool>& with_maps, const std::vector<std::string>& names = {})
{
    for_each_stated_normalizer(of, [&](const char* name, const auto& normalizer, const plain::definition& weights) {
        for (const stated_mask& mask : of.masks()) {
            if (!names.empty() && std::find(names.begin(), names.end(), mask.name) == names.end()) continue;
            for (const bool mapped : with_maps) {
                INFO(name << ", " << mask.name << (mapped ? ", softcap, alibi, bias" : ""));
                judge(of, of.def(normalizer, mask.mask, mapped), of.formula_of(weights, mask, mapped), of.formula());
            }
        }
    });
}

/// Whether a row of the case's "table of rows" attends nothing.
bool is_empty(const stated_case& of, int64 b, int64 row) { return (b * of.queries + row) % 9 == 4; }

}  // namespace

TEST_CASE("every policy has the gradients that its formula has", "[oracle][plain]")
{
    judge_all(stated_case(37, 61, {24, -5}), {false, true});
}

TEST_CASE("and has them over several tiles of keys and blocks of rows", "[oracle][plain]")
{
    judge_all(stated_case(53, 430, {377, 200}), {true}, {"all keys", "causal & window", "document", "table of rows"});
}

TEST_CASE("what has neither weight nor slope is not asked for, whatever it holds", "[oracle][plain]")
{
    constexpr int64 key = 30;  // far below 0, where softpick is flat
    stated_case sound(37, 61, {24, 24}), of(37, 61, {24, 24});
    sound.added_to_keys.data[key] = of.added_to_keys.data[key] = -300;
    for (int64 b = 0; b < of.batch; ++b) {
        for (int64 h = 0; h < of.kv_heads; ++h) std::fill_n(of.p.v.view().row(b, h, key), of.value_dim, NAN);
        for (int64 h = 0; h < of.heads; ++h)
            for (int64 row = 0; row < of.queries; ++row) {
                if (!is_empty(of, b, row)) continue;
                std::fill_n(of.p.q.view().row(b, h, row), of.key_dim, NAN);
                std::fill_n(of.dout.view().row(b, h, row), of.value_dim, INFINITY);
            }
    }
    for_each_stated_normalizer(of, [&](const char* name, const auto& normalizer, const plain::definition& weights) {
        if (std::string(name) != "softpick") return;
        for (const stated_mask& mask : of.masks())
            if (mask.name == "table of rows")
                judge(of, of.def(normalizer, mask.mask, false), sound.formula_of(weights, mask, false),
                      sound.formula());
    });
}
