// SPDX-License-Identifier: MIT
// The laws of caches for quantised ones: wherever the rows lie, however queries are cut and whoever computes them, each
// sequence has the bits that it has alone.
#pragma once

#include "quantised.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <array>

namespace test {

/// Queries, quantised keys and values, and scales of every kind for those that want them. The first 100 tokens of all
/// sequences are the same ones.
template <class K, class V>
struct stored_problem {
    tensor<float> q;
    tensor<K> k;
    tensor<V> v;
    tensor<float> k_scales, v_scales;  // of tokens
    tensor<float> channels, heads;     // of K

    stored_problem(int64 batch, int64 queries, int64 keys, int64 key_dim, int64 value_dim, std::uint64_t seed = 1)
        : q(normal<float>({batch, 4, queries, key_dim}, seed)),
          k(drawn_elements<K>({batch, 2, keys, key_dim}, seed + 1)),
          v(drawn_elements<V>({batch, 2, keys, value_dim}, seed + 2)),
          k_scales(drawn_scales({batch, 2, keys, 1}, seed + 3, 0.015)),
          v_scales(drawn_scales({batch, 2, keys, 1}, seed + 4, 0.015)), channels({1, 2, 1, key_dim}),
          heads({1, 2, 1, 1})
    {
        for (auto* of : {&channels, &heads}) {
            of->data = drawn_scales({1, 1, static_cast<int64>(of->data.size()), 1}, seed + 5, 0.5).data;
            for (float& x : of->data) x = std::fabs(x);
        }
        share(k);
        share(v);
        share(k_scales);
        share(v_scales);
    }
    heed::extents out_size() const { return {q.size.batch, q.size.heads, q.size.tokens, v.size.dim}; }

private:
    template <class E>
    static void share(tensor<E>& rows)
    {
        for (int64 b = 1; b < rows.size.batch; ++b)
            for (int64 h = 0; h < rows.size.heads; ++h)
                std::copy_n(rows.in().row(0, h, 0), 100 * heed::elements_for<E>(rows.size.dim),
                            rows.view().row(b, h, 0));
    }
};

/// What is attended to: a source of rows, and scales that lie as its rows do.
struct as_they_are {
    template <class P, class Source>
    auto operator()(const P&, const Source& source, heed::view<const float>, heed::view<const float>) const
    {
        return source;
    }
};
struct scaled_by_token {
    template <class P, class Source>
    auto operator()(const P&, const Source& source, heed::view<const float> k, heed::view<const float> v) const
    {
        return heed::scaled_kv{source, heed::per_token{k}, heed::per_token{v}};
    }
};
struct keys_scaled_by_channel {
    template <class P, class Source>
    auto operator()(const P& p, const Source& source, heed::view<const float>, heed::view<const float> v) const
    {
        return heed::scaled_kv{source, heed::per_channel{p.channels.in()}, heed::per_token{v}};
    }
};
struct keys_scaled_by_head {
    template <class P, class Source>
    auto operator()(const P& p, const Source& source, heed::view<const float>, heed::view<const float>) const
    {
        heed::extents size = source.k.size;
        size.dim = 1;
        const heed::view<const float> one{p.heads.data.data(), size, {0, 1, 0}};
        return heed::scaled_kv{source, heed::per_token{one}, heed::unscaled{}};
    }
};

template <class Def, class P, class How>
class cache_laws {
public:
    cache_laws(const Def& def, const P& p, const How& how) : def_(def), p_(p), how_(how) {}

    /// The last `queries` rows of sequence b over its first `n` tokens.
    tensor<float> alone(int64 b, int64 queries, int64 n) const
    {
        tensor<float> out({1, p_.q.size.heads, queries, p_.v.size.dim}, -7);
        const auto q = sequence(p_.q, b, p_.q.size.tokens);
        heed::or_throw(heed::attend(def_, tokens(q, q.size.tokens - queries, queries), dense(b, n), out.view()));
        return out;
    }
    /// Each sequence alone.
    tensor<float> one_by_one(const std::vector<int64>& lengths) const
    {
        tensor<float> out(p_.out_size());
        for (std::size_t b = 0; b < lengths.size(); ++b) {
            const tensor<float> one = alone(static_cast<int64>(b), p_.q.size.tokens, lengths[b]);
            std::copy(one.data.begin(), one.data.end(), out.view().row(static_cast<int64>(b), 0, 0));
        }
        return out;
    }

    /// In caches longer than their sequences and in pages, of which the first are shared.
    void dense_and_pages(const std::vector<int64>& lengths) const
    {
        const tensor<float> expected = one_by_one(lengths);
        for (const int threads : {1, 2, 3}) {
            const cut_rows rows(p_, [&](const auto& of) { return cut(of, lengths); });
            has_bits(rows.of(how_, p_,
                             [&](auto k, auto v) {
                                 return heed::dense_kv{k, v, list(lengths)};
                             }),
                     expected, threads);
        }
        int turn = 0;
        for (const int64 slots : {1, 5, 16, 64, 512})
            for (const layout where : {layout::page_slot_head, layout::page_head_slot}) {
                CAPTURE(slots, static_cast<int>(where));
                const page_lists lists(lengths, slots, 100);
                const page_pool k(lists, p_.k, where);
                const page_pool v(lists, p_.v, where);
                const page_pool k_scales(lists, p_.k_scales, where);
                const page_pool v_scales(lists, p_.v_scales, where);
                for (const heed::page_table& table : {lists.csr(), lists.padded()})
                    has_bits(how_(p_, heed::paged_kv{k.in(), v.in(), table}, k_scales.in(), v_scales.in()), expected,
                             turn++ % 3 + 1);
            }
    }
    /// In a ring, under a window that it holds.
    void ring(const std::vector<int64>& lengths, int64 capacity) const
    {
        const tensor<float> expected = one_by_one(lengths);
        const cut_rows rows(p_, [&](const auto& of) { return in_ring(of, lengths, capacity); });
        for (const int threads : {1, 3})
            has_bits(rows.of(how_, p_,
                             [&](auto k, auto v) {
                                 return heed::ring_kv{k, v, list(lengths)};
                             }),
                     expected, threads);
    }
    /// In a batch of packed queries, the last queries[b] rows of each sequence.
    void packed(const std::vector<int64>& lengths, const std::vector<int64>& queries) const
    {
        std::vector<int64> bounds{0};
        for (const int64 n : queries) bounds.push_back(bounds.back() + n);
        const int64 dim = p_.q.size.dim, heads = p_.q.size.heads;
        tensor<float> q({1, heads, bounds.back(), dim});
        for (std::size_t b = 0; b < queries.size(); ++b)
            for (int64 h = 0; h < heads; ++h)
                std::copy_n(p_.q.in().row(static_cast<int64>(b), h, p_.q.size.tokens - queries[b]), queries[b] * dim,
                            q.view().row(0, h, bounds[b]));
        const page_lists lists(lengths, 16, 100);
        const layout where = layout::page_slot_head;
        const page_pool k(lists, p_.k, where);
        const page_pool v(lists, p_.v, where);
        const page_pool k_scales(lists, p_.k_scales, where);
        const page_pool v_scales(lists, p_.v_scales, where);
        const cut_rows rows(p_, [&](const auto& of) { return cut(of, lengths); });
        const auto check = [&](const auto& kv, int threads) {
            heed::thread_pool pool(threads);
            tensor<float> out({1, heads, bounds.back(), p_.v.size.dim}, -7);
            heed::or_throw(heed::attend(def_, heed::packed{q.in(), list(bounds)}, kv, out.view(), {.executor = pool}));
            for (std::size_t b = 0; b < queries.size(); ++b) {
                if (queries[b] == 0) continue;
                const tensor<float> expected = alone(static_cast<int64>(b), queries[b], lengths[b]);
                const auto bytes = static_cast<std::size_t>(queries[b] * p_.v.size.dim) * sizeof(float);
                for (int64 h = 0; h < heads; ++h)
                    REQUIRE(std::memcmp(out.in().row(0, h, bounds[b]), expected.in().row(0, h, 0), bytes) == 0);
            }
        };
        for (const int threads : {1, 2, 3}) {
            CAPTURE(threads);
            check(rows.of(how_, p_, [&](auto rk, auto rv) { return heed::dense_kv{rk, rv, list(lengths)}; }), threads);
            check(how_(p_, heed::paged_kv{k.in(), v.in(), lists.csr()}, k_scales.in(), v_scales.in()), threads);
        }
    }
    /// In chunks of these many rows: decode, speculation and prefill have the rows of one another.
    void chunks(const std::vector<int64>& sizes) const
    {
        const int64 rows = p_.q.size.tokens, keys = p_.k.size.tokens;
        const tensor<float> whole = alone(0, rows, keys);
        tensor<float> out(whole.size, -7);
        std::size_t turn = 0;
        for (int64 first = 0, n; first < rows; first += n) {
            n = std::min(sizes[turn++ % sizes.size()], rows - first);
            const auto q = tokens(sequence(p_.q, 0, rows), first, n);
            heed::or_throw(heed::attend(def_, q, dense(0, keys - rows + first + n), tokens(out.view(), first, n)));
        }
        REQUIRE(same_bits(out.data, whole.data));
    }

private:
    /// Rows and their scales, put elsewhere.
    struct cut_rows {
        tensor<typename decltype(P::k.data)::value_type> k;
        tensor<typename decltype(P::v.data)::value_type> v;
        tensor<float> k_scales, v_scales;

        template <class F>
        cut_rows(const P& p, F put) : k(put(p.k)), v(put(p.v)), k_scales(put(p.k_scales)), v_scales(put(p.v_scales))
        {}
        template <class Make>
        auto of(const How& how, const P& p, Make source) const
        {
            return how(p, source(k.in(), v.in()), k_scales.in(), v_scales.in());
        }
    };

    static heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }
    auto dense(int64 b, int64 n) const
    {
        return how_(p_, heed::dense_kv{sequence(p_.k, b, n), sequence(p_.v, b, n)}, sequence(p_.k_scales, b, n),
                    sequence(p_.v_scales, b, n));
    }
    template <class Kv>
    void has_bits(const Kv& kv, const tensor<float>& expected, int threads) const
    {
        CAPTURE(threads);
        heed::thread_pool pool(threads);
        tensor<float> out(p_.out_size(), -7);
        heed::or_throw(heed::attend(def_, p_.q.in(), kv, out.view(), {.executor = pool}));
        REQUIRE(same_bits(out.data, expected.data));
    }

    const Def& def_;
    const P& p_;
    How how_;
};

/// All of them, for head sizes as {queries, key_dim, value_dim}, and with other policies.
template <class K, class V, class How, class Normalizer, class... Policies>
void obeys_cache_laws(const Normalizer& normalizer, const How& how, const std::vector<std::array<int64, 3>>& shapes,
                      const Policies&... policies)
{
    const heed::attention all{normalizer, heed::causal{} & heed::window{5000}, policies...};
    const heed::attention windowed{normalizer, heed::causal{} & heed::window{500}, policies...};
    const std::vector<int64> lengths{1203, 0, 513, 80};
    for (const auto& [queries, key_dim, value_dim] : shapes) {
        CAPTURE(queries, key_dim, value_dim);
        const stored_problem<K, V> p(4, queries, 1203, key_dim, value_dim);
        const cache_laws laws(all, p, how);
        laws.dense_and_pages(lengths);
        cache_laws(windowed, p, how).ring(lengths, 500 + queries + 3);
        laws.packed(lengths, {queries, std::min<int64>(queries, 3), 1, queries / 2});
        laws.chunks({1, 3, 40});
    }
    const stored_problem<K, V> tall(2, 1, 9000, shapes[0][1], shapes[0][2]);  // decode, its keys split between threads
    cache_laws(all, tall, how).dense_and_pages({9000, 700});
}

}  // namespace test
