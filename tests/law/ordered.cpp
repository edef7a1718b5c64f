// SPDX-License-Identifier: MIT
// Rows whose keys take their shares in an order have the bits that they have alone, whatever route their keys take; a
// row ends where nothing is left; and what is no number, or no key, is what it is for every normalizer.
#include "pages.hpp"
#include "quantised.hpp"
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Scores that are lower by some number: the lower, the longer the rows.
auto lower_by(double d)
{
    return heed::map_score([d](auto s, const auto&) { return s - decltype(s)(d); });
}

/// The rows [first, first + n) of a problem, alone, have the bits of all.
template <class T, class Def>
void rows_alone(const problem<T>& p, const Def& def, const tensor<T>& all, int64 first, int64 n)
{
    const int64 queries = p.q.size.tokens, keys = p.k.size.tokens - queries + first + n;
    tensor<T> out({p.q.size.batch, p.q.size.heads, n, p.v.size.dim});
    heed::or_throw(heed::attend(def, tokens(p.q.in(), first, n), tokens(p.k.in(), 0, keys), tokens(p.v.in(), 0, keys),
                                out.view()));
    for (int64 b = 0; b < out.size.batch; ++b)
        for (int64 h = 0; h < out.size.heads; ++h)
            REQUIRE(std::memcmp(out.in().row(b, h, 0), all.in().row(b, h, first),
                                static_cast<std::size_t>(n * out.size.dim) * sizeof(T)) == 0);
}

/// The same problem by every route: all rows, chunks of them, rows alone, threads and so keys in spans, pages.
template <class T>
void same_on_every_route(double lower)
{
    const int64 queries = 50, keys = 2300;
    const problem<T> p(2, 4, 2, queries, keys, 32, 32);
    const heed::attention def{heed::stick_breaking{}, lower_by(lower), heed::causal{}};
    const tensor<T> all = p.attend(def);
    for (int threads = 2; threads <= 8; ++threads) {
        heed::thread_pool pool(threads);
        heed::options<heed::compute_t<T>> how;
        how.executor = pool;
        REQUIRE(same_bits(p.attend(def, how).data, all.data));
    }
    rows_alone(p, def, all, 0, 20);
    rows_alone(p, def, all, 20, 30);
    for (const int64 i : {int64{0}, int64{17}, queries - 1}) rows_alone(p, def, all, i, 1);

    const paged<T> pages(p.k, p.v, {keys, keys}, 24, layout::page_head_slot);
    tensor<T> out(p.out_size());
    heed::or_throw(heed::attend(def, p.q.in(), pages.source(pages.csr()), out.view()));
    REQUIRE(same_bits(out.data, all.data));

    heed::thread_pool pool(4);  // of one row keys are split
    heed::options<heed::compute_t<T>> how;
    how.executor = pool;
    tensor<T> one({2, 4, 1, 32});
    heed::or_throw(heed::attend(def, tokens(p.q.in(), queries - 1, 1), p.k.in(), p.v.in(), one.view(), how));
    for (int64 b = 0; b < 2; ++b)
        for (int64 h = 0; h < 4; ++h)
            REQUIRE(std::memcmp(one.in().row(b, h, 0), all.in().row(b, h, queries - 1), 32 * sizeof(T)) == 0);
}

/// A row of scores as they are, of keys of one channel and a query of 1: its output and its mass.
std::vector<float> attended(const std::vector<float>& scores, const std::vector<float>& values, int workers = 1)
{
    const auto n = static_cast<int64>(scores.size());
    std::vector<float> q(1, 1.f), out(2, -7.f), shift(1);
    heed::thread_pool pool(workers);
    heed::options<float> how;
    how.executor = pool;
    how.stats = {shift.data(), out.data() + 1};
    heed::or_throw(heed::attend(
        heed::attention{heed::stick_breaking{}, heed::scale{1}}, heed::bhsd<const float>(q.data(), {1, 1, 1, 1}),
        heed::bhsd<const float>(scores.data(), {1, 1, n, 1}), heed::bhsd<const float>(values.data(), {1, 1, n, 1}),
        heed::bhsd(out.data(), {1, 1, 1, 1}), how));
    return out;
}

}  // namespace

TEST_CASE("ordered: the bits of a row do not depend on its route", "[ordered]")
{
    same_on_every_route<float>(0);
    same_on_every_route<float>(6);
    same_on_every_route<double>(6);
    same_on_every_route<heed::bf16>(4);
}

TEST_CASE("ordered: a sequence in a ring, and quantised, has the bits that it has alone", "[ordered]")
{
    const int64 keys = 1400, held = 1100, slots = 1111, first = keys - held;
    const problem<float> p(1, 4, 2, 3, keys, 32, 32);
    const heed::attention def{heed::stick_breaking{}, lower_by(5), heed::causal{} & heed::window{700, 0}};
    tensor<float> k_ring({1, 2, slots, 32}), v_ring({1, 2, slots, 32}), out(p.out_size());
    for (int64 h = 0; h < 2; ++h)
        for (int64 t = first; t < keys; ++t) {
            std::copy_n(p.k.in().row(0, h, t), 32, k_ring.view().row(0, h, t % slots));
            std::copy_n(p.v.in().row(0, h, t), 32, v_ring.view().row(0, h, t % slots));
        }
    const int64 lengths[] = {keys};
    heed::or_throw(
        heed::attend(def, p.q.in(), heed::ring_kv{k_ring.in(), v_ring.in(), heed::index_view(lengths, 1)}, out.view()));
    REQUIRE(same_bits(out.data, p.attend(def).data));

    const auto k = drawn_elements<heed::q8_0>({1, 2, keys, 32}, 7);
    const auto v = drawn_elements<heed::q8_0>({1, 2, keys, 32}, 8);
    const auto of = [&](int64 row, int64 n, heed::view<float> to) {
        heed::or_throw(heed::attend(
            heed::attention{heed::stick_breaking{}, lower_by(5), heed::causal{}, heed::query_offset{keys - 3 + row}},
            tokens(p.q.in(), row, n), k.in(), v.in(), to));
    };
    of(0, 3, out.view());
    tensor<float> one({1, 4, 1, 32});
    of(1, 1, one.view());
    for (int64 h = 0; h < 4; ++h) REQUIRE(std::memcmp(one.in().row(0, h, 0), out.in().row(0, h, 1), 128) == 0);
}

TEST_CASE("ordered: parts folded from the newest on have the bits of the whole, and states merge in order", "[ordered]")
{
    const problem<float> p(1, 4, 2, 37, 1700, 33, 20);
    const heed::attention def{heed::stick_breaking{}, lower_by(6), heed::causal{}};
    const tensor<float> whole = p.attend(def);
    const auto fold = [&](int64 first, int64 end, const heed::state<float>& s) {
        heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(p.k.in(), first, end - first),
                                            tokens(p.v.in(), first, end - first), s, {first, 1700}));
    };
    const auto finished = [&](owned_state<float>& s) {
        tensor<float> out(p.out_size());
        heed::or_throw(heed::finish(def, s.state(), out.view()));
        return out.data;
    };
    owned_state<float> s(def, p.out_size());
    fold(1536, 1700, s.state());
    fold(512, 1536, s.state());
    fold(0, 512, s.state());
    REQUIRE(same_bits(finished(s), whole.data));

    owned_state<float> newest(def, p.out_size()), middle = newest, oldest = newest, empty = newest;
    fold(1024, 1700, newest.state());
    fold(512, 1024, middle.state());
    fold(0, 512, oldest.state());
    auto one_by_one = newest, other = middle, left = newest, right = empty;
    heed::or_throw(heed::merge_left(one_by_one.state(), middle.state()));
    heed::or_throw(heed::merge_left(one_by_one.state(), oldest.state()));
    REQUIRE(same_bits(finished(one_by_one), whole.data));
    heed::or_throw(heed::merge_left(other.state(), oldest.state()));
    heed::or_throw(heed::merge_left(newest.state(), other.state()));  // associative but for its rounding
    const auto a = finished(newest);
    for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(std::fabs(a[i] - whole.data[i]) <= 16 * 0x1p-24f);
    heed::or_throw(heed::merge_left(left.state(), empty.state()));
    heed::or_throw(heed::merge_left(right.state(), left.state()));
    REQUIRE(right == left);

    const heed::status striped = heed::attend_partial(def, p.q.in(), tokens(p.k.in(), 0, 1024),
                                                      tokens(p.v.in(), 0, 1024), s.state(), {0, 2048, 2});
    REQUIRE(!striped);
    REQUIRE(std::strstr(striped.message(), "every 2-th key tile of a normalizer with an order"));
}

TEST_CASE("ordered: nothing in a tile behind the end of a row reaches it", "[ordered]")
{
    problem<float> p(1, 4, 2, 40, 3000, 16, 24);
    const heed::attention def{heed::stick_breaking{}, heed::causal{}};
    const tensor<float> all = p.attend(def);
    for (auto* t : {&p.k, &p.v})
        for (int64 h = 0; h < 2; ++h) std::fill_n(t->view().row(0, h, 0), 2048 * t->size.dim, not_a_number);
    REQUIRE(same_bits(p.attend(def).data, all.data));
    heed::thread_pool pool(4);
    REQUIRE(same_bits(p.attend(def, {.executor = pool}).data, all.data));
    tensor<float> one({1, 4, 1, 24});
    heed::or_throw(heed::attend(def, tokens(p.q.in(), 39, 1), p.k.in(), p.v.in(), one.view(), {.executor = pool}));
    for (int64 h = 0; h < 4; ++h) REQUIRE(std::memcmp(one.in().row(0, h, 0), all.in().row(0, h, 39), 96) == 0);
    // A row ends by its mass: 103 is left e^-103, which is no 0.
    std::vector<float> scores(2000, -infinity), values(2000, 1.f);
    scores[1500] = 103;  // leaves e^-103
    values[1500] = 0;
    scores[300] = 5;
    for (const int workers : {1, 3}) {
        REQUIRE(attended(scores, values, workers)[0] > 0);
        scores[1500] = 104;
        REQUIRE(attended(scores, values, workers)[0] == 0);
        REQUIRE(attended(scores, values, workers)[1] == 104);  // 300 was not looked at
        scores[1500] = 103;
    }
}

TEST_CASE("ordered: what is no number and what is no key", "[ordered]")
{
    std::vector<float> scores(1300, -3.f), values(1300, 1.f);
    const float usual = attended(scores, values)[0];
    REQUIRE(std::fabs(usual - 1) < 1e-6f);
    for (const std::size_t at : {std::size_t{1299}, std::size_t{900}}) {
        std::vector<float> other = scores;
        other[at] = not_a_number;
        REQUIRE(std::isnan(attended(other, values)[0]));
        REQUIRE(std::isnan(attended(other, values, 3)[0]));
        other[at] = infinity;  // takes all that is left
        std::vector<float> older = values;
        for (std::size_t j = 0; j < at; ++j) older[j] = not_a_number;
        REQUIRE(std::fabs(attended(other, older)[0] - 1) < 1e-6f);
        REQUIRE(attended(other, older, 3)[0] == attended(other, older)[0]);
        REQUIRE(attended(other, older)[1] == infinity);
    }
    std::vector<float> fewer = scores, none = scores;
    for (std::size_t j = 0; j < 1300; j += 3) fewer[j] = -infinity;
    for (float& s : none) s = -infinity;
    values[0] = not_a_number;
    REQUIRE(std::fabs(attended(fewer, values)[0] - 1) < 1e-6f);
    const auto empty = attended(none, values);
    REQUIRE(empty[0] == 0);
    REQUIRE(!std::signbit(empty[0]));
    REQUIRE(empty[1] == 0);
    const float most = std::numeric_limits<float>::max();
    REQUIRE(attended({3, 2, most, -most}, {9, 9, 5, 7})[0] == 5);
}

TEST_CASE("ordered: maps and observations are those of the rows alone", "[ordered]")
{
    const int64 queries = 9, keys = 1300;
    const problem<float> p(1, 2, 1, queries, keys, 16, 16);
    const heed::attention def{heed::stick_breaking{}, lower_by(6), heed::causal{}};
    std::vector<float> shift(18), mass(18), total(18), weights(18 * 3);
    std::vector<int64> attended(18), top(18 * 3);
    heed::options<float> how;
    how.stats = {shift, mass};
    (void)p.attend(def, how);
    heed::or_throw(
        heed::observe(def, p.q.in(), p.k.in(), {shift, mass},
                      {.total = total, .attended = attended, .top_k = 3, .top_keys = top, .top_weights = weights}));
    std::vector<float> map(static_cast<std::size_t>(queries * keys)), row(static_cast<std::size_t>(keys));
    heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), {shift, mass}, {0, 1, 0, queries}, map));
    for (int64 i = 0; i < queries; ++i) {
        heed::or_throw(heed::attention_map(def, p.q.in(), p.k.in(), {shift, mass}, {0, 1, i, 1}, row));
        REQUIRE(std::memcmp(row.data(), map.data() + i * keys, row.size() * sizeof(float)) == 0);
        const auto x = static_cast<std::size_t>(queries + i);
        REQUIRE(attended[x] == keys - queries + i + 1);
        REQUIRE(std::fabs(total[x] + std::exp(-mass[x]) - 1) < 16 * 0x1p-24f);
        std::vector<int64> order(static_cast<std::size_t>(keys));
        for (int64 j = 0; j < keys; ++j) order[static_cast<std::size_t>(j)] = j;
        std::stable_sort(order.begin(), order.end(), [&](int64 a, int64 b) {
            return row[static_cast<std::size_t>(a)] > row[static_cast<std::size_t>(b)];
        });
        for (std::size_t k = 0; k < 3; ++k) {
            REQUIRE(top[3 * x + k] == order[k]);
            REQUIRE(weights[3 * x + k] == row[static_cast<std::size_t>(order[k])]);
        }
    }
}

TEST_CASE("ordered: of equal weights in two tiles the smaller key is listed first", "[ordered]")
{
    std::vector<float> q(1, 1.f), k(600, -infinity), shift(1, 0.f), mass(1, 0.f), weights(2);
    std::vector<int64> top(2);
    k[70] = infinity;  // takes the half that key 590 leaves
    k[590] = 0;
    heed::or_throw(heed::observe(heed::attention{heed::stick_breaking{}, heed::scale{1}},
                                 heed::bhsd<const float>(q.data(), {1, 1, 1, 1}),
                                 heed::bhsd<const float>(k.data(), {1, 1, 600, 1}), {shift, mass},
                                 {.top_k = 2, .top_keys = top, .top_weights = weights}));
    REQUIRE(weights == std::vector<float>{0.5f, 0.5f});
    REQUIRE(top == std::vector<int64>{70, 590});
}

TEST_CASE("ordered: the gradient does not depend on threads", "[ordered]")
{
    const problem<float> p(1, 4, 2, 300, 1300, 24, 16);
    const heed::attention def{heed::stick_breaking{}, heed::softcap{20}, heed::causal{}};
    std::vector<float> shift(4 * 300), mass(4 * 300);
    heed::options<float> how;
    how.stats = {shift, mass};
    const tensor<float> out = p.attend(def, how), dout = normal<float>(p.out_size(), 9);
    const auto gradients = [&](int workers) {
        heed::thread_pool pool(workers);
        tensor<float> dq(p.q.size), dk(p.k.size), dv(p.v.size);
        heed::or_throw(heed::backward(def, p.q.in(), p.k.in(), p.v.in(), out.in(), {shift, mass}, dout.in(),
                                      {.dq = dq.view(), .dk = dk.view(), .dv = dv.view()}, {.executor = pool}));
        dq.data.insert(dq.data.end(), dk.data.begin(), dk.data.end());
        dq.data.insert(dq.data.end(), dv.data.begin(), dv.data.end());
        return dq.data;
    };
    const auto alone = gradients(1);
    for (int workers = 2; workers <= 8; workers += 3) REQUIRE(same_bits(gradients(workers), alone));
}
