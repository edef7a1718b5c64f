// SPDX-License-Identifier: MIT
// Functions of C's mathematics library and constants of std::numeric_limits, for float, double and long double.
//
// <cmath> and <limits> have them as inline functions of float. A compiler that does not inline (-O0) emits those as
// weak symbols, with the instructions of the file that it compiles, and the linker keeps one of each for the program:
// the kernels for an old CPU may get std::ceil(float) in instructions of a new one. Here they live in heed's namespace,
// which is another one for each machine, and its kernels and policies call no others.
#pragma once

#include "config.hpp"

#include <limits>

HEED_BEGIN
namespace libm {

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
inline constexpr T quiet_nan = std::numeric_limits<T>::quiet_NaN();

#define HEED_LIBM(name)                                                                                                \
    inline float name(float x) { return __builtin_##name##f(x); }                                                      \
    inline double name(double x) { return __builtin_##name(x); }                                                       \
    inline long double name(long double x) { return __builtin_##name##l(x); }
HEED_LIBM(ceil)
HEED_LIBM(exp)
HEED_LIBM(expm1)
HEED_LIBM(fabs)
HEED_LIBM(log)
HEED_LIBM(log1p)
HEED_LIBM(nearbyint)
HEED_LIBM(sqrt)
HEED_LIBM(tanh)
#undef HEED_LIBM

#define HEED_LIBM(name)                                                                                                \
    inline float name(float x, float y) { return __builtin_##name##f(x, y); }                                          \
    inline double name(double x, double y) { return __builtin_##name(x, y); }                                          \
    inline long double name(long double x, long double y) { return __builtin_##name##l(x, y); }
HEED_LIBM(copysign)
HEED_LIBM(nextafter)
#undef HEED_LIBM

inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline long double fma(long double x, long double y, long double z) { return __builtin_fmal(x, y, z); }

inline float frexp(float x, int* n) { return __builtin_frexpf(x, n); }
inline float ldexp(float x, int n) { return __builtin_ldexpf(x, n); }
inline double ldexp(double x, int n) { return __builtin_ldexp(x, n); }

template <class T>
constexpr bool isfinite(T x)
{
    return x - x == 0;
}

}  // namespace libm
HEED_END
