// SPDX-License-Identifier: MIT
// One call of attend over dense tensors: drawn, validated in plain loops, called, judged.
#pragma once

#include "any_policy.hpp"
#include "calls.hpp"
#include "oracle.hpp"

namespace fuzz {

void attend_elements(input& in);

/// Sizes that reach every path: few rows and many, one tile of keys or several.
inline heed::extents drawn_queries(input& in)
{
    constexpr int64 rows[] = {1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 13, 33, 70};
    return {in.one_in(3) ? in.range(0, 3) : 1, 0, in.one_in(16) ? 0 : in.one_of(rows), 0};
}
inline int64 drawn_keys(input& in)
{
    constexpr int64 some[] = {0, 1, 2, 7, 15, 16, 17, 31, 64, 100, 511, 512, 513, 700, 1030};
    return in.one_in(4) ? in.one_of(some) : in.range(1, 24);
}
inline int64 drawn_dim(input& in)
{
    constexpr int64 some[] = {1, 2, 7, 8, 9, 16, 24, 33, 64, 100};
    return in.one_in(5) ? in.one_of(some) : in.range(1, 12);
}

template <class E>
void fill(input& in, const heed::view<E>& v, const family& f, bool specials)
{
    if (is_empty(v.size)) return;  // the other sizes may be anything
    for (int64 b = 0; b < v.size.batch; ++b)
        for (int64 h = 0; h < v.size.heads; ++h)
            for (int64 t = 0; t < v.size.tokens; ++t)
                for (int64 c = 0; c < v.size.dim; ++c) v.row(b, h, t)[c] = element_of<E>(f.draw(in));
    for (int64 n = specials ? in.range(0, 3) : 0; n > 0; --n)
        v.row(in.range(0, v.size.batch - 1), in.range(0, v.size.heads - 1),
              in.range(0, v.size.tokens - 1))[in.range(0, v.size.dim - 1)] = element_of<E>(special(in));
}

/// Decoded rows [first, first + count) of all heads of a sequence.
template <class E>
std::vector<double> decoded(const heed::view<E>& v, int64 b, int64 first, int64 count)
{
    std::vector<double> x;
    for (int64 h = 0; h < v.size.heads; ++h)
        for (int64 t = first; t < first + count; ++t)
            for (int64 c = 0; c < v.size.dim; ++c) x.push_back(channel(v.row(b, h, t), c));
    return x;
}

/// Sequences of all rows of q, k and v.
template <class Q, class K, class V>
problem dense_problem(const heed::view<Q>& q, const heed::view<K>& k, const heed::view<V>& v)
{
    problem p{q.size.batch, q.size.heads, k.size.heads, k.size.dim, v.size.dim, {}, {}, {}, {}, {}, {}, {}};
    for (int64 b = 0; b < q.size.batch; ++b) {
        p.queries.push_back(q.size.tokens);
        p.first.push_back(0);
        p.end.push_back(k.size.tokens);
        p.total.push_back(k.size.tokens);
        p.q.push_back(decoded(q, b, 0, q.size.tokens));
        p.k.push_back(decoded(k, b, 0, k.size.tokens));
        p.v.push_back(decoded(v, b, 0, k.size.tokens));
    }
    return p;
}

/// Room for statistics of so many rows, each in a block of its own.
template <class T>
struct owned_statistics {
    heed::row_statistics<T> s;
    int64 rows;

    owned_statistics(input& in, int64 n) : rows(n)
    {
        heed::number_view<T>* const fields[] = {&s.shift, &s.mass, &s.lse};
        const bool none = in.one_in(2);
        for (heed::number_view<T>* f : fields)
            if (!none && !in.one_in(4)) *f = table(in, std::vector<T>(static_cast<std::size_t>(n), T(-7)));
    }
    bool owns(const std::byte* p) const
    {
        for (const T* f : {s.shift, s.mass, s.lse})
            if (f && p >= reinterpret_cast<const std::byte*>(f) && p < reinterpret_cast<const std::byte*>(f + rows))
                return true;
        return false;
    }
    template <class Oracle, class Row>
    std::string judge(const Oracle& o, const Row& x, int64 i) const
    {
        return s.shift && s.mass && s.lse ? o.judge_statistics(x, s.shift[i], s.mass[i], s.lse[i]) : "";
    }
};

template <class Q, bool Plain = false, class K = Q, class V = Q, class O = Q, class Make>
void attend_case(input& in, normalizer n, Make make)
{
    using T = heed::compute_t<Q>;
    all_memory().clear();
    const bool hostile_sizes = in.one_in(8), hostile_policy = in.one_in(8), aliased = in.one_in(10);
    heed::extents q_size = drawn_queries(in);
    const int64 kv_heads = in.one_in(12) ? 0 : in.range(1, 3), group = in.range(0, 8) % 5;
    q_size.heads = kv_heads * (group == 0 && !in.one_in(8) ? 1 : group);
    q_size.dim = drawn_dim(in);
    const int64 keys = drawn_keys(in), value_dim = drawn_dim(in);
    heed::extents k_size{q_size.batch, kv_heads, keys, q_size.dim}, v_size{q_size.batch, kv_heads, keys, value_dim};
    heed::extents out_size{q_size.batch, q_size.heads, q_size.tokens, value_dim};
    if (in.one_in(16)) {  // sizes that do not go together
        int64* const wrong[] = {&q_size.heads,    &q_size.dim,    &k_size.batch, &k_size.tokens,
                                &v_size.heads,    &v_size.tokens, &out_size.dim, &out_size.batch,
                                &out_size.tokens, &v_size.batch,  &k_size.heads};
        *wrong[in.range(0, 10)] += in.one_in(2) ? 1 : -1;
    }
    const int64 whose = hostile_sizes ? in.range(0, 3) : -1;
    auto q = placed<Q>::drawn(in, q_size, false, whose == 0);
    auto k = placed<K>::drawn(in, k_size, false, whose == 1);
    auto v = placed<V>::drawn(in, v_size, false, whose == 2);
    auto out = placed<O>::drawn(in, out_size, !in.one_in(8), whose == 3);
    if (aliased && q.has_memory && v.has_memory && out.has_memory) {
        // An output that is moved onto an input: it has memory where both meet, and is not run where they do not.
        const auto meet = [&](const auto& other) { out.has_memory = touch(rows_of(out.v), rows_of(other)); };
        if constexpr (std::is_same_v<Q, O>) {
            const int64 how = in.range(0, 3);
            if (how == 0 && q.v.size.dim == out.v.size.dim) out = q;
            else if (how == 1 && !is_empty(q.v.size))
                out.v.data = q.v.data + in.range(-9, 9) * (in.one_in(2) ? 1 : q.v.size.dim), meet(q.v);
            else if (how == 2 && !is_empty(v.v.size))
                out.v.data = reinterpret_cast<O*>(v.v.data) + in.range(0, 40), meet(v.v);
            else if (how == 3 && k.has_memory && q.v.size.dim < 300) {  // packed q, k, v, out behind each other
                const auto row = [](const auto& x) { return x.v.size.dim * std::max<int64>(x.v.size.heads, 0); };
                if constexpr (std::is_same_v<K, Q> && std::is_same_v<V, Q>) {
                    const int64 token = row(q) + row(k) + row(v) + row(out) + in.range(0, 3);
                    const int64 tokens =
                        std::max({q.v.size.tokens, k.v.size.tokens, v.v.size.tokens, out.v.size.tokens});
                    const int64 batch =
                        std::max({q.v.size.batch, k.v.size.batch, v.v.size.batch, out.v.size.batch, int64{1}});
                    if (token > 0 && wide{token} * std::max<int64>(tokens, 1) * batch < 100000) {
                        auto* base = reinterpret_cast<Q*>(all_memory().block(
                            static_cast<std::size_t>(token * std::max<int64>(tokens, 1) * batch) * sizeof(Q), true));
                        int64 at = 0;
                        for (heed::view<Q>* x : {&q.v, &k.v, &v.v, &out.v}) {
                            x->data = base + at;
                            x->stride = {token * tokens, x->size.dim, token};
                            at += x->size.dim * x->size.heads - (in.one_in(20) ? 1 : 0);
                            if (at < 0) at = 0;
                            open_rows(*x);
                        }
                        memory::open(base,
                                     static_cast<std::size_t>(token * std::max<int64>(tokens, 1) * batch) * sizeof(Q));
                    }
                }
            }
        }
    }
    const bool specials = in.one_in(3);
    const auto fill_one = [&](auto& x) {
        if (x.has_memory) fill(in, x.v, family::drawn(in), specials);
    };
    const bool has_memory = q.has_memory && k.has_memory && v.has_memory && out.has_memory;
    bool small = true;
    for (const heed::extents& x : {q.v.size, k.v.size, v.v.size, out.v.size})
        for (const int64 length : {x.batch, x.heads, x.tokens, x.dim}) small = small && length >= 0 && length <= 4096;
    if (small) {
        const wide work = wide{q.v.size.batch} * q.v.size.heads * q.v.size.tokens * wide{k.v.size.tokens} *
                          (wide{k.v.size.dim} + v.v.size.dim);
        small = work <= most_work;
    }
    if (has_memory) fill_one(q), fill_one(k), fill_one(v);

    const extent e{q.v.size.batch, q.v.size.heads, k.v.size.heads, q.v.size.tokens, k.v.size.tokens};
    const bool drawable = has_memory && small && wide{e.batch} * e.query_heads * e.queries * e.keys < 100000;
    const recipe<T> r = recipe<T>::drawn(in, n, drawable ? e : extent{1, 1, 1, 1, 1}, drawable ? k.v.size.dim : 8,
                                         Plain || !drawable, hostile_policy);
    // A policy is made for what is there: without it, a definition of none.
    recipe<T> used = r;
    if (!Plain && !drawable) used.has_offsets = true, used.offsets = {0};
    const auto def = make(used);

    bool valid = has_memory && small && is_describable(q.v) && is_describable(k.v) && is_describable(v.v) &&
                 is_describable(out.v);
    const auto same = [](const heed::extents& a, const heed::extents& b) {
        return a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens && a.dim == b.dim;
    };
    valid = valid && q.v.size.batch == k.v.size.batch && q.v.size.dim == k.v.size.dim &&
            same(v.v.size, {k.v.size.batch, k.v.size.heads, k.v.size.tokens, v.v.size.dim}) &&
            same(out.v.size, {q.v.size.batch, q.v.size.heads, q.v.size.tokens, v.v.size.dim}) &&
            (k.v.size.heads == 0 ? q.v.size.heads == 0 : q.v.size.heads % k.v.size.heads == 0);
    bool overlaps = false, may_refuse = aliased;
    if (valid) {
        valid = used.is_sound(e);
        const auto written = rows_of(out.v);
        const bool is_q = static_cast<const void*>(out.v.data) == q.v.data && std::is_same_v<Q, O> &&
                          q.v.size.dim == out.v.size.dim && q.v.stride.batch == out.v.stride.batch &&
                          q.v.stride.heads == out.v.stride.heads && q.v.stride.tokens == out.v.stride.tokens;
        overlaps = touch(written) || (touch(written, rows_of(q.v)) && !is_q) || touch(written, rows_of(k.v)) ||
                   touch(written, rows_of(v.v));
        may_refuse = may_refuse || !strides_nest(out.v);
    }
    problem p;
    if (valid && !overlaps) p = dense_problem(q.v, k.v, v.v);
    const int64 rows = has_memory && small ? e.batch * e.query_heads * e.queries : 0;
    const owned_statistics<T> stats(in, rows);
    const heed::view<const Q> q_in = q.v;
    const heed::view<const K> k_in = k.v;
    const heed::view<const V> v_in = v.v;
    const answer a = call_attend(in, def, heed::packed<const Q>{q_in, {}}, heed::dense_kv{k_in, v_in}, out.v, stats.s,
                                 has_memory && small);
    if (a.what == outcome::refused) {
        require(all_memory().unchanged(), "refused, but something was written: " + a.says);
        require(!valid || overlaps || may_refuse, "refused without a reason: " + a.says);
        return;
    }
    if (a.what == outcome::too_large) return;
    require(valid, "taken, though it is not sound");
    require(!overlaps, "taken, though the output overlaps");
    const row_bytes outputs(out.v);
    require(all_memory().unchanged_but(
                [&](const std::byte* at) { return outputs(at) || stats.owns(at) || all_memory().is_last(at); }),
            "something beside the output was written");
    const oracle<T> judge(used, p);
    for (int64 b = 0, i = 0; b < e.batch; ++b)
        for (int64 h = 0; h < e.query_heads; ++h)
            for (int64 t = 0; t < e.queries; ++t, ++i) {
                const auto x = judge.weigh(b, h, t);
                const std::string where =
                    " at [" + std::to_string(b) + ", " + std::to_string(h) + ", " + std::to_string(t) + "]";
                std::string wrong = judge.judge(x, b, out.v.row(b, h, t));
                require(wrong.empty(), wrong + where);
                wrong = stats.judge(judge, x, i);
                require(wrong.empty(), wrong + where);
            }
}

}  // namespace fuzz
