// SPDX-License-Identifier: MIT
// What the compiler was told: the instruction set, and the inline namespace named after it.
//
// Two translation units of one program may be compiled with different -m flags. Everything in heed lives in
// `inline namespace HEED_ABI`, whose name spells those flags, so that the linker never takes the AVX-512 body of
// a template for a caller that was compiled for SSE2.
#pragma once

#include "isa.hpp"
#include "version.hpp"

// A host that uses -ffast-math exempts the files that include heed: -fno-fast-math behind it takes it back, in CMake by
// set_source_files_properties(FILE.cpp PROPERTIES COMPILE_OPTIONS -fno-fast-math).
// __ASSOCIATIVE_MATH__ is gcc's word for -funsafe-math-optimizations; clang has none.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "heed: masks are -inf, NaN marks faults, sums have an order: compile this file with -fno-fast-math (README)"
#endif

#if defined(near) || defined(far) || defined(min) || defined(max)
#error "heed: windows.h makes macros of near, far, min and max: include heed before it, or #undef them first"
#endif

// A program for 32 bits names its registers: gcc's default for i686 is the x87, which keeps 64 bits of a float.
#if defined(__i386__) && __FLT_EVAL_METHOD__ != 0
#error "heed: x87 rounds floats when it likes: compile this file with -msse2 -mfpmath=sse"
#endif

#if defined(__cpp_exceptions)
#define HEED_EXCEPTIONS
#else
#define HEED_EXCEPTIONS _noexcept
#endif

#define HEED_VERSION_NAME HEED_JOIN(HEED_JOIN(v, HEED_VERSION_MAJOR), HEED_JOIN(_, HEED_JOIN(HEED_VERSION_MINOR, _)))
#define HEED_ABI HEED_JOIN(HEED_VERSION_NAME, HEED_JOIN(HEED_ISA, HEED_EXCEPTIONS))

#define HEED_BEGIN                                                                                                     \
    namespace heed {                                                                                                   \
    inline namespace HEED_ABI {
#define HEED_END                                                                                                       \
    }                                                                                                                  \
    }

#define HEED_INLINE inline __attribute__((always_inline))
#define HEED_INLINE_LAMBDA __attribute__((always_inline))
#define HEED_NOINLINE __attribute__((noinline))

// mingw-w64 has printf of the standard and of Microsoft's C library, and gcc means the latter.
#if defined(__MINGW32__) && !defined(__clang__)
#define HEED_PRINTF gnu_printf
#else
#define HEED_PRINTF printf
#endif

// Loops over registers must be unrolled whatever the optimisation level, or the accumulators live in memory.
#if defined(__clang__)
#define HEED_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HEED_UNROLL _Pragma("GCC unroll 64")
#endif

HEED_BEGIN

/// A pointer that the compiler knows nothing about: gcc would prepare one for each row of a loop and, when it runs out
/// of registers, keep it in a vector register, from where it comes behind all multiply-adds that wait to be executed.
template <class T>
HEED_INLINE T* opaque(T* p)
{
    __asm__("" : "+r"(p));
    return p;
}

/// The instruction set heed was compiled for in this translation unit, for example "avx512_bf16_vnni_vbmi2_gfni".
/// Without -march a compiler means the oldest machine: print this before you believe a measurement.
constexpr const char* isa_name() { return HEED_STRING(HEED_ISA); }

HEED_END
