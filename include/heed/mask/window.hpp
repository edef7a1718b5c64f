// SPDX-License-Identifier: MIT
// The sliding window.
#pragma once

#include "../base/checked.hpp"
#include "contract.hpp"

HEED_BEGIN

/// A sliding window beside the diagonal: query position - left <= key <= query position + right, inclusive counts of
/// keys. A model's "sliding_window = w" is left = w - 1. A side that is not given is unbounded. The verbs fail where
/// one is negative.
struct window {
    std::int64_t left = unbounded;   ///< keys before the query's position
    std::int64_t right = unbounded;  ///< keys behind it

    key_span span(const query_place& at) const
    {
        return {left == unbounded ? 0 : at.position - left, right == unbounded ? unbounded : at.position + right + 1};
    }
    bool attends(const query_place& at, std::int64_t key) const { return spans{*this}.attends(at, key); }
    coverage classify(const block_place& block) const { return spans{*this}.classify(block); }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        spans{*this}.mark(at, first, count, bits);
    }
    status check(const problem&) const
    {
        const auto sound = [](std::int64_t side) { return side == unbounded || (side >= 0 && side <= size_limit); };
        if (sound(left) && sound(right)) return {};
        return status::error(errc::invalid_argument, "window: left %lld, right %lld: a side is a count of keys from 0",
                             static_cast<long long>(left), static_cast<long long>(right));
    }

private:
    // window itself has no base class, so that window{.left = 4095} is an aggregate.
    struct spans : span_mask<spans> {
        const window& w;
        explicit spans(const window& whose) : w(whose) {}
        key_span span(const query_place& at) const { return w.span(at); }
    };
};

HEED_END
