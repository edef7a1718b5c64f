// SPDX-License-Identifier: MIT
// Keys and values as two strided tensors. V may be a view of K's first channels, as in multi-head latent attention.
#pragma once

#include "../kv.hpp"

HEED_BEGIN

template <class K, class V = K>
struct dense_kv {
    using key_element = K;
    using value_element = V;

    view<const K> k;  // [B, Hkv, Skv, Dqk]
    view<const V> v;  // [B, Hkv, Skv, Dv]

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t tokens() const { return k.size.tokens; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }

    rows<K> keys(std::int64_t b, std::int64_t h, std::int64_t token) const
    {
        return {k.row(b, h, token), k.step.tokens};
    }
    rows<V> values(std::int64_t b, std::int64_t h, std::int64_t token) const
    {
        return {v.row(b, h, token), v.step.tokens};
    }

    status check() const
    {
        const extents &a = k.size, &b = v.size;
        if (a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens) return {};
        return status::error(
            errc::invalid_argument, "v: batch %lld, heads %lld, tokens %lld differ from k's %lld, %lld, %lld",
            static_cast<long long>(b.batch), static_cast<long long>(b.heads), static_cast<long long>(b.tokens),
            static_cast<long long>(a.batch), static_cast<long long>(a.heads), static_cast<long long>(a.tokens));
    }
};
template <class S>
inline constexpr bool is_dense_kv_v = false;
template <class K, class V>
inline constexpr bool is_dense_kv_v<dense_kv<K, V>> = true;

template <class A, class B>
dense_kv(view<A>, view<B>) -> dense_kv<std::remove_const_t<A>, std::remove_const_t<B>>;

HEED_END
