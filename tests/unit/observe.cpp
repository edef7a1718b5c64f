// SPDX-License-Identifier: MIT
// What observe() says of rows: attention maps against the reference's weights, everything else against plain loops over
// those maps, and cases that are known by hand.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <string>

using namespace test;

namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
constexpr T unit = std::numeric_limits<T>::epsilon() / 2;

/// The one NaN that every machine writes where a mean has no weight; 0 / 0 is negative on x86 and positive on ARM.
template <class T>
bool is_quiet_nan(T x)
{
    return std::isnan(x) && !std::signbit(x);
}

/// All that can be observed of [B, Hq, Sq], and what attend() says of the same rows.
template <class E, class T = heed::compute_t<E>>
struct observed {
    std::size_t rows;
    std::vector<T> shift, mass, lse;  // attend()'s
    std::vector<T> max_score, own_lse, entropy, total, first, distance, top_weights;
    std::vector<int64> attended, zeros, small, top_keys;

    template <class Def>
    observed(const Def& def, const heed::view<const E>& q, const heed::view<const E>& k, int64 top_k,
             const heed::options<T>& how = {})
        : rows(static_cast<std::size_t>(q.size.batch * q.size.heads * q.size.tokens))
    {
        for (auto* x : {&shift, &mass, &lse, &max_score, &own_lse, &entropy, &total, &first, &distance})
            x->assign(rows, T(-7));
        for (auto* x : {&attended, &zeros, &small}) x->assign(rows, -7);
        top_weights.assign(rows * static_cast<std::size_t>(top_k), T(-7));
        top_keys.assign(rows * static_cast<std::size_t>(top_k), -7);
        tensor<E> out(q.size);
        heed::options<T> with = how;
        with.stats = {shift.data(), mass.data(), lse.data()};
        heed::or_throw(heed::attend(def, q, k, k, out.view(), with));
        heed::or_throw(heed::observe(def, q, k, stats(), wanted(top_k), how));
    }
    heed::row_statistics<T> stats() { return {shift.data(), mass.data(), nullptr}; }
    heed::observations<T> wanted(int64 top_k)
    {
        return {.max_score = max_score.data(),
                .lse = own_lse.data(),
                .entropy = entropy.data(),
                .total = total.data(),
                .first_token = first.data(),
                .mean_distance = distance.data(),
                .attended = attended.data(),
                .zeros = zeros.data(),
                .small = small.data(),
                .top_k = top_k,
                .top_keys = top_keys.data(),
                .top_weights = top_weights.data()};
    }
    bool same(const observed& o, std::size_t from, std::size_t of) const
    {
        const auto part = [&](const auto& mine, const auto& others) {
            const std::size_t each = mine.size() / rows, bytes = sizeof(mine[0]) * each;
            return std::memcmp(&mine[from * each], &others[of * each], bytes) == 0;
        };
        return part(max_score, o.max_score) && part(own_lse, o.own_lse) && part(entropy, o.entropy) &&
               part(total, o.total) && part(first, o.first) && part(distance, o.distance) &&
               part(attended, o.attended) && part(zeros, o.zeros) && part(small, o.small) &&
               part(top_keys, o.top_keys) && part(top_weights, o.top_weights);
    }
};

/// Masks of one type, so that all of them cost one kernel.
struct some_mask {
    enum kinds { all, causal, scattered, odd_rows, none } kind;

    bool attends(const heed::query_place& at, int64 key) const
    {
        if (kind == causal) return key <= at.position - 3;  // the first rows may have no key
        if (kind == scattered) return (at.head + at.position + key * key) % 3 != 0;
        return kind == all || (kind == odd_rows && at.row % 2 == 1);
    }
    heed::coverage classify(const heed::block_place& b) const
    {
        if (kind == all) return heed::coverage::full;
        if (kind != causal) return heed::coverage::partial;
        const int64 last = b.last_row().position - 3, first = b.position_begin - 3;
        return b.key_begin > last       ? heed::coverage::none
               : b.key_end - 1 <= first ? heed::coverage::full
                                        : heed::coverage::partial;
    }
};

/// One channel, q a power of two, scale 1: scores before any score map are exact, and those of some rows reach 100.
template <class T>
problem<T> exact_scores(int64 queries, int64 keys)
{
    problem<T> p(2, 4, 2, queries, keys, 1, 1, 20);
    const float factors[] = {1, -0.5f, 4, 2, -32, 0};
    for (std::size_t i = 0; i < p.q.data.size(); ++i) p.q.data[i] = T(factors[(i + i / 6) % 6]);
    return p;
}

template <class T>
using wider = std::conditional_t<std::is_same_v<T, float>, double, long double>;

/// Compares a row's map with the reference's weights, whose scores are -inf where they are not attended, and what was
/// observed of the row with its map.
template <class E, class T = heed::compute_t<E>>
void check_row(const observed<E>& o, std::size_t row, int64 position, const std::vector<T>& map,
               const std::vector<wider<T>>& scores, const std::vector<wider<T>>& weights,
               const std::vector<wider<T>>& allowed, T score_error)
{
    using real = wider<T>;
    const std::size_t keys = map.size(), top = o.top_keys.size() / o.rows;
    real highest = -infinity<real>, total = 0, entropy = 0, information = 0, distance = 0, way = 0;
    int64 attended = 0, zeros = 0, small = 0;
    std::vector<std::size_t> order;
    for (std::size_t j = 0; j < keys; ++j) {
        const bool attends = scores[j] != -infinity<real>;
        if (!(std::fabs(map[j] - weights[j]) <= allowed[j]) || (!attends && (map[j] != 0 || std::signbit(map[j]))))
            FAIL("key " << j << " weighs " << map[j] << ", not " << weights[j] << " +- " << allowed[j]);
        const real p = map[j], d = static_cast<real>(position - static_cast<int64>(j));
        highest = std::max(highest, scores[j]);
        attended += attends;
        zeros += attends && map[j] == 0;
        small += attends && map[j] <= T(1e-5);
        total += p;
        distance += p * d;
        way += std::fabs(p * d);
        if (p != 0) entropy -= p * std::log(p), information += std::fabs(p * std::log(p));
        if (p > 0) order.push_back(j);
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return map[a] > map[b]; });

    constexpr real sums = 24 * unit<T>;  // 32 terms a lane, a tree of 4, three tiles, and the errors of terms
    if (attended == 0) CHECK(o.max_score[row] == -infinity<T>);
    else CHECK(std::fabs(o.max_score[row] - highest) <= score_error);
    CHECK(std::memcmp(&o.own_lse[row], &o.lse[row], sizeof(T)) == 0);
    CHECK(std::fabs(o.total[row] - total) <= sums * total);
    CHECK(std::fabs(o.entropy[row] - entropy) <= sums * information);
    if (total == 0) CHECK(is_quiet_nan(o.distance[row]));
    else CHECK(std::fabs(o.distance[row] - distance / total) <= 2 * sums * way / total);
    CHECK(o.first[row] == map[0]);
    CHECK(o.attended[row] == attended);
    CHECK(o.zeros[row] == zeros);
    CHECK(o.small[row] == small);
    for (std::size_t i = 0; i < top; ++i) {
        CHECK(o.top_keys[row * top + i] == (i < order.size() ? static_cast<int64>(order[i]) : -1));
        CHECK(o.top_weights[row * top + i] == (i < order.size() ? map[order[i]] : 0));
    }
}

/// dp/ds of one score, where the denominator stays.
template <class Normalizer, class Real>
Real slope_of(const Normalizer& normalizer, Real s, Real lse)
{
    const auto d = normalizer.slopes(heed::reference_score<Real>(s, lse));
    if constexpr (!heed::has_mass_v<Normalizer>) return d.value;
    else return Normalizer::shift == heed::shift::none ? d.weight / std::exp(lse) : d.weight;
}

/// Checks the maps of all heads and what is observed of all rows. `score_error` bounds the error of mapped scores.
template <class E, class Def>
void check(const Def& def, const problem<E>& p, heed::compute_t<E> score_error)
{
    using T = heed::compute_t<E>;
    using real = wider<T>;
    constexpr bool sums_scores = std::is_same_v<typename Def::normalizer_type, heed::sigmoid>;
    const int64 heads = p.q.size.heads, queries = p.q.size.tokens, keys = p.k.size.tokens;
    observed<E> o(def, p.q.in(), p.k.in(), 5);
    const auto n = static_cast<std::size_t>(keys);
    std::vector<real> scores(o.rows * n), weights(o.rows * n), lse(o.rows);
    tensor<real> out(p.out_size());
    heed::reference_dump<real> dump;
    dump.masked = scores.data();
    dump.weights = weights.data();
    dump.lse = lse.data();
    heed::or_throw(heed::reference<real>(def, p.q.in(), p.k.in(), p.v.in(), out.view(), &dump));
    for (std::size_t row = 0; row < o.rows; ++row) {
        const auto x = static_cast<int64>(row), batch = x / queries / heads, head = x / queries % heads,
                   i = x % queries;
        INFO("batch " << batch << ", head " << head << ", row " << i);
        std::vector<T> map(n, T(-7));
        heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), o.stats(), {batch, head, i, 1}, map.data()));
        const auto line = [&](const std::vector<real>& m) {
            const auto begin = m.begin() + x * keys;
            return std::vector<real>(begin, begin + keys);
        };
        const std::vector<real> s = line(scores), exact = line(weights);
        std::vector<real> allowed(n);
        for (std::size_t j = 0; j < n; ++j) {
            // Terms err by an ulp or two, the denominator by its sums, both by the error of scores; sigmoid rounds s +
            // b.
            const real own = sums_scores ? std::fabs(s[j]) * unit<T> : 0;
            const real slope = exact[j] > 0 ? slope_of(def.normalizer(), s[j], lse[row]) : 0;
            allowed[j] = (24 * unit<T> + score_error) * exact[j] + (slope > 0 ? (score_error + own) * slope : 0) +
                         8 * std::numeric_limits<T>::denorm_min();
        }
        check_row(o, row, def.position_of_row_0(batch, queries, keys) + i, map, s, exact, allowed, score_error);
    }
}

/// One type a normalizer: each costs seconds to compile.
template <class Normalizer>
auto definition(const Normalizer& normalizer, some_mask::kinds mask, int64 offset)
{
    return heed::attention{normalizer, some_mask{mask}, heed::scale{1}, heed::query_offset{offset}};
}

constexpr int64 heads = 4;
const float slopes[heads] = {0x1p-6f, -0x1p-7f, 0, 0x1p-8f};

}  // namespace

TEST_CASE(
    "weights and what is observed of them are right for every normalizer, under every mask, where scores are exact")
{
    const auto p = exact_scores<float>(6, 1100);
    for_each_normalizer(heads, [&](const char* name, const auto& normalizer) {
        for (const auto mask : {some_mask::all, some_mask::causal, some_mask::scattered, some_mask::odd_rows}) {
            INFO(name << ", mask " << mask);
            check(definition(normalizer, mask, 1094), p, 0.f);
        }
    });
}

TEST_CASE("so they are in double, of bf16 and f16, and without any mask or map")
{
    check(definition(heed::softpick{}, some_mask::causal, 594), exact_scores<double>(6, 600), 0.);
    check(heed::attention{heed::softmax_sink{slopes, heads}, heed::scale{1}}, exact_scores<heed::bf16>(6, 600), 0.f);
    check(definition(heed::softpick{}, some_mask::causal, 594), exact_scores<heed::f16>(6, 600), 0.f);
}

TEST_CASE("so they are after score maps that cap, slope, bias and mask")
{
    const int64 queries = 7, keys = 1050;
    const auto p = exact_scores<float>(queries, keys);
    tensor<float> table = normal<float>({1, heads, queries, keys}, 4);
    for (std::size_t i = 0; i < table.data.size(); i += 7) table.data[i] = -infinity<float>;
    // tanh errs by 3 ulp, the cap is 15, slope * distance at most 16: 15 * 4 + 15 + 31 + 35 units.
    const auto with = [&](const auto& normalizer) {
        for (const auto mask : {some_mask::all, some_mask::causal, some_mask::scattered}) {
            INFO("mask " << mask);
            check(heed::attention{normalizer, heed::scale{1}, heed::softcap{15}, heed::alibi{slopes, heads},
                                  heed::bias{table.in()}, some_mask{mask}},
                  p, 141 * unit<float>);
        }
    };
    with(heed::softmax{});
    with(heed::softpick{});
}

TEST_CASE("rows whose weights are known by hand are observed as they are")
{
    constexpr int64 keys = 700;
    const auto row_of = [](const auto& normalizer, float q, const std::vector<float>& k,
                           some_mask::kinds mask = some_mask::all) {
        return observed<float>(definition(normalizer, mask, keys - 1), heed::bhsd<const float>(&q, {1, 1, 1, 1}),
                               heed::bhsd<const float>(k.data(), {1, 1, keys, 1}), 2);
    };
    const std::vector<float> ones(keys, 1.f);
    SECTION("uniform: entropy ln n, ties to the smaller key")
    {
        const auto o = row_of(heed::softmax{}, 0.f, ones);
        REQUIRE(o.entropy[0] == Approx(std::log(700.)).epsilon(1e-6));
        REQUIRE(o.total[0] == Approx(1).epsilon(1e-6));
        REQUIRE(o.first[0] == Approx(1. / 700).epsilon(1e-6));
        REQUIRE(o.distance[0] == Approx(699. / 2).epsilon(1e-6));
        REQUIRE((o.zeros[0] == 0 && o.attended[0] == keys && o.max_score[0] == 0));
        REQUIRE((o.top_keys[0] == 0 && o.top_keys[1] == 1 && o.top_weights[1] == o.first[0]));
    }
    SECTION("one-hot: entropy 0, all other weights exactly 0 and not listed")
    {
        std::vector<float> k(keys, -1000.f);
        k[600] = 1000;
        const auto o = row_of(heed::softmax{}, 1.f, k);
        REQUIRE((o.entropy[0] == 0 && o.total[0] == 1 && o.first[0] == 0 && o.distance[0] == 99));
        REQUIRE((o.zeros[0] == keys - 1 && o.small[0] == keys - 1 && o.max_score[0] == 1000));
        REQUIRE((o.top_keys[0] == 600 && o.top_weights[0] == 1 && o.top_keys[1] == -1 && o.top_weights[1] == 0));
    }
    SECTION("softpick without a positive score: nothing is attended to")
    {
        const auto o = row_of(heed::softpick{}, -2.f, ones);
        REQUIRE((o.entropy[0] == 0 && o.total[0] == 0 && o.first[0] == 0 && is_quiet_nan(o.distance[0])));
        REQUIRE((o.zeros[0] == keys && o.small[0] == keys && o.attended[0] == keys && o.max_score[0] == -2));
        REQUIRE((o.top_keys[0] == -1 && o.top_keys[1] == -1));
        REQUIRE(o.own_lse[0] == Approx(std::log(700 * (1 - std::exp(-2.)))).epsilon(1e-6));
    }
    SECTION("softpick of scores that are all 0: weights 0, not 0 / 0")
    {
        const auto o = row_of(heed::softpick{}, 0.f, ones);
        REQUIRE((o.entropy[0] == 0 && o.total[0] == 0 && o.zeros[0] == keys && o.own_lse[0] == -infinity<float>));
    }
    SECTION("no key at all")
    {
        const auto o = row_of(heed::softmax{}, 1.f, ones, some_mask::none);
        REQUIRE((o.entropy[0] == 0 && o.total[0] == 0 && o.first[0] == 0 && is_quiet_nan(o.distance[0])));
        REQUIRE((o.zeros[0] == 0 && o.small[0] == 0 && o.attended[0] == 0 && o.max_score[0] == -infinity<float>));
        REQUIRE((o.top_keys[0] == -1 && o.top_weights[0] == 0 && o.own_lse[0] == -infinity<float>));
    }
    SECTION("weights that do not sum to 1: sigmoid of 0")
    {
        const auto o = row_of(heed::sigmoid{}, 0.f, ones);
        REQUIRE((o.total[0] == 350 && o.first[0] == 0.5f));
        REQUIRE(o.entropy[0] == Approx(350 * std::log(2.)).epsilon(1e-6));
    }
    SECTION("a weight beyond 1, and one that nearly vanishes beside it: relu")
    {
        std::vector<float> k(keys, -1.f);
        k[3] = 1400;
        k[699] = 0x1p-130f;
        const auto o = row_of(heed::relu<1>{}, 1.f, k);
        REQUIRE((o.total[0] == 2 && o.top_keys[0] == 3 && o.top_keys[1] == 699 && o.zeros[0] == keys - 2));
        REQUIRE(o.entropy[0] == Approx(-2 * std::log(2.)).epsilon(1e-6));
    }
}

TEST_CASE("a NaN in a key makes all but the counts NaN, of exactly the rows that attend it")
{
    problem<float> p(1, 2, 1, 9, 1040, 5, 5);
    p.k.data[5 * 1032 + 2] = std::numeric_limits<float>::quiet_NaN();
    const observed<float> o(definition(heed::softpick{}, some_mask::causal, 1031), p.q.in(), p.k.in(), 2);
    for (std::size_t row = 0; row < o.rows; ++row) {
        const bool meets = row % 9 >= 4;  // row i attends the keys up to 1028 + i
        INFO("row " << row);
        for (const auto* x : {&o.max_score, &o.own_lse, &o.entropy, &o.total, &o.first, &o.distance})
            REQUIRE(std::isnan((*x)[row]) == meets);
        REQUIRE(o.attended[row] == static_cast<int64>(1029 + row % 9));
        REQUIRE((o.top_keys[2 * row] == -1) == meets);
        REQUIRE(std::isnan(o.top_weights[2 * row]) == meets);
    }
}

TEST_CASE("of compute<bf16> the rounded weights are observed, those that V is multiplied with")
{
    if constexpr (heed::simd::has_bf16_dots) {
        constexpr int64 queries = 9, keys = 700;
        const problem<heed::bf16> p(1, 2, 1, queries, keys, 24, 24);
        const heed::attention def{heed::softpick{}, heed::causal{}, heed::compute<heed::bf16>{}};
        observed<heed::bf16> o(def, p.q.in(), p.k.in(), 1);
        tensor<float> out(p.out_size());
        heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view()));
        std::vector<float> map(queries * keys);
        heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), o.stats(), {0, 1, 0, queries}, map.data()));
        for (int64 i = 0; i < queries; ++i)
            for (int64 c = 0; c < 24; ++c) {
                double sum = 0, size = 0;
                for (int64 j = 0; j < keys; ++j) {
                    const double x = static_cast<double>(map[static_cast<std::size_t>(i * keys + j)]) *
                                     static_cast<double>(float{p.v.in().row(0, 0, j)[c]});
                    sum += x;
                    size += std::fabs(x);
                }
                REQUIRE(std::fabs(sum - static_cast<double>(out.in().row(0, 1, i)[c])) <= 32 * unit<float> * size);
            }
    }
}

TEST_CASE("no bit depends on threads, workspace, chunks of queries, batch, groups or what else is wanted")
{
    constexpr int64 queries = 210, keys = 1200;
    const problem<float> p(2, 4, 2, queries, keys, 40, 40, 1, 0.3);
    const auto def = definition(heed::softpick{}, some_mask::causal, keys - queries);
    observed<float> whole(def, p.q.in(), p.k.in(), 3);
    const auto row_of = [&](int64 b, int64 h, int64 i) { return static_cast<std::size_t>((b * 4 + h) * queries + i); };

    for (const int threads : {2, 3, 8}) {
        heed::thread_pool pool(threads);
        const observed<float> o(def, p.q.in(), p.k.in(), 3, {.executor = pool});
        for (std::size_t row = 0; row < o.rows; ++row) REQUIRE(o.same(whole, row, row));
    }
    for (const int64 first : {int64{0}, int64{1}, int64{100}, queries - 1}) {  // one head of one sample, some rows
        const int64 count = std::min<int64>(7, queries - first), b = 1, h = 3;
        const auto q = heed::strided<const float>(p.q.in().row(b, h, first), {1, 1, count, 40}, {0, 0, 40});
        const auto k = heed::strided<const float>(p.k.in().row(b, h / 2, 0), {1, 1, keys, 40}, {0, 0, 40});
        const auto part = definition(heed::softpick{}, some_mask::causal, keys - queries + first);
        const observed<float> o(part, q, k, 3);
        for (int64 i = 0; i < count; ++i) REQUIRE(o.same(whole, static_cast<std::size_t>(i), row_of(b, h, first + i)));
    }

    heed::thread_pool pool(3);
    const auto map_of = [&](heed::map_part part, const heed::options<float>& how) {
        std::vector<float> map(static_cast<std::size_t>(part.rows * keys));
        heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), whole.stats(), part, map.data(), how));
        return map;
    };
    const auto all = map_of({1, 3, 0, queries}, {});
    REQUIRE(same_bits(map_of({1, 3, 0, queries}, {.executor = pool}), all));
    const auto some = map_of({1, 3, 17, 30}, {});
    REQUIRE(std::memcmp(some.data(), &all[17 * keys], some.size() * sizeof(float)) == 0);

    std::vector<float> entropy(whole.rows);
    heed::observations<float> wanted;
    wanted.entropy = entropy.data();
    const heed::observe_plan plan(def, p.q.in(), heed::dense_kv{p.k.in(), p.v.in()});
    std::vector<unsigned char> scratch(plan.workspace_bytes() + 1);
    heed::options<float> how;
    how.workspace = {scratch.data() + 1, plan.workspace_bytes()};
    const auto q = p.q.in();
    const heed::dense_kv kv{p.k.in(), p.v.in()};
    const auto stats = whole.stats();
    static_assert(noexcept(plan.run(q, kv, stats, wanted, how)));
    heed::or_throw(plan.run(q, kv, stats, wanted, how));
    REQUIRE(same_bits(entropy, whole.entropy));
}

TEST_CASE("a worker of observe needs less than 2 MiB at head size 128, for any number of queries and keys")
{
    const heed::attention def{heed::softmax{}, heed::causal{}};
    constexpr int64 block = heed::micro::query_block;
    for (const int64 queries : {int64{1}, block, block + 1, int64{16384}, int64{1} << 30})
        for (const int64 keys : {0, 512, 1 << 30}) {
            const auto q = heed::bhsd<const float>(nullptr, {1, 8, queries, 128});
            const auto k = heed::bhsd<const float>(nullptr, {1, 1, keys, 128});
            REQUIRE(heed::observe_plan(def, q, k).workspace_bytes() < std::size_t{2} << 20);
        }
}

TEST_CASE("observe and attention_map say what is wrong, and write nothing then")
{
    const problem<float> p(1, 4, 2, 3, 40, 8, 8);
    const auto def = definition(heed::softmax{}, some_mask::all, 37);
    observed<float> o(def, p.q.in(), p.k.in(), 1);
    for (auto* x : {&o.entropy, &o.total, &o.top_weights}) std::fill(x->begin(), x->end(), -7.f);
    const auto before = o;
    std::vector<float> map(3 * 40, -7);
    const auto says = [](const heed::status& s) { return std::string(s.message()); };
    const auto observe = [&](const heed::observations<float>& wanted) {
        return says(heed::observe(def, p.q.in(), p.k.in(), o.stats(), wanted));
    };
    const auto part = [&](heed::map_part m, float* to) {
        return says(heed::attention_map(def, p.q.in(), p.k.in(), o.stats(), m, to));
    };
    const auto wanted = o.wanted(1);
    auto wrong = wanted;
    wrong.top_k = -1;
    REQUIRE(observe(wrong) == "observe: top_k -1 with some top_keys and some top_weights");
    wrong.top_k = 1;
    wrong.top_keys = nullptr;
    REQUIRE(observe(wrong) == "observe: top_k 1 with null top_keys and some top_weights");
    wrong = wanted;
    wrong.small_weight = -1;
    REQUIRE(observe(wrong) == "observe: small_weight -1 must be at least 0");
    REQUIRE(says(heed::observe(def, p.q.in(), p.k.in(), {nullptr, o.mass.data(), nullptr}, wanted)) ==
            "observe: stats.shift is null; attend() fills it for 12 rows through options.stats");
    REQUIRE(says(heed::observe(def, p.q.in(), p.k.in(), {o.shift.data(), nullptr, nullptr}, wanted)) ==
            "observe: stats.mass is null; attend() fills it for 12 rows through options.stats");
    const problem<float> three(1, 3, 3, 3, 40, 8, 8);
    REQUIRE(says(heed::observe(def, p.q.in(), three.k.in(), o.stats(), wanted)) ==
            "plan: q.heads 4 is not a multiple of kv.heads 3");
    heed::view<const float> nowhere = p.k.in();
    nowhere.data = nullptr;
    REQUIRE(says(heed::observe(def, p.q.in(), nowhere, o.stats(), wanted)) == "observe: k.data is null");
    REQUIRE(part({1, 0, 0, 3}, map.data()) == "attention_map: batch 1 of 1, head 0 of 4");
    REQUIRE(part({0, 4, 0, 3}, map.data()) == "attention_map: batch 0 of 1, head 4 of 4");
    REQUIRE(part({0, -1, 0, 3}, map.data()) == "attention_map: batch 0 of 1, head -1 of 4");
    REQUIRE(part({0, 0, 1, 3}, map.data()) == "attention_map: 3 rows from row 1 on, of 3");
    REQUIRE(part({0, 0, -1, 1}, map.data()) == "attention_map: 1 rows from row -1 on, of 3");
    REQUIRE(part({0, 0, 0, 3}, nullptr) == "attention_map: out is null");

    const heed::observe_plan plan(def, p.q.in(), p.k.in());
    std::vector<unsigned char> scratch(plan.workspace_bytes());
    const auto run = [&](const heed::options<float>& how) {
        return says(plan.run(p.q.in(), p.k.in(), o.stats(), wanted, how));
    };
    const std::string needs = ", needs " + std::to_string(scratch.size());
    REQUIRE(run({}) == "observe: workspace of 0 bytes at null" + needs);
    REQUIRE(run({.workspace = {scratch.data(), scratch.size() - 1}}) ==
            "observe: workspace of " + std::to_string(scratch.size() - 1) + " bytes" + needs);
    heed::thread_pool pool(2);
    REQUIRE(run({.executor = pool, .workspace = {scratch.data(), scratch.size()}}) ==
            "observe: the executor has 2 workers, planned for 1");
    REQUIRE(says(plan.run(p.q.in(), three.k.in(), o.stats(), wanted, {})) ==
            "plan: q.heads 4 is not a multiple of kv.heads 3");
    REQUIRE(std::all_of(map.begin(), map.end(), [](float x) { return x == -7; }));
    for (std::size_t row = 0; row < o.rows; ++row) REQUIRE(o.same(before, row, row));
}
