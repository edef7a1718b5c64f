// SPDX-License-Identifier: MIT
// Thresholds of rows whose keys come in parts: the bits that attend finds over all keys, however they are cut and in
// whatever order parts are merged. And then outputs of parts are those of one call.
#include "threshold_gradients.hpp"
#include "two_threads.hpp"

#include <heed/threshold_state.hpp>

#include <catch2/catch.hpp>

#include <limits>

using namespace test;

namespace {

using thresholds_of_rows = std::vector<heed::row_threshold<float>>;

bool same_thresholds(const thresholds_of_rows& a, const thresholds_of_rows& b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

/// A state that owns its memory, cleared.
struct owned_candidates {
    std::vector<heed::row_candidates<float>> rows;
    std::vector<float> scores;
    heed::extents size;

    owned_candidates(const heed::extents& q, int64 places)
        : rows(static_cast<std::size_t>(q.batch * q.heads * q.tokens)),
          scores(rows.size() * static_cast<std::size_t>(places)), size{q.batch, q.heads, q.tokens, places}
    {
        rows.assign(rows.size(), {1, 2, 3});
        heed::or_throw(heed::clear(state()));
    }
    heed::threshold_state<float> state() { return {rows.data(), scores.data(), size}; }
    template <class Normalizer>
    thresholds_of_rows thresholds(const Normalizer& normalizer)
    {
        thresholds_of_rows taus(rows.size());
        heed::or_throw(heed::threshold(normalizer, state(), taus));
        return taus;
    }
};

/// Adds keys [begin, end) of `all` to a state.
template <class Def>
void add(const Def& def, const problem<float>& p, owned_candidates& to, int64 begin, int64 end,
         const heed::options<float>& how = {})
{
    heed::or_throw(heed::threshold_partial(def, p.q.in(), tokens(p.k.in(), begin, end - begin), to.state(),
                                           {begin, p.k.size.tokens}, how));
}

template <class Normalizer>
void same_however_cut(const Normalizer& normalizer, double scale)
{
    const int64 keys = 1500, queries = 23;
    const problem<float> p(2, 4, 2, queries, keys, 16, 8);
    const heed::attention def{normalizer, heed::causal{}, heed::scale{scale}};
    thresholds_of_rows all(2 * 4 * queries);
    (void)p.attend(heed::attention{normalizer, heed::causal{}, heed::scale{scale}, heed::keep_thresholds{all}});

    owned_candidates whole(p.q.size, keys);
    add(def, p, whole, 0, keys);
    REQUIRE(same_thresholds(whole.thresholds(normalizer), all));

    const auto part = [&](int64 begin, int64 end, int64 places) {
        owned_candidates s(p.q.size, places);
        add(def, p, s, begin, end);
        return s;
    };
    const auto joined = [&](owned_candidates a, owned_candidates b) {
        heed::or_throw(heed::merge(normalizer, a.state(), b.state()));
        return a;
    };
    const owned_candidates a = part(0, 100, keys), b = part(100, 1025, 1100), c = part(1025, keys, keys);
    REQUIRE(same_thresholds(joined(joined(a, b), c).thresholds(normalizer), all));
    REQUIRE(same_thresholds(joined(c, joined(a, b)).thresholds(normalizer), all));
    REQUIRE(same_thresholds(joined(joined(c, b), a).thresholds(normalizer), all));
    owned_candidates none(p.q.size, keys);
    REQUIRE(same_thresholds(joined(joined(none, c), joined(a, joined(b, none))).thresholds(normalizer), all));

    owned_candidates continued = c;
    const two_threads both;
    heed::options<float> how;
    how.executor = both;
    add(def, p, continued, 100, 1025, how);
    add(def, p, continued, 0, 100);
    REQUIRE(same_thresholds(continued.thresholds(normalizer), all));
}

/// A row of scores as they are, cut in two: the threshold of the parts, and of attend.
template <class Normalizer>
void same_of_scores(const Normalizer& normalizer, const std::vector<float>& scores)
{
    const std::vector<float> q(1, 1.f), values(scores.size());
    const auto n = static_cast<int64>(scores.size());
    const auto keys = [&](int64 from, int64 count) { return heed::bhsd(scores.data() + from, {1, 1, count, 1}); };
    const auto query = heed::bhsd(q.data(), {1, 1, 1, 1});
    float out;
    thresholds_of_rows all(1), parts(1);
    heed::or_throw(heed::attend(heed::attention{normalizer, heed::scale{1}, heed::keep_thresholds{all}}, query,
                                keys(0, n), heed::bhsd(values.data(), {1, 1, n, 1}), heed::bhsd(&out, {1, 1, 1, 1})));
    owned_candidates s({1, 1, 1, 1}, n), other = s;
    const heed::attention def{normalizer, heed::scale{1}};
    heed::or_throw(heed::threshold_partial(def, query, keys(0, n / 3), s.state(), {0, n}));
    heed::or_throw(heed::threshold_partial(def, query, keys(n / 3, n - n / 3), other.state(), {n / 3, n}));
    heed::or_throw(heed::merge(def, s.state(), other.state()));
    REQUIRE(same_thresholds(s.thresholds(normalizer), all));
}

}  // namespace

TEST_CASE("thresholds: of parts they are those of all keys, bit for bit", "[thresholds]")
{
    same_however_cut(heed::entmax15{}, 0.4);
    same_however_cut(heed::entmax15{}, 0.004);  // most keys have a weight
    same_however_cut(heed::top_k{11}, 0.3);
    same_however_cut(own_sum{}, 0.2);
    same_however_cut(own_rank{}, 0.2);
}

TEST_CASE("thresholds: parts of what is no number and no key", "[thresholds]")
{
    constexpr float infinity = std::numeric_limits<float>::infinity(),
                    not_a_number = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> scores(700, -3.f);
    scores[5] = 1, scores[600] = 0.5f;
    const auto with = [&](std::size_t i, float x) {
        std::vector<float> other = scores;
        other[i] = x;
        return other;
    };
    const auto judge = [&](const auto& normalizer) {
        same_of_scores(normalizer, scores);
        for (const float x : {-infinity, infinity, not_a_number, std::numeric_limits<float>::max()}) {
            same_of_scores(normalizer, with(300, x));
            same_of_scores(normalizer, with(17, x));
        }
        same_of_scores(normalizer, std::vector<float>(700, -infinity));
        same_of_scores(normalizer, std::vector<float>(700, 0.25f));
        same_of_scores(normalizer, std::vector<float>(2, 0.25f));
        for (const float x : {0.f, -0.f}) {  // either of which is the largest
            same_of_scores(normalizer, std::vector<float>(3, x));
            same_of_scores(normalizer, {x, -x, x, -x, x, x, -x});
        }
    };
    judge(heed::entmax15{});
    judge(heed::top_k{3});
}

TEST_CASE("thresholds: outputs of parts are those of one call, with thresholds of parts", "[thresholds]")
{
    const int64 keys = 1500, cut = 1024;
    const problem<float> p(1, 4, 2, 20, keys, 32, 32);
    const heed::attention def{heed::entmax15{}, heed::causal{}};
    const tensor<float> all = p.attend(def);
    owned_candidates first(p.q.size, 400), second(p.q.size, 400);
    add(def, p, first, 0, cut);
    add(def, p, second, cut, keys);
    heed::or_throw(heed::merge(def, first.state(), second.state()));
    const thresholds_of_rows taus = first.thresholds(def);

    thresholds_of_rows read = taus;
    const heed::attention known{heed::entmax15{}, heed::causal{}, heed::known_thresholds{read}};
    REQUIRE(same_bits(attend_in_parts(known, p, cut).data, all.data));
}

TEST_CASE("thresholds: a row with more scores than places is a status, and stays one", "[thresholds]")
{
    problem<float> p(1, 1, 1, 2, 600, 4, 4);
    for (float& x : p.k.data) x = 0.5f;  // of equal keys none can be left out
    const heed::attention def{heed::entmax15{}};
    owned_candidates few(p.q.size, 599), enough(p.q.size, 600);
    add(def, p, few, 0, 600);
    add(def, p, enough, 0, 600);
    thresholds_of_rows taus(2, heed::row_threshold<float>{1, 2, 3});
    const auto fails = [&] {
        const heed::status s = heed::threshold(def, few.state(), taus);
        return s.code() == heed::errc::workspace_too_small && std::strstr(s.message(), "row 0") &&
               std::strstr(s.message(), "599 places") && taus[0].origin == 1 && taus[1].low == 3;
    };
    REQUIRE(fails());
    REQUIRE(heed::threshold(def, enough.state(), taus));
    taus.assign(2, {1, 2, 3});
    owned_candidates none(p.q.size, 0);
    heed::or_throw(heed::merge(def, few.state(), none.state()));
    REQUIRE(fails());
    owned_candidates other_places(p.q.size, 700);
    heed::or_throw(heed::merge(def, other_places.state(), few.state()));
    REQUIRE(other_places.rows[0].overflows());
    // In halves neither overflows, together they do.
    owned_candidates half(p.q.size, 599), other(p.q.size, 599);
    add(def, p, half, 0, 300);
    add(def, p, other, 300, 600);
    REQUIRE(half.rows[0].count == 300);
    heed::or_throw(heed::merge(def, half.state(), other.state()));
    REQUIRE(half.rows[0].overflows());
    REQUIRE(half.rows[1].overflows());
}

TEST_CASE("thresholds: what is wrong with a state is said before anything is written", "[thresholds]")
{
    const problem<float> p(1, 2, 1, 3, 20, 8, 8);
    const heed::entmax15 normalizer;
    owned_candidates s(p.q.size, 8);
    const auto says = [&](const heed::status& status, const char* words) {
        INFO(status.message());
        return !status && std::strstr(status.message(), words) && s.rows[0].count == 0;
    };
    const auto add_to = [&](heed::threshold_state<float> state, heed::key_part part = {}) {
        return heed::threshold_partial(normalizer, p.q.in(), p.k.in(), state, part);
    };
    heed::threshold_state<float> wrong = s.state();
    wrong.size.tokens = 2;
    REQUIRE(says(add_to(wrong), "threshold_partial: state"));
    wrong = s.state();
    wrong.scores = nullptr;
    REQUIRE(says(add_to(wrong), "threshold_partial: state has null rows or scores"));
    REQUIRE(says(add_to(s.state(), {5, 20}), "threshold_partial: 20 keys from key 5 on, of 20 in all"));
    REQUIRE(says(heed::clear(heed::threshold_state<float>{nullptr, nullptr, p.q.size}),
                 "clear: state has null rows or scores"));
    owned_candidates bad = s;
    bad.rows[4].count = 9;
    REQUIRE(says(heed::merge(normalizer, s.state(), bad.state()), "row 4 of other has 9 scores in 8 places"));
    REQUIRE(says(heed::merge(heed::top_k{0}, s.state(), s.state()), "top_k: k is 0"));
    thresholds_of_rows few(5);
    thresholds_of_rows taus(6);
    REQUIRE(says(heed::threshold(heed::top_k{0}, s.state(), taus), "top_k: k is 0"));
    REQUIRE(says(heed::threshold(normalizer, s.state(), few), "thresholds has 5"));
}
