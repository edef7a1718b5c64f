// SPDX-License-Identifier: MIT
// heed-bench-selected: attention to selected keys beside what bounds it, in one process and in turn.
//
//     decode      2048 of 131072 tokens at random, for each of 8 kv heads (32/8 heads, D 128): beside a plain loop that
//                 gathers the same rows with prefetch, and beside attention to all keys
//     lists       block means scored and the best listed: beside the decode over what they select
//     prefill     2048 queries over 4096 keys, a quarter of the 128 x 128 blocks: beside the FMA peak
//
// Each line is the median of the ratios of neighbouring runs, with the quartiles.
#include "ceilings.hpp"

#include <heed/block_summary.hpp>
#include <heed/heed.hpp>
#include <heed/key_scores.hpp>
#include <heed/top_keys.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

namespace {

using int64 = std::int64_t;
constexpr int64 query_heads = 32, heads = 8, dim = 128, tokens = 131072, chosen = 2048;

struct quartiles {
    double low, middle, high;
};
quartiles of(std::vector<double> x)
{
    std::sort(x.begin(), x.end());
    return {x[x.size() / 4], x[x.size() / 2], x[x.size() * 3 / 4]};
}
template <class F>
double seconds_of(F f)
{
    const double start = bench::seconds();
    f();
    return bench::seconds() - start;
}

/// n of `all` at random, for each of `lists` lists.
struct random_lists {
    std::vector<std::int32_t> entries, offsets{0};

    random_lists(int64 lists, int64 all, int64 n)
    {
        std::mt19937 random(1);
        std::vector<std::int32_t> any(static_cast<std::size_t>(all));
        for (int64 i = 0; i < lists; ++i) {
            std::iota(any.begin(), any.end(), 0);
            std::shuffle(any.begin(), any.end(), random);
            std::sort(any.begin(), any.begin() + n);
            entries.insert(entries.end(), any.begin(), any.begin() + n);
            offsets.push_back(static_cast<std::int32_t>(entries.size()));
        }
    }
};

/// Sums the bytes of the listed rows of K and V as numbers of 64 bits, a row's lines asked for `ahead` rows before.
template <class E>
std::uint64_t gather(const heed::view<const E>& k, const heed::view<const E>& v, const random_lists& lists)
{
    constexpr int64 ahead = 8, bytes = heed::elements_for<E>(dim) * static_cast<int64>(sizeof(E));
    std::uint64_t sum[8] = {};
    for (int64 h = 0; h < heads; ++h) {
        const std::int32_t* const list = lists.entries.data() + h * chosen;
        for (int64 i = 0; i < chosen; ++i) {
            const int64 next = list[i + ahead < chosen ? i + ahead : i];
            for (const auto* x : {&k, &v}) {
                const char* const row = reinterpret_cast<const char*>(x->row(0, h, next));
                for (int64 c = 0; c < bytes; c += 64) __builtin_prefetch(row + c);
                __builtin_prefetch(row + bytes - 1);
            }
            for (const auto* x : {&k, &v}) {
                const char* const row = reinterpret_cast<const char*>(x->row(0, h, list[i]));
                for (int64 c = 0; c + 64 <= bytes; c += 64) {
                    std::uint64_t part[8];
                    std::memcpy(part, row + c, sizeof part);
                    for (int n = 0; n < 8; ++n) sum[n] += part[n];
                }
                std::uint64_t last[8];
                std::memcpy(last, row + bytes - 64, sizeof last);
                for (int n = 0; n < 8; ++n) sum[n] += last[n];
            }
        }
    }
    return std::accumulate(std::begin(sum), std::end(sum), std::uint64_t{0});
}

template <class E>
std::vector<E> drawn(int64 n)
{
    std::vector<E> x(static_cast<std::size_t>(n));
    std::uint32_t state = 7;
    const auto next = [&] { return static_cast<int>((state = state * 1664525 + 1013904223) >> 24) - 128; };
    for (E& e : x) {
        if constexpr (std::is_same_v<E, float>) {
            e = static_cast<float>(next()) / 64;
        } else {
            e.d = heed::f16(0.02f);
            for (auto& q : e.q) q = static_cast<std::int8_t>(next());
        }
    }
    return x;
}

/// A plan with its workspace, as a call.
template <class Def, class Q, class K, class O>
auto planned(const Def& def, const Q& q, const K& k, const K& v, const O& out)
{
    const heed::plan plan(def, q, k, v);
    heed::or_throw(plan.status());
    return [=, scratch = std::vector<char>(plan.workspace_bytes())]() mutable {
        heed::options<float> how;
        how.workspace = {scratch.data(), scratch.size()};
        heed::or_throw(plan.run(q, k, v, out, how));
    };
}

heed::list_shape for_each_head(int64 block, int64 row_blocks, int64 rows)
{
    heed::list_shape s;
    s.block = block;
    s.heads = heads;
    s.group = query_heads / heads;
    s.row_blocks = row_blocks;
    s.rows = rows;
    return s;
}

template <class E>
void decode(const char* name)
{
    const int64 count = heads * tokens * heed::elements_for<E>(dim);
    const std::vector<E> k_rows = drawn<E>(count), v_rows = drawn<E>(count);
    const std::vector<float> q_rows = drawn<float>(query_heads * dim);
    std::vector<float> out_rows(q_rows.size());
    const auto k = heed::bhsd(k_rows.data(), {1, heads, tokens, dim}), v = heed::bhsd(v_rows.data(), k.size);
    const auto q = heed::bhsd(q_rows.data(), {1, query_heads, 1, dim});
    const auto out = heed::bhsd(out_rows.data(), q.size);
    const random_lists lists(heads, tokens, chosen);
    auto selected = planned(
        heed::attention{heed::selected_keys{lists.offsets, lists.entries, for_each_head(1, 1, heed::unbounded)}}, q, k,
        v, out);
    auto all = planned(heed::attention{}, q, k, v, out);
    constexpr int64 block = 64, blocks = tokens / block;
    std::vector<float> means(static_cast<std::size_t>(heads * blocks * dim)), scored(heads * blocks);
    std::vector<std::int32_t> entries(heads * chosen / block), offsets(heads + 1);
    heed::or_throw(heed::block_means(heed::dense_kv{k, v}, block, heed::bhsd(means.data(), {1, heads, blocks, dim})));
    const auto list = [&] {
        const auto scores = heed::bhsd(scored.data(), {1, heads, 1, blocks});
        heed::or_throw(heed::score_block_means(
            q, heed::bhsd(static_cast<const float*>(means.data()), {1, heads, blocks, dim}), scores));
        heed::or_throw(heed::top_keys(heed::bhsd(static_cast<const float*>(scored.data()), scores.size),
                                      {chosen / block, 1, 2}, offsets.data(), static_cast<int64>(offsets.size()),
                                      entries.data(), static_cast<int64>(entries.size())));
    };
    std::vector<double> of_gather, to_all, to_list;
    double milliseconds = 0;
    std::uint64_t keep = 0;
    for (int i = 0; i < 31; ++i) {
        const double g = seconds_of([&] { keep += gather<E>(k, v, lists); }), s = seconds_of(selected);
        of_gather.push_back(g / s);
        milliseconds = s * 1e3;
        to_list.push_back(seconds_of(list) / s);
        if (i % 8 == 0) to_all.push_back(seconds_of(all) / s);
    }
    const quartiles a = of(of_gather), b = of(to_all), c = of(to_list);
    std::printf(
        "decode %-5s %.2f ms  %.2f [%.2f, %.2f] of the gather  %.0fx [%.0f, %.0f] dense  lists %.2f [%.2f, %.2f] "
        "of it%s\n",
        name, milliseconds, a.middle, a.low, a.high, b.middle, b.low, b.high, c.middle, c.low, c.high,
        keep == 1 ? "." : "");
}

void prefill()
{
    constexpr int64 queries = 2048, keys = 4096, block = 128, part = 4;
    const std::vector<float> q_rows = drawn<float>(query_heads * queries * dim),
                             k_rows = drawn<float>(heads * keys * dim);
    std::vector<float> out_rows(q_rows.size());
    const auto q = heed::bhsd(q_rows.data(), {1, query_heads, queries, dim});
    const auto k = heed::bhsd(k_rows.data(), {1, heads, keys, dim});
    const auto out = heed::bhsd(out_rows.data(), q.size);
    const random_lists lists(heads * queries / block, keys / block, keys / block / part);
    auto sparse = planned(heed::attention{heed::selected_keys{lists.offsets, lists.entries,
                                                              for_each_head(block, queries / block, block)}},
                          q, k, k, out);
    auto dense = planned(heed::attention{}, q, k, k, out);
    const double flops = 4.0 * dim * query_heads * queries * keys;
    std::vector<double> of_sparse, of_dense;
    for (int i = 0; i < 9; ++i) {
        const double before = bench::fma_peak(1, 0.05), s = seconds_of(sparse), between = bench::fma_peak(1, 0.05);
        const double d = seconds_of(dense), after = bench::fma_peak(1, 0.05);
        of_sparse.push_back(flops / part / s / 1e9 / ((before + between) / 2));
        of_dense.push_back(flops / d / 1e9 / ((between + after) / 2));
    }
    const quartiles a = of(of_sparse), b = of(of_dense);
    std::printf(
        "prefill f32, a quarter of the blocks of 128: %.2f [%.2f, %.2f] of the FMA peak; all of them: %.2f [%.2f, "
        "%.2f]\n",
        a.middle, a.low, a.high, b.middle, b.low, b.high);
}

}  // namespace

int main()
{
    decode<float>("f32");
    decode<heed::q8_0>("q8_0");
    prefill();
}
