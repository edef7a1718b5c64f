// SPDX-License-Identifier: MIT
// The first keys of every sequence.
#pragma once

#include "contract.hpp"

HEED_BEGIN

/// The first keys of every sequence, however many there are: `prefix{n} | causal{}` is a prefix language model. The
/// verbs fail where n is negative.
struct prefix : span_mask<prefix> {
    std::int64_t keys;  ///< how many keys

    explicit prefix(std::int64_t attended) : keys(attended) {}  ///< keys [0, attended)

    key_span span(const query_place&) const { return {0, keys}; }
    status check(const problem&) const
    {
        if (keys >= 0) return {};
        return status::error(errc::invalid_argument, "prefix: %lld keys", static_cast<long long>(keys));
    }
};

HEED_END
