// SPDX-License-Identifier: MIT
// The causal mask.
#pragma once

#include "../base/checked.hpp"
#include "contract.hpp"

HEED_BEGIN

/// Causal: a query attends the keys up to its own position. The alignment is part of the value, never a bare bool:
///
///     causal{}               key <= query position; with the default query offset Skv - Sq this aligns bottom-right,
///                            as FlashAttention >= 2.1 and ONNX with a cache do
///     causal::top_left()     key <= query row, as PyTorch's is_causal does
///     causal::offset(n)      key <= query row + n, |n| <= 2^60
struct causal : span_mask<causal> {
    causal() = default;

    static causal top_left() { return causal(0); }              ///< key <= query row
    static causal offset(std::int64_t n) { return causal(n); }  ///< key <= query row + n

    key_span span(const query_place& at) const { return {0, (by_row_ ? at.row + offset_ : at.position) + 1}; }
    status check(const problem&) const
    {
        if (detail::within_limit(offset_)) return {};
        return status::error(errc::invalid_argument, "causal: offset %lld is out of range",
                             static_cast<long long>(offset_));
    }

private:
    explicit causal(std::int64_t further_keys) : by_row_(true), offset_(further_keys) {}

    bool by_row_ = false;
    std::int64_t offset_ = 0;
};

HEED_END
