// SPDX-License-Identifier: MIT
// What the compiler was told: the instruction set, and the inline namespace named after it.
//
// Two translation units of one program may be compiled with different -m flags. Everything in heed lives in
// `inline namespace HEED_ABI`, whose name spells those flags, so that the linker never takes the AVX-512 body of
// a template for a caller that was compiled for SSE2.
#pragma once

#include "version.hpp"

// A host that uses -ffast-math exempts the files that include heed: -fno-fast-math behind it takes it back, in CMake by
// set_source_files_properties(FILE.cpp PROPERTIES COMPILE_OPTIONS -fno-fast-math).
// __ASSOCIATIVE_MATH__ is gcc's word for -funsafe-math-optimizations; clang has none.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "heed: masks are -inf, NaN marks faults, sums have an order: compile this file with -fno-fast-math (README)"
#endif

// HEED_PORTABLE, if defined, takes plain C++ for every instruction set, which is slow: to look into what a machine
// does.
#if defined(HEED_PORTABLE)
#define HEED_ISA_PORTABLE portable_
#else
#define HEED_ISA_PORTABLE
#endif

#if defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define HEED_ISA avx512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define HEED_ISA avx2_fma_f16c
#elif defined(__AVX2__) && defined(__FMA__)
#define HEED_ISA avx2_fma
#elif defined(__AVX2__)
#define HEED_ISA avx2
#elif defined(__AVX__) && defined(__FMA__)
#define HEED_ISA avx_fma
#elif defined(__AVX__)
#define HEED_ISA avx
#elif defined(__SSE4_2__)
#define HEED_ISA sse4_2
#elif defined(__SSE4_1__)
#define HEED_ISA sse4_1
#elif defined(__SSSE3__)
#define HEED_ISA ssse3
#elif defined(__SSE3__)
#define HEED_ISA sse3
#elif defined(__SSE2__) || defined(__x86_64__)
#define HEED_ISA sse2
#elif defined(__aarch64__)
#define HEED_ISA neon64
#elif defined(__ARM_NEON)
#define HEED_ISA neon
#elif defined(__VSX__)
#define HEED_ISA vsx
#elif defined(__VX__)
#define HEED_ISA s390x_vx
#elif defined(__riscv_vector)
#define HEED_ISA riscv_v
#elif defined(__loongarch_asx)
#define HEED_ISA lasx
#elif defined(__loongarch_sx)
#define HEED_ISA lsx
#elif defined(__wasm_simd128__)
#define HEED_ISA wasm_simd128
#else
#define HEED_ISA generic
#endif

// Features that do not change the vector width but may change code that is shared: a compiler uses them unasked.
#if defined(__AVX512F__) && !(defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__))
#define HEED_ISA_WIDTH _avx512f
#elif defined(__AVX512F__) && !defined(__AVX512VL__)
#define HEED_ISA_WIDTH _no_vl
#elif defined(__ARM_FEATURE_SVE2)
#define HEED_ISA_WIDTH _sve2
#elif defined(__ARM_FEATURE_SVE)
#define HEED_ISA_WIDTH _sve
#else
#define HEED_ISA_WIDTH
#endif
#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define HEED_ISA_BF16 _bf16
#else
#define HEED_ISA_BF16
#endif
#if defined(__AVX512FP16__) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC)
#define HEED_ISA_FP16 _fp16
#else
#define HEED_ISA_FP16
#endif
#if defined(__AVX512VNNI__)
#define HEED_ISA_DOTS _vnni
#elif defined(__AVXVNNI__)
#define HEED_ISA_DOTS _avxvnni
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define HEED_ISA_DOTS _i8mm
#elif defined(__ARM_FEATURE_DOTPROD)
#define HEED_ISA_DOTS _dotprod
#else
#define HEED_ISA_DOTS
#endif
#if defined(__AVX512VBMI__)
#define HEED_ISA_BYTES _vbmi
#else
#define HEED_ISA_BYTES
#endif
#if defined(__ARM_FEATURE_ATOMICS)
#define HEED_ISA_ATOMICS _lse
#else
#define HEED_ISA_ATOMICS
#endif
#if defined(__cpp_exceptions)
#define HEED_ISA_EXCEPTIONS
#else
#define HEED_ISA_EXCEPTIONS _noexcept
#endif

#define HEED_JOIN_(a, b, c, d, e, f, g, h, i, j, k, l) a##b##_##c##_##d##e##f##g##h##i##j##k##l
#define HEED_JOIN(a, b, c, d, e, f, g, h, i, j, k, l) HEED_JOIN_(a, b, c, d, e, f, g, h, i, j, k, l)
#define HEED_STRING_(x) #x
#define HEED_STRING(x) HEED_STRING_(x)
#define HEED_ABI                                                                                                       \
    HEED_JOIN(v, HEED_VERSION_MAJOR, HEED_VERSION_MINOR, HEED_ISA_PORTABLE, HEED_ISA, HEED_ISA_WIDTH, HEED_ISA_BF16,   \
              HEED_ISA_FP16, HEED_ISA_DOTS, HEED_ISA_BYTES, HEED_ISA_ATOMICS, HEED_ISA_EXCEPTIONS)

#define HEED_BEGIN                                                                                                     \
    namespace heed {                                                                                                   \
    inline namespace HEED_ABI {
#define HEED_END                                                                                                       \
    }                                                                                                                  \
    }

#define HEED_INLINE inline __attribute__((always_inline))
#define HEED_INLINE_LAMBDA __attribute__((always_inline))
#define HEED_NOINLINE __attribute__((noinline))

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

/// The instruction set heed was compiled for in this translation unit, for example "avx512_bf16_vnni_vbmi".
/// Without -march a compiler means the oldest machine: print this before you believe a measurement.
constexpr const char* isa_name()
{
    return HEED_STRING(HEED_ISA_PORTABLE) HEED_STRING(HEED_ISA) HEED_STRING(HEED_ISA_WIDTH) HEED_STRING(HEED_ISA_BF16)
        HEED_STRING(HEED_ISA_FP16) HEED_STRING(HEED_ISA_DOTS) HEED_STRING(HEED_ISA_BYTES) HEED_STRING(HEED_ISA_ATOMICS);
}

HEED_END
