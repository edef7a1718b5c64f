// SPDX-License-Identifier: MIT
// Attention over quantised caches against the gate K <= 4, of the numbers that the caches hold.
#include "gate.hpp"
#include "samples.hpp"
#include "scoreboard.hpp"
#include "stored.hpp"

namespace {

using namespace oracle;

template <class Cache, class Normalizer>
void judge(scoreboard& board, const std::string& name, const std::string& family, const sample<float>& x,
           const Cache& cache, const Normalizer& normalizer)
{
    const heed::attention def{normalizer, heed::scale{x.scale}};
    const tensor<double> k = cache.keys(), v = cache.values();
    const gate against(def, x.p.q.in(), k.in(), v.in());
    board.note(name, family, against.judge(cache.attend(def, x.p.q).in()));
}

/// Families whose rows are whole blocks.
template <class F>
void for_each_family_of_blocks(std::uint64_t seed, F f)
{
    for (const double spread : {1e-2, 1., 8., 64.})
        f("scores of spread " + std::to_string(spread),
          sample<float>{drawn<float>({.queries = 6, .keys = 700, .key_dim = 96, .value_dim = 64}, seed, spread)});
    const shape tiles{.queries = 4, .keys = 1200, .key_dim = 32, .value_dim = 32};
    f("sorted ascending", directed<float>(tiles, seed, [](int64 j) { return 0.05 * static_cast<double>(j) - 30; }));
    f("all negative", directed<float>(tiles, seed, [](int64 j) { return -5 - 0.01 * static_cast<double>(j % 77); }));
    f("one hot",
      directed<float>(tiles, seed, [](int64 j) { return j == 777 ? 60. : 0.1 * static_cast<double>(j % 5); }));
    sample<float> offset{drawn<float>({.queries = 5, .keys = 600}, seed, 2)};
    for (float& y : offset.p.v.data) y += 50;
    f("values around 50", offset);
    f("wide heads", sample<float>{drawn<float>({.queries = 7, .keys = 40, .key_dim = 288, .value_dim = 544}, seed)});
    f("grouped heads", sample<float>{drawn<float>(
                           {.query_heads = 8, .kv_heads = 2, .queries = 3, .keys = 400, .key_dim = 32}, seed, 2)});
    f("one query, many keys",
      sample<float>{drawn<float>({.queries = 1, .keys = 5000, .key_dim = 128, .value_dim = 96}, seed, 2)});
    f("many queries",
      sample<float>{drawn<float>(
          {.query_heads = 1, .kv_heads = 1, .queries = 150, .keys = 150, .key_dim = 32, .value_dim = 32}, seed, 2)});
}

}  // namespace

TEST_CASE("caches of int8 and fp8 with scales pass the gate, of what they hold", "[oracle]")
{
    scoreboard board;
    for_each_family<float>(300, [&](const std::string& family, const sample<float>& x) {
        const auto both = [&](const std::string& name, const auto& cache) {
            judge(board, name + ", softmax", family, x, cache, heed::softmax{});
            judge(board, name + ", softpick", family, x, cache, heed::softpick{});
        };
        both("int8 by token", stored<std::int8_t, std::int8_t>(x.p, scales::of_tokens, scales::of_tokens));
        const stored<std::int8_t, std::int8_t> by_channel(x.p, scales::of_channels, scales::of_tokens);
        both("int8 by channel", by_channel);
        judge(board, "int8 by channel, sigmoid", family, x, by_channel, heed::sigmoid{-2});
        both("fp8 by token", stored<fp8_e4m3, fp8_e4m3>(x.p, scales::of_tokens, scales::of_tokens));
        both("fp8 by head", stored<fp8_e4m3, fp8_e4m3>(x.p, scales::of_heads, scales::of_heads));
        both("fp8_e5m2 by token", stored<fp8_e5m2, fp8_e5m2>(x.p, scales::of_tokens, scales::of_tokens));
    });
    board.print("caches with scales");
}

TEST_CASE("caches of blocks pass the gate, of what they hold", "[oracle]")
{
    scoreboard board;
    for_each_family_of_blocks(400, [&](const std::string& family, const sample<float>& x) {
        const stored<q8_0, q4_0> a(x.p, scales::none, scales::none);
        const stored<q4_0, q8_0> b(x.p, scales::none, scales::none);
        judge(board, "q8_0 keys, q4_0 values, softmax", family, x, a, heed::softmax{});
        judge(board, "q8_0 keys, q4_0 values, softpick", family, x, a, heed::softpick{});
        judge(board, "q4_0 keys, q8_0 values, softmax", family, x, b, heed::softmax{});
        const stored<q5_0, q5_0> c(x.p, scales::none, scales::none);
        judge(board, "q5_0, softpick", family, x, c, heed::softpick{});
    });
    board.print("caches of blocks");
}

TEST_CASE("the gate sees a scale that is applied to the wrong token", "[oracle]")
{
    const sample<float> x{drawn<float>({.queries = 6, .keys = 300, .key_dim = 64, .value_dim = 64}, 9, 3)};
    const stored<std::int8_t, std::int8_t> right(x.p, scales::of_tokens, scales::of_tokens);
    auto wrong = right;
    wrong.swap_value_scales(100, 101);
    const heed::attention def{heed::softmax{}, heed::scale{x.scale}};
    const tensor<double> k = right.keys(), v = right.values();
    const gate against(def, x.p.q.in(), k.in(), v.in());
    CHECK(against.judge(right.attend(def, x.p.q).in()).k <= verdict::passing);
    CHECK(against.judge(wrong.attend(def, x.p.q).in()).k > verdict::passing);
}
