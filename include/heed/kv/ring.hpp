// SPDX-License-Identifier: MIT
// Keys and values in a ring.
#pragma once

#include "../base/math.hpp"
#include "contract.hpp"

HEED_BEGIN

/// The rows of a head: one segment up to the end of the ring, and another from its start.
template <class E>
struct ring_rows : detail::stride_unit<E> {
    E* data;                        ///< slot 0
    std::int64_t stride, capacity;  ///< from a slot to the next; how many there are

    /// The rows of head h of sequence b in a view of so many slots.
    ring_rows(const view<E>& of, std::int64_t b, std::int64_t h, std::int64_t slots)
        : detail::stride_unit<E>(of), data(of.row(b, h, 0)), stride(of.token_stride()), capacity(slots)
    {}
    /// The segment from a token on, to the end of the ring.
    HEED_INLINE rows<E> operator()(std::int64_t token) const
    {
        const std::int64_t slot = token % capacity;
        return detail::rows_from(data, slot, stride, capacity - slot, *this);
    }
};

namespace detail {
/// What rings have in common: two views, lengths and firsts.
template <class Ring>
status check_ring(const char* name, const Ring& ring, std::int64_t begin, std::int64_t end)
{
    status s = check_alike("k", ring.k, "v", ring.v, "batch");
    if (s) s = check_lengths(name, ring.lengths, ring.batch(), size_limit, begin, end);
    if (s && (!ring.firsts.is_sound() || (ring.firsts.size() && ring.firsts.size() != ring.batch())))
        s = status::error(errc::invalid_argument, "%s: %lld firsts%s for %lld sequences", name,
                          static_cast<long long>(ring.firsts.size()), ring.firsts.is_sound() ? "" : " at null",
                          static_cast<long long>(ring.batch()));
    return s;
}
}  // namespace detail

/// Keys and values in a ring: token t of a sequence lies in slot t mod capacity, so that a sequence of any length keeps
/// its last `capacity` tokens. Positions stay absolute. Overwritten tokens no longer exist, whatever the mask says.
///
/// After a rollback (drafts are appended, some are rejected, and the length falls back) the slots of the rejected
/// drafts no longer hold the tokens that the lengths count as held. Either `firsts` says so,
///
///     firsts[b] = the largest length that sequence b ever had - capacity          (below 0: nothing was overwritten)
///
/// or capacity >= window + drafts, with a window among the masks, so that no query attends to an overwritten token.
template <class K, class V = K>
struct ring_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = false;

    view<K> k;               ///< [B, Hkv, capacity, Dqk]
    view<V> v;               ///< [B, Hkv, capacity, Dv]
    index_view lengths;      ///< [B]: tokens of each sequence so far, overwritten tokens included
    index_view firsts = {};  ///< [B], or none: tokens before firsts[b] are gone

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    std::int64_t capacity() const { return k.size.tokens; }  ///< slots of a sequence
    token_span held(std::int64_t b) const
    {
        if (capacity() == 0) return {0, 0};
        const std::int64_t least = firsts.size() ? max_of(firsts[b], 0) : 0;
        return {min_of(max_of(lengths[b] - capacity(), least), lengths[b]), lengths[b]};
    }
    bool ragged() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor whose tokens lie as those of k do.
    template <class E>
    ring_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, b, h, capacity()};
    }
    ring_kv<const K, const V> as_const() const { return {k, v, lengths, firsts}; }

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
        return detail::check_ring("ring_kv", *this, begin, end);
    }
};

/// The rows of a head whose first tokens stay where they are.
template <class E>
struct pinned_ring_rows : detail::stride_unit<E> {
    E* data;                                ///< slot 0
    std::int64_t stride, capacity, pinned;  ///< from a slot to the next; how many there are; tokens that stay

    /// The rows of head h of sequence b in a view of so many slots, whose first tokens stay.
    pinned_ring_rows(const view<E>& of, std::int64_t b, std::int64_t h, std::int64_t slots, std::int64_t first)
        : detail::stride_unit<E>(of), data(of.row(b, h, 0)), stride(of.token_stride()), capacity(slots), pinned(first)
    {}
    /// The segment from a token on, to the end of the ring, or of the tokens that stay and what comes behind them.
    HEED_INLINE rows<E> operator()(std::int64_t token) const
    {
        const std::int64_t slot = token < pinned ? token : pinned + (token - pinned) % (capacity - pinned);
        return detail::rows_from(data, slot, stride, capacity - slot, *this);
    }
};

/// Keys and values in a ring whose first `pinned` tokens stay (attention sinks, a prompt) while the rest rolls: token t
/// lies in slot t where t < pinned, else in slot pinned + (t - pinned) mod (capacity - pinned). A sequence keeps its
/// first `pinned` tokens and the last capacity - pinned of the others. Positions stay absolute, so that a window
/// that is to let the first tokens through is spelled window{n} | prefix{pinned}. Tokens in between no longer exist,
/// whatever the mask says.
///
/// After a rollback it is as with ring_kv: tokens from `pinned` on and before firsts[b] are gone. The call that reads
/// them fails where `pinned` is not in [0, capacity).
template <class K, class V = K>
struct pinned_ring_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = false;

    view<K> k;               ///< [B, Hkv, capacity, Dqk]
    view<V> v;               ///< [B, Hkv, capacity, Dv]
    index_view lengths;      ///< [B]: tokens of each sequence so far, overwritten tokens included
    std::int64_t pinned;     ///< tokens that stay
    index_view firsts = {};  ///< [B], or none: tokens from `pinned` on and before firsts[b] are gone

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    std::int64_t capacity() const { return k.size.tokens; }  ///< slots of a sequence
    token_span held(std::int64_t b) const { return {0, lengths[b]}; }
    token_span gone(std::int64_t b) const
    {
        const std::int64_t least = firsts.size() ? firsts[b] : 0;
        const std::int64_t end = min_of(max_of(lengths[b] - (capacity() - pinned), least), lengths[b]);
        return {pinned, max_of(end, pinned)};
    }
    bool ragged() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor whose tokens lie as those of k do.
    template <class E>
    pinned_ring_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, b, h, capacity(), pinned};
    }
    pinned_ring_kv<const K, const V> as_const() const { return {k, v, lengths, pinned, firsts}; }

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
        const status s = detail::check_ring("pinned_ring_kv", *this, begin, end);
        if (s && (pinned < 0 || pinned >= capacity()) && batch() > 0)
            return status::error(errc::invalid_argument,
                                 "pinned_ring_kv: %lld pinned tokens of %lld; 0 to %lld are possible",
                                 static_cast<long long>(pinned), static_cast<long long>(capacity()),
                                 static_cast<long long>(capacity() - 1));
        return s;
    }
};

template <class A, class B>
pinned_ring_kv(view<A>, view<B>, index_view, std::int64_t) -> pinned_ring_kv<A, B>;
template <class A, class B>
pinned_ring_kv(view<A>, view<B>, index_view, std::int64_t, index_view) -> pinned_ring_kv<A, B>;

template <class A, class B>
ring_kv(view<A>, view<B>, index_view) -> ring_kv<A, B>;
template <class A, class B>
ring_kv(view<A>, view<B>, index_view, index_view) -> ring_kv<A, B>;

HEED_END
