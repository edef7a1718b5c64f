// SPDX-License-Identifier: MIT
// A ring whose first tokens stay has the bits of the whole sequence under a mask that leaves out what the ring lost,
// and the work follows what it holds.
#include "pages.hpp"

#include <heed/append.hpp>
#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

/// The slot of a token, found by writing all tokens one after the other.
std::vector<int64> slots_of(int64 tokens, int64 pinned, int64 capacity)
{
    std::vector<int64> slots;
    for (int64 t = 0, next = 0; t < tokens; ++t) {
        if (next == capacity) next = pinned;
        slots.push_back(next++);
    }
    return slots;
}
tensor<float> in_pinned_ring(const tensor<float>& rows, const std::vector<int64>& lengths, int64 pinned, int64 capacity)
{
    tensor<float> to({rows.size.batch, rows.size.heads, capacity, rows.size.dim}, NAN);
    const std::vector<int64> slots = slots_of(rows.size.tokens, pinned, capacity);
    for (int64 b = 0; b < rows.size.batch; ++b)
        for (int64 h = 0; h < rows.size.heads; ++h)
            for (int64 t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t)
                std::copy_n(rows.in().row(b, h, t), rows.size.dim,
                            to.view().row(b, h, slots[static_cast<std::size_t>(t)]));
    return to;
}

/// Outputs, entropies, totals of rows and of keys.
template <class Def, class Kv>
std::vector<float> seen(const Def& def, const heed::view<const float>& q, const Kv& kv, int threads)
{
    const auto rows = static_cast<std::size_t>(q.size.heads * q.size.tokens * q.size.batch);
    heed::thread_pool pool(threads);
    std::vector<float> shift(rows), mass(rows), all(2 * rows);
    tensor<float> out({q.size.batch, q.size.heads, q.size.tokens, kv.value_dim()}, -7);
    heed::options<float> how{.executor = pool, .stats = {shift.data(), mass.data(), nullptr}};
    heed::or_throw(heed::attend(def, q, kv, out.view(), how));
    heed::observations<float> wanted;
    wanted.entropy = all.data();
    wanted.total = all.data() + rows;
    heed::or_throw(heed::observe(def, q, kv, how.stats, wanted, {.executor = pool}));
    std::vector<float> totals(static_cast<std::size_t>(q.size.batch * kv.heads() * kv.tokens()), -7.f);
    heed::or_throw(heed::key_totals(def, q, kv, how.stats, totals, {.executor = pool}));
    all.insert(all.end(), totals.begin(), totals.end());
    all.insert(all.end(), out.data.begin(), out.data.end());
    return all;
}

}  // namespace

TEST_CASE("a ring with pinned tokens has the bits of the whole sequence without what the ring has lost")
{
    const std::vector<int64> lengths{2900, 0, 700, 30};
    for (const auto& [pinned, capacity, back] : std::vector<std::array<int64, 3>>{
             {4, 260, 0}, {0, 515, 0}, {512, 1024, 7}, {700, 1300, 0}, {31, 2899, 100}, {1, 2, 0}})
        for (const int64 queries : {1, 3, 40}) {
            CAPTURE(pinned, capacity, queries);
            const problem<float> p(4, 4, 2, queries, 2900, 24, 40);
            const tensor<float> k = in_pinned_ring(p.k, lengths, pinned, capacity),
                                v = in_pinned_ring(p.v, lengths, pinned, capacity);
            std::vector<int64> firsts;  // what was taken back
            for (const int64 n : lengths) firsts.push_back(back == 0 ? -5 : n - (capacity - pinned) + back);
            const heed::pinned_ring_kv ring{k.in(), v.in(), list(lengths), pinned, list(firsts)};
            const heed::attention def{heed::softpick{}, heed::causal{}};
            for (int64 b = 0; b < 4; ++b) {
                const int64 n = lengths[static_cast<std::size_t>(b)], lost = n - (capacity - pinned) + back,
                            keep = pinned;
                const heed::attention with{
                    heed::softpick{}, heed::causal{} & heed::attend_where([lost, keep](int64, int64, int64, int64 t) {
                                          return t < keep || t >= lost;
                                      })};
                const auto q = sequence(p.q, b, queries);
                const std::vector<float> expected =
                    seen(with, q, heed::dense_kv{sequence(p.k, b, n), sequence(p.v, b, n)}, 1);
                const heed::pinned_ring_kv one{sequence(k, b, capacity), sequence(v, b, capacity),
                                               heed::index_view(&n, 1), pinned,
                                               heed::index_view(&firsts[static_cast<std::size_t>(b)], 1)};
                REQUIRE(same_bits(seen(def, q, one, 1), expected));
                REQUIRE(same_bits(seen(def, q, one, 3), expected));
            }
            tensor<float> out(p.out_size(), -7), alone(p.out_size(), -9);
            heed::thread_pool pool(2);
            heed::or_throw(heed::attend(def, p.q.in(), ring, out.view(), {.executor = pool}));
            for (int64 b = 0; b < 4; ++b) {
                const heed::pinned_ring_kv one{sequence(k, b, capacity), sequence(v, b, capacity),
                                               heed::index_view(&lengths[static_cast<std::size_t>(b)], 1), pinned,
                                               heed::index_view(&firsts[static_cast<std::size_t>(b)], 1)};
                heed::or_throw(heed::attend(
                    def, sequence(p.q, b, queries), one,
                    heed::view<float>{alone.view().row(b, 0, 0), {1, 4, queries, 40}, alone.view().stride}));
            }
            REQUIRE(same_bits(out.data, alone.data));
        }
}

TEST_CASE("a long sequence in a short ring costs no more workspace than the ring")
{
    const tensor<float> rows = normal<float>({1, 1, 64, 8}, 1), q = normal<float>({1, 1, 1, 8}, 2);
    const auto bytes_of = [&](int64 length, int64 capacity_factor) {
        tensor<float> wide({1, 1, 64 * capacity_factor, 8}, 1);
        const heed::pinned_ring_kv ring{wide.in(), wide.in(), heed::index_view(&length, 1), 4};
        test::tensor<float> out({1, 1, 1, 8});
        heed::thread_pool pool(4);
        const heed::attention def{heed::softmax{}};
        const heed::plan plan(def, q.in(), ring, {.executor = pool});
        heed::or_throw(plan.status());
        heed::or_throw(heed::attend(def, q.in(), ring, out.view(), {.executor = pool}));
        return plan.workspace_bytes();
    };
    const auto near = bytes_of(int64{1} << 12, 64);
    CHECK(bytes_of(int64{1} << 59, 64) <= near + 4096);
}

TEST_CASE("append to a pinned ring writes the slots of its tokens, and refuses what would overwrite itself")
{
    const int64 pinned = 3, capacity = 11;
    const problem<float> p(1, 2, 2, 1, 40, 8, 8);
    tensor<float> k({1, 2, capacity, 8}, NAN), v({1, 2, capacity, 8}, NAN);
    int64 length = 0;
    const heed::pinned_ring_kv ring{k.view(), v.view(), heed::index_view(&length, 1), pinned};
    for (int64 first = 0, n = 1; first < 40; first += n, n = std::min<int64>(n % 8 + 1, 40 - first)) {
        length = first + n;
        REQUIRE(heed::append(ring, 0, first, tokens(p.k.in(), first, n), tokens(p.v.in(), first, n)));
        const tensor<float> expected = in_pinned_ring(p.k, {length}, pinned, capacity);
        REQUIRE(same_bits(k.data, expected.data));
    }
    const tensor<float> before = k;
    REQUIRE(!heed::append(ring, 0, 31, tokens(p.k.in(), 0, 9), tokens(p.v.in(), 0, 9)));  // of which one is lost
    REQUIRE(!heed::append(ring, 0, 2, tokens(p.k.in(), 0, 2), tokens(p.v.in(), 0, 2)));
    tensor<float> back({1, 2, 3, 8}), v_back({1, 2, 3, 8});
    REQUIRE(heed::fetch(ring, 0, 0, back.view(), v_back.view()));  // the pinned ones
    for (int64 h = 0; h < 2; ++h)
        REQUIRE(std::memcmp(back.in().row(0, h, 0), p.k.in().row(0, h, 0), 24 * sizeof(float)) == 0);
    const heed::status s = heed::fetch(ring, 0, 1, back.view(), v_back.view());
    REQUIRE(std::string(s.message()).find("the cache has lost [3, 32)") != std::string::npos);
    REQUIRE(same_bits(k.data, before.data));
}
