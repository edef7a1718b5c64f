// SPDX-License-Identifier: MIT
// Attention masks of numbers, forward and backward, against formulas that share no code with heed.
#include "plain_cases.hpp"

#include "../gradients.hpp"
#include "../masks.hpp"

#include <heed/observe.hpp>

namespace {

using namespace oracle;

/// Tables beside what they say, in double.
struct tables {
    test::table<float> floats;
    test::table<heed::f16> halves;

    /// Numbers at random, -inf, and tiles, rows and keys of 0.
    static double entry(const stated_case& of, int64 b, int64 h, int64 i, int64 j)
    {
        const bool left_out = i % 9 == 4 || (i % 2 ? (j + h) % 3 == 0 : j > of.keys / 2 + i);
        if (left_out) return -INFINITY;
        if (b == 1 || i % 7 == 2 || j % 5 == 0) return 0;
        return std::round(8 *
                          static_cast<double>(of.added.in().row(0, h, i)[j] > -9 ? of.added.in().row(0, h, i)[j] : 1)) /
               8;
    }
    explicit tables(const stated_case& of)
        : floats({of.batch, of.heads, of.queries, of.keys}, of.keys + 3,
                 [&](auto... x) { return static_cast<float>(entry(of, x...)); }),
          halves({of.batch, of.heads, of.queries, of.keys}, of.keys,
                 [&](auto... x) { return heed::f16(static_cast<float>(entry(of, x...))); })
    {}
};

plain::definition formula_of(const stated_case& of, plain::definition weights)
{
    weights.scale = static_cast<double>(0.3f);
    weights.cap = 2.5;
    weights.position_of_row_0 = [&of](int64 b) { return of.offsets[static_cast<std::size_t>(b)]; };
    weights.added = [&of](const plain::place& x) { return tables::entry(of, x.batch, x.head, x.row, x.key); };
    weights.attends = [&of](const plain::place& x) {
        return x.key <= x.position && tables::entry(of, x.batch, x.head, x.row, x.key) > -1e30;
    };
    return weights;
}

/// The outputs and the weights of each row.
template <class Def>
void judge(const stated_case& of, const Def& def, const plain::definition& formula)
{
    const auto rows = static_cast<std::size_t>(of.batch * of.heads * of.queries);
    std::vector<float> shift(rows), mass(rows), map(static_cast<std::size_t>(of.queries * of.keys));
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    const test::tensor<float> out = of.p.attend(def, {.stats = stats});
    const plain::problem p = of.formula();
    for (int64 b = 0; b < of.batch; ++b)
        for (int64 h = 0; h < of.heads; ++h) {
            REQUIRE(heed::attention_map(def, of.p.q.in(), of.p.k.in(), stats, {b, h, 0, of.queries}, map.data()));
            for (int64 i = 0; i < of.queries; ++i) {
                INFO("batch " << b << ", head " << h << ", row " << i);
                const plain::row r = plain::row_of(formula, p, b, h, i);
                for (std::size_t c = 0; c < r.out.size(); ++c) check("channel", c, r.out[c], out.in().row(b, h, i)[c]);
                std::vector<plain::judged> weights(static_cast<std::size_t>(of.keys));
                for (const plain::weighed& w : r.keys) weights[static_cast<std::size_t>(w.at.key)] = w.p;
                for (std::size_t j = 0; j < weights.size(); ++j)
                    check("weight of key", j, weights[j], map[static_cast<std::size_t>(i * of.keys) + j]);
            }
        }
}

void judge(const char* name, const std::vector<plain::sum_of>& want, const std::vector<float>& got)
{
    REQUIRE(want.size() == got.size());
    for (std::size_t i = 0; i < want.size(); ++i) check(name, i, want[i].result(), got[i]);
}

template <class Def>
void judge_gradients(const stated_case& of, const Def& def, const plain::definition& formula)
{
    const auto rows = static_cast<std::size_t>(of.batch * of.heads * of.queries);
    std::vector<float> shift(rows), mass(rows);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    const test::tensor<float> out = of.p.attend(def, {.stats = stats});
    test::owned_gradients<float> got(def, of.p.q.size, of.p.k.size, of.p.v.size);
    REQUIRE(heed::backward(def, of.p.q.in(), of.p.k.in(), of.p.v.in(), out.in(), stats, of.dout.in(), got.all()));
    const plain::gradients want = plain::gradients_of(formula, of.formula());
    judge("dq", want.dq, got.dq.data);
    judge("dk", want.dk, got.dk.data);
    judge("dv", want.dv, got.dv.data);
    judge("dbias", want.dbias, got.dbias.data);
}

plain::definition picks()
{
    plain::definition pick;
    pick.weights = plain::family::softpick;
    pick.log_c = [](int64) { return std::log(0.25); };
    return pick;
}

/// The definition around a table, whose other policies stand on both sides of it.
template <class Mask>
auto def(const stated_case& of, const Mask& table)
{
    return heed::attention{heed::softpick{0.25}, heed::softcap{2.5}, table,
                           heed::causal{},       heed::scale{0.3},   of.offset()};
}

}  // namespace

TEST_CASE("a table of numbers gives the outputs and weights that its formula has", "[oracle][plain]")
{
    for (const bool known : {true, false}) {
        INFO((known ? "with a summary" : "without a summary"));
        const stated_case small(37, 61, {24, -5}), large(20, 1100, {1080, 700});
        for (const stated_case* of : {&small, &large}) {
            const tables t(*of);
            judge(*of, def(*of, t.floats.mask(known)), formula_of(*of, picks()));
            judge(*of, def(*of, t.halves.mask(known)), formula_of(*of, picks()));
        }
    }
}

TEST_CASE("a table of numbers has the gradients of its formula, and is learned as a bias is", "[oracle][plain]")
{
    for (const bool known : {true, false}) {
        INFO((known ? "with a summary" : "without a summary"));
        const stated_case small(37, 61, {24, -5}), large(53, 430, {377, 200});
        for (const stated_case* of : {&small, &large}) {
            const tables t(*of);
            judge_gradients(*of, def(*of, t.floats.mask(known)), formula_of(*of, picks()));
        }
    }
}
