// SPDX-License-Identifier: MIT
// Attention as a compute op of a tensor library, in the manner of ggml's flash attention: tensors with byte strides, a
// graph that calls the op in every one of its threads, scratch that was asked for in advance. For head h, query i, key
// j:
//
//     s = cap tanh(scale (q . k) / cap) + slope_h mask          p = e^s / (e^sink_h + sum e^s)          out = sum p v
//
// cap: logit_softcap, 0 for none. mask: 0 where there is none; -inf leaves the key out. slope_h: ALiBi, which in this
// convention multiplies the mask, as that holds distances; see alibi_slope().
//
// It follows ggml_flash_attn_ext as it was in August 2026 (ggml d99724f2, the ggml of llama.cpp d3cf1f14): of the 5158
// cases of that one's own test 3801 are taken, and all of them pass; the others have k and v of two types, or of types
// that `type` has not. All that is optional combines: mask, sinks, softcap, ALiBi (which needs a mask), grouped heads,
// Dv != D, each type of k and v. supports() says whether an op is taken and scratch_bytes() what it needs; neither asks
// for tensors that are allocated. It is a set of kernels a type of k and v: gcc 12 -O2 takes 12 s and makes 230 KB of
// code for one, 46 s and 960 KB for the five (of CPU, Emerald Rapids, AVX-512); strike those you do not need from
// with_type().
//
// The graph has no barrier inside an op, so each thread does whole tasks of a plan for one worker: blocks of query rows
// with all their keys, those of one kv head. One query over 8 kv heads keeps 8 threads busy, over one head one. The
// bits do not depend on the number of threads. Nothing is allocated, nothing thrown.
#pragma once

#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>

namespace compute_op {

using int64 = std::int64_t;

enum class type { f32, f16, bf16, q8_0, q4_0 };

/// ne: sizes, innermost first. nb: distances of neighbours, in bytes; nb[0] is that of two elements, of blocks in a
/// quantised type. That of a size of 1 is not looked at.
struct tensor {
    void* data = nullptr;
    compute_op::type type = compute_op::type::f32;
    int64 ne[4] = {1, 1, 1, 1};
    std::size_t nb[4] = {0, 0, 0, 0};
};

struct parameters {
    float scale = 1;
    float max_bias = 0;       ///< ALiBi; 0: every slope is 1
    float logit_softcap = 0;  ///< 0: none
};

/// Any strides with contiguous rows. H is a multiple of Hkv, k and v have one type of any, all else but the mask is
/// f32.
struct tensors {
    tensor q;                       // [D, Nq, H, B]
    tensor k, v;                    // [D, Nkv, Hkv, B], [Dv, Nkv, Hkv, B]
    tensor out;                     // [Dv, H, Nq, B]
    const tensor* mask = nullptr;   // f16 [Nkv, Nq or more, M2, M3]: that of head h and batch b is h % M2, b % M3
    const tensor* sinks = nullptr;  // [H]: a logit beside those of the keys
};

/// m0^(h + 1) for the first n = 2^floor(log2 H) heads and m1^(2 (h - n) + 1) for the rest, m0 = 2^(-max_bias / n) and
/// m1 = 2^(-max_bias / 2 / n); 1 where max_bias is 0.
inline float alibi_slope(float max_bias, int64 head, int64 heads)
{
    if (!(max_bias > 0)) return 1;
    int64 n = 1;
    while (2 * n <= heads) n *= 2;
    const float m0 = std::exp2(-max_bias / static_cast<float>(n)),
                m1 = std::exp2(-max_bias / 2 / static_cast<float>(n));
    return head < n ? std::pow(m0, static_cast<float>(head + 1)) : std::pow(m1, static_cast<float>(2 * (head - n) + 1));
}

namespace detail {

using heed::errc;
using heed::status;
using ll = long long;

// One definition serves every op: what is optional is decided when it runs, not when it is compiled.

struct optional_sinks : heed::softmax_sink {
    using softmax_sink::softmax_sink;

    double log_offset(int64 head) const
    {
        return logits ? softmax_sink::log_offset(head) : -std::numeric_limits<double>::infinity();
    }
    status check(const heed::problem& p) const { return logits ? softmax_sink::check(p) : status{}; }
};

struct optional_softcap {
    float cap;  // 0: none

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return cap > 0 ? heed::softcap{cap}.map(s, at) : s;
    }
    status check(const heed::problem& p) const
    {
        return cap >= 0 && !(cap > 0) ? status{} : heed::softcap{cap}.check(p);
    }
};

/// s + slope_h mask, as a score map; and a mask that leaves out the keys of -inf, so that no byte of them matters and
/// what nobody attends is not computed.
struct sloped_mask {
    heed::view<const heed::f16> values;  // null: none
    const float* slopes;                 // [H]

    sloped_mask(const heed::view<const heed::f16>& v, const float* of_heads) : values(v), slopes(of_heads)
    {
        // One that all share is repeated by its stride, not by a division a register.
        if (v.size.heads == 1) values.stride.heads = 0, values.size.heads = heed::unbounded;
        if (v.size.batch == 1) values.stride.batch = 0, values.size.batch = heed::unbounded;
    }

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return values.data ? heed::fma(at.load(row(at)), V(slopes[at.head]), s) : s;
    }
    bool attends(const heed::query_place& at, int64 key) const { return !values.data || !leaves_out(row(at)[key]); }
    heed::coverage classify(const heed::block_place&) const
    {
        return values.data ? heed::coverage::partial : heed::coverage::full;
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        if (!values.data) return bits.set_range(0, count);
        const heed::f16* x = row(at) + first;
        for (int begin = 0, end; begin < count; begin = end) {  // runs of one kind: there are few
            const bool out = leaves_out(x[begin]);
            for (end = begin + 1; end < count && leaves_out(x[end]) == out;) ++end;
            if (!out) bits.set_range(begin, end);
        }
    }

private:
    static bool leaves_out(heed::f16 x) { return x.bits == 0xfc00; }  // -inf
    const heed::f16* row(const heed::query_place& at) const
    {
        const int64 h = at.head < values.size.heads ? at.head : at.head % values.size.heads;
        const int64 b = at.batch < values.size.batch ? at.batch : at.batch % values.size.batch;
        return values.row(b, h, at.row);
    }
};

struct type_of {
    const char* name;
    int64 bytes, channels;  // of an element
};
inline type_of describe(type t)
{
    switch (t) {
    case type::f32: return {"f32", sizeof(float), 1};
    case type::f16: return {"f16", sizeof(heed::f16), 1};
    case type::bf16: return {"bf16", sizeof(heed::bf16), 1};
    case type::q8_0: return {"q8_0", sizeof(heed::q8_0), heed::channels_of<heed::q8_0>};
    case type::q4_0: return {"q4_0", sizeof(heed::q4_0), heed::channels_of<heed::q4_0>};
    }
    return {"unknown", 0, 1};
}

/// f(E{}) for the element type of k and v.
template <class F>
status with_type(type t, F f)
{
    switch (t) {
    case type::f32: return f(float{});
    case type::f16: return f(heed::f16{});
    case type::bf16: return f(heed::bf16{});
    case type::q8_0: return f(heed::q8_0{});
    case type::q4_0: return f(heed::q4_0{});
    }
    return status::error(errc::unsupported, "compute_op: k: type %d is none that there is", static_cast<int>(t));
}

/// A tensor [channels, tokens, heads, batch] as a view; or, with heads_first, [channels, heads, tokens, batch].
template <class E>
status view_of(const char* name, const tensor& t, type wanted, heed::view<E>& to, bool heads_first = false)
{
    const type_of is = describe(t.type);
    if (reinterpret_cast<std::uintptr_t>(t.data) % alignof(E) != 0)
        return status::error(errc::invalid_argument, "compute_op: %s: data is not aligned to the elements of %s", name,
                             describe(wanted).name);
    if (t.type != wanted)
        return status::error(errc::unsupported, "compute_op: %s: is of %s, must be of %s", name, is.name,
                             describe(wanted).name);
    int64 step[4] = {1, 0, 0, 0};
    for (int i = 0; i < 4; ++i) {
        if (t.ne[i] / (i == 0 ? is.channels : 1) <= 1) continue;
        if (t.nb[i] % static_cast<std::size_t>(is.bytes) != 0)
            return status::error(errc::invalid_argument,
                                 "compute_op: %s: nb[%d] = %zu is not a multiple of %lld, the bytes of %s", name, i,
                                 t.nb[i], ll{is.bytes}, is.name);
        step[i] = static_cast<int64>(t.nb[i] / static_cast<std::size_t>(is.bytes));
    }
    if (step[0] != 1)
        return status::error(errc::unsupported,
                             "compute_op: %s: rows of ne[0] = %lld are not contiguous: nb[0] = %zu, must be %lld, the "
                             "bytes of %s",
                             name, ll{t.ne[0]}, t.nb[0], ll{is.bytes}, is.name);
    const int tokens = heads_first ? 2 : 1, heads = heads_first ? 1 : 2;
    to = {static_cast<E*>(t.data), {t.ne[3], t.ne[heads], t.ne[tokens], t.ne[0]}, {step[3], step[heads], step[tokens]}};
    return {};
}

inline status check_mask(const tensors& t)
{
    const int64* m = t.mask->ne;
    const int64 keys = t.k.ne[1], queries = t.q.ne[1], heads = t.q.ne[2], batch = t.q.ne[3];
    if (m[0] == keys && m[1] >= queries && m[2] >= 1 && heads % m[2] == 0 && m[3] >= 1 && batch % m[3] == 0) return {};
    return status::error(errc::invalid_argument,
                         "compute_op: mask: [%lld, %lld, %lld, %lld] does not repeat to [%lld, %lld, %lld, %lld]",
                         ll{m[0]}, ll{m[1]}, ll{m[2]}, ll{m[3]}, ll{keys}, ll{queries}, ll{heads}, ll{batch});
}

inline status check_sinks(const tensors& t)
{
    const int64* n = t.sinks->ne;
    if (n[0] == t.q.ne[2] && n[1] == 1 && n[2] == 1 && n[3] == 1) return {};
    return status::error(errc::invalid_argument, "compute_op: sinks: [%lld, %lld, %lld, %lld] for %lld heads of q",
                         ll{n[0]}, ll{n[1]}, ll{n[2]}, ll{n[3]}, ll{t.q.ne[2]});
}

/// That out has the sizes it must have, and no two of its rows an element in common.
inline status check_out(const tensors& t)
{
    const int64 *n = t.out.ne, must[4] = {t.v.ne[0], t.q.ne[2], t.q.ne[1], t.q.ne[3]};
    if (!std::equal(n, n + 4, must))
        return status::error(errc::invalid_argument,
                             "compute_op: out: [%lld, %lld, %lld, %lld], must be [%lld, %lld, %lld, %lld]", ll{n[0]},
                             ll{n[1]}, ll{n[2]}, ll{n[3]}, ll{must[0]}, ll{must[1]}, ll{must[2]}, ll{must[3]});
    if (std::find(n, n + 4, 0) != n + 4) return {};
    int order[3] = {1, 2, 3};
    std::sort(order, order + 3,
              [&](int a, int b) { return t.out.nb[a] < t.out.nb[b] || (t.out.nb[a] == t.out.nb[b] && a < b); });
    std::size_t span = static_cast<std::size_t>(n[0]) * sizeof(float);
    for (const int i : order) {
        if (n[i] <= 1) continue;
        if (t.out.nb[i] < span)
            return status::error(errc::invalid_argument,
                                 "compute_op: out: nb[%d] = %zu is less than the %zu bytes it must step over", i,
                                 t.out.nb[i], span);
        span = t.out.nb[i] * static_cast<std::size_t>(n[i]);
    }
    return {};
}

/// What need not be there before the op is computed.
inline status check_data(const tensors& t)
{
    if (t.mask && !t.mask->data && std::all_of(t.mask->ne, t.mask->ne + 4, [](int64 n) { return n > 0; }))
        return status::error(errc::invalid_argument, "compute_op: mask: data is null");
    if (t.sinks && !t.sinks->data && t.sinks->ne[0] > 0)
        return status::error(errc::invalid_argument, "compute_op: sinks: data is null");
    return {};
}

inline status check_max_bias(const parameters& p, const tensors& t)
{
    if (!(p.max_bias >= 0) || !std::isfinite(p.max_bias))
        return status::error(errc::invalid_argument, "compute_op: max_bias is %g, must be finite and not negative",
                             static_cast<double>(p.max_bias));
    if (p.max_bias > 0 && !t.mask)
        return status::error(errc::invalid_argument, "compute_op: max_bias is %g, and no mask has distances for it",
                             static_cast<double>(p.max_bias));
    return {};
}

/// f(plan, q, kv, out) with the views of the tensors and a plan for one worker.
template <class F>
status with_plan(const parameters& p, const tensors& t, const float* slopes, F f)
{
    return with_type(t.k.type, [&](auto element) {
        using E = decltype(element);
        heed::view<const float> q, sinks;
        heed::view<const E> k, v;
        heed::view<const heed::f16> mask;
        heed::view<float> out;
        status s = view_of("q", t.q, type::f32, q);
        if (s) s = view_of("k", t.k, t.k.type, k);
        if (s) s = view_of("v", t.v, t.k.type, v);
        if (s) s = view_of("out", t.out, type::f32, out, true);
        if (s && t.mask) s = view_of("mask", *t.mask, type::f16, mask);
        if (s && t.mask) s = check_mask(t);
        if (s && t.sinks) s = view_of("sinks", *t.sinks, type::f32, sinks);
        if (s && t.sinks) s = check_sinks(t);
        if (s) s = check_max_bias(p, t);
        if (s) s = optional_softcap{p.logit_softcap}.check({});
        if (!s) return s;
        const heed::attention def{optional_sinks{sinks.data, sinks.size.dim}, heed::scale{p.scale},
                                  optional_softcap{p.logit_softcap}, sloped_mask{mask, slopes}};
        const heed::dense_kv kv{k, v};
        const heed::plan plan(def, q, kv);
        if (s = plan.status(); s) s = check_out(t);
        return s ? f(plan, q, kv, out) : s;
    });
}

inline constexpr std::size_t cache_line = 64;
inline std::size_t in_lines(std::size_t bytes) { return (bytes + cache_line - 1) / cache_line * cache_line; }

/// What a thread needs, on cache lines of its own: the slopes of all heads, and the workspace of its plan.
struct thread_scratch {
    std::size_t slopes = 0, workspace = 0;

    std::size_t bytes_for(int threads) const
    {
        return cache_line - 1 + static_cast<std::size_t>(threads) * (slopes + workspace);
    }
};

inline status measure(const parameters& p, const tensors& t, thread_scratch& to)
{
    return with_plan(p, t, nullptr, [&](const auto& plan, const auto& q, const auto&...) {
        to = {in_lines(static_cast<std::size_t>(q.size.heads) * sizeof(float)), in_lines(plan.workspace_bytes())};
        return status{};
    });
}

}  // namespace detail

/// Whether the op is one that compute() takes, or why not: all but what can be seen in the tensors' data, which may be
/// null.
inline heed::status supports(const parameters& p, const tensors& t) noexcept
{
    detail::thread_scratch each;
    return detail::measure(p, t, each);
}

/// Scratch that compute() needs for so many threads, in bytes, at any alignment; 0 for an op that supports() refuses.
inline std::size_t scratch_bytes(const parameters& p, const tensors& t, int threads) noexcept
{
    detail::thread_scratch each;
    return detail::measure(p, t, each) && threads > 0 ? each.bytes_for(threads) : 0;
}

/// Part ith of nth of the op, for one of nth threads that all call this with the same scratch, at once or not. A part
/// writes rows of out that no other writes. All find the same errors, before they write anything.
inline heed::status compute(const parameters& p, const tensors& t, int ith, int nth, void* scratch,
                            std::size_t bytes) noexcept
{
    using namespace detail;
    if (nth < 1 || ith < 0 || ith >= nth)
        return status::error(errc::invalid_argument, "compute_op: part %d of %d", ith, nth);
    thread_scratch each;
    if (const status s = measure(p, t, each); !s) return s;
    if (const status s = check_data(t); !s) return s;
    if (!scratch || bytes < each.bytes_for(nth))
        return status::error(errc::workspace_too_small, "compute_op: scratch of %zu bytes%s, needs %zu for %d threads",
                             bytes, scratch ? "" : " at null", each.bytes_for(nth), nth);

    const auto address = reinterpret_cast<std::uintptr_t>(scratch);
    char* const mine = static_cast<char*>(scratch) + (in_lines(address) - address) +
                       static_cast<std::size_t>(ith) * (each.slopes + each.workspace);
    float* const slopes = reinterpret_cast<float*>(mine);
    return with_plan(p, t, slopes, [&](const auto& plan, const auto& q, const auto& kv, const auto& out) {
        heed::options<float> how;
        how.workspace = {mine + each.slopes, each.workspace};
        const status s = plan.check_run(q, kv, out, how);
        if (!s) return s;
        for (int64 h = 0; h < q.size.heads; ++h) slopes[h] = alibi_slope(p.max_bias, h, q.size.heads);
        // A plan for one worker has one stage where sequences are alike, and no task waits for another.
        for (int64 task = ith; task < plan.tasks(0); task += nth) plan.run_task({0, task, 0}, q, kv, out, how);
        return s;
    });
}

}  // namespace compute_op
