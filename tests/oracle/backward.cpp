// SPDX-License-Identifier: MIT
// Gradients in float against the gate, of tensors of float and of bf16; and what the gate must see. The largest K of
// each normalizer is printed.
#include "judge_gradients.hpp"

using namespace oracle;

TEST_CASE("the gradients of every random family pass the gate, in float", "[oracle]")
{
    scoreboard board;
    judge_gradients_of_families<float>(board);
    board.print("gradients, families");
}

TEST_CASE("the gradients of every normalizer, mask and score map pass the gate, in float", "[oracle]")
{
    scoreboard board;
    judge_gradients_of_grid<float>(board, 1);
    judge_gradients_of_bands<float>(board);
    board.print("gradients, grid");
}

TEST_CASE("the gradients of tensors of bf16 pass the gate of float", "[oracle]")
{
    scoreboard board;
    judge_gradients_of_grid<heed::bf16>(board, 3);
    board.print("gradients of bf16, grid");
}

namespace {

template <class T>
T rounded_to_bf16(T x)
{
    if constexpr (std::is_floating_point_v<T>)
        return static_cast<T>(static_cast<float>(heed::bf16(static_cast<float>(x))));
    else return x;  // what definitions are probed with
}

/// Softmax with a flaw in its weights or in its slopes.
template <class Weight, class Mass>
struct flawed {
    static constexpr auto shift = heed::shift::by_max;
    Weight weight;
    Mass mass;

    template <class Score>
    auto terms(Score s) const
    {
        const auto e = s.exp();
        return heed::ratio{weight(e), e};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto e = s.exp();
        return heed::ratio{weight(e), mass(e)};
    }
};
template <class Weight, class Mass>
flawed(Weight, Mass) -> flawed<Weight, Mass>;

}  // namespace

TEST_CASE("the gradient gate sees what fixed tolerances do not", "[oracle]")
{
    const test::gradient_problem<float> p(test::problem<float>(1, 4, 2, 6, 300, 64, 64, 9, 3));
    const auto exact = [](auto e) { return e; };
    const auto right = [&](const auto&... policies) {
        return heed::attention{flawed{exact, exact}, heed::scale{0.125}, policies...};
    };
    const auto definition = right();
    const gradient_gate gate(definition, p);
    const auto k = [&](const auto& def) { return gate.judge(p.reference<float>(def)).k; };
    constexpr double passing = gradient_verdict::passing;
    CHECK(k(definition) < passing);

    CHECK(k(heed::attention{heed::softmax{}, heed::scale{0.125 * (1 + 1e-3)}}) > passing);
    CHECK(k(right(heed::attend_where{[](int64, int64, int64, int64 key) { return key != 299; }})) > passing);
    CHECK(k(right(heed::attend_where{[](int64, int64, int64 at, int64) { return at != 296; }})) > passing);
    const auto with = [&](auto weight, auto mass) {
        return k(heed::attention{flawed{weight, mass}, heed::scale{0.125}});
    };
    CHECK(with([](auto e) { return rounded_to_bf16(e); }, exact) > passing);  // weights of bf16
    CHECK(with(exact, [](auto e) { return 0 * e; }) > passing);               // no D
    CHECK(with(exact, [](auto e) { return -e; }) > passing);                  // D with the wrong sign
    CHECK(with(exact, [](auto e) { return e + e / 1000; }) > passing);        // D that is wrong by 0.1 %
}

TEST_CASE("the gradient gate looks at every gradient", "[oracle]")
{
    const tables<float> of;
    const test::gradient_problem<float> p(test::problem<float>(2, 4, 2, of.queries, of.keys, 19, 21, 77, 3));
    const some_maps<float> all{heed::softcap{2.5}, heed::alibi(of.slopes.data(), 4), heed::bias(of.added.in())};
    const std::vector<float> logits(4, 0.5f);
    const auto def = of_grid(heed::softmax_sink{logits.data(), 4}, all, some_mask(heed::causal{}), of.offset());
    const gradient_gate gate(def, p);
    const auto right = p.reference<float>(def);
    CHECK(gate.judge(right).k < gradient_verdict::passing);

    const auto flaw = [&](auto spoil) {
        auto wrong = right;
        spoil(wrong);
        return gate.judge(wrong).k;
    };
    const auto scaled = [&](auto member, float factor) {
        return flaw([&](auto& g) {
            for (float& x : member(g)) x *= factor;
        });
    };
    const auto each = [&](auto f) {
        f([](auto& g) -> auto& { return g.dq.data; });
        f([](auto& g) -> auto& { return g.dk.data; });
        f([](auto& g) -> auto& { return g.dv.data; });
        f([](auto& g) -> auto& { return g.dbias.data; });
        f([](auto& g) -> auto& { return g.dlog_offset; });
        f([](auto& g) -> auto& { return g.dslopes; });
    };
    each([&](auto member) {
        CHECK(scaled(member, 1.001f) > gradient_verdict::passing);
        CHECK(scaled(member, -1) > gradient_verdict::passing);
        CHECK(flaw([&](auto& g) { member(g)[3] = std::nanf(""); }) > gradient_verdict::passing);
        CHECK(flaw([&](auto& g) {
                  auto& x = member(g);
                  *std::max_element(x.begin(), x.end()) = 0;
              }) > gradient_verdict::passing);
    });
    // Key 60 of query row 0 is masked: nothing but 0 will do.
    CHECK(flaw([](auto& g) { g.dbias.data[60] = 1e-30f; }) > gradient_verdict::passing);
}
