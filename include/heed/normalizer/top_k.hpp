// SPDX-License-Identifier: MIT
// Softmax over the largest scores of a row.
#pragma once

#include "softmax.hpp"

HEED_BEGIN

/// Softmax over the k largest scores of a row; scores that equal the k-th largest all stay, so that weights do not
/// depend on the order of keys. Of rows with fewer than k keys it is softmax. The verbs fail where k is below 1.
struct top_k : softmax {
    static constexpr auto threshold = heed::rank;

    std::int64_t k = 1;  ///< how many scores stay

    /// `largest` is k.
    explicit top_k(std::int64_t largest) : k(largest) {}

    std::int64_t rank(std::int64_t) const { return k; }
    status check(const problem&) const
    {
        if (k >= 1) return {};
        return status::error(errc::invalid_argument, "top_k: k is %lld, must be at least 1", static_cast<long long>(k));
    }
};

HEED_END
