// SPDX-License-Identifier: MIT
// What must hold, bit for bit, for the gradients of normalizers with a threshold and for slope_out, which attend leaves
// for them; and what is wrong is said.
#include "threshold_gradients.hpp"
#include "pages.hpp"
#include "two_threads.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>

using namespace test;

namespace {

bool same_row(const tensor<float>& a, const tensor<float>& b, int64 batch, int64 head, int64 row_of_a, int64 row_of_b)
{
    return std::memcmp(a.in().row(batch, head, row_of_a), b.in().row(batch, head, row_of_b),
                       static_cast<std::size_t>(a.size.dim) * sizeof(float)) == 0;
}

/// slope_out of all rows, and of rows alone, whose lists have all the room; by threads, and from pages.
template <class Normalizer>
void same_slope_out(const Normalizer& normalizer, double scale, int64 queries, int64 keys)
{
    const gradient_problem<float> p(problem<float>(1, 4, 2, queries, keys, 16, 32));
    threshold_problem all(p, normalizer, heed::causal{}, heed::scale{scale});
    all.attend();
    REQUIRE(same_bits(all.left.out.data, p.attend(all.plain).data));

    threshold_problem threaded(p, normalizer, heed::causal{}, heed::scale{scale});
    const two_threads both;
    heed::options<float> how;
    how.executor = both;
    threaded.attend(how);
    REQUIRE(same_bits(threaded.slope_out.data, all.slope_out.data));
    REQUIRE(same_bits(threaded.left.out.data, all.left.out.data));

    const paged<float> pages(p.k, p.v, {keys}, 24, layout::page_head_slot);
    std::fill(threaded.slope_out.data.begin(), threaded.slope_out.data.end(), -7.f);
    heed::or_throw(heed::attend(threaded.keeping(), p.q.in(), pages.source(pages.csr()), threaded.left.out.view()));
    REQUIRE(same_bits(threaded.slope_out.data, all.slope_out.data));

    for (const int64 i : {int64{0}, queries / 2, queries - 1}) {
        std::vector<heed::row_threshold<float>> thresholds(4);
        tensor<float> one({1, 4, 1, 32}), slopes({1, 4, 1, 32});
        const heed::attention alone{normalizer, heed::causal{}, heed::scale{scale},
                                    heed::query_offset{keys - queries + i},
                                    heed::keep_thresholds{thresholds, slopes.view()}};
        heed::or_throw(heed::attend(alone, tokens(p.q.in(), i, 1), p.k.in(), p.v.in(), one.view()));
        for (int64 h = 0; h < 4; ++h) REQUIRE(same_row(slopes, all.slope_out, 0, h, 0, i));
    }
}

/// Gradients by all numbers of threads, and dq of some rows alone.
template <class Normalizer>
void same_gradients(const Normalizer& normalizer)
{
    const int64 queries = 90, keys = 700, from = 31, count = 17;
    const gradient_problem<float> p(problem<float>(1, 4, 2, queries, keys, 24, 16));
    threshold_problem all(p, normalizer, heed::causal{}, heed::scale{0.3});
    all.attend();
    const auto serial = all.backward();
    for (int threads = 2; threads <= 8; ++threads) {
        heed::thread_pool pool(threads);
        REQUIRE(all.backward({.executor = pool}) == serial);
    }
    gradient_problem<float> part = p;
    part.q = tensor<float>({1, 4, count, 24});
    part.dout = tensor<float>({1, 4, count, 16});
    for (int64 h = 0; h < 4; ++h) {
        std::copy_n(p.q.in().row(0, h, from), count * 24, part.q.view().row(0, h, 0));
        std::copy_n(p.dout.in().row(0, h, from), count * 16, part.dout.view().row(0, h, 0));
    }
    threshold_problem some(part, normalizer, heed::causal{}, heed::scale{0.3},
                           heed::query_offset{keys - queries + from});
    some.attend();
    const auto chunk = some.backward();
    for (int64 h = 0; h < 4; ++h)
        for (int64 i = 0; i < count; ++i) REQUIRE(same_row(chunk.dq, serial.dq, 0, h, i, from + i));
}

}  // namespace

TEST_CASE("thresholds: slope_out does not depend on the route of a row", "[thresholds]")
{
    const std::vector<float> offsets{-1, -0.5f, -3, 0.25f};
    same_slope_out(heed::entmax15{}, 0.4, 50, 1100);
    same_slope_out(heed::entmax15{}, 0.004, 50, 1100);  // most keys have a weight
    same_slope_out(heed::entmax15{}, 1e-4, 48, 2600);   // lists have no room for their copies, scores come once more
    same_slope_out(heed::elastic_softmax{offsets}, 0.4, 50, 1100);
}

TEST_CASE("thresholds: gradients depend neither on threads nor on how rows are cut", "[thresholds]")
{
    same_gradients(heed::entmax15{});
    same_gradients(heed::top_k{11});
    same_gradients(heed::clipped_softmax{-0.02, 1.1});
}

TEST_CASE("thresholds: what weighs nothing has no gradient, whatever it holds", "[thresholds]")
{
    gradient_problem<float> p(problem<float>(1, 1, 1, 2, 70, 8, 8));
    const auto gradients_of = [&](const auto& mask) {
        threshold_problem of(p, heed::entmax15{}, heed::scale{2}, mask);
        of.attend();
        return of.backward();
    };
    const auto from = [](int64 position) {
        return heed::attend_where([position](int64, int64, int64 of_query, int64) { return of_query >= position; });
    };
    const auto usual = gradients_of(from(68));
    int64 idle = -1;
    for (int64 j = 0; j < 70; ++j)
        if (std::all_of(usual.dv.in().row(0, 0, j), usual.dv.in().row(0, 0, j) + 8, [](float g) { return g == 0; }))
            idle = j;
    REQUIRE(idle >= 0);
    for (int64 c = 0; c < 8; ++c) REQUIRE(usual.dk.in().row(0, 0, idle)[c] == 0);
    p.v.view().row(0, 0, idle)[3] = std::numeric_limits<float>::quiet_NaN();
    REQUIRE(gradients_of(from(68)) == usual);
    const auto empty = gradients_of(from(69));  // of the second row
    for (int64 c = 0; c < 8; ++c) REQUIRE(empty.dq.in().row(0, 0, 0)[c] == 0);
    REQUIRE(same_row(empty.dq, usual.dq, 0, 0, 1, 1));
}

TEST_CASE("thresholds: what gradients lack is said before anything is written", "[thresholds]")
{
    const gradient_problem<float> p(problem<float>(1, 2, 1, 3, 20, 8, 8));
    threshold_problem of(p, heed::entmax15{});
    of.attend();
    auto g = p.room_for<float>(of.plain);
    const auto before = g;
    const auto backward_fails = [&](const auto& table, const char* words) {
        const heed::status s = heed::backward(heed::attention{heed::entmax15{}, table}, p.q.in(), p.k.in(), p.v.in(),
                                              of.left.out.in(), of.left.stats(), p.dout.in(), g.all());
        INFO(s.message());
        return !s && std::strstr(s.message(), words) && g == before;
    };
    std::vector<heed::row_threshold<float>> few(5);
    REQUIRE(backward_fails(heed::known_thresholds{of.thresholds}, "known_thresholds has no slope_out"));
    REQUIRE(backward_fails(heed::known_thresholds{of.thresholds, tokens(of.slope_out.in(), 0, 2)},
                           "slope_out is [1, 2, 2, 8]"));
    REQUIRE(backward_fails(heed::known_thresholds{few, of.slope_out.in()}, "thresholds has 5"));
    REQUIRE(backward_fails(heed::known_thresholds{of.thresholds, g.dq.in()}, "dq overlaps slope_out"));

    tensor<float> out(p.out_size(), 5.f);
    const auto attend_fails = [&](const auto& normalizer, heed::view<float> slopes, const char* words) {
        const heed::status s = heed::attend(heed::attention{normalizer, heed::keep_thresholds{of.thresholds, slopes}},
                                            p.q.in(), p.k.in(), p.v.in(), out.view());
        INFO(s.message());
        return !s && std::strstr(s.message(), words) && out.data == std::vector<float>(out.data.size(), 5.f);
    };
    tensor<float> other = p.q;
    REQUIRE(attend_fails(heed::entmax15{}, out.view(), "slope_out overlaps"));
    REQUIRE(attend_fails(heed::entmax15{}, tokens(other.view(), 0, 2), "slope_out is [1, 2, 2, 8]"));
    REQUIRE(attend_fails(heed::top_k{3}, other.view(), "gradients of a rank ask for out alone"));
}
