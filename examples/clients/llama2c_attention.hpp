// SPDX-License-Identifier: MIT
// heed where llama2.c has its loop over heads: plain pointers, one token, a layer's cache of float. What stands in
// forward() after RoPE and before the product with wo becomes
//
//     attend_token(s->xb, s->q, s->key_cache + loff, s->value_cache + loff, pos, shape, scratch);
//
// and the scores of all heads, att[n_heads][seq_len], need no memory any more: the scratch is a constant.
#pragma once

#include <heed/heed.hpp>

namespace llama2c {

/// Sizes of a model's attention, named as in its configuration; kv_dim is n_kv_heads * head_size.
struct attention_shape {
    int n_heads, n_kv_heads, head_size, seq_len;
};

namespace detail {

using softmax_plan = heed::plan<heed::attention<>, float>;  // scale 1 / sqrt(head_size); nothing after pos is there

/// Rows [n][kv_dim] of a layer's cache, as heed sees them: the stride of a token is kv_dim.
inline heed::view<const float> cached(const float* rows, int n, const attention_shape& s)
{
    return heed::bshd(rows, {1, s.n_kv_heads, n, s.head_size});
}

}  // namespace detail

/// Scratch that attend_token() needs at any position, in bytes; 0 for a shape that it refuses.
inline std::size_t attention_scratch_bytes(const attention_shape& s, heed::executor_ref executor = {})
{
    const heed::view<const float> q = heed::bshd<const float>(nullptr, {1, s.n_heads, 1, s.head_size});
    const heed::view<const float> cache = detail::cached(nullptr, s.seq_len, s);
    return detail::softmax_plan(heed::attention<>{}, q, cache, cache, {executor}).workspace_bytes();
}

/// xb = attention of one token's queries over keys 0 to pos, query head h with the keys of h / (n_heads / n_kv_heads).
///
/// xb, q [n_heads * head_size], xb may be q; keys, values [seq_len][kv_dim], of which [0, pos] is read. Allocates
/// nothing; `scratch` is of attention_scratch_bytes() for an executor of this concurrency. Where the status is false,
/// nothing was written.
inline heed::status attend_token(float* xb, const float* q, const float* keys, const float* values, int pos,
                                 const attention_shape& s, heed::workspace scratch,
                                 heed::executor_ref executor = {}) noexcept
{
    if (pos < 0 || pos >= s.seq_len)
        return heed::status::error(heed::errc::invalid_argument, "attend_token: pos %d is not in [0, %d)", pos,
                                   s.seq_len);
    const heed::extents one{1, s.n_heads, 1, s.head_size};
    const auto Q = heed::bshd(q, one);
    const auto K = detail::cached(keys, pos + 1, s), V = detail::cached(values, pos + 1, s);
    const detail::softmax_plan plan(heed::attention<>{}, Q, K, V, {executor});
    return plan.run(Q, K, V, heed::bshd(xb, one), {executor, scratch});
}

}  // namespace llama2c
