// SPDX-License-Identifier: MIT
// Keys and values of all sequences in one row after the other.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Keys and values of all sequences packed into one tensor, as FlashAttention has them (cu_seqlens_k): sequence b is
/// tokens [cu_seqlens[b], cu_seqlens[b + 1]), and its positions count from its own first. `lengths`, where given
/// (seqused_k), says how many tokens of that room a sequence has; the rest is not read.
///
///     heed::attend(def, heed::packed{q, cu_seqlens_q}, heed::packed_kv{k, v, cu_seqlens_k}, out);
///
/// The call that reads them fails where bounds do not rise from 0 on or end behind the tokens there are, or where a
/// length is not in the room of its sequence.
template <class K, class V = K>
struct packed_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = true;

    view<K> k;                ///< [1, Hkv, tokens of all, Dqk]
    view<V> v;                ///< [1, Hkv, tokens of all, Dv]
    index_view cu_seqlens;    ///< [B + 1]
    index_view lengths = {};  ///< [B], or none: all of the room

    std::int64_t batch() const { return cu_seqlens.size() > 0 ? cu_seqlens.size() - 1 : 0; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    token_span held(std::int64_t b) const { return {0, lengths.size() ? lengths[b] : room(b)}; }
    std::int64_t room(std::int64_t b) const { return cu_seqlens[b + 1] - cu_seqlens[b]; }
    bool ragged() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor whose tokens lie as those of k do.
    template <class E>
    strided_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, 0, h, cu_seqlens[b]};
    }
    packed_kv<const K, const V> as_const() const { return {k, v, cu_seqlens, lengths}; }

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
        using ll = long long;
        const status s = detail::check_alike("k", k, "v", v, "batch");
        if (!s) return s;
        if (k.size.batch != 1)
            return status::error(errc::invalid_argument, "packed_kv: k.batch is %lld, must be 1", ll{k.size.batch});
        if (cu_seqlens.size() < 1 || !cu_seqlens.is_sound())
            return status::error(errc::invalid_argument, "packed_kv: %lld bounds%s; there is one more than sequences",
                                 ll{cu_seqlens.size()}, cu_seqlens.is_sound() ? "" : " at null");
        if (!lengths.is_sound() || (lengths.size() && lengths.size() != batch()))
            return status::error(errc::invalid_argument, "packed_kv: %lld lengths%s for %lld sequences",
                                 ll{lengths.size()}, lengths.is_sound() ? "" : " at null", ll{batch()});
        for (std::int64_t b = begin; b < end; ++b) {
            if (cu_seqlens[b] < 0 || cu_seqlens[b + 1] < cu_seqlens[b] || cu_seqlens[b + 1] > k.size.tokens)
                return status::error(errc::invalid_argument,
                                     "packed_kv: sequence %lld: [%lld, %lld) is not within the %lld tokens", ll{b},
                                     ll{cu_seqlens[b]}, ll{cu_seqlens[b + 1]}, ll{k.size.tokens});
            if (lengths.size() && (lengths[b] < 0 || lengths[b] > room(b)))
                return status::error(errc::invalid_argument, "packed_kv: lengths[%lld] = %lld is not in [0, %lld]",
                                     ll{b}, ll{lengths[b]}, ll{room(b)});
        }
        return {};
    }
};

template <class A, class B>
packed_kv(view<A>, view<B>, index_view) -> packed_kv<A, B>;
template <class A, class B>
packed_kv(view<A>, view<B>, index_view, index_view) -> packed_kv<A, B>;

HEED_END
