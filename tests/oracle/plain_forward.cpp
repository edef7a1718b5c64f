// SPDX-License-Identifier: MIT
// What attend, observe and attention_map make of every policy, against formulas that share no code with heed.
#include "plain_cases.hpp"

#include <heed/observe.hpp>

namespace {

using namespace oracle;

/// What is known of all rows, as heed says it.
struct observed {
    std::vector<float> shift, mass, lse, max_score, entropy, total, first, distance, top_weights;
    std::vector<int64> attended, zeros, small, top_keys;
    static constexpr int64 top_k = 3;

    explicit observed(int64 rows)
    {
        const auto n = static_cast<std::size_t>(rows);
        for (std::vector<float>* x : {&shift, &mass, &lse, &max_score, &entropy, &total, &first, &distance})
            x->assign(n, -7);
        top_weights.assign(n * top_k, -7);
        for (std::vector<int64>* x : {&attended, &zeros, &small}) x->assign(n, -7);
        top_keys.assign(n * top_k, -7);
    }
    heed::row_statistics<float> stats() { return {shift.data(), mass.data(), lse.data()}; }
    heed::observations<float> wanted()
    {
        heed::observations<float> w;
        w.max_score = max_score.data();
        w.entropy = entropy.data();
        w.total = total.data();
        w.first_token = first.data();
        w.mean_distance = distance.data();
        w.attended = attended.data();
        w.zeros = zeros.data();
        w.small = small.data();
        w.small_weight = 0;
        w.top_k = top_k;
        w.top_keys = top_keys.data();
        w.top_weights = top_weights.data();
        return w;
    }
};

void judge_statistics(const plain::definition& def, const plain::row& r, const observed& got, std::size_t at)
{
    plain::sum_of total, entropy, distance;
    plain::judged first, most{-INFINITY, 0};
    for (const plain::weighed& w : r.keys) {
        const double p = w.p.value, apart = static_cast<double>(w.at.position - w.at.key);
        if (w.at.key == 0) first = w.p;
        if (w.score > most.value) most = {w.score, w.score_error};
        total.add(p, w.p.error);
        distance.add(p * apart, w.p.error * std::fabs(apart));
        if (p > 0) entropy.add(-p * std::log(p), (1 + std::fabs(std::log(p))) * (w.p.error + plain::unit * p));
    }
    int64 zeros = 0, maybe = 0;
    for (const plain::weighed& w : r.keys) {
        const bool positive = w.p.value > 4 * w.p.error + 1e-37;
        zeros += w.p.value + 4 * w.p.error == 0;
        maybe += !positive;
    }
    CHECK(got.attended[at] == static_cast<int64>(r.keys.size()));
    CHECK((zeros <= got.zeros[at] && got.zeros[at] <= maybe));
    CHECK(got.small[at] == got.zeros[at]);
    CHECK((r.keys.empty() ? got.max_score[at] == -INFINITY : most.holds(static_cast<double>(got.max_score[at]))));
    check("total of row", at, total.result(), got.total[at]);
    check("first token of row", at, first, got.first[at]);
    check("entropy of row", at, entropy.result(), got.entropy[at]);
    if (r.den > 0) check("lse of row", at, r.lse, got.lse[at]);
    else CHECK(got.lse[at] == -INFINITY);
    if (got.total[at] == 0) CHECK((std::isnan(got.distance[at]) && !std::signbit(got.distance[at])));
    if (total.value > 1e-6) {
        const double mean = distance.value / total.value;
        const double error = distance.result().error + std::fabs(mean) * total.result().error;
        check("mean distance of row", at, {mean, error / total.value}, got.distance[at]);
    }
    if (r.mass > 0) {  // l, times 2^M
        const double mass = std::ldexp(static_cast<double>(got.mass[at]), static_cast<int>(got.shift[at]));
        CHECK(plain::judged{r.mass, r.den_error * r.den}.holds(mass));
    }
    if (def.weights == plain::family::sigmoid || def.weights == plain::family::relu) {
        CHECK(got.shift[at] == 0);
    } else if (!r.keys.empty()) {  // M is a whole number, at or next above the largest score in units of ln 2
        const double floor = def.weights == plain::family::softpick ? 0 : -INFINITY;
        const double least = std::max(floor, most.value) / std::log(2.), off = 4 * most.error / std::log(2.);
        const double m = static_cast<double>(got.shift[at]);
        CHECK((m == std::floor(m) && m >= least - off && m < least + off + 1));
    }
}

/// The keys of the largest weights: as large as what is not listed, by falling weight.
void judge_largest(const plain::row& r, const observed& got, std::size_t at)
{
    const float* const weights = got.top_weights.data() + at * observed::top_k;
    const int64* const keys = got.top_keys.data() + at * observed::top_k;
    for (int64 i = 0; i < observed::top_k; ++i) {
        if (i > 0 && !(weights[i] <= weights[i - 1])) FAIL_CHECK("the largest weights do not fall");
        if (i > 0 && weights[i] == weights[i - 1] && keys[i] <= keys[i - 1] && keys[i] >= 0)
            FAIL_CHECK("of equal weights the smaller key is first");
        plain::judged at_key;
        for (const plain::weighed& w : r.keys)
            if (w.at.key == keys[i]) at_key = w.p;
        check("weight of the listed key", static_cast<std::size_t>(i), at_key, weights[i]);
    }
    for (const plain::weighed& w : r.keys)
        if (w.p.value - 8 * w.p.error - 1e-37 > static_cast<double>(weights[observed::top_k - 1]) &&
            std::find(keys, keys + observed::top_k, w.at.key) == keys + observed::top_k)
            FAIL_CHECK("key " << w.at.key << " is not listed, its weight is " << w.p.value);
}

void judge_row(const plain::row& r, const float* out, const float* map, int64 keys)
{
    for (std::size_t c = 0; c < r.out.size(); ++c) check("channel", c, r.out[c], out[c]);
    std::vector<plain::judged> p(static_cast<std::size_t>(keys));
    for (const plain::weighed& w : r.keys) p[static_cast<std::size_t>(w.at.key)] = w.p;
    for (std::size_t j = 0; j < p.size(); ++j) check("weight of key", j, p[j], map[j]);
}

/// The sums of weights by key, [batch][kv head][key].
template <class Def>
void judge_key_totals(const stated_case& of, const Def& def, const heed::row_statistics<float>& stats,
                      const std::vector<plain::sum_of>& want)
{
    std::vector<float> got(want.size(), -7);
    REQUIRE(heed::key_totals(def, of.p.q.in(), of.p.k.in(), stats, got));
    for (std::size_t i = 0; i < got.size(); ++i) check("total of key", i, {want[i].value, want[i].error}, got[i]);
}

template <class Def>
void judge(const stated_case& of, const Def& def, const plain::definition& formula)
{
    observed got(of.batch * of.heads * of.queries);
    const test::tensor<float> out = of.p.attend(def, {.stats = got.stats()});
    REQUIRE(heed::observe(def, of.p.q.in(), of.p.k.in(), got.stats(), got.wanted()));
    std::vector<float> map(static_cast<std::size_t>(of.queries * of.keys));
    const plain::problem p = of.formula();
    std::vector<plain::sum_of> key_totals(static_cast<std::size_t>(of.batch * of.kv_heads * of.keys));
    for (int64 b = 0; b < of.batch; ++b)
        for (int64 h = 0; h < of.heads; ++h) {
            const int64 line = (b * of.kv_heads + h / (of.heads / of.kv_heads)) * of.keys;
            const int64 skipped = h;  // rows of the map
            const heed::map_part part{b, h, skipped, of.queries - skipped};
            REQUIRE(heed::attention_map(def, of.p.q.in(), of.p.k.in(), got.stats(), part, map.data()));
            for (int64 i = 0; i < of.queries; ++i) {
                INFO("batch " << b << ", head " << h << ", row " << i);
                const auto at = static_cast<std::size_t>((b * of.heads + h) * of.queries + i);
                const plain::row r = plain::row_of(formula, p, b, h, i);
                judge_statistics(formula, r, got, at);
                judge_largest(r, got, at);
                for (const plain::weighed& w : r.keys)
                    key_totals[static_cast<std::size_t>(line + w.at.key)].add(w.p.value, w.p.error);
                if (i >= skipped) judge_row(r, out.in().row(b, h, i), map.data() + (i - skipped) * of.keys, of.keys);
            }
        }
    judge_key_totals(of, def, got.stats(), key_totals);
}

void judge_all(const stated_case& of)
{
    for_each_stated_normalizer(of, [&](const char* name, const auto& normalizer, const plain::definition& weights) {
        for (const stated_mask& mask : of.masks())
            for (const bool mapped : {false, true}) {
                INFO(name << ", " << mask.name << (mapped ? ", softcap, alibi, bias" : ""));
                judge(of, of.def(normalizer, mask.mask, mapped), of.formula_of(weights, mask, mapped));
            }
    });
}

}  // namespace

TEST_CASE("every policy does what its formula says: outputs, statistics and weights", "[oracle][plain]")
{
    judge_all(stated_case(37, 61, {24, -5}));
}

TEST_CASE("and does so over several key tiles", "[oracle][plain]") { judge_all(stated_case(4, 1040, {490, 1022})); }
