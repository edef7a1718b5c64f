// SPDX-License-Identifier: MIT
// The name of what this translation unit is compiled for: its instruction set, and every extension that a compiler may
// use unasked in what is inline here. Names of whole families stay short: "avx2_fma_f16c" is all of x86-64-v3, and
// "avx512" all of x86-64-v4. What a family has and a unit lacks, or the other way round, is spelled behind it.
#pragma once

#define HEED_JOIN_(a, b) a##b
#define HEED_JOIN(a, b) HEED_JOIN_(a, b)
#define HEED_JOIN8_(a, b, c, d, e, f, g, h) a##b##c##d##e##f##g##h
#define HEED_JOIN8(a, b, c, d, e, f, g, h) HEED_JOIN8_(a, b, c, d, e, f, g, h)
#define HEED_STRING_(x) #x
#define HEED_STRING(x) HEED_STRING_(x)

// HEED_PORTABLE, if defined, takes plain C++ for every instruction set, which is slow: to look into what a machine
// does.
#if defined(HEED_PORTABLE)
#define HEED_ISA_PORTABLE portable_
#else
#define HEED_ISA_PORTABLE
#endif

// The registers. Emscripten's -msse4.2 speaks of x86 too.
#if defined(__wasm_relaxed_simd__)
#define HEED_ISA_REGISTERS wasm_relaxed_simd
#elif defined(__wasm_simd128__)
#define HEED_ISA_REGISTERS wasm_simd128
#elif defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define HEED_ISA_REGISTERS avx512
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define HEED_ISA_REGISTERS avx2_fma_f16c
#elif defined(__AVX2__)
#define HEED_ISA_REGISTERS avx2
#elif defined(__AVX__)
#define HEED_ISA_REGISTERS avx
#elif defined(__SSE4_2__)
#define HEED_ISA_REGISTERS sse4_2
#elif defined(__SSE4_1__)
#define HEED_ISA_REGISTERS sse4_1
#elif defined(__SSSE3__)
#define HEED_ISA_REGISTERS ssse3
#elif defined(__SSE3__)
#define HEED_ISA_REGISTERS sse3
#elif defined(__SSE2__) || defined(__x86_64__)
#define HEED_ISA_REGISTERS sse2
#elif defined(__aarch64__)
#define HEED_ISA_REGISTERS neon64
#elif defined(__ARM_NEON)
#define HEED_ISA_REGISTERS HEED_JOIN(neon_v, __ARM_ARCH)
#elif defined(__arm__) && defined(__ARM_ARCH)
#define HEED_ISA_REGISTERS HEED_JOIN(arm_v, __ARM_ARCH)
#elif defined(_ARCH_PWR10)
#define HEED_ISA_REGISTERS vsx_power10
#elif defined(_ARCH_PWR9)
#define HEED_ISA_REGISTERS vsx_power9
#elif defined(__VSX__)
#define HEED_ISA_REGISTERS vsx
#elif defined(__VX__)
#define HEED_ISA_REGISTERS HEED_JOIN(s390x_vx_arch, __ARCH__)
#elif defined(__riscv_vector)
#define HEED_ISA_REGISTERS riscv_v
#elif defined(__loongarch_asx)
#define HEED_ISA_REGISTERS lasx
#elif defined(__loongarch_sx)
#define HEED_ISA_REGISTERS lsx
#else
#define HEED_ISA_REGISTERS generic
#endif

// Products and halves, which AVX-512 is used with.
#if defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define HEED_ISA_FULL_512 1
#else
#define HEED_ISA_FULL_512 0
#endif
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define HEED_ISA_FULL_AVX2 1
#else
#define HEED_ISA_FULL_AVX2 0
#endif
#if HEED_ISA_FULL_512 && !defined(__FMA__)
#define HEED_ISA_FMA _no_fma
#elif !HEED_ISA_FULL_512 && !HEED_ISA_FULL_AVX2 && defined(__FMA__)
#define HEED_ISA_FMA _fma
#else
#define HEED_ISA_FMA
#endif
#if HEED_ISA_FULL_512 && !defined(__F16C__)
#define HEED_ISA_F16C _no_f16c
#elif !HEED_ISA_FULL_512 && !HEED_ISA_FULL_AVX2 && defined(__F16C__)
#define HEED_ISA_F16C _f16c
#else
#define HEED_ISA_F16C
#endif

// Whole numbers: x86-64-v3 and v4 have all of them, SSE4.2 counts bits.
#if defined(__SSE4_2__) && !defined(__POPCNT__) && !defined(__wasm__)
#define HEED_ISA_POPCNT _no_popcnt
#elif !defined(__SSE4_2__) && defined(__POPCNT__)
#define HEED_ISA_POPCNT _popcnt
#else
#define HEED_ISA_POPCNT
#endif
#if defined(__BMI__) && defined(__BMI2__) && defined(__LZCNT__) && defined(__MOVBE__)
#define HEED_ISA_FULL_BMI 1
#else
#define HEED_ISA_FULL_BMI 0
#endif
#if (HEED_ISA_FULL_512 || HEED_ISA_FULL_AVX2) && !HEED_ISA_FULL_BMI
#define HEED_ISA_BMI _no_v3
#elif !(HEED_ISA_FULL_512 || HEED_ISA_FULL_AVX2) && HEED_ISA_FULL_BMI
#define HEED_ISA_BMI _v3
#else
#define HEED_ISA_BMI
#endif
#if !HEED_ISA_FULL_BMI && defined(__BMI__)
#define HEED_ISA_BMI1 _bmi
#else
#define HEED_ISA_BMI1
#endif
#if !HEED_ISA_FULL_BMI && defined(__BMI2__)
#define HEED_ISA_BMI2 _bmi2
#else
#define HEED_ISA_BMI2
#endif
#if !HEED_ISA_FULL_BMI && defined(__LZCNT__)
#define HEED_ISA_LZCNT _lzcnt
#else
#define HEED_ISA_LZCNT
#endif
#if !HEED_ISA_FULL_BMI && defined(__MOVBE__)
#define HEED_ISA_MOVBE _movbe
#else
#define HEED_ISA_MOVBE
#endif

// Of AMD's older machines.
#if defined(__SSE4A__)
#define HEED_ISA_SSE4A _sse4a
#else
#define HEED_ISA_SSE4A
#endif
#if defined(__FMA4__)
#define HEED_ISA_FMA4 _fma4
#else
#define HEED_ISA_FMA4
#endif
#if defined(__XOP__)
#define HEED_ISA_XOP _xop
#else
#define HEED_ISA_XOP
#endif
#if defined(__TBM__)
#define HEED_ISA_TBM _tbm
#else
#define HEED_ISA_TBM
#endif

// AVX-512: x86-64-v4 has VL; what is not all of it spells its parts.
#if HEED_ISA_FULL_512 && !defined(__AVX512VL__)
#define HEED_ISA_VL _no_vl
#elif defined(__AVX512F__) && !HEED_ISA_FULL_512 && defined(__AVX512VL__)
#define HEED_ISA_VL _vl
#else
#define HEED_ISA_VL
#endif
#if defined(__AVX512F__) && !HEED_ISA_FULL_512
#define HEED_ISA_PART_512 _avx512f
#else
#define HEED_ISA_PART_512
#endif
#if !HEED_ISA_FULL_512 && defined(__AVX512CD__)
#define HEED_ISA_CD _cd
#else
#define HEED_ISA_CD
#endif
#if !HEED_ISA_FULL_512 && defined(__AVX512DQ__)
#define HEED_ISA_DQ _dq
#else
#define HEED_ISA_DQ
#endif
#if !HEED_ISA_FULL_512 && defined(__AVX512BW__)
#define HEED_ISA_BW _bw
#else
#define HEED_ISA_BW
#endif

// Products of 16 and of 8 bits.
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
#define HEED_ISA_VNNI _vnni
#else
#define HEED_ISA_VNNI
#endif
#if defined(__AVXVNNI__)
#define HEED_ISA_AVXVNNI _avxvnni
#else
#define HEED_ISA_AVXVNNI
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_DOTPROD)
#define HEED_ISA_DOTS _i8mm
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define HEED_ISA_DOTS _i8mm_no_dotprod
#elif defined(__ARM_FEATURE_DOTPROD)
#define HEED_ISA_DOTS _dotprod
#else
#define HEED_ISA_DOTS
#endif

// Bytes and bits in registers of AVX-512: "vbmi2" is all that came with it.
#if defined(__AVX512VBMI__) && defined(__AVX512VBMI2__) && defined(__AVX512IFMA__) && defined(__AVX512BITALG__) &&     \
    defined(__AVX512VPOPCNTDQ__)
#define HEED_ISA_FULL_VBMI2 1
#else
#define HEED_ISA_FULL_VBMI2 0
#endif
#if HEED_ISA_FULL_VBMI2
#define HEED_ISA_ALL_VBMI2 _vbmi2
#else
#define HEED_ISA_ALL_VBMI2
#endif
#if !HEED_ISA_FULL_VBMI2 && defined(__AVX512VBMI__)
#define HEED_ISA_VBMI _vbmi
#else
#define HEED_ISA_VBMI
#endif
#if !HEED_ISA_FULL_VBMI2 && defined(__AVX512VBMI2__)
#define HEED_ISA_VBMI2 _only_vbmi2
#else
#define HEED_ISA_VBMI2
#endif
#if !HEED_ISA_FULL_VBMI2 && defined(__AVX512IFMA__)
#define HEED_ISA_IFMA _ifma
#else
#define HEED_ISA_IFMA
#endif
#if !HEED_ISA_FULL_VBMI2 && defined(__AVX512BITALG__)
#define HEED_ISA_BITALG _bitalg
#else
#define HEED_ISA_BITALG
#endif
#if !HEED_ISA_FULL_VBMI2 && defined(__AVX512VPOPCNTDQ__)
#define HEED_ISA_VPOPCNT _vpopcnt
#else
#define HEED_ISA_VPOPCNT
#endif
#if defined(__GFNI__)
#define HEED_ISA_GFNI _gfni
#else
#define HEED_ISA_GFNI
#endif
#if defined(__AVXIFMA__)
#define HEED_ISA_AVXIFMA _avxifma
#else
#define HEED_ISA_AVXIFMA
#endif
#if defined(__APX_F__)
#define HEED_ISA_APX _apx
#else
#define HEED_ISA_APX
#endif

// AArch64.
#if defined(__ARM_FEATURE_SVE2)
#define HEED_ISA_SVE _sve2
#elif defined(__ARM_FEATURE_SVE)
#define HEED_ISA_SVE _sve
#else
#define HEED_ISA_SVE
#endif
#if defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS
#define HEED_ISA_SVE_BITS HEED_JOIN(_, __ARM_FEATURE_SVE_BITS)
#else
#define HEED_ISA_SVE_BITS
#endif
#if defined(__ARM_FEATURE_ATOMICS)
#define HEED_ISA_LSE _lse
#else
#define HEED_ISA_LSE
#endif
#if defined(__ARM_FEATURE_RCPC)
#define HEED_ISA_RCPC _rcpc
#else
#define HEED_ISA_RCPC
#endif
#if defined(__ARM_FEATURE_SHA3)
#define HEED_ISA_SHA3 _sha3
#else
#define HEED_ISA_SHA3
#endif
#if defined(__ARM_FEATURE_FP16_FML)
#define HEED_ISA_FP16FML _fp16fml
#else
#define HEED_ISA_FP16FML
#endif
#if defined(__ARM_FEATURE_MOPS)
#define HEED_ISA_MOPS _mops
#else
#define HEED_ISA_MOPS
#endif
#if defined(__ARM_FEATURE_CSSC)
#define HEED_ISA_CSSC _cssc
#else
#define HEED_ISA_CSSC
#endif

// RISC-V.
#if defined(__riscv_zba)
#define HEED_ISA_ZBA _zba
#else
#define HEED_ISA_ZBA
#endif
#if defined(__riscv_zbb)
#define HEED_ISA_ZBB _zbb
#else
#define HEED_ISA_ZBB
#endif
#if defined(__riscv_zbs)
#define HEED_ISA_ZBS _zbs
#else
#define HEED_ISA_ZBS
#endif
#if defined(__riscv_zfh)
#define HEED_ISA_ZFH _zfh
#else
#define HEED_ISA_ZFH
#endif
#if defined(__riscv_zicond)
#define HEED_ISA_ZICOND _zicond
#else
#define HEED_ISA_ZICOND
#endif

// Sizes of a user's own, of which a program has one set: engine/simd/select.hpp.
#if defined(HEED_OWN_SIZES)
#define HEED_ISA_SIZES _own_sizes
#else
#define HEED_ISA_SIZES
#endif

// All of it, in one word.
#define HEED_NOTHING
#define HEED_ISA_GROUP_0                                                                                               \
    HEED_JOIN8(HEED_ISA_FMA, HEED_ISA_F16C, HEED_ISA_POPCNT, HEED_ISA_BMI, HEED_ISA_BMI1, HEED_ISA_BMI2,               \
               HEED_ISA_LZCNT, HEED_ISA_MOVBE)
#define HEED_ISA_GROUP_1                                                                                               \
    HEED_JOIN8(HEED_ISA_SSE4A, HEED_ISA_FMA4, HEED_ISA_XOP, HEED_ISA_TBM, HEED_ISA_VL, HEED_ISA_PART_512, HEED_ISA_CD, \
               HEED_ISA_DQ)
#define HEED_ISA_GROUP_2                                                                                               \
    HEED_JOIN8(HEED_ISA_BW, HEED_ISA_BF16, HEED_ISA_FP16, HEED_ISA_VNNI, HEED_ISA_AVXVNNI, HEED_ISA_DOTS,              \
               HEED_ISA_ALL_VBMI2, HEED_ISA_VBMI)
#define HEED_ISA_GROUP_3                                                                                               \
    HEED_JOIN8(HEED_ISA_VBMI2, HEED_ISA_IFMA, HEED_ISA_BITALG, HEED_ISA_VPOPCNT, HEED_ISA_GFNI, HEED_ISA_AVXIFMA,      \
               HEED_ISA_APX, HEED_ISA_SVE)
#define HEED_ISA_GROUP_4                                                                                               \
    HEED_JOIN8(HEED_ISA_SVE_BITS, HEED_ISA_LSE, HEED_ISA_RCPC, HEED_ISA_SHA3, HEED_ISA_FP16FML, HEED_ISA_MOPS,         \
               HEED_ISA_CSSC, HEED_ISA_ZBA)
#define HEED_ISA_GROUP_5                                                                                               \
    HEED_JOIN8(HEED_ISA_ZBB, HEED_ISA_ZBS, HEED_ISA_ZFH, HEED_ISA_ZICOND, HEED_ISA_SIZES, HEED_NOTHING, HEED_NOTHING,  \
               HEED_NOTHING)
#define HEED_ISA                                                                                                       \
    HEED_JOIN8(HEED_ISA_PORTABLE, HEED_ISA_REGISTERS, HEED_ISA_GROUP_0, HEED_ISA_GROUP_1, HEED_ISA_GROUP_2,            \
               HEED_ISA_GROUP_3, HEED_ISA_GROUP_4, HEED_ISA_GROUP_5)
