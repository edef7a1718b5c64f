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

/// A dbias of one number a head and key, and of one a key, that backward(view) fills, beside sums of all scores'.
template <class Backward>
void judge_summed(const stated_case& of, const std::vector<plain::sum_of>& each, Backward backward)
{
    for (const int64 heads : {of.heads, int64{1}}) {
        test::tensor<float> got({1, heads, 1, of.keys});
        backward(got.view());
        std::vector<plain::sum_of> want(static_cast<std::size_t>(heads * of.keys));
        for (std::size_t i = 0; i < each.size(); ++i) {
            const auto key = static_cast<int64>(i) % of.keys, line = static_cast<int64>(i) / of.keys;
            const int64 head = line / of.queries % of.heads;
            const plain::judged x = each[i].result();
            want[static_cast<std::size_t>((heads == 1 ? 0 : head) * of.keys + key)].add(x.value, x.error);
        }
        judge("summed dbias", want, got.data);
    }
}

template <class Def>
void judge(const stated_case& of, const Def& def, const plain::definition& formula, const plain::problem& numbers)
{
    const auto rows = static_cast<std::size_t>(of.batch * of.heads * of.queries);
    std::vector<float> shift(rows), mass(rows);
    const test::tensor<float> out = of.p.attend(def, {.stats = {shift.data(), mass.data(), nullptr}});
    const std::vector<float> dlse = test::normal<float>({1, 1, 1, static_cast<int64>(rows)}, 84).data;
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    const heed::output_gradients given{out.in(), stats, of.dout.in(), dlse};
    const heed::dense_kv kv{of.p.k.in(), of.p.v.in()};
    test::owned_gradients<float> got(def, of.p.q.size, of.p.k.size, of.p.v.size);
    REQUIRE(heed::backward(def, of.p.q.in(), kv, given, got.all()));
    plain::problem with_lse = numbers;
    with_lse.dlse = [&](int64 b, int64 h, int64 i) {
        return static_cast<double>(dlse[static_cast<std::size_t>((b * of.heads + h) * of.queries + i)]);
    };
    const plain::gradients want = plain::gradients_of(formula, with_lse);
    test::owned_gradients<float> again(def, of.p.q.size, of.p.k.size, of.p.v.size);
    three_workers executor;
    REQUIRE(heed::backward(def, of.p.q.in(), kv, given, again.all(), {.executor = executor}));
    CHECK(got == again);
    judge_summed(of, want.dbias, [&](heed::view<float> dbias) {
        heed::gradients<float> to;
        to.dbias = dbias;
        REQUIRE(heed::backward(def, of.p.q.in(), kv, given, to));
    });
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
