// SPDX-License-Identifier: MIT
// Scales and zero points of each channel of K in each block of tokens: a few channels of K are far larger than the
// rest, token after token, and rounding each by a scale of its own keeps the others (KIVI, Liu et al. 2024,
// arXiv 2402.02750; OpenVINO's caches by channel).
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// A scale and a zero point for each channel, kv head and block of `tokens` tokens of K, whose elements are codes:
///
///     k_jc = (q_jc - zero_bc) scale_bc        b = floor(j / tokens), difference and product each rounded to float
///
///     heed::scaled_kv kv{heed::dense_kv{k, v}, heed::per_channel_block{k_scale, k_zero, 64}, heed::unscaled{}};
///
/// Sizes [B, Hkv, ceil(Skv / tokens), Dqk], or [pages, Hkv, slots / tokens, Dqk] beside a pool whose pages are whole
/// numbers of blocks; the two may be parts of one array, or lie in the pages of K. A zero point need not be whole. They
/// are data, as the rows are: a NaN makes the rows NaN that attend its block.
template <class S>
struct per_channel_block {
    view<S> scale, zero;
    std::int64_t tokens;
};
template <class S>
per_channel_block(view<S>, view<S>, std::int64_t) -> per_channel_block<S>;

namespace detail {

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
    if (n < 1 || n > size_limit)
        return status::error(errc::invalid_argument, "scaled_kv: blocks of %lld tokens; they have 1 or more", ll{n});
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

}  // namespace detail
HEED_END
