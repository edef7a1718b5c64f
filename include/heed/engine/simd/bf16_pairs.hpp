// SPDX-License-Identifier: MIT
// Registers of bf16_pair, where the CPU multiplies and adds pairs: what vec.hpp is for elements, for the units of
// compute<bf16>.
#pragma once

#include "vec.hpp"

HEED_BEGIN
namespace simd {
inline constexpr bool has_bf16_dots = arch::has_bf16_dots_of<native_arch>;

/// A register of pairs, and what the kernels do with one.
template <class A>
struct vec<bf16_pair, A> {
    static constexpr int lanes = vec<float, A>::lanes;
    using register_type = typename A::words;

    register_type native;

    vec() = default;
    HEED_INLINE explicit vec(register_type pairs) : native(pairs) {}
    HEED_INLINE explicit vec(bf16_pair pair) : native(arch::broadcast(pair, A{})) {}
};
template <class A = native_arch>
HEED_INLINE vec<bf16_pair, A> load(const bf16_pair* p)
{
    return vec<bf16_pair, A>(arch::load(p, A{}));
}
template <class A>
HEED_INLINE void store(bf16_pair* p, vec<bf16_pair, A> v)
{
    arch::store(p, v.native);
}
template <class A>
HEED_INLINE vec<bf16_pair, A> in_register(vec<bf16_pair, A> v)
{
    return vec<bf16_pair, A>(arch::in_register(v.native));
}
/// acc += a.first * b.first + a.second * b.second in each lane.
template <class A>
HEED_INLINE void accumulate(vec<float, A>& acc, vec<bf16_pair, A> a, vec<bf16_pair, A> b)
{
    auto sum = raw(acc);
    arch::dot(sum, a.native, b.native);
    acc = native_vec<float, A>(sum);
}
/// The same with one pair for all lanes, of a machine that multiplies by one lane.
template <class A>
HEED_INLINE void accumulate(vec<float, A>& acc, bf16_pair a, vec<bf16_pair, A> b)
{
    auto sum = raw(acc);
    arch::dot(sum, a, b.native);
    acc = native_vec<float, A>(sum);
}
/// Pairs of the channels of two rows.
template <class A = native_arch>
HEED_INLINE vec<bf16_pair, A> pair_rows(const bf16* a, const bf16* b)
{
    return vec<bf16_pair, A>(arch::pair_rows(a, b, A{}));
}
template <class A>
HEED_INLINE vec<float, A> rounded_to_bf16(vec<float, A> v)
{
    return native_vec<float, A>(arch::rounded_to_bf16(raw(v)));
}
template <class A>
HEED_INLINE void store_rounded(bf16* p, vec<float, A> v)
{
    arch::store_rounded(p, raw(v));
}

}  // namespace simd
HEED_END
