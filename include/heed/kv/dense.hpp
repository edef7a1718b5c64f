// SPDX-License-Identifier: MIT
// Keys and values as two strided tensors. V may be a view of K's first channels, as in multi-head latent attention.
// A cache may be longer than its sequences: `lengths`, where given, says how many tokens of each there are.
#pragma once

#include "../kv.hpp"

HEED_BEGIN

/// The rows of a head, all at one step.
template <class E>
struct strided_rows {
    const E* data;
    std::int64_t step, tokens;

    HEED_INLINE rows<E> operator()(std::int64_t token) const { return {data + token * step, step, tokens - token}; }
};

template <class K, class V = K>
struct dense_kv {
    using key_element = K;
    using value_element = V;
    static constexpr bool one_run = true;

    view<const K> k;          // [B, Hkv, Skv, Dqk]
    view<const V> v;          // [B, Hkv, Skv, Dv]
    index_view lengths = {};  // [B], or none: Skv tokens each

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    token_span held(std::int64_t b) const { return {0, lengths.size() ? lengths[b] : k.size.tokens}; }
    bool uneven() const { return lengths.size() > 1; }
    std::int64_t tokens() const { return lengths.size() ? detail::longest(*this) : k.size.tokens; }

    strided_rows<K> keys(std::int64_t b, std::int64_t h) const
    {
        return {k.row(b, h, 0), k.step.tokens, k.size.tokens};
    }
    strided_rows<V> values(std::int64_t b, std::int64_t h) const
    {
        return {v.row(b, h, 0), v.step.tokens, v.size.tokens};
    }

    status check() const
    {
        const status s = detail::check_alike("k", k, "v", v, "batch");
        if (!s || !lengths.size()) return s;
        return detail::check_lengths("dense_kv", lengths, batch(), k.size.tokens);
    }
    status check_rows() const { return {}; }
    template <class F>
    void views(F f) const
    {
        f("k", k);
        f("v", v);
    }
};

template <class A, class B>
dense_kv(view<A>, view<B>) -> dense_kv<std::remove_const_t<A>, std::remove_const_t<B>>;
template <class A, class B>
dense_kv(view<A>, view<B>, index_view) -> dense_kv<std::remove_const_t<A>, std::remove_const_t<B>>;

HEED_END
