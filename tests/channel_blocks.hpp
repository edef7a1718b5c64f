// SPDX-License-Identifier: MIT
// Keys of codes with scales and zero points of channels in blocks of tokens, dense or in pages, beside float values.
#pragma once

#include "pages.hpp"

#include <heed/append.hpp>

namespace test {

/// Codes, scales and zero points of keys [B or pages, Hkv, slots, Dqk].
template <int Bits>
struct key_blocks {
    tensor<heed::codes<Bits>> codes;
    tensor<float> scale, zero;
    int64 tokens;

    key_blocks(heed::extents e, int64 of_tokens)
        : codes(e), scale({e.batch, e.heads, (e.tokens + of_tokens - 1) / of_tokens, e.dim},
                          std::numeric_limits<float>::quiet_NaN()),
          zero(scale), tokens(of_tokens)
    {}
    auto scales() const { return heed::per_channel_block{scale.in(), zero.in(), tokens}; }
    auto scales() { return heed::per_channel_block{scale.view(), zero.view(), tokens}; }

    /// Beside values, in one piece.
    auto dense(const heed::view<const float>& v, const heed::index_view& lengths = {}) const
    {
        return heed::scaled_kv{heed::dense_kv{codes.in(), v, lengths}, scales(), heed::unscaled{}};
    }
    auto dense(const heed::view<float>& v)
    {
        return heed::scaled_kv{heed::dense_kv{codes.view(), v}, scales(), heed::unscaled{}};
    }
    auto paged(const heed::view<const float>& v, const heed::page_table& table) const
    {
        return heed::scaled_kv{heed::paged_kv{codes.in(), v, table}, scales(), heed::unscaled{}};
    }
    auto paged(const heed::view<float>& v, const heed::page_table& table)
    {
        return heed::scaled_kv{heed::paged_kv{codes.view(), v, table}, scales(), heed::unscaled{}};
    }
};

/// One sequence of a tensor, from its first token on.
inline heed::view<const float> of_sequence(const tensor<float>& t, int64 b, int64 count)
{
    return {t.in().row(b, 0, 0), {1, t.size.heads, count, t.size.dim}, t.in().stride};
}

}  // namespace test
