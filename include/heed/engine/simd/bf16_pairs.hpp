// SPDX-License-Identifier: MIT
// Registers of bf16_pair, where the CPU multiplies and adds pairs: what simd.hpp is for elements, for the units of
// compute<bf16>.
#pragma once

#include "vec.hpp"

HEED_BEGIN

#if defined(HEED_WITH_AVX512) && defined(__AVX512BF16__)
inline constexpr bool has_bf16_dots = true;

/// A register of pairs, and what the kernels do with one.
template <class A>
struct vec<bf16_pair, A> {
    static constexpr int lanes = vec<float, A>::lanes;
    using register_type = decltype(arch::broadcast(bf16_pair{}));

    register_type native;

    vec() = default;
    HEED_INLINE explicit vec(register_type pairs) : native(pairs) {}
    HEED_INLINE explicit vec(bf16_pair pair) : native(arch::broadcast(pair)) {}
};
HEED_INLINE vec<bf16_pair> load(const bf16_pair* p) { return vec<bf16_pair>(arch::load(p)); }
HEED_INLINE void store(bf16_pair* p, vec<bf16_pair> v) { arch::store(p, v.native); }
HEED_INLINE vec<bf16_pair> in_register(vec<bf16_pair> v) { return vec<bf16_pair>(arch::in_register(v.native)); }
/// acc += a.first * b.first + a.second * b.second in each lane.
HEED_INLINE void accumulate(vec<float>& acc, vec<bf16_pair> a, vec<bf16_pair> b)
{
    auto sum = raw(acc);
    arch::dot(sum, a.native, b.native);
    acc = native_vec<float, native_arch>(sum);
}
/// Pairs of the channels of two rows.
HEED_INLINE vec<bf16_pair> pair_rows(const bf16* a, const bf16* b) { return vec<bf16_pair>(arch::pair_rows(a, b)); }
HEED_INLINE vec<float> rounded_to_bf16(vec<float> v)
{
    return native_vec<float, native_arch>(arch::rounded_to_bf16(raw(v)));
}
HEED_INLINE void store_rounded(bf16* p, vec<float> v) { arch::store_rounded(p, raw(v)); }
#else
inline constexpr bool has_bf16_dots = false;
#endif

HEED_END
