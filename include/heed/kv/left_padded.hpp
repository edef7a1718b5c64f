// SPDX-License-Identifier: MIT
// Keys and values behind padding.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// Keys and values as two strided tensors whose sequences start where `starts` says, behind padding that is not read (a
/// left-padded batch; FlashAttention's leftpad_k). Sequence b is slots [starts[b], ends[b]) of its row, without `ends`
/// all from starts[b] on; positions count from its own first, so that a sequence has the bits that it has without
/// padding. The call that reads them fails where not 0 <= starts[b] <= ends[b] <= Skv.
template <class K, class V = K>
struct left_padded_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = true;

    view<K> k;             ///< [B, Hkv, Skv, Dqk]
    view<V> v;             ///< [B, Hkv, Skv, Dv]
    index_view starts;     ///< [B]: the slot of the first token
    index_view ends = {};  ///< [B], or none: Skv each

    std::int64_t batch() const { return k.size.batch; }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    token_span held(std::int64_t b) const { return {0, end(b) - starts[b]}; }
    bool ragged() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any tensor whose tokens lie as those of k do.
    template <class E>
    strided_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, b, h, starts[b]};
    }
    left_padded_kv<const K, const V> as_const() const { return {k, v, starts, ends}; }

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
    std::int64_t end(std::int64_t b) const { return ends.size() ? ends[b] : k.size.tokens; }
    status check_sequences(std::int64_t begin, std::int64_t last) const
    {
        using ll = long long;
        const status s = detail::check_alike("k", k, "v", v, "batch");
        if (!s) return s;
        if (!starts.is_sound() || starts.size() != batch() || !ends.is_sound() ||
            (ends.size() && ends.size() != batch()))
            return status::error(errc::invalid_argument,
                                 "left_padded_kv: %lld starts and %lld ends%s for %lld sequences", ll{starts.size()},
                                 ll{ends.size()}, starts.is_sound() && ends.is_sound() ? "" : " at null", ll{batch()});
        for (std::int64_t b = begin; b < last; ++b)
            if (starts[b] < 0 || end(b) < starts[b] || end(b) > k.size.tokens)
                return status::error(errc::invalid_argument,
                                     "left_padded_kv: sequence %lld: [%lld, %lld) is not within the %lld slots", ll{b},
                                     ll{starts[b]}, ll{end(b)}, ll{k.size.tokens});
        return {};
    }
};

template <class A, class B>
left_padded_kv(view<A>, view<B>, index_view) -> left_padded_kv<A, B>;
template <class A, class B>
left_padded_kv(view<A>, view<B>, index_view, index_view) -> left_padded_kv<A, B>;

HEED_END
