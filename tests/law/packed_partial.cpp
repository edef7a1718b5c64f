// SPDX-License-Identifier: MIT
// Packed queries in parts and under observation have the bits of each sequence alone; interleaved parts those of a mask
// that leaves out the other parts' tiles.
#include "pages.hpp"

#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

const std::vector<int64> lengths{1203, 0, 513, 80}, queries{7, 3, 1, 40}, bounds{0, 7, 10, 11, 51};

/// Rows of sequences one after the other.
struct rows_in_one {
    problem<float> p{4, 4, 2, 40, 1203, 40, 24};
    tensor<float> q{{1, 4, 51, 40}};

    rows_in_one()
    {
        for (int64 b = 0; b < 4; ++b)
            for (int64 h = 0; h < 4; ++h)
                std::copy_n(p.q.in().row(b, h, 0), queries[static_cast<std::size_t>(b)] * 40,
                            q.view().row(0, h, bounds[static_cast<std::size_t>(b)]));
    }
    heed::packed<const float> packed() const { return {q.in(), list(bounds)}; }
    heed::view<const float> of(int64 b) const
    {
        const auto i = static_cast<std::size_t>(b);
        return tokens(q.in(), bounds[i], queries[i]);
    }
};

}  // namespace

TEST_CASE("packed queries folded over parts have the bits of one call")
{
    const rows_in_one x;
    std::vector<int64> offsets;
    for (std::size_t b = 0; b < 4; ++b) offsets.push_back(lengths[b] - queries[b]);
    const heed::attention def{heed::softpick{}, heed::causal{}, heed::query_offset{list(offsets)}};
    tensor<float> expected({1, 4, 51, 24}, -7);
    const heed::options<float> none;
    heed::or_throw(
        heed::attend(def, x.packed(), heed::dense_kv{x.p.k.in(), x.p.v.in(), list(lengths)}, expected.view()));
    for (const int threads : {1, 3}) {
        heed::thread_pool pool(threads);
        owned_state<float> s(def, {1, 4, 51, 24});
        for (const auto& [first, n] : {std::pair<int64, int64>{0, 512}, {512, 691}}) {
            std::vector<int64> held;
            for (const int64 all : lengths) held.push_back(std::clamp<int64>(all - first, 0, n));
            const heed::dense_kv part{tokens(x.p.k.in(), first, n), tokens(x.p.v.in(), first, n), list(held)};
            heed::or_throw(heed::attend_partial(def, x.packed(), part, s.state(), {first, 1203}, {.executor = pool}));
        }
        tensor<float> out({1, 4, 51, 24}, -9);
        heed::or_throw(heed::finish(def, s.state(), out.view()));
        REQUIRE(same_bits(out.data, expected.data));
    }
    owned_state<float> wrong(def, {1, 4, 50, 24});
    REQUIRE(
        !heed::attend_partial(def, x.packed(), heed::dense_kv{x.p.k.in(), x.p.v.in(), list(lengths)}, wrong.state()));
}

TEST_CASE("what is observed of packed rows is what is observed of each sequence alone")
{
    const rows_in_one x;
    const heed::attention def{heed::softmax{}, heed::causal{} & heed::window{600}};
    const heed::dense_kv all{x.p.k.in(), x.p.v.in(), list(lengths)};
    std::vector<float> shift(204), mass(204), entropy(204, -5), alone(204, -6);
    std::vector<int64> attended(204), keys(3 * 204), one_keys(3 * 204);
    std::vector<float> weights(3 * 204), totals(4 * 2 * 1203);
    tensor<float> out({1, 4, 51, 24});
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, x.packed(), all, out.view(), {.stats = stats}));
    heed::observations<float> wanted{.entropy = entropy.data(), .attended = attended.data()};
    wanted.top_k = 3;
    wanted.top_keys = keys.data();
    wanted.top_weights = weights.data();
    for (const int threads : {1, 3}) {
        heed::thread_pool pool(threads);
        entropy.assign(204, -5);
        heed::or_throw(heed::observe(def, x.packed(), all, stats, wanted, {.executor = pool}));
        totals.assign(totals.size(), -5);
        heed::or_throw(heed::key_totals(def, x.packed(), all, stats, totals, {.executor = pool}));
        for (int64 b = 0; b < 4; ++b) {
            CAPTURE(threads, b);
            const auto i = static_cast<std::size_t>(b);
            const int64 n = queries[i];
            const auto count = static_cast<std::size_t>(4 * n);
            std::vector<float> own_shift(count), own_mass(count), own(count), own_weights(3 * count),
                map(static_cast<std::size_t>(n * 1203)), own_map(static_cast<std::size_t>(n * lengths[i]));
            std::vector<int64> own_keys(3 * count);
            tensor<float> own_out({1, 4, n, 24});
            const heed::row_statistics<float> own_stats{own_shift.data(), own_mass.data(), nullptr};
            const heed::dense_kv one{sequence(x.p.k, b, lengths[i]), sequence(x.p.v, b, lengths[i])};
            heed::or_throw(heed::attend(def, x.of(b), one, own_out.view(), {.stats = own_stats}));
            heed::observations<float> few{.entropy = own.data()};
            few.top_k = 3;
            few.top_keys = own_keys.data();
            few.top_weights = own_weights.data();
            heed::or_throw(heed::observe(def, x.of(b), one, own_stats, few));
            heed::or_throw(
                heed::attention_map(def, x.packed(), all, stats, {b, 2, 0, n}, map.data(), {.executor = pool}));
            heed::or_throw(heed::attention_map(def, x.of(b), one, own_stats, {0, 2, 0, n}, own_map.data()));
            std::vector<float> own_totals(static_cast<std::size_t>(2 * lengths[i]));
            heed::or_throw(heed::key_totals(def, x.of(b), one, own_stats, own_totals));
            for (std::size_t h = 0; h < 2; ++h)
                for (std::size_t j = 0, held = own_totals.size() / 2; j < 1203; ++j)
                    if (totals[(2 * i + h) * 1203 + j] != (j < held ? own_totals[h * held + j] : 0))
                        FAIL("the total of head " << h << ", key " << j << " is not the sequence's own");
            for (int64 h = 0; h < 4; ++h) {
                const auto at = static_cast<std::size_t>(h * 51 + bounds[i]), from = static_cast<std::size_t>(h * n),
                           some = static_cast<std::size_t>(n);
                REQUIRE(std::memcmp(&entropy[at], own.data() + from, some * sizeof(float)) == 0);
                REQUIRE(std::memcmp(&keys[3 * at], own_keys.data() + 3 * from, 3 * some * sizeof(int64)) == 0);
                REQUIRE(std::memcmp(&weights[3 * at], own_weights.data() + 3 * from, 3 * some * sizeof(float)) == 0);
            }
            for (int64 row = 0; row < n; ++row)
                for (int64 key = 0; key < 1203; ++key) {
                    const float p = map[static_cast<std::size_t>(row * 1203 + key)];
                    if (key < lengths[i] ? p != own_map[static_cast<std::size_t>(row * lengths[i] + key)] : p != 0)
                        FAIL("row " << row << ", key " << key << ": " << p);
                }
        }
    }
    std::vector<float> map(4000);
    const auto refused = [&](const heed::map_part& part, const char* says) {
        const heed::status s = heed::attention_map(def, x.packed(), all, stats, part, map.data());
        REQUIRE(std::string(s.message()).find(says) != std::string::npos);
    };
    refused({4, 0, 0, 1}, "batch 4 of 4");
    refused({2, 0, 0, 2}, "2 rows from row 0 on, of 1");
    refused({1, 0, 1, 3}, "3 rows from row 1 on, of 3");
    const std::vector<int64> first_alone{0, 51, 51, 51, 51};
    const heed::packed<const float> others{x.q.in(), list(first_alone)};
    const heed::observe_plan plan(def, x.packed(), all);
    std::vector<std::byte> memory(plan.workspace_bytes());
    const heed::status s = plan.run(others, all, stats, wanted, {.workspace = {memory.data(), memory.size()}});
    REQUIRE(std::string(s.message()).find("a sequence of 51 rows, planned for up to 40") != std::string::npos);
}

TEST_CASE("every third key tile as a part has the bits of a mask that attends to these tiles alone")
{
    constexpr int64 keys = 2900, tile = heed::key_tile;
    const problem<float> p(2, 4, 2, 9, keys, 24, 40);
    const std::vector<float> slopes{0.01f, 0.02f, 0.03f, 0.04f};
    for (int64 i = 0; i < 3; ++i) {
        CAPTURE(i);
        int64 n = 0;
        tensor<float> k({2, 2, keys, 24}, NAN), v({2, 2, keys, 40}, NAN);
        for (int64 t = 0; t < keys; ++t) {
            if (t / tile % 3 != i) continue;
            for (int64 b = 0; b < 2; ++b)
                for (int64 h = 0; h < 2; ++h) {
                    std::copy_n(p.k.in().row(b, h, t), 24, k.view().row(b, h, n));
                    std::copy_n(p.v.in().row(b, h, t), 40, v.view().row(b, h, n));
                }
            ++n;
        }
        const heed::alibi tilted{slopes.data(), 4};
        const heed::attention def{heed::softmax{}, tilted, heed::causal{} & heed::window{2000}};
        const heed::attention with{
            heed::softmax{}, tilted,
            heed::causal{} & heed::window{2000} &
                heed::attend_where([i](int64, int64, int64, int64 t) { return t / tile % 3 == i; })};
        const heed::extents size{2, 4, 9, 40};
        owned_state<float> expected(with, size);
        heed::or_throw(heed::attend_partial(with, p.q.in(), p.k.in(), p.v.in(), expected.state(), {0, keys}));
        for (const int threads : {1, 3}) {
            heed::thread_pool pool(threads);
            owned_state<float> s(def, size);
            heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(k.in(), 0, n), tokens(v.in(), 0, n), s.state(),
                                                {.first_key = i * tile, .total_keys = keys, .tile_stride = 3},
                                                {.executor = pool}));
            REQUIRE(s == expected);
            if (i < 2) continue;  // whose last key is the sequence's
            owned_state<float> last(def, size);
            heed::or_throw(heed::attend_partial(def, p.q.in(), tokens(k.in(), 0, n), tokens(v.in(), 0, n), last.state(),
                                                {.first_key = i * tile, .tile_stride = 3}));
            REQUIRE(last == expected);
        }
        owned_state<float> s(def, size);
        const auto refused = [&](const heed::key_part& part, const char* says) {
            const heed::status wrong =
                heed::attend_partial(def, p.q.in(), tokens(k.in(), 0, n), tokens(v.in(), 0, n), s.state(), part);
            REQUIRE(std::string(wrong.message()).find(says) != std::string::npos);
        };
        refused({0, keys, 0}, "every 0-th key tile");
        refused({0, keys, -3}, "every -3-th key tile");
        refused({0, keys, std::numeric_limits<int64>::max()}, "of 2900 in all");
        refused({0, 1000, 3}, "of 1000 in all");
    }
}
