// SPDX-License-Identifier: MIT
// Finding NaN and Inf: x - x is 0 of any other number.
#pragma once

#include "vec.hpp"

HEED_BEGIN
namespace simd {

/// Whether a row holds neither NaN nor Inf.
template <class T, class E>
HEED_NOINLINE inline bool all_finite(const E* row, std::int64_t dim)
{
    constexpr int lanes = vec<T>::lanes;
    vec<T> sum(0);
    std::int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) {
        const vec<T> x = load_as<T>(row + c);
        sum = sum + (x - x);
    }
    if (c < dim) {
        const vec<T> x = load_as_n<T>(row + c, static_cast<int>(dim - c));
        sum = sum + (x - x);
    }
    return all(sum == vec<T>(0));
}

}  // namespace simd
HEED_END
