// SPDX-License-Identifier: MIT
// Which machine this is compiled for: the one file that asks, and that knows xsimd. A file in arch/ is an instruction
// set; to add one is to write that file and its lines here. HEED_MULTIPLIES_QUADS is defined where products of integers
// are products of quads (quad_lanes.hpp).
#pragma once

#include "arch/portable.hpp"

// gcc 12 takes the undefined pass-through operand of its own AVX-512 intrinsics for an uninitialised variable
// (PR 105593), and what is inlined from a system header still warns.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if XSIMD_VERSION_MAJOR < 8
#error "heed: xsimd 8.1 or newer is needed (Debian: libxsimd-dev)"
#endif

// clang-format off
#if defined(HEED_PORTABLE) || defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#define HEED_MACHINE portable<16>  // it was asked for, or xsimd does not know this machine
#elif defined(__AVX512F__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
#define HEED_MACHINE avx512
#include "arch/avx512_sizes.hpp"
#if defined(__AVX512FP16__)
#define HEED_SIZES emerald_rapids
#else
#define HEED_SIZES zen5
#endif
#include "arch/avx512.hpp"
#if defined(__AVX512VBMI__)
#include "arch/avx512_vbmi.hpp"
#else
#include "arch/avx512_fp8.hpp"
#endif
#include "arch/avx512_quantised.hpp"
#include "arch/avx512_integers.hpp"
#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__)
#include "arch/avx512_bytes.hpp"
#endif
#if defined(__AVX512BF16__)
#include "arch/avx512_bf16.hpp"
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define HEED_MACHINE avx2
#include "arch/avx2.hpp"
#include "arch/avx2_quantised.hpp"
#include "arch/avx2_integers.hpp"
#elif defined(__SSE2__) && !defined(__AVX__)
#define HEED_MACHINE sse
#include "arch/sse.hpp"
#include "arch/sse_elements.hpp"
#elif defined(__aarch64__)
#define HEED_MACHINE neon
#include "arch/neon.hpp"
#include "arch/neon_integers.hpp"
#if defined(__ARM_FEATURE_DOTPROD)
#include "arch/neon_quads.hpp"
#define HEED_MULTIPLIES_QUADS 1
#endif
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#include "arch/neon_bf16.hpp"
#endif
#else
#define HEED_MACHINE any_of_xsimd<xsimd::default_arch>
#include "arch/any_of_xsimd.hpp"
#endif
// clang-format on
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

// HEED_OWN_SIZES, if defined, names a header of yours with the sizes of a machine that heed has not measured:
//
//     template <class Measured>
//     struct heed_sizes : Measured {
//         static constexpr int query_block = 96, small_query_block = 96;  // an L2 cache of 256 KiB
//         static constexpr bool two_distances = false;
//     };
//
// -DHEED_OWN_SIZES='"sizes.hpp"', for all files of a program. They change speed and not a bit; simd/machine.hpp says
// what each of them is.
#if defined(HEED_OWN_SIZES)
#include HEED_OWN_SIZES
#endif

HEED_BEGIN
namespace simd {
using native_arch = machine::HEED_MACHINE;
static_assert(machine::sound<native_arch>::value);

#if defined(HEED_OWN_SIZES)
using native_sizes = ::heed_sizes<native_arch>;
static_assert(machine::sound_sizes<native_sizes>::value);
#else
using native_sizes = native_arch;
#endif

}  // namespace simd
HEED_END
#undef HEED_MACHINE
#undef HEED_SIZES
