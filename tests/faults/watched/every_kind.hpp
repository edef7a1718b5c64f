// SPDX-License-Identifier: MIT
// One call of each kind, small, for tools that watch a run: no Catch and no libm, which those tools may not know.
#pragma once

#include <heed/heed.hpp>
#include <heed/observe.hpp>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace faults {

using int64 = std::int64_t;

/// Memory as malloc gives it; what a call writes must be all of it.
template <class T>
struct array {
    T* data;
    int64 count;

    explicit array(int64 n) : data(static_cast<T*>(std::malloc(static_cast<std::size_t>(n) * sizeof(T)))), count(n) {}
    ~array() { std::free(data); }
    array(const array&) = delete;
    array& operator=(const array&) = delete;
};

/// Numbers around 0, some of them alike.
inline void fill(array<float>& a, unsigned seed)
{
    for (int64 i = 0; i < a.count; ++i) {
        seed = seed * 1664525u + 1013904223u;
        a.data[i] = static_cast<float>(static_cast<int>(seed >> 20)) * 0x1p-10f - 2;
    }
}

template <class T>
struct tensor {
    array<T> memory;
    heed::extents size;

    explicit tensor(heed::extents e) : memory(e.batch * e.heads * e.tokens * heed::elements_for<T>(e.dim)), size(e) {}
    tensor(heed::extents e, unsigned seed) : tensor(e) { fill(memory, seed); }
    heed::view<T> view() { return heed::bhsd(memory.data, size); }
    heed::view<const T> in() { return heed::bhsd(static_cast<const T*>(memory.data), size); }
};

/// What a call says and writes: an error, or a number that is not finite, ends the program.
inline void check(const char* kind, const heed::status& s)
{
    if (s) return;
    std::printf("%s: %s\n", kind, s.message());
    std::exit(1);
}
inline void check(const char* kind, const float* x, int64 n)
{
    int wrong = 0;
    for (int64 i = 0; i < n; ++i) wrong += !(x[i] - x[i] == 0);
    if (wrong == 0) return;  // a tool that knows what was never written says so here
    std::printf("%s: %d numbers are not finite\n", kind, wrong);
    std::exit(1);
}
inline void check(const char* kind, const tensor<float>& t) { check(kind, t.memory.data, t.memory.count); }

/// Forward, over whatever kv is.
template <class Def, class Q, class Kv>
void forward(const char* kind, const Def& def, const Q& q, const Kv& kv, heed::extents size,
             heed::executor_ref executor)
{
    tensor<float> out(size);
    check(kind, heed::attend(def, q, kv, out.view(), {.executor = executor, .workspace = {}, .stats = {}}));
    check(kind, out);
}

inline void dense_kinds(heed::executor_ref executor)
{
    for (const int64 queries : {int64{130}, int64{3}, int64{1}}) {  // prefill, a few tokens, decode
        const int64 keys = queries == 1 ? 9000 : 700;               // split, where there are threads
        tensor<float> q({1, 4, queries, 40}, 1), k({1, 2, keys, 40}, 2), v({1, 2, keys, 36}, 3);
        const heed::extents size{1, 4, queries, 36};
        const heed::dense_kv kv{k.in(), v.in()};
        forward("causal", heed::attention{heed::softpick{}, heed::causal{}}, q.in(), kv, size, executor);
        forward("window", heed::attention{heed::softmax1{}, heed::window{.left = 50, .right = 3}}, q.in(), kv, size,
                executor);
        array<bool> table(queries * keys);
        for (int64 i = 0; i < table.count; ++i) table.data[i] = i % 3 != 0;
        const bool* entries = table.data;
        forward("dense_mask", heed::attention{heed::dense_mask{heed::bhsd(entries, {1, 1, queries, keys})}}, q.in(), kv,
                size, executor);

        const heed::attention def{heed::softmax{}};
        array<float> numbers((2 + 36) * 4 * queries * 2);
        const int64 rows = 4 * queries;
        const auto state_at = [&](int64 i) {
            float* p = numbers.data + i * rows * 38;
            return heed::state<float>{p, p + rows, p + 2 * rows, size};
        };
        const auto part = [&](int64 i, int64 first, int64 count) {
            check("clear", heed::clear(def, state_at(i)));
            const auto cut = [&](auto x) { return decltype(x){x.row(0, 0, first), {1, 2, count, x.size.dim}, x.stride}; };
            check("attend_partial",
                  heed::attend_partial(def, q.in(), cut(k.in()), cut(v.in()), state_at(i), {first, keys},
                                       {.executor = executor, .workspace = {}, .stats = {}}));
        };
        part(0, 0, 512);
        part(1, 512, keys - 512);
        check("merge", heed::merge(state_at(0), state_at(1)));
        tensor<float> out(size);
        check("finish", heed::finish(def, state_at(0), out.view()));
        check("finish", out);
    }
}

inline void backward_kinds(heed::executor_ref executor)
{
    const int64 queries = 130, keys = 700, rows = 4 * queries;
    tensor<float> q({1, 4, queries, 24}, 1), k({1, 2, keys, 24}, 2), v({1, 2, keys, 20}, 3),
        dout({1, 4, queries, 20}, 4);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    tensor<float> out(dout.size), dq(q.size), dk(k.size), dv(v.size);
    array<float> shift(rows), mass(rows), lse(rows), entropy(rows), distance(rows), map(queries * keys);
    heed::options<float> how;
    how.executor = executor;
    how.stats = {shift.data, mass.data, lse.data};
    check("attend", heed::attend(def, q.in(), k.in(), v.in(), out.view(), how));
    check("lse", lse.data, rows);
    const heed::row_statistics<float> stats{shift.data, mass.data, nullptr};
    how.stats = {};
    heed::gradients<float> to;
    to.dq = dq.view();
    to.dk = dk.view();
    to.dv = dv.view();
    check("backward", heed::backward(def, q.in(), k.in(), v.in(), out.in(), stats, dout.in(), to, how));
    for (const auto* t : {&dq, &dk, &dv}) check("backward", *t);
    heed::observations<float> wanted;
    wanted.entropy = entropy.data;
    wanted.mean_distance = distance.data;
    check("observe", heed::observe(def, q.in(), k.in(), stats, wanted, how));
    check("observe", entropy.data, rows);
    check("observe", distance.data, rows);
    check("attention_map", heed::attention_map(def, q.in(), k.in(), stats, {0, 1, 0, queries}, map.data, how));
    check("attention_map", map.data, map.count);
}

/// Two sequences of pages of 16 tokens, every row appended and fetched; queries one token each, and packed.
template <class E>
void paged_kind(const char* kind, heed::executor_ref executor)
{
    constexpr int64 slots = 16, pages = 90, dim = 64;
    const std::vector<int64> lengths{700, 651};
    std::vector<std::int32_t> list;
    for (std::int32_t i = 0; i < pages; ++i) list.push_back(i % 2 ? i : 88 - i);  // 45 of each sequence
    tensor<E> k({pages, 2, slots, dim}), v({pages, 2, slots, dim});
    const auto table = heed::page_table::padded({list.data(), pages}, 45, {lengths.data(), 2});
    const heed::paged_kv<E> cache{k.view(), v.view(), table};
    for (int64 b = 0; b < 2; ++b) {
        const int64 n = lengths[static_cast<std::size_t>(b)];
        tensor<float> rows({1, 2, n, dim}, 5), back({1, 2, n, dim}), more({1, 2, n, dim});
        check(kind, heed::append(cache, b, 0, rows.in(), rows.in()));
        check(kind, heed::fetch(cache, b, 0, back.view(), more.view()));
        check(kind, back);
        check(kind, more);
    }
    tensor<float> q({2, 4, 1, dim}, 1), packed({1, 4, 34, dim}, 2);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    forward(kind, def, q.in(), cache, q.size, executor);
    const std::int32_t bounds[] = {0, 33, 34};
    forward(kind, def, heed::packed<const float>{packed.in(), {bounds, 3}}, cache, packed.size, executor);
}

inline void ring_and_int8(heed::executor_ref executor)
{
    const int64 capacity = 640, lengths[] = {2000}, dim = 64;
    tensor<float> q({1, 4, 2, dim}, 1), k({1, 2, capacity, dim}, 2), v({1, 2, capacity, dim}, 3);
    forward("ring", heed::attention{heed::softmax{}, heed::window{.left = 500, .right = 0}}, q.in(),
            heed::ring_kv<const float>{k.in(), v.in(), {lengths, 1}}, q.size, executor);

    tensor<std::int8_t> k8(k.size), v8(v.size);
    tensor<float> k_scale({1, 2, capacity, 1}), v_scale({1, 2, capacity, 1});
    const heed::scaled_kv cache{heed::dense_kv{k8.view(), v8.view()}, heed::per_token{k_scale.view()},
                                heed::per_token{v_scale.view()}};
    check("int8", heed::append(cache, 0, 0, k.in(), v.in()));
    forward("int8", heed::attention{heed::softmax{}}, q.in(), cache, q.size, executor);
}

inline void every_kind(heed::executor_ref executor)
{
    dense_kinds(executor);
    backward_kinds(executor);
    paged_kind<float>("paged", executor);
    paged_kind<heed::f16>("paged f16", executor);
    paged_kind<heed::fp8_e4m3>("paged fp8", executor);
    paged_kind<heed::q8_0>("paged q8_0", executor);
    paged_kind<heed::q4_0>("paged q4_0", executor);
    ring_and_int8(executor);
}

}  // namespace faults
