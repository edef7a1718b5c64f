// SPDX-License-Identifier: MIT
// What MXCSR says of subnormal numbers and of rounding, for the length of a scope.
#pragma once

#if defined(__SSE2__)
#define HEED_HAS_MXCSR 1
#include <pmmintrin.h>
#include <xmmintrin.h>

namespace faults {

class mxcsr {
public:
    explicit mxcsr(unsigned bits) : before_(_mm_getcsr())
    {
        _mm_setcsr((before_ & ~(_MM_FLUSH_ZERO_MASK | _MM_DENORMALS_ZERO_MASK | _MM_ROUND_MASK)) | bits);
    }
    ~mxcsr() { _mm_setcsr(before_); }
    mxcsr(const mxcsr&) = delete;
    mxcsr& operator=(const mxcsr&) = delete;

private:
    unsigned before_;
};

/// Calls f(name, bits) for the four rounding modes, subnormal numbers as they are and flushed to 0.
template <class F>
void for_each_mode(F f)
{
    constexpr unsigned flush = _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON;
    f("to nearest", _MM_ROUND_NEAREST);
    f("down", _MM_ROUND_DOWN);
    f("up", _MM_ROUND_UP);
    f("towards zero", _MM_ROUND_TOWARD_ZERO);
    f("to nearest, flushed", _MM_ROUND_NEAREST | flush);
    f("down, flushed", _MM_ROUND_DOWN | flush);
    f("up, flushed", _MM_ROUND_UP | flush);
    f("towards zero, flushed", _MM_ROUND_TOWARD_ZERO | flush);
}

}  // namespace faults
#else
#define HEED_HAS_MXCSR 0
#endif
