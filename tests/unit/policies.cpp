// SPDX-License-Identifier: MIT
// Normalizers, score maps, scale and extra mass, each against its own formula.
#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace test;

namespace {

constexpr double ulp = 0x1p-24;  // of a float, relative

/// A score as terms() sees it, with every term e^-m times its plain value.
struct plain_score {
    double s, m;

    double value() const { return s; }
    double exp() const { return std::exp(s - m); }
    double expm1() const { return std::exp(-m) * std::expm1(s); }
    double one() const { return std::exp(-m); }
};

bool is_close(double got, long double expected, double tolerance)
{
    return std::fabs(static_cast<double>(got - expected)) <= tolerance * std::fabs(static_cast<double>(expected));
}

/// terms() of a normalizer with a mass are w and u of the formula, at every score and shift.
template <class Normalizer, class W, class U>
void has_terms(const Normalizer& normalizer, W w, U u)
{
    for (const double m : {0.0, 2.5, 30.0}) {
        if (Normalizer::shift == heed::shift::none && m != 0) continue;
        for (double s = -30; s <= 30; s += 0.125) {
            const auto t = normalizer.terms(plain_score{s, m});
            INFO("score " << s << ", shift " << m);
            REQUIRE(is_close(t.weight, std::exp(-static_cast<long double>(m)) * w(static_cast<long double>(s)), 2e-14));
            REQUIRE(is_close(t.mass, std::exp(-static_cast<long double>(m)) * u(static_cast<long double>(s)), 2e-14));
        }
    }
}

/// The terms as two numbers; a bare weight has no mass.
template <class V>
heed::ratio<V> both(heed::ratio<V> t)
{
    return t;
}
template <class V>
heed::ratio<V> both(heed::weight<V> t)
{
    return {t.value, V(0)};
}

/// What attend makes of given scores: the weights, read off a V of unit vectors, and the plain mass.
template <class T>
struct outcome {
    tensor<T> weights;  // [B, Hq, Sq, Skv]
    std::vector<double> mass;
};

template <class T, class Def>
outcome<T> weights_of(const Def& def, const tensor<T>& q, const tensor<T>& k)
{
    const int64 keys = k.size.tokens, rows = q.size.batch * q.size.heads * q.size.tokens;
    tensor<T> v({k.size.batch, k.size.heads, keys, keys});
    for (std::size_t i = 0; i < v.data.size(); ++i) {
        const auto n = static_cast<std::size_t>(keys);
        v.data[i] = T(i % n == i / n % n);
    }
    std::vector<T> shift(static_cast<std::size_t>(rows)), mass(shift.size());
    outcome<T> o{tensor<T>({q.size.batch, q.size.heads, q.size.tokens, keys}, T(-7)), {}};
    const heed::options<T> how{.stats = {shift.data(), mass.data(), nullptr}};
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), o.weights.view(), how));
    for (std::size_t i = 0; i < mass.size(); ++i)
        o.mass.push_back(static_cast<double>(mass[i]) * std::exp2(static_cast<double>(shift[i])));
    return o;
}

/// One row of given scores: q = 1, k = the scores, scale 1.
template <class... Policies>
outcome<float> weigh(const std::vector<float>& scores, const Policies&... policies)
{
    tensor<float> q({1, 1, 1, 1}, 1), k({1, 1, static_cast<int64>(scores.size()), 1});
    k.data = scores;
    return weights_of(heed::attention{policies..., heed::scale{1}}, q, k);
}

bool is_positive_zero(float x) { return x == 0 && !std::signbit(x); }

/// The largest relative error of what should be w(s) / (extra + sum of u(s)).
template <class Weights, class W, class U>
double worst_error(const Weights& got, const std::vector<float>& scores, W w, U u, long double extra = 0)
{
    long double den = extra;
    for (const float s : scores) den += u(static_cast<long double>(s));
    double worst = 0;
    for (std::size_t j = 0; j < scores.size(); ++j) {
        const long double expected = w(static_cast<long double>(scores[j])) / den, error = got[j] - expected;
        if (error != 0) worst = std::max(worst, std::fabs(static_cast<double>(error / expected)));
    }
    return worst;
}

const auto e_to_the = [](long double s) { return std::exp(s); };

}  // namespace

// --- normalizers ----------------------------------------------------------------------------------------------------

TEST_CASE("the terms of a normalizer are its formula")
{
    const float z = 3;
    has_terms(heed::softmax{}, e_to_the, e_to_the);
    has_terms(heed::softmax1{}, e_to_the, e_to_the);  // the extra mass belongs to the row, not to its terms
    has_terms(heed::softmax_sink{&z, 1}, e_to_the, e_to_the);
    const auto above_one = [](long double s) { return s > 0 ? std::expm1(s) : 0; };
    const auto from_one = [](long double s) { return std::fabs(std::expm1(s)); };
    has_terms(heed::softpick{}, above_one, from_one);
    has_terms(heed::softpick{0.25}, above_one, from_one);
    const auto one = [](long double) { return 1.0L; };
    has_terms(
        heed::relu<1>{}, [](long double s) { return s > 0 ? s : 0; }, one);
    has_terms(
        heed::relu<2>{}, [](long double s) { return s > 0 ? s * s : 0; }, one);
    has_terms(
        heed::relu<7>{}, [](long double s) { return s > 0 ? std::pow(s, 7.0L) : 0; }, one);
    for (const double b : {0.0, -4.5, 2.0})
        for (double s = -30; s <= 30; s += 0.125) {
            const double w = heed::sigmoid{b}.terms(plain_score{s, 0}).value;
            REQUIRE(is_close(w, 1 / (1 + std::exp(-static_cast<long double>(s + b))), 2e-14));
        }
}

TEST_CASE("the slopes of a normalizer are the derivatives of its terms")
{
    const auto check = [](const char* name, auto normalizer) {
        for (const double m : {0.0, 2.5}) {
            if (decltype(normalizer)::shift == heed::shift::none && m != 0) continue;
            for (double s = -30; s <= 30; s += 0.25) {
                if (s == 0) continue;  // the kink
                INFO(name << ", score " << s << ", shift " << m);
                const double h = 1e-5;
                const auto up = both(normalizer.terms(plain_score{s + h, m}));
                const auto down = both(normalizer.terms(plain_score{s - h, m}));
                const auto slope = both(normalizer.slopes(plain_score{s, m}));
                // Where a term is nearly constant, its own rounding over 2 h is all that is left.
                const double noise = 1e-15 / h;
                REQUIRE(std::fabs((up.weight - down.weight) / (2 * h) - slope.weight) <=
                        1e-7 * std::fabs(slope.weight) + noise * std::fabs(up.weight));
                REQUIRE(std::fabs((up.mass - down.mass) / (2 * h) - slope.mass) <=
                        1e-7 * std::fabs(slope.mass) + noise * std::fabs(up.mass));
            }
        }
    };
    for_each_normalizer(2, check);
    check("relu<8>", heed::relu<8>{});
    check("sigmoid", heed::sigmoid{});
}

TEST_CASE("at a kink the slope is 0")
{
    for (const double zero : {0.0, -0.0})
        for (const double m : {0.0, 3.0}) {
            REQUIRE(heed::softpick{}.slopes(plain_score{zero, m}).weight == 0);
            REQUIRE(heed::softpick{}.slopes(plain_score{zero, m}).mass == 0);
        }
    REQUIRE(heed::relu<1>{}.slopes(plain_score{0, 0}).weight == 0);
    REQUIRE(heed::relu<2>{}.slopes(plain_score{0, 0}).weight == 0);
}

TEST_CASE("softpick gives a score that is not positive the weight +0, beside any others")
{
    const std::vector<float> not_positive{0, -0.0f, -1e-45f, -1e-38f, -1e-20f, -1e-6f, -0.7f, -3, -88, -200, -1e30f};
    for (const float top : {-1.f, 1e-30f, 1e-3f, 0.5f, 9.f, 87.f, 1000.f}) {
        std::vector<float> scores = not_positive;
        scores.insert(scores.begin() + 5, top);
        const auto o = weigh(scores, heed::softpick{});
        for (std::size_t j = 0; j < scores.size(); ++j) {
            INFO("score " << scores[j] << " beside " << top);
            REQUIRE((scores[j] > 0 ? o.weights.data[j] > 0 : is_positive_zero(o.weights.data[j])));
        }
    }
    // Without a score near 0 either: the terms are those of M = 0, and every |e^s - 1| is 1.
    const auto low = weigh({-150, -200, -1e30f}, heed::softpick{});
    REQUIRE(low.mass[0] == 3);
    for (const float w : low.weights.data) REQUIRE(is_positive_zero(w));
}

TEST_CASE("softpick keeps the weights and the mass of small scores to the last bits, where the published form does not")
{
    constexpr double bound = 6 * ulp;
    std::mt19937_64 random(1);
    for (const float size : {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f}) {
        INFO("scores of size " << size);
        std::vector<float> s(40);
        std::uniform_real_distribution<float> in_decade(1, 10);
        for (float& x : s) x = (random() % 3 ? size : -size) * in_decade(random) / 10;
        const auto w = [](long double x) { return x > 0 ? std::expm1(x) : 0; };
        const auto u = [](long double x) { return std::fabs(std::expm1(x)); };
        const auto o = weigh(s, heed::softpick{});
        REQUIRE(worst_error(o.weights.data, s, w, u) <= bound);
        long double mass = 0;
        for (const float x : s) mass += u(static_cast<long double>(x));
        REQUIRE(is_close(o.mass[0], mass, bound));

        // arXiv 2504.20966: exp(s - m) - exp(-m), with m the largest score.
        const float m = *std::max_element(s.begin(), s.end());
        std::vector<float> published;
        float den = 0;
        for (const float x : s) {
            const float t = std::exp(x - m) - std::exp(-m);
            published.push_back(std::max(t, 0.f));
            den += std::fabs(t);
        }
        for (float& p : published) p /= den;
        REQUIRE(worst_error(published, s, w, u) > 20 * bound);
    }
}

TEST_CASE("an extra mass of n joins the denominator once, and 0 of it changes no bit")
{
    const std::vector<std::vector<float>> rows{{0}, {0, 0, 0}, {1, -2, 0.5f, 3}, {-20, -21, -19}, {40, 41}, {-80, -85}};
    const auto empty = heed::attend_where([](int64, int64, int64, int64) { return false; });
    for (const double n : {0., 1., 3.})
        for (const auto& scores : rows) {
            INFO("n = " << n << ", first score " << scores[0]);
            const auto o = weigh(scores, heed::softmax1{n});
            REQUIRE(worst_error(o.weights.data, scores, e_to_the, e_to_the, static_cast<long double>(n)) < 8 * ulp);
            if (n == 0) REQUIRE(same_bits(o.weights.data, weigh(scores, heed::softmax{}).weights.data));
            const float logit = static_cast<float>(std::log(n));
            REQUIRE(same_bits(o.weights.data, weigh(scores, heed::softmax_sink{&logit, 1}).weights.data));
            for (const float x : weigh(scores, heed::softmax1{n}, empty).weights.data) REQUIRE(is_positive_zero(x));
        }
    REQUIRE(std::exp(heed::softmax1{3}.log_offset(0)) == Approx(3).epsilon(1e-15));
    REQUIRE(std::exp(heed::softpick{1e-3}.log_offset(0)) == Approx(1e-3).epsilon(1e-15));
}

TEST_CASE("each query head has its own sink, in the units of scaled scores")
{
    const float logits[] = {-2, 0, 5, -std::numeric_limits<float>::infinity()};
    const std::vector<float> scores{1, -3, 2};
    tensor<float> q({1, 4, 1, 1}, 4), k({1, 2, 3, 1});  // q k = 4 s, and the scale takes the 4 away
    for (std::size_t i = 0; i < 6; ++i) k.data[i] = scores[i % 3];
    const auto o = weights_of(heed::attention{heed::softmax_sink{logits, 4}, heed::scale{0.25}}, q, k);
    for (int64 h = 0; h < 4; ++h)
        REQUIRE(worst_error(o.weights.in().row(0, h, 0), scores, e_to_the, e_to_the,
                            std::exp(static_cast<long double>(logits[h]))) < 8 * ulp);
}

// --- score maps -----------------------------------------------------------------------------------------------------

TEST_CASE("score maps are applied in the order written")
{
    const std::vector<float> scores{0.5f, -4, 7, 2, -1}, added{3, 1, -2, 0.25f, 5};
    const heed::bias bias(heed::bhsd(added.data(), {1, 1, 1, 5}));
    const heed::softcap cap{2.5};
    const auto capped = [](long double s) { return 2.5L * std::tanh(s / 2.5L); };
    const auto error = [&](const outcome<float>& o, auto map) {
        std::vector<float> mapped;
        for (std::size_t j = 0; j < 5; ++j) {
            const long double s = scores[j], b = added[j];
            mapped.push_back(static_cast<float>(map(s, b)));
        }
        return worst_error(o.weights.data, mapped, e_to_the, e_to_the);
    };
    const auto cap_then_add = [&](long double s, long double b) { return capped(s) + b; };
    const auto add_then_cap = [&](long double s, long double b) { return capped(s + b); };
    const auto a = weigh(scores, cap, bias), b = weigh(scores, bias, cap);
    REQUIRE(error(a, cap_then_add) < 50 * ulp);  // scores of size 7 are rounded to 7 ulp
    REQUIRE(error(b, add_then_cap) < 50 * ulp);
    REQUIRE(error(a, add_then_cap) > 0.1);
    REQUIRE(error(b, cap_then_add) > 0.1);
    // What stands between two maps and is no map does not matter.
    REQUIRE(same_bits(a.weights.data, weigh(scores, cap, heed::softmax{}, heed::all_keys{}, bias).weights.data));
}

TEST_CASE("ALiBi adds each head's slope times the distance in absolute positions, over several key tiles")
{
    const float slopes[] = {0.5f, 0.03125f, -0.0078125f, 0};
    constexpr int64 keys = 1100;
    const tensor<float> q({1, 4, 2, 1}), k({1, 2, keys, 1}, 1);  // every score is 0
    for (const int64 offset : {keys - 2, int64{0}, int64{-3}, int64{5000}}) {
        // relu's weight is the score itself over the number of keys: softmax would cancel a constant of the row.
        const auto o =
            weights_of(heed::attention{heed::relu<1>{}, heed::alibi{slopes, 4}, heed::query_offset{offset}}, q, k);
        for (int64 h = 0; h < 4; ++h)
            for (int64 i = 0; i < 2; ++i) {
                INFO("head " << h << ", row " << i << ", offset " << offset);
                double worst = 0;
                for (int64 j = 0; j < keys; ++j) {
                    const double s = static_cast<double>(slopes[h]) * static_cast<double>(j - (offset + i));
                    const double expected = std::max(s, 0.) / keys;
                    const double error = std::fabs(static_cast<double>(o.weights.in().row(0, h, i)[j]) - expected);
                    worst = std::max(worst, error - ulp * expected);
                }
                REQUIRE(worst <= 0);
            }
    }
}

TEST_CASE("ALiBi keeps distances beyond the positions that a float tells apart")
{
    const float slope = 1;
    const int64 base = 4 * (int64{1} << 24) + 3;
    tensor<float> q({1, 1, 1, 1}), k({1, 1, 4, 1}), v({1, 1, 4, 1}), out({1, 1, 1, 1});
    for (int64 j = 0; j < 4; ++j) v.data[static_cast<std::size_t>(j)] = static_cast<float>(std::pow(10, j));
    const heed::attention def{heed::relu<1>{}, heed::alibi{&slope, 1}, heed::query_offset{base - 1}};
    owned_state<float> s(def, out.size);
    heed::or_throw(heed::attend_partial(def, q.in(), k.in(), v.in(), s.state(), {base, base + 4}));
    heed::or_throw(heed::finish(def, s.state(), out.view()));
    REQUIRE(out.data[0] == Approx(4321.f / 4));  // relu divides by the number of attended keys
}

TEMPLATE_TEST_CASE("a bias repeated along B, H or Sq has the bits of the expanded bias", "", float, double)
{
    using T = TestType;
    const problem<T> p(2, 4, 2, 7, 530, 24, 20);
    for (int ones = 0; ones < 8; ++ones) {  // bit 0: one batch, bit 1: one head, bit 2: one row
        INFO("extents of 1: " << ones);
        const heed::extents full{2, 4, 7, 530};
        const heed::extents e{ones & 1 ? 1 : 2, ones & 2 ? 1 : 4, ones & 4 ? 1 : 7, 530};
        const auto table = normal<T>(e, 9, 2);
        tensor<T> expanded(full);
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < 4; ++h)
                for (int64 i = 0; i < 7; ++i)
                    std::memcpy(expanded.view().row(b, h, i),
                                table.in().row(ones & 1 ? 0 : b, ones & 2 ? 0 : h, ones & 4 ? 0 : i), 530 * sizeof(T));
        heed::view<const T> repeated = table.in();
        repeated.size = full;
        if (ones & 1) repeated.stride.batch = 0;
        if (ones & 2) repeated.stride.heads = 0;
        if (ones & 4) repeated.stride.tokens = 0;
        const auto expected = p.attend(heed::attention{heed::bias{expanded.in()}}).data;
        REQUIRE(same_bits(p.attend(heed::attention{heed::bias{table.in()}}).data, expected));
        REQUIRE(same_bits(p.attend(heed::attention{heed::bias{repeated}}).data, expected));
        // And it is what a map of one's own reads from the same table.
        const auto own = heed::map_score(
            [v = expanded.in()](auto s, const auto& at) { return s + at.load(v.row(at.batch, at.head, at.row)); });
        REQUIRE(same_bits(p.attend(heed::attention{own}).data, expected));
        REQUIRE(!same_bits(p.attend(heed::attention{}).data, expected));
    }
}

TEST_CASE("-inf in a bias masks its key, a whole tile of them too")
{
    const problem<float> p(1, 2, 2, 5, 1100, 16, 20);
    const auto masked = [](int64, int64, int64 position, int64 key) { return key < 512 || (position + key) % 7 == 3; };
    tensor<float> table({1, 1, 5, 1100});
    for (int64 i = 0; i < 5; ++i)
        for (int64 j = 0; j < 1100; ++j)
            if (masked(0, 0, 1095 + i, j)) table.view().row(0, 0, i)[j] = -std::numeric_limits<float>::infinity();
    const auto mask = heed::attend_where([&](int64 b, int64 h, int64 i, int64 j) { return !masked(b, h, i, j); });
    for_each_normalizer(2, [&](const char* name, auto normalizer) {
        INFO(name);
        REQUIRE(same_bits(p.attend(heed::attention{normalizer, heed::bias{table.in()}}).data,
                          p.attend(heed::attention{normalizer, mask}).data));
    });
}

TEST_CASE("a score map of one's own sees batch, head, row, position and keys")
{
    constexpr int64 keys = 600, offset = 590;
    const auto map = heed::map_score([](auto s, const auto& at) {
        using V = std::decay_t<decltype(s)>;
        using E = typename heed::lanes_of<V>::element;
        const auto number = [](int64 x) { return V(static_cast<E>(x)); };
        return s * V(E(0.5)) + number(at.batch) - number(2 * at.head) + number(at.row) -
               heed::abs(at.keys() - number(at.position)) * V(E(0.125));
    });
    const tensor<float> q({2, 2, 3, 1}, 1), k({2, 1, keys, 1}, 6);
    // Weights 1 / (number of keys) * the score itself: relu shows a row's constant, which softmax would cancel.
    const auto o = weights_of(heed::attention{heed::relu<1>{}, heed::scale{1}, map, heed::query_offset{offset}}, q, k);
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 2; ++h)
            for (int64 i = 0; i < 3; ++i) {
                double worst = 0;
                for (int64 j = 0; j < keys; ++j) {
                    const double distance = std::fabs(static_cast<double>(j - offset - i));
                    const double s = 3 + static_cast<double>(b - 2 * h + i) - 0.125 * distance;  // exact
                    const double got = static_cast<double>(o.weights.in().row(b, h, i)[j]);
                    worst = std::max(worst, std::fabs(got - std::max(s, 0.) / keys));
                }
                REQUIRE(worst < 1e-8);
            }
}

TEST_CASE("a score map is told how many of its keys exist, and loads no others")
{
    const problem<float> p(1, 2, 1, 3, 530, 8, 8);
    int64 last = 0;
    bool zero_behind = true;
    const auto map = heed::map_score([&](auto s, const auto& at) {
        using V = std::decay_t<decltype(s)>;
        last = std::max(last, at.key_at(0) + at.valid);
        const std::vector<float> ones(static_cast<std::size_t>(530 + 64), 1.f);
        float lane[heed::lanes_of<V>::count];
        store(lane, at.load(ones.data()));
        for (int64 i = std::max<int64>(at.valid, 0); i < heed::lanes_of<V>::count; ++i)
            zero_behind = zero_behind && lane[i] == 0;
        return s;
    });
    REQUIRE(same_bits(p.attend(heed::attention{map}).data, p.attend(heed::attention{}).data));
    REQUIRE(last == 530);
    REQUIRE(zero_behind);
}

// --- scale ----------------------------------------------------------------------------------------------------------

TEST_CASE("the scale is 1 / sqrt(Dqk) unless given, and a negative one turns the scores around")
{
    const problem<float> p(1, 4, 2, 9, 130, 48, 20);
    auto negated = p;
    for (float& x : negated.q.data) x = -x;
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        REQUIRE(same_bits(p.attend(heed::attention{normalizer}).data,
                          p.attend(heed::attention{normalizer, heed::scale{1 / std::sqrt(48.)}}).data));
        const auto turned = p.attend(heed::attention{normalizer, heed::scale{-0.3}}).data;
        REQUIRE(same_bits(turned, negated.attend(heed::attention{normalizer, heed::scale{0.3}}).data));
        REQUIRE(!same_bits(turned, p.attend(heed::attention{normalizer, heed::scale{0.3}}).data));
    });
}

TEST_CASE("a scale of zero makes every score 0")
{
    const tensor<float> q = normal<float>({1, 1, 3, 8}, 1), k = normal<float>({1, 1, 37, 8}, 2);
    for (const double zero : {0., -0.}) {
        for (const float w : weights_of(heed::attention{heed::scale{zero}}, q, k).weights.data) REQUIRE(w == 1.f / 37);
        for (const float w : weights_of(heed::attention{heed::softpick{}, heed::scale{zero}}, q, k).weights.data)
            REQUIRE(is_positive_zero(w));
        for (const float w : weights_of(heed::attention{heed::sigmoid{}, heed::scale{zero}}, q, k).weights.data)
            REQUIRE(w == 0.5f);
    }
}

TEST_CASE("a tiny scale makes softmax the average, and leaves softpick the proportions of the scores")
{
    std::mt19937_64 random(3);
    std::vector<float> dot(50);
    for (float& x : dot) x = static_cast<float>(static_cast<int>(random() % 200)) / 8 - 12;
    tensor<float> q({1, 1, 1, 1}, 1), k({1, 1, 50, 1});
    k.data = dot;
    const double tiny = 0x1p-100;
    for (const float w : weights_of(heed::attention{heed::scale{tiny}}, q, k).weights.data) REQUIRE(w == 1.f / 50);
    const auto o = weights_of(heed::attention{heed::softpick{}, heed::scale{tiny}}, q, k);
    const auto positive = [](long double s) { return s > 0 ? s : 0; };
    REQUIRE(worst_error(o.weights.data, dot, positive, [](long double s) { return std::fabs(s); }) < 4 * ulp);
}
