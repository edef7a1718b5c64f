// SPDX-License-Identifier: MIT
// How a register lays out keys, as score maps see it: lane i is the i-th of consecutive keys.
#pragma once

#include "log.hpp"

HEED_BEGIN

template <class T, class A>
struct lanes_of<simd::vec<T, A>> {
    using vec = simd::vec<T, A>;
    using element = T;
    static constexpr int count = vec::lanes;
    HEED_INLINE static vec iota(std::int64_t first)
    {
        T lane[count];
        for (int i = 0; i < count; ++i) lane[i] = static_cast<T>(first + i);
        return simd::load<A>(lane);
    }
    template <class E>
    HEED_INLINE static vec load(const E* p, std::int64_t valid)
    {
        static_assert(std::is_same_v<compute_t<E>, T>,
                      "heed: a table of numbers for each key has an element type that is computed in the tensors'");
        if (valid >= count) return simd::load_as<T, A>(p);
        return simd::load_as_n<T, A>(p, static_cast<int>(valid < 0 ? 0 : valid));
    }
};

HEED_END
