// SPDX-License-Identifier: MIT
// Keys and values in a ring: token t of a sequence lies in slot t mod capacity, so that a sequence of any length keeps
// its last `capacity` tokens. Positions stay absolute; tokens that were overwritten do not exist any more, whatever
// the mask says.
#pragma once

#include "../kv.hpp"

HEED_BEGIN

/// The rows of a head: one run up to the end of the ring, and one from its start on.
template <class E>
struct ring_rows {
    E* data;
    std::int64_t step, capacity;

    HEED_INLINE rows<E> operator()(std::int64_t token) const
    {
        const std::int64_t slot = token % capacity;
        return {data + slot * step, step, capacity - slot};
    }
};

template <class K, class V = K>
struct ring_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool one_run = false;

    view<K> k;           // [B, Hkv, capacity, Dqk]
    view<V> v;           // [B, Hkv, capacity, Dv]
    index_view lengths;  // [B]: tokens of each sequence so far, those that were overwritten included

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    std::int64_t capacity() const { return k.size.tokens; }
    token_span held(std::int64_t b) const
    {
        if (capacity() == 0) return {0, 0};
        return {lengths[b] > capacity() ? lengths[b] - capacity() : 0, lengths[b]};
    }
    bool uneven() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor that is laid out in tokens as k is.
    template <class E>
    ring_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of.row(b, h, 0), of.step.tokens, capacity()};
    }
    ring_kv<const K, const V> reading() const { return {k, v, lengths}; }

    status check() const
    {
        const status s = detail::check_alike("k", k, "v", v, "batch");
        return s ? detail::check_lengths("ring_kv", lengths, batch(), std::int64_t{1} << 60) : s;
    }
    status check_rows() const { return {}; }
    status check_own(std::int64_t, std::int64_t, std::int64_t) const { return {}; }
    template <class F>
    void views(F f) const
    {
        f("k", k);
        f("v", v);
    }
};

template <class A, class B>
ring_kv(view<A>, view<B>, index_view) -> ring_kv<A, B>;

HEED_END
