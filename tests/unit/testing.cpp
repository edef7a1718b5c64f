// SPDX-License-Identifier: MIT
// heed::check() passes what heed has, and every one of its checks catches a policy that is wrong in just that way.
#include "../oracle/some_policies.hpp"
#include "tensors.hpp"

#include <heed/testing.hpp>

#include <catch2/catch.hpp>

#include <memory>
#include <string>

using namespace test;

namespace {

/// The sentence, or "ok".
std::string says(const heed::status& s) { return s.message(); }

using Catch::Matchers::Contains;

/// e^s over its sum, but for one fault.
enum class fault {
    none,
    first_lane,  // terms of lane 0 for all lanes
    hides_nan,
    weighs_masked,  // e^s, or a constant where it is smaller
    shifted_twice,  // e^2s written as exp() * exp()
    unshifted,      // a constant without one()
    wrong_slope,
    wrong_mass_slope,
    slope_of_lane,  // the slope of lane 0 for all lanes
    remembers,      // depends on the call before
    offset_nan
};

template <class V>
V first_lane_of(V v)
{
    if constexpr (heed::lanes_of<V>::count == 1) {
        return v;
    } else {
        typename heed::lanes_of<V>::element lane[heed::lanes_of<V>::count];
        store(lane, v);
        return V(lane[0]);
    }
}

template <heed::shift Rule>
struct wrong {
    static constexpr auto shift = Rule;
    fault is = fault::none;
    mutable int* calls = nullptr;

    template <class Score>
    auto terms(Score s) const
    {
        auto e = s.exp();
        using V = decltype(e);
        using E = typename heed::lanes_of<V>::element;
        switch (is) {
        case fault::first_lane: e = first_lane_of(e); break;
        case fault::hides_nan: e = heed::select(s.value() > 0, e, heed::select(s.value() <= 0, e, V(0))); break;
        case fault::weighs_masked: e = e + s.one() * V(E(0.001)); break;
        case fault::shifted_twice: e = e * e; break;
        case fault::unshifted: return heed::ratio{e, e + V(E(0.5))};
        case fault::remembers:
            if (std::is_same_v<E, float> && ++*calls > 20000) e = e * V(E(1.5));
            break;
        default: break;
        }
        return heed::ratio{e, e};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto e = s.exp();
        using V = std::decay_t<decltype(e)>;
        using E = typename heed::lanes_of<V>::element;
        if (is == fault::wrong_slope) return heed::ratio{e * V(E(1.001)), V(e)};
        if (is == fault::wrong_mass_slope) return heed::ratio{e, V(0) - e};
        if (is == fault::slope_of_lane) return heed::ratio{e, first_lane_of(e)};
        return heed::ratio{e, V(e)};
    }
    double log_offset(std::int64_t head) const
    {
        return is == fault::offset_nan && head == 3 ? std::numeric_limits<double>::quiet_NaN() : 0;
    }
};

template <heed::shift Rule = heed::shift::by_max>
std::string verdict_of(fault is)
{
    int calls = 0;
    return says(heed::check(wrong<Rule>{is, &calls}));
}

}  // namespace

TEST_CASE("heed's normalizers keep the contract")
{
    for_each_normalizer(4, [](const char* name, auto normalizer) {
        INFO(name);
        REQUIRE(says(heed::check(normalizer)) == "ok");
    });
    REQUIRE(says(heed::check<double>(heed::softpick{})) == "ok");
}

TEST_CASE("a wrong normalizer is told what is wrong with it")
{
    REQUIRE(verdict_of(fault::none) == "ok");
    REQUIRE_THAT(verdict_of(fault::first_lane), Contains("check: terms: the weight of lane 1 of a vector is"));
    REQUIRE_THAT(verdict_of(fault::hides_nan), Contains("check: terms: a score of NaN has weight 0 and mass 0"));
    REQUIRE_THAT(verdict_of(fault::weighs_masked), Contains("check: terms: a score of -inf has weight 0.001"));
    REQUIRE_THAT(verdict_of(fault::shifted_twice), Contains("a shift of e^-3 takes the weight from"));
    REQUIRE_THAT(verdict_of(fault::unshifted), Contains("a shift of e^-3 takes the mass from"));
    REQUIRE_THAT(verdict_of(fault::wrong_slope), Contains("check: slopes: the slope of the weight at score -9 is"));
    REQUIRE_THAT(verdict_of(fault::wrong_mass_slope), Contains("check: slopes: the slope of the mass at score -9 is"));
    REQUIRE_THAT(verdict_of(fault::slope_of_lane), Contains("check: slopes: the mass of lane 1 of a vector is"));
    REQUIRE_THAT(verdict_of(fault::remembers), Contains("the policy does not depend on score and place alone"));
    REQUIRE_THAT(verdict_of(fault::offset_nan), Contains("check: log_offset(3) is nan"));
    REQUIRE_THAT(verdict_of<heed::shift::none>(fault::none),
                 Contains("takes shift::by_max or shift::at_least_zero, not shift::none"));
    const float logits[3] = {};
    REQUIRE(says(heed::check(heed::softmax_sink{logits, 3})) == "softmax_sink: 3 logits for 4 query heads");
}

namespace {

/// Gives back to older keys more than it finds where s < 0.
struct gives_back {
    static constexpr auto order = heed::order::from_the_right;
    template <class Score>
    auto terms(Score s) const
    {
        return heed::ratio{heed::logistic(s.value()), s.value()};
    }
};

}  // namespace

TEST_CASE("a normalizer with an order is checked by its kind")
{
    REQUIRE(says(heed::check(heed::stick_breaking{})) == "ok");
    REQUIRE(says(heed::check<double>(heed::stick_breaking{})) == "ok");
    REQUIRE_THAT(says(heed::check(gives_back{})), Contains("check: terms: the mass at score -30 is -30: older keys"));
}

namespace {

/// |e^s - 1|, whose constant by_max does not keep in range.
struct constant_by_max {
    static constexpr auto shift = heed::shift::by_max;
    template <class Score>
    auto terms(Score s) const
    {
        const auto t = s.expm1();
        return heed::ratio{heed::max(t, 0), heed::abs(t)};
    }
};

const heed::problem maps{2, 4, 2, 13, 700};

/// Maps that are right, or wrong in one way.
struct wrong_map {
    fault is = fault::none;
    mutable int* calls = nullptr;

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        using E = typename heed::lanes_of<V>::element;
        const V third(E(0.3));
        switch (is) {
        case fault::first_lane: return s + V(static_cast<E>(at.key_at(0) % 7));
        case fault::hides_nan: return heed::select(s > 0, s * third, heed::select(s <= 0, s * third, V(0)));
        case fault::remembers:
            if (std::is_same_v<V, heed::simd::vec<float>> && ++*calls > 6000) return s * V(E(0.5));
            return s * third;
        default: return s * third + at.gather([](int64 key) { return static_cast<double>(key % 7); });
        }
    }
    template <class V>
    V slope(V s, const heed::score_place<V>& at) const
    {
        using E = typename heed::lanes_of<V>::element;
        if (is == fault::first_lane) return V(1);
        if (is == fault::wrong_slope) return V(E(0.3001));
        if (is == fault::slope_of_lane) return V(E(0.3)) + V(static_cast<E>(at.key_at(0))) * V(E(1e-3));
        return V(E(0.3)) + V(0) * s;
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const heed::score_place<V>& at) const
    {
        return V(static_cast<typename heed::lanes_of<V>::element>(is == fault::unshifted ? at.key_at(0) : 1));
    }
};

std::string verdict_of_map(fault is)
{
    int calls = 0;
    return says(heed::check(wrong_map{is, &calls}, maps));
}

}  // namespace

namespace {

/// A weight's slope, as many times as it is.
template <class Normalizer>
struct steeper : Normalizer {
    double factor = 1;

    template <class Score>
    auto slopes(Score s) const
    {
        return heed::weight{Normalizer::slopes(s).value * factor};
    }
};

/// Takes a score that it may write to, which no kernel has for it.
struct by_reference {
    static constexpr auto shift = heed::shift::by_max;
    template <class Score>
    auto terms(Score& s) const
    {
        return heed::ratio{s.exp(), s.exp()};
    }
};

}  // namespace

TEST_CASE("slopes of a normalizer with a threshold are those of its weights")
{
    CHECK(says(heed::check(steeper<heed::entmax15>{{}, 1})) == "ok");
    CHECK_THAT(
        says(heed::check(steeper<heed::entmax15>{{}, 4})),
        Contains("check: slopes: at score - threshold = 0.03125 the weight's slope is 0.0625, the differences of "
                 "terms() beside it 0.015625 and 0.015625"));
    CHECK(says(heed::check(steeper<heed::clipped_softmax>{{}, 1})) == "ok");
    CHECK_THAT(says(heed::check(steeper<heed::clipped_softmax>{{}, 2})), Contains("check: slopes: at share"));
}

TEST_CASE("a normalizer that takes no score is no success")
{
    CHECK_THAT(says(heed::check(by_reference{})), Contains("check: a policy or an element of the call does not keep"));
    const tensor<float> x = normal<float>({1, 1, 2, 4}, 1);
    tensor<float> out(x.size, 7);
    const heed::status s = heed::attend(by_reference{}, x.in(), x.in(), x.in(), out.view());
    CHECK_THAT(says(s), Contains("attend: a policy or an element of the call does not keep its contract"));
    CHECK(out.data == tensor<float>(x.size, 7).data);
}

TEST_CASE("a constant in the terms is no matter of by_max")
{
    REQUIRE_THAT(says(heed::check(constant_by_max{})),
                 Contains("a constant in them takes shift::at_least_zero, not shift::by_max"));
}

TEST_CASE("heed's score maps keep the contract")
{
    using other = oracle::some_map<heed::parameter::none, heed::softcap, oracle::farther_is_less>;
    REQUIRE(says(heed::check(other(heed::softcap{20}), maps)) == "ok");
    REQUIRE(says(heed::check(other(oracle::farther_is_less{}), maps)) == "ok");
    const std::vector<float> slopes{0.5f, 0.25f, 0.125f, -0.1f};
    REQUIRE(says(heed::check(heed::alibi{slopes.data(), 4}, maps)) == "ok");
    REQUIRE(says(heed::check(heed::alibi{slopes.data(), 3}, maps)) == "alibi: 3 slopes for 4 query heads");
    auto table = normal<float>({2, 4, 13, 700}, 1);
    for (std::size_t i = 0; i < table.data.size(); i += 3) table.data[i] = -std::numeric_limits<float>::infinity();
    REQUIRE(says(heed::check(heed::bias{table.in()}, maps)) == "ok");
    const auto one_row = normal<float>({1, 1, 1, 700}, 2);
    REQUIRE(says(heed::check(heed::bias{one_row.in()}, maps)) == "ok");
}

TEST_CASE("a wrong score map is told what is wrong with it")
{
    REQUIRE(verdict_of_map(fault::none) == "ok");
    REQUIRE_THAT(verdict_of_map(fault::first_lane), Contains("check: map: lane 1 of the keys from"));
    REQUIRE_THAT(verdict_of_map(fault::hides_nan), Contains("check: map: a score of NaN becomes 0 at key"));
    REQUIRE_THAT(verdict_of_map(fault::wrong_slope), Contains("it is 0.3001; by differences of map() it is 0.3"));
    REQUIRE_THAT(verdict_of_map(fault::slope_of_lane), Contains("check: slope: lane 1 of the keys from"));
    REQUIRE_THAT(verdict_of_map(fault::unshifted), Contains("check: parameter_slope: lane 1 of the keys from"));
    REQUIRE_THAT(verdict_of_map(fault::remembers), Contains("the policy does not depend on score and place alone"));
    REQUIRE(says(heed::check(wrong_map{}, {2, 4, 3, 13, 700})) ==
            "check: batch 2, heads 4/3, 13 queries and 700 keys are no problem to check by");
}

namespace {

/// A window of 100 keys, but for one fault in its optional members.
struct wrong_mask {
    enum { nothing, marks_one_less, marks_one_more, full_too_early, none_too_early } is = nothing;

    bool attends(const heed::query_place& at, int64 key) const { return key <= at.position && key > at.position - 100; }
    heed::coverage classify(const heed::block_place& b) const
    {
        const int64 early = is == full_too_early, late = is == none_too_early,
                    end = b.position_begin + b.row_end - b.row_begin;
        if (b.key_begin + late >= end || b.key_end <= b.position_begin - 99) return heed::coverage::none;
        if (b.key_end - 1 - early <= b.position_begin && b.key_begin > end - 1 - 100) return heed::coverage::full;
        return heed::coverage::partial;
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        bits.set_range(at.position - 99 - first - (is == marks_one_more),
                       std::min<int64>(at.position + 1 - first - (is == marks_one_less), count));
    }
};

}  // namespace

TEST_CASE("heed's masks keep the contract, alone and combined")
{
    const std::vector<int64> bounds{0, 100, 350, 351, 700}, lengths{690, 5};
    const auto table = std::make_unique<bool[]>(2 * 13 * 700);
    for (std::size_t i = 0; i < 2 * 13 * 700; ++i) table[i] = i % 5 != 0;
    const auto passes = [](auto mask) { REQUIRE(says(heed::check(oracle::some_mask(mask), maps)) == "ok"); };
    passes(heed::all_keys{});
    passes(heed::causal{});
    passes(heed::causal::top_left());
    passes(heed::causal::offset(300));
    passes(heed::window{.left = 40, .right = 3});
    passes(heed::window{.left = 600});
    passes(heed::prefix{300});
    passes(heed::document{bounds.data(), 5});
    passes(heed::dense_mask{heed::bhsd<const bool>(table.get(), {2, 1, 13, 700})});
    passes(heed::key_lengths{lengths.data(), 2});
    passes(heed::attend_where([](int64 b, int64 h, int64 query, int64 key) { return (b + h + query + key) % 3 == 0; }));
    passes(heed::prefix{30} | heed::causal{});
    passes((heed::causal{} & heed::window{.left = 40}) | heed::document{bounds.data(), 5});
}

TEST_CASE("a wrong mask is told what is wrong with it")
{
    const auto verdict = [](decltype(wrong_mask::is) is) { return says(heed::check(wrong_mask{is}, maps)); };
    REQUIRE(verdict(wrong_mask::nothing) == "ok");
    REQUIRE_THAT(verdict(wrong_mask::marks_one_less), Contains("is not marked, and attends() says true"));
    REQUIRE_THAT(verdict(wrong_mask::marks_one_more), Contains("is marked, and attends() says false"));
    REQUIRE_THAT(verdict(wrong_mask::full_too_early), Contains("are full, but head"));
    REQUIRE_THAT(verdict(wrong_mask::none_too_early), Contains("are none, but head"));
}

namespace {

/// Every second key by distance; mark() forgets that the remainder of a position below 0 is negative.
struct every_second {
    bool attends(const heed::query_place& at, std::int64_t key) const { return (at.position - key) % 2 == 0; }
    void mark(const heed::query_place& at, std::int64_t first, int count, heed::key_bits& bits) const
    {
        for (int j = 0; j < count; ++j)
            if ((first + j) % 2 == at.position % 2) bits.set(j);
    }
};

}  // namespace

TEST_CASE("a mask that is wrong at positions below 0 is found without a problem of one's own")
{
    const heed::status s = heed::check(every_second{});
    INFO(s.message());
    CHECK_FALSE(s);
    CHECK(heed::check(every_second{}, {2, 4, 2, 13, 1100}));
}
