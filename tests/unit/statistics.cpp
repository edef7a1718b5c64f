// SPDX-License-Identifier: MIT
// Row statistics: the shift M, the mass l and the LSE of every normalizer, row by row, against the reference.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <type_traits>

using namespace test;

namespace {

constexpr int64 batch = 2, heads = 4, queries = 6, keys = 1100, empty_row = 3;
constexpr auto rows = static_cast<std::size_t>(batch * heads * queries);

/// What judges T.
template <class T>
using wider = std::conditional_t<std::is_same_v<T, float>, double, long double>;

/// A problem whose scores are exact (one channel, q a power of two, scale 1), so that only the sums round.
template <class T>
problem<T> exact_scores()
{
    problem<T> p(batch, heads, 2, queries, keys, 1, 20);
    const T factors[] = {T(1), T(-0.5), T(4), T(2), T(-32), T(0)};  // the fifth row reaches scores of 100
    for (std::size_t i = 0; i < p.q.data.size(); ++i) p.q.data[i] = factors[(i + i / 6) % 6];
    return p;
}

/// One row attends nothing, the others two keys of three, in every tile.
const auto mask = heed::attend_where([](int64, int64 head, int64 position, int64 key) {
    return position - (keys - queries) != empty_row && (head + position + key) % 3 != 0;
});

template <class Normalizer>
auto definition(const Normalizer& normalizer)
{
    return heed::attention{normalizer, mask, heed::scale{1}};
}

/// The normalizers of the library, and those whose extra mass is nothing, or nearly everything.
template <class F>
void for_each_family(F f)
{
    for_each_normalizer(heads, f);
    constexpr float nothing = -std::numeric_limits<float>::infinity();
    const float sinks[heads] = {nothing, 60, -60, nothing};
    f("softmax1 of 0", heed::softmax1{0});
    f("softmax1 of 3", heed::softmax1{3});
    f("sinks far up and down", heed::softmax_sink{sinks, heads});
    f("relu<3>", heed::relu<3>{});
    f("sigmoid", heed::sigmoid{});
}

template <class T>
struct statistics {
    tensor<T> out;
    std::vector<T> shift, mass, lse;
};

/// Attends, asking for the statistics that are named.
template <class T, class Def>
statistics<T> attend(const problem<T>& p, const Def& def, bool shift, bool mass, bool lse,
                     heed::executor_ref executor = {})
{
    statistics<T> s{tensor<T>(p.out_size(), T(-7)), {}, {}, {}};
    if (shift) s.shift.assign(rows, T(-7));
    if (mass) s.mass.assign(rows, T(-7));
    if (lse) s.lse.assign(rows, T(-7));
    heed::options<T> how{.executor = executor};
    if (shift) how.stats.shift = s.shift.data();
    if (mass) how.stats.mass = s.mass.data();
    if (lse) how.stats.lse = s.lse.data();
    heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), s.out.view(), how));
    return s;
}

}  // namespace

TEMPLATE_TEST_CASE("the mass times 2^M is the sum of u, and LSE the natural log of the denominator", "", float, double)
{
    using T = TestType;
    using real = wider<T>;
    constexpr real infinity = std::numeric_limits<real>::infinity(), unit = std::numeric_limits<T>::epsilon() / 2;
    const auto p = exact_scores<T>();
    for_each_family([&](const char* name, const auto& normalizer) {
        using normalizer_type = std::decay_t<decltype(normalizer)>;
        const auto def = definition(normalizer);
        tensor<real> expected(p.out_size());
        std::vector<real> scores(rows * keys), lse(rows);
        heed::reference_dump<real> dump;
        dump.masked = scores.data();
        dump.lse = lse.data();
        heed::or_throw(heed::reference<real>(def, p.q.in(), p.k.in(), p.v.in(), expected.view(), &dump));

        const auto got = attend(p, def, true, true, true);
        for (std::size_t row = 0; row < rows; ++row) {
            INFO(name << ", row " << row);
            real sum = 0, top = -infinity;
            for (std::size_t j = row * keys; j < (row + 1) * keys; ++j) {
                if (scores[j] == -infinity) continue;
                top = std::max(top, scores[j]);
                if constexpr (heed::has_mass_v<normalizer_type>)
                    sum += normalizer.terms(heed::reference_score<real>(scores[j], 0)).mass;
            }
            const real shift = got.shift[row], mass = got.mass[row];
            REQUIRE((row % queries == empty_row) == (top == -infinity));
            if (top == -infinity) REQUIRE(mass == 0);
            else REQUIRE(std::fabs(std::ldexp(mass, static_cast<int>(shift)) - sum) <= 16 * unit * sum);
            if (lse[row] == -infinity) REQUIRE(got.lse[row] == -std::numeric_limits<T>::infinity());
            else REQUIRE(std::fabs(got.lse[row] - lse[row]) <= 2 * unit * std::fabs(lse[row]) + 16 * unit);
        }
    });
}

TEST_CASE("M is the whole number at or above the reference score in units of ln 2, as the shift rule says")
{
    const auto p = exact_scores<float>();
    for_each_family([&](const char* name, const auto& normalizer) {
        constexpr heed::shift rule = std::decay_t<decltype(normalizer)>::shift;
        const auto got = attend(p, definition(normalizer), true, false, false);
        for (int64 row = 0; row < int64{rows}; ++row) {
            INFO(name << ", row " << row);
            const int64 b = row / (heads * queries), h = row / queries % heads, i = row % queries;
            const double shift = static_cast<double>(got.shift[static_cast<std::size_t>(row)]);
            double top = rule == heed::shift::by_max ? -std::numeric_limits<double>::infinity() : 0;
            for (int64 j = 0; j < keys; ++j)
                if (rule != heed::shift::none && mask.attends({b, h, i, keys - queries + i}, j))
                    top = std::max(top, static_cast<double>(p.q.in().row(b, h, i)[0] * p.k.in().row(b, h / 2, j)[0]));
            REQUIRE(shift == std::floor(shift));
            if (std::isinf(top)) continue;  // an empty row of by_max: below every score
            const double above = shift - top / std::log(2);
            REQUIRE(above >= -1e-5);
            REQUIRE(above < 1 + 1e-5);
        }
    });
}

TEST_CASE("the LSE of a row that attends nothing is the log of its extra mass, -inf without one")
{
    const auto p = exact_scores<float>();
    const float sinks[heads] = {0, 60, -60, -std::numeric_limits<float>::infinity()};
    const auto lse = [&](const auto& normalizer, int64 head) {
        const auto got = attend(p, definition(normalizer), false, false, true);
        return got.lse[static_cast<std::size_t>((heads + head) * queries + empty_row)];
    };
    const float nothing = -std::numeric_limits<float>::infinity();
    REQUIRE(lse(heed::softmax{}, 0) == nothing);
    REQUIRE(lse(heed::softmax1{0}, 1) == nothing);
    REQUIRE(lse(heed::softmax1{1}, 1) == 0);
    REQUIRE(lse(heed::softmax1{3}, 2) == Approx(std::log(3.)).epsilon(1e-6));
    REQUIRE(lse(heed::softmax_sink{sinks, heads}, 1) == Approx(60).epsilon(1e-6));
    REQUIRE(lse(heed::softmax_sink{sinks, heads}, 2) == Approx(-60).epsilon(1e-6));
    REQUIRE(lse(heed::softmax_sink{sinks, heads}, 3) == nothing);
    REQUIRE(lse(heed::softpick{}, 0) == nothing);
    REQUIRE(lse(heed::softpick{1e-3}, 0) == Approx(std::log(1e-3)).epsilon(1e-6));
    REQUIRE(lse(heed::relu<2>{}, 3) == nothing);
    REQUIRE(lse(heed::sigmoid{}, 3) == 0);  // its denominator is always 1
}

TEST_CASE("each statistic may be asked for alone, and none of them changes a bit of the output")
{
    const auto p = exact_scores<float>();
    for_each_family([&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer);
        const auto none = attend(p, def, false, false, false), all = attend(p, def, true, true, true);
        const auto shift = attend(p, def, true, false, false), mass = attend(p, def, false, true, false);
        const auto lse = attend(p, def, false, false, true);
        REQUIRE(same_bits(shift.shift, all.shift));
        REQUIRE(same_bits(mass.mass, all.mass));
        REQUIRE(same_bits(lse.lse, all.lse));
        for (const auto* s : {&all, &shift, &mass, &lse}) REQUIRE(same_bits(s->out.data, none.out.data));
    });
}

TEST_CASE("statistics have the same bits when keys are split among workers, and when they come from a state")
{
    const auto p = exact_scores<float>();
    heed::thread_pool pool(3);
    for_each_family([&](const char* name, const auto& normalizer) {
        INFO(name);
        const auto def = definition(normalizer);
        const auto serial = attend(p, def, true, true, true);
        REQUIRE(heed::plan(def, p.q.in(), p.k.in(), p.v.in(), {.executor = pool}).stages() == 2);
        const auto split = attend(p, def, true, true, true, pool);
        REQUIRE(same_bits(split.shift, serial.shift));
        REQUIRE(same_bits(split.mass, serial.mass));
        REQUIRE(same_bits(split.lse, serial.lse));

        owned_state<float> s(def, p.out_size());
        heed::or_throw(heed::attend_partial(def, p.q.in(), p.k.in(), p.v.in(), s.state()));
        tensor<float> out(p.out_size());
        std::vector<float> lse(rows);
        REQUIRE(same_bits(s.shift, serial.shift));
        REQUIRE(same_bits(s.mass, serial.mass));
        heed::or_throw(heed::finish(def, s.state(), out.view(), lse.data()));
        REQUIRE(same_bits(lse, serial.lse));
        REQUIRE(same_bits(out.data, serial.out.data));
    });
}
