// SPDX-License-Identifier: MIT
// Keys and values as two strided tensors.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Keys and values as two strided tensors. V may be a view of K's first channels, as in multi-head latent attention.
/// A cache may be longer than its sequences: `lengths`, where given, says how many tokens each sequence has.
/// Keys are [B, Hkv, Skv, Dqk], values [B, Hkv, Skv, Dv]. The call that reads them fails where a length is not in [0,
/// Skv], or where k and v differ.
template <class K, class V = K>
struct dense_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = true;

    view<K> k;                ///< [B, Hkv, Skv, Dqk]
    view<V> v;                ///< [B, Hkv, Skv, Dv]
    index_view lengths = {};  ///< [B], or none: Skv tokens each

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    token_span held(std::int64_t b) const { return {0, lengths.size() ? lengths[b] : k.size.tokens}; }
    std::int64_t room(std::int64_t) const { return k.size.tokens; }
    bool ragged() const { return lengths.size() > 1; }
    std::int64_t tokens() const { return lengths.size() ? detail::longest(*this) : k.size.tokens; }

    static constexpr bool aligned_blocks = true;
    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor whose tokens lie as those of k do.
    template <class E>
    strided_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, b, h};
    }
    dense_kv<const K, const V> as_const() const { return {k, v, lengths}; }

    status check() const { return check_sequences(0, batch()); }
    status check_sequence(std::int64_t b) const { return check_sequences(b, b + 1); }
    status check_rows() const { return {}; }
    status check_rows(std::int64_t, std::int64_t, std::int64_t) const { return {}; }
    status check_exclusive(std::int64_t, std::int64_t, std::int64_t) const { return {}; }
    template <class F>
    void views(F f) const
    {
        f("k", k);
        f("v", v);
    }

private:
    status check_sequences(std::int64_t begin, std::int64_t end) const
    {
        const status s = detail::check_alike("k", k, "v", v, "batch");
        if (!s || !lengths.size()) return s;
        return detail::check_lengths("dense_kv", lengths, batch(), k.size.tokens, begin, end);
    }
};

template <class A, class B>
dense_kv(view<A>, view<B>) -> dense_kv<A, B>;
template <class A, class B>
dense_kv(view<A>, view<B>, index_view) -> dense_kv<A, B>;

HEED_END
