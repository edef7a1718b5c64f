// SPDX-License-Identifier: MIT
// A machine that xsimd knows and no other file here is about. The list is called with batches: a register of xsimd may
// not say what numbers are in it (WASM). Numbers that it has no batch of are arrays.
#pragma once

#include "portable.hpp"

HEED_BEGIN
namespace simd::machine {
template <class Arch>
struct any_of_xsimd : unmeasured {
    template <class T>
    static constexpr bool has_batch = xsimd::has_simd_register<T, Arch>::value;

    template <class T>
    static constexpr auto batch_or_array()
    {
        if constexpr (has_batch<T>) return xsimd::batch<T, Arch>();
        else return array<T>(0);
    }
    static constexpr int bytes()
    {
        if constexpr (has_batch<float>) return sizeof(xsimd::batch<float, Arch>);
        else return 16;
    }

    template <class T>
    using array = arch::lane_array<T, bytes() / static_cast<int>(sizeof(T))>;
    template <class T>
    using batch = decltype(batch_or_array<T>());
    template <class T>
    using registers = batch<T>;
    using words = array<std::uint32_t>;

#if defined(__FMA__) || defined(__VSX__)
    static constexpr bool rounds_once = true;
#else
    static constexpr bool rounds_once = false;
#endif
};
}  // namespace simd::machine

namespace simd::arch {

/// xsimd's own, which multiplies and adds where the machine has no such instruction: there heed has bits of its own.
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> fma(xsimd::batch<T, A> a, xsimd::batch<T, A> b, xsimd::batch<T, A> c)
{
    return xsimd::fma(a, b, c);
}
template <class T, class A>
HEED_INLINE void accumulate(xsimd::batch<T, A>& acc, xsimd::batch<T, A> a, xsimd::batch<T, A> b)
{
    acc = xsimd::fma(a, b, acc);
}
/// xsimd changed its rule for NaN in 14.0.
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> max(xsimd::batch<T, A> a, xsimd::batch<T, A> b)
{
    return xsimd::select(b > a, b, a);
}
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> min(xsimd::batch<T, A> a, xsimd::batch<T, A> b)
{
    return xsimd::select(b < a, b, a);
}
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> round(xsimd::batch<T, A> a)
{
    return xsimd::nearbyint(a);
}
/// xsimd refines an estimate on ARM; the compiler's own operator is the instruction, rounded once.
template <class R, class T>
using if_lanes_are = std::enable_if_t<std::is_same_v<std::decay_t<decltype(std::declval<R&>()[0])>, T>>;
template <class B, class = if_lanes_are<typename B::register_type, typename B::value_type>>
HEED_INLINE B divide_registers(B a, B b, int)
{
    using native = typename B::register_type;
    return B(static_cast<native>(a) / static_cast<native>(b));
}
template <class B>
HEED_INLINE B divide_registers(B a, B b, long)
{
    return a / b;
}
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> divide(xsimd::batch<T, A> a, xsimd::batch<T, A> b)
{
    return divide_registers(a, b, 0);
}

}  // namespace simd::arch
HEED_END
