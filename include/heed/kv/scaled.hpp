// SPDX-License-Identifier: MIT
// Scales beside keys and values: of tokens, of channels, or of channels in blocks of tokens, with zero points: a few
// channels of K are far larger than the rest, token after token, and a scale of its own for each keeps the others
// (KIVI, Liu et al. 2024, arXiv 2402.02750; OpenVINO's caches by channel).
#pragma once

#include "../base/math.hpp"
#include "contract.hpp"

#include <limits>

HEED_BEGIN

/// One scale for each token and head, in a view of dim 1 whose tokens (pages, slots) lie as those of the keys or values
/// do. Strides of 0 repeat one number over heads, over sequences, or over tokens (one scale for the whole head).
template <class S>
struct per_token {
    view<S> scale;  ///< [B, Hkv, Skv, 1], or of pages and slots

    /// Whether tokens have scales of their own, which append() chooses; or all share one that is given.
    bool is_of_each_token() const { return scale.stride.tokens != 0; }
};
template <class S>
per_token(view<S>) -> per_token<S>;

/// One scale for each channel and kv head of the keys.
template <class S>
struct per_channel {
    view<S> scale;  ///< [1, Hkv, 1, Dqk]
};
template <class S>
per_channel(view<S>) -> per_channel<S>;

/// A scale and a zero point for each channel, kv head and block of `tokens` tokens of K, whose elements are codes:
///
///     k_jc = (q_jc - zero_bc) scale_bc        b = floor(j / tokens), difference and product each rounded to float
///
///     heed::scaled_kv kv{heed::dense_kv{k, v}, heed::per_channel_block{k_scale, k_zero, 64}, heed::unscaled{}};
///
/// Sizes [B, Hkv, ceil(Skv / tokens), Dqk], or [pages, Hkv, slots / tokens, Dqk] beside a pool whose pages are whole
/// numbers of blocks, and `tokens` a multiple of 16; the two may be parts of one array, or lie in the pages of K. A
/// zero point need not be whole. They are data, as the rows are: a NaN makes the rows NaN that attend its block.
template <class S>
struct per_channel_block {
    view<S> scale, zero;  ///< [B, Hkv, ceil(Skv / tokens), Dqk], or of pages
    std::int64_t tokens;  ///< of a block: a multiple of 16
};
template <class S>
per_channel_block(view<S>, view<S>, std::int64_t) -> per_channel_block<S>;

/// Keys or values without scales: floats, or elements that carry their own.
struct unscaled {};

namespace detail {

template <class Scales>
inline constexpr bool is_per_token_v = false;
template <class S>
inline constexpr bool is_per_token_v<per_token<S>> = std::is_same_v<std::remove_const_t<S>, float>;
template <class Scales>
inline constexpr bool is_per_channel_v = false;
template <class S>
inline constexpr bool is_per_channel_v<per_channel<S>> = std::is_same_v<std::remove_const_t<S>, float>;

template <class Scales>
inline constexpr bool is_per_channel_block_v = false;
template <class S>
inline constexpr bool is_per_channel_block_v<per_channel_block<S>> = std::is_same_v<std::remove_const_t<S>, float>;

/// Of a block of tokens, one for each channel; `count` tokens more are of that block.
template <class S>
struct channel_steps {
    S* scale;
    S* zero;
    std::int64_t count;
};

/// The blocks of a head: of(token). Rows are those of the source in a tensor with a row for each block.
template <class Rows>
struct channel_blocks {
    Rows scale, zero;
    std::int64_t tokens;

    HEED_INLINE auto of(std::int64_t token) const
    {
        const std::int64_t block = token / tokens;
        return channel_steps<std::remove_pointer_t<decltype(scale(0).data)>>{scale(block).data, zero(block).data,
                                                                             (block + 1) * tokens - token};
    }
};

template <class S, class = void>
struct has_aligned_blocks : std::false_type {};
template <class S>
struct has_aligned_blocks<S, std::void_t<decltype(S::aligned_blocks)>> : std::bool_constant<S::aligned_blocks> {};

/// Checks scales and zero points of blocks of tokens beside rows of k, of which `whole` says that blocks do not go on
/// from one of its batches in the next.
template <class S, class K>
status check_channel_blocks(const per_channel_block<S>& of, const view<K>& k, bool whole)
{
    using ll = long long;
    const std::int64_t n = of.tokens, slots = k.size.tokens;
    if (n < 1 || n > size_limit || n % 16 != 0)
        return status::error(errc::invalid_argument,
                             "scaled_kv: blocks of %lld tokens; they have 16, or a multiple of it", ll{n});
    if (whole && slots % n != 0)
        return status::error(errc::invalid_argument, "scaled_kv: blocks of %lld tokens in pages of %lld", ll{n},
                             ll{slots});
    const extents must{k.size.batch, k.size.heads, ceil_div(slots, n), k.size.dim};
    status s;
    const auto check = [&](const char* name, const extents& e) {
        if (s && (e.batch != must.batch || e.heads != must.heads || e.tokens != must.tokens || e.dim != must.dim))
            s = status::error(errc::invalid_argument,
                              "scaled_kv: %s: [%lld, %lld, %lld, %lld], must be [%lld, %lld, %lld, %lld]", name,
                              ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim}, ll{must.batch}, ll{must.heads},
                              ll{must.tokens}, ll{must.dim});
    };
    check("k scale", of.scale.size);
    check("k zero", of.zero.size);
    return s;
}

/// Checks a scale that many tokens share, which append() does not write.
inline status check_scale(const char* name, const char* what, std::int64_t head, std::int64_t i, float scale)
{
    if (scale > 0 && scale <= std::numeric_limits<float>::max()) return {};
    return status::error(errc::invalid_argument, "scaled_kv: %s: head %lld, %s %lld: %g is not finite and above 0",
                         name, static_cast<long long>(head), what, static_cast<long long>(i),
                         static_cast<double>(scale));
}

template <class S, class E>
status check_token_scales(const char* name, const view<S>& scale, const view<E>& of)
{
    using ll = long long;
    const extents &a = scale.size, &b = of.size;
    if (a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens && a.dim == 1) return {};
    return status::error(errc::invalid_argument,
                         "scaled_kv: %s: [%lld, %lld, %lld, %lld], must be [%lld, %lld, %lld, 1]", name, ll{a.batch},
                         ll{a.heads}, ll{a.tokens}, ll{a.dim}, ll{b.batch}, ll{b.heads}, ll{b.tokens});
}

}  // namespace detail

/// Caches of whole numbers or 8-bit floats with their scales beside them:
///
///     heed::scaled_kv kv{heed::dense_kv{k8, v8}, heed::per_token{k_scale}, heed::per_token{v_scale}};
///     heed::scaled_kv kv{heed::paged_kv{k8, v8, table}, heed::per_channel{k_scale}, heed::per_token{v_scale}};
///     heed::scaled_kv kv{heed::ring_kv{k_fp8, v8, lengths}, heed::unscaled{}, heed::per_token{v_scale}};
///
/// No row is multiplied: s_ij = k_scale_j (q_i . k_j) costs one product a score, p_ij v_scale_j one a weight, and the
/// scales of channels are multiplied into the query. A key that is not attended, or that has weight 0, is left out
/// whatever its scale is; a NaN in the scale of an attended key makes the row NaN. A v_scale of 0 stands for a row of
/// zeros: the weight times the scale is 0, and a factor of 0 selects, even where the row holds NaN.
/// The call that reads them fails where a scale tensor has another size, or where a scale of a channel is not finite
/// and above 0.
template <class Source, class KeyScales, class ValueScales>
class scaled_kv {
    static constexpr bool in_blocks = detail::is_per_channel_block_v<KeyScales>;
    static_assert(detail::is_per_token_v<KeyScales> || detail::is_per_channel_v<KeyScales> || in_blocks ||
                      std::is_same_v<KeyScales, unscaled>,
                  "heed: keys are scaled by per_token, per_channel or per_channel_block of float, or are unscaled{}");
    static_assert(
        in_blocks == detail::is_codes_v<typename Source::key_element>,
        "heed: scales and zero points of blocks of tokens, per_channel_block, are those of keys of codes<8> or "
        "codes<4>, and of no others");
    static_assert(
        !in_blocks || detail::has_aligned_blocks<Source>::value,
        "heed: scales of blocks of tokens lie beside dense_kv or paged_kv: elsewhere tokens move within blocks");
    static_assert(detail::is_per_token_v<ValueScales> || std::is_same_v<ValueScales, unscaled>,
                  "heed: values are scaled by per_token of float, or are unscaled{}");

public:
    using key_element = typename Source::key_element;
    using value_element = typename Source::value_element;
    static constexpr bool contiguous = Source::contiguous;

    /// `of_keys` is per_token, per_channel, per_channel_block or unscaled, `of_values` per_token or unscaled.
    scaled_kv(const Source& of, const KeyScales& of_keys, const ValueScales& of_values)
        : source(of), key_scale(of_keys), value_scale(of_values)
    {}

    Source source;            ///< where the rows lie
    KeyScales key_scale;      ///< of K
    ValueScales value_scale;  ///< of V

    std::int64_t batch() const { return source.batch(); }
    std::int64_t heads() const { return source.heads(); }
    std::int64_t key_dim() const { return source.key_dim(); }
    std::int64_t value_dim() const { return source.value_dim(); }
    token_span held(std::int64_t b) const { return source.held(b); }
    bool ragged() const { return source.ragged(); }
    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side_of(source); }
    std::int64_t heads_of_a_page() const { return detail::heads_of_a_page_of(source); }
    std::int64_t tokens() const { return source.tokens(); }
    auto keys(std::int64_t b, std::int64_t h) const { return source.keys(b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return source.values(b, h); }
    template <class E>
    auto rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return source.rows_in(of, b, h);
    }

    template <class S = Source, class = std::enable_if_t<has_gone_v<S>>>
    token_span gone(std::int64_t b) const
    {
        return source.gone(b);
    }
    template <class S = KeyScales, class = std::enable_if_t<detail::is_per_token_v<S>>>
    auto key_scales(std::int64_t b, std::int64_t h) const
    {
        return source.rows_in(key_scale.scale, b, h);
    }
    template <class S = ValueScales, class = std::enable_if_t<detail::is_per_token_v<S>>>
    auto value_scales(std::int64_t b, std::int64_t h) const
    {
        return source.rows_in(value_scale.scale, b, h);
    }
    template <class S = KeyScales, class = std::enable_if_t<detail::is_per_channel_v<S>>>
    const float* key_channel_scales(std::int64_t h) const
    {
        return key_scale.scale.row(0, h, 0);
    }

    template <class S = KeyScales, class = std::enable_if_t<detail::is_per_channel_block_v<S>>>
    auto key_blocks(std::int64_t b, std::int64_t h) const
    {
        const auto scale = source.rows_in(key_scale.scale, b, h), zero = source.rows_in(key_scale.zero, b, h);
        return detail::channel_blocks<std::remove_const_t<decltype(scale)>>{scale, zero, key_scale.tokens};
    }

    auto as_const() const
    {
        return heed::scaled_kv{detail::as_const(source), const_scales(key_scale), const_scales(value_scale)};
    }

    /// Checks sizes.
    status check() const { return check_scales(source.check()); }
    status check_sequence(std::int64_t b) const { return check_scales(source.check_sequence(b)); }
    /// Checks where rows lie, and that the scales of channels and of whole heads are finite and above 0. The scales of
    /// single tokens are data, as the rows are.
    status check_rows() const
    {
        return check_given_scales(source.check_rows(), [this](const char* name, const auto& scale) {
            return this->check_scales_of_heads(name, scale);
        });
    }
    status check_rows(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return check_given_scales(source.check_rows(b, first, end), [&](const char* name, const auto& scale) {
            return this->check_scales_of_heads(name, scale, b, first, end);
        });
    }
    status check_exclusive(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return source.check_exclusive(b, first, end);
    }
    template <class S = Source, class = std::enable_if_t<detail::has_check_last_exclusive<S>::value>>
    status check_last_exclusive(const index_view& bounds) const
    {
        return source.check_last_exclusive(bounds);
    }
    template <class F>
    void views(F f) const
    {
        source.views(f);
        if constexpr (!std::is_same_v<KeyScales, unscaled>) f("k scale", key_scale.scale);
        if constexpr (in_blocks) f("k zero", key_scale.zero);
        if constexpr (!std::is_same_v<ValueScales, unscaled>) f("v scale", value_scale.scale);
    }

private:
    status check_scales(status s) const
    {
        if constexpr (in_blocks)
            if (s) s = detail::check_channel_blocks(key_scale, source.k, !contiguous);
        if constexpr (detail::is_per_token_v<KeyScales>)
            if (s) s = detail::check_token_scales("k scale", key_scale.scale, source.k);
        if constexpr (detail::is_per_token_v<ValueScales>)
            if (s) s = detail::check_token_scales("v scale", value_scale.scale, source.v);
        if constexpr (detail::is_per_channel_v<KeyScales>) {
            const extents& e = key_scale.scale.size;
            if (s && (e.batch != 1 || e.heads != heads() || e.tokens != 1 || e.dim != key_dim()))
                s = status::error(
                    errc::invalid_argument, "scaled_kv: k scale: [%lld, %lld, %lld, %lld], must be [1, %lld, 1, %lld]",
                    static_cast<long long>(e.batch), static_cast<long long>(e.heads), static_cast<long long>(e.tokens),
                    static_cast<long long>(e.dim), static_cast<long long>(heads()), static_cast<long long>(key_dim()));
        }
        return s;
    }
    template <class F>
    status check_given_scales(status s, F of_heads) const
    {
        if constexpr (detail::is_per_channel_v<KeyScales>)
            for (std::int64_t h = 0; h < heads(); ++h)
                for (std::int64_t c = 0; s && c < key_dim(); ++c)
                    s = detail::check_scale("k scale", "channel", h, c, key_channel_scales(h)[c]);
        if constexpr (detail::is_per_token_v<KeyScales>)
            if (s) s = of_heads("k scale", key_scale.scale);
        if constexpr (detail::is_per_token_v<ValueScales>)
            if (s) s = of_heads("v scale", value_scale.scale);
        return s;
    }

    static unscaled const_scales(unscaled) { return {}; }
    template <class S>
    static per_token<const S> const_scales(const per_token<S>& s)
    {
        return {s.scale};
    }
    template <class S>
    static per_channel<const S> const_scales(const per_channel<S>& s)
    {
        return {s.scale};
    }
    template <class S>
    static per_channel_block<const S> const_scales(const per_channel_block<S>& s)
    {
        return {s.scale, s.zero, s.tokens};
    }

    template <class S>
    status check_scales_of_heads(const char* name, const view<S>& scale) const
    {
        status s;
        if (scale.stride.tokens != 0 || scale.size.tokens == 0) return s;
        for (std::int64_t b = 0; b < (scale.stride.batch == 0 && scale.size.batch > 0 ? 1 : scale.size.batch); ++b)
            for (std::int64_t h = 0; s && h < heads(); ++h)
                s = detail::check_scale(name, "sequence", h, b, *scale.row(b, h, 0));
        return s;
    }
    /// Checks the scales of the segments in which tokens [first, end) of sequence b lie.
    template <class S>
    status check_scales_of_heads(const char* name, const view<S>& scale, std::int64_t b, std::int64_t first,
                                 std::int64_t end) const
    {
        status s;
        if (scale.stride.tokens != 0) return s;
        for (std::int64_t h = 0; s && h < heads(); ++h)
            for (std::int64_t token = first; s && token < end;) {
                const auto run = source.rows_in(scale, b, h)(token);
                s = detail::check_scale(name, "sequence", h, b, *run.data);
                token += run.count;
            }
        return s;
    }
};

HEED_END
