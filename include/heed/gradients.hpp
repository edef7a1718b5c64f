// SPDX-License-Identifier: MIT
// What the backward pass gives. A view without data, or a null pointer, is not wanted, and not computed.
#pragma once

#include "base/view.hpp"

HEED_BEGIN

/// Gradients of a scalar loss, of the type that is computed in: float, or double for double tensors. They are
/// overwritten, not added to.
template <class T>
struct gradients {
    view<T> dq;                ///< [B, Hq, Sq, Dqk]
    view<T> dk;                ///< [B, Hkv, Skv, Dqk], summed over the query heads of a kv head
    view<T> dv;                ///< [B, Hkv, Skv, Dv], likewise
    T* dlog_offset = nullptr;  ///< [Hq]: of log c, the normalizer's extra mass (a sink's logit)
    view<T> dbias;             ///< [B, Hq, Sq, Skv]: of a score map's parameter for each score (bias); 0 where masked
    T* dslopes = nullptr;      ///< [Hq]: of a score map's parameter for each query head (alibi)
};

HEED_END
