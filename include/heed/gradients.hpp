// SPDX-License-Identifier: MIT
// What the backward pass gives. A gradient whose view has no data, or whose pointer is null, is not computed.
#pragma once

#include "base/view.hpp"

HEED_BEGIN

/// Gradients of a scalar loss, in the type that is computed in: float, or double for double tensors. They are
/// overwritten, not accumulated.
template <class T>
struct gradients {
    view<T> dq = {};                  ///< [B, Hq, Sq, Dqk]
    view<T> dk = {};                  ///< [B, Hkv, Skv, Dqk], summed over the query heads of a kv head
    view<T> dv = {};                  ///< [B, Hkv, Skv, Dv], likewise
    number_view<T> dlog_offset = {};  ///< [Hq]: of log c, the normalizer's extra mass (a sink's logit)
    /// [B, Hq, Sq, Skv]: of a score map's parameter for each score (bias); 0 where masked. An extent of 1 is summed
    /// along B, Hq or Sq, as `bias` repeats it: the gradient of a bias [1, Hq, 1, Skv] takes as much memory as that
    /// bias. Each sum is one chain of additions, of sequences, then of kv heads, then of query rows, then of the heads
    /// of a group.
    view<T> dbias = {};
    number_view<T> dslopes = {};  ///< [Hq]: of a score map's parameter for each query head (alibi)
};

namespace detail {

/// The extents that dbias must have, given those that it has: those of the scores, or 1 where it is summed.
constexpr extents summed_extents(const extents& have, const extents& scores)
{
    return {have.batch == 1 ? 1 : scores.batch, have.heads == 1 ? 1 : scores.heads,
            have.tokens == 1 ? 1 : scores.tokens, scores.dim};
}

}  // namespace detail
HEED_END
