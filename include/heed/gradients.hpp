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
    view<T> dbias = {};               ///< [B, Hq, Sq, Skv]: of a score map's parameter for each score (bias); 0 where masked
    number_view<T> dslopes = {};      ///< [Hq]: of a score map's parameter for each query head (alibi)
};

HEED_END
