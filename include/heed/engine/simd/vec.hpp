// SPDX-License-Identifier: MIT
// vec<T> is a register of T: a batch of xsimd, or an array of lanes on a machine of which xsimd has none. lane_mask<T>
// is a comparison of two of them. The functions below are all that kernels and policies use; what xsimd lacks, or does
// in another way from version to version, comes from the list of functions in arch/.
#pragma once

#include "../../base/config.hpp"
#include "../../base/math.hpp"
#include "../../base/mistakes.hpp"
#include "select.hpp"

HEED_BEGIN
namespace simd {
/// The outcome of comparing two vec<T>, lane by lane.
template <class T, class Arch = native_arch>
struct lane_mask {
    typename Arch::template batch<T>::batch_bool_type native;

    explicit operator bool() const { return detail::one_truth<lane_mask>(); }
};

template <class T, class Arch = native_arch>
struct vec;

/// What arch/ is called with for a vec, and a vec of what it returns.
template <class T, class A>
HEED_INLINE typename A::template registers<T> raw(vec<T, A> v)
{
    return v.native;
}
template <class T, class A, class R>
HEED_INLINE vec<T, A> native_vec(R r)
{
    using batch = typename vec<T, A>::batch;
    if constexpr (std::is_same_v<R, typename A::template array<T>> && !std::is_same_v<R, batch>)
        return vec<T, A>(arch::as_register<batch>(r));
    else return vec<T, A>(batch(r));
}

/// A register of T.
template <class T, class Arch>
struct vec : detail::no_number<vec<T, Arch>, T> {
    using batch = typename Arch::template batch<T>;
    static constexpr int lanes = static_cast<int>(batch::size);

    batch native;

    vec() = default;  // any value
    /// Any number in all lanes, as a functor may write it: 1, 0.5 or a float.
    template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
    HEED_INLINE vec(Number number) : native(static_cast<T>(number))
    {}
    HEED_INLINE explicit vec(const batch& lanes_of_it) : native(lanes_of_it) {}

    HEED_INLINE friend vec operator+(vec a, vec b) { return vec(a.native + b.native); }
    HEED_INLINE friend vec operator-(vec a, vec b) { return vec(a.native - b.native); }
    HEED_INLINE friend vec operator*(vec a, vec b) { return vec(a.native * b.native); }
    HEED_INLINE friend vec operator/(vec a, vec b) { return native_vec<T, Arch>(arch::divide(raw(a), raw(b))); }
    // xsimd subtracts from 0 on AVX-512, and -(+0) would be +0.
    HEED_INLINE friend vec operator-(vec a) { return vec(a.native ^ batch(T(-0.0))); }

    HEED_INLINE vec& operator+=(vec b) { return *this = *this + b; }
    HEED_INLINE vec& operator-=(vec b) { return *this = *this - b; }
    HEED_INLINE vec& operator*=(vec b) { return *this = *this * b; }
    HEED_INLINE vec& operator/=(vec b) { return *this = *this / b; }

    HEED_INLINE friend lane_mask<T, Arch> operator<(vec a, vec b) { return {a.native < b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator>(vec a, vec b) { return {a.native > b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator<=(vec a, vec b) { return {a.native <= b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator>=(vec a, vec b) { return {a.native >= b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator==(vec a, vec b) { return {a.native == b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator!=(vec a, vec b) { return {!(a.native == b.native)}; }
};

template <class T, class A>
HEED_INLINE lane_mask<T, A> operator&(lane_mask<T, A> a, lane_mask<T, A> b)
{
    return {a.native && b.native};
}
template <class T, class A>
HEED_INLINE lane_mask<T, A> operator|(lane_mask<T, A> a, lane_mask<T, A> b)
{
    return {a.native || b.native};
}
template <class T, class A>
HEED_INLINE bool all(lane_mask<T, A> m)
{
    return all(m.native);
}

/// Registers from and to memory; no alignment but the element's.
template <class A = native_arch, class T>
HEED_INLINE vec<T, A> load(const T* p)
{
    return vec<T, A>(vec<T, A>::batch::load_unaligned(p));
}
template <class T, class A>
HEED_INLINE void store(T* p, vec<T, A> v)
{
    v.native.store_unaligned(p);
}

/// yes where the mask is set, no elsewhere.
template <class T, class A>
HEED_INLINE vec<T, A> select(lane_mask<T, A> m, vec<T, A> yes, identity_t<vec<T, A>> no)
{
    return vec<T, A>(select(m.native, yes.native, no.native));
}

/// The square root, rounded once.
template <class T, class A>
HEED_INLINE vec<T, A> sqrt(vec<T, A> a)
{
    return vec<T, A>(sqrt(a.native));
}
template <class T, class A>
HEED_INLINE vec<T, A> abs(vec<T, A> a)
{
    return vec<T, A>(abs(a.native));
}
template <class T, class A>
HEED_INLINE vec<T, A> copysign(vec<T, A> magnitude, identity_t<vec<T, A>> sign)
{
    return vec<T, A>((sign.native & typename vec<T, A>::batch(T(-0.0))) | abs(magnitude.native));
}

/// a * b + c, rounded once.
template <class T, class A>
HEED_INLINE vec<T, A> fma(vec<T, A> a, identity_t<vec<T, A>> b, identity_t<vec<T, A>> c)
{
    return native_vec<T, A>(arch::fma(raw(a), raw(b), raw(c)));
}
/// The larger; a NaN in the first argument is kept.
template <class T, class A>
HEED_INLINE vec<T, A> max(vec<T, A> a, identity_t<vec<T, A>> b)
{
    return native_vec<T, A>(arch::max(raw(a), raw(b)));
}
template <class T, class A>
HEED_INLINE vec<T, A> min(vec<T, A> a, identity_t<vec<T, A>> b)
{
    return native_vec<T, A>(arch::min(raw(a), raw(b)));
}
/// The nearest whole number, ties to even.
template <class T, class A>
HEED_INLINE vec<T, A> round(vec<T, A> a)
{
    return native_vec<T, A>(arch::round(raw(a)));
}
/// 2^n for a whole n <= the largest exponent; exact down to the smallest subnormal, 0 below, NaN for NaN.
template <class T, class A>
HEED_INLINE vec<T, A> power_of_two(vec<T, A> n)
{
    return native_vec<T, A>(arch::power_of_two(raw(n)));
}
/// 2^(n + more) for whole n and |more| < 2^21, where that is a normal number, unchecked; any number for NaN. A constant
/// puts the exponent into the sum's low bits.
template <class T, class A>
HEED_INLINE vec<T, A> power_of_two_unclamped(vec<T, A> n, vec<T, A> more = vec<T, A>(0))
{
    constexpr T biased = sizeof(T) == 4 ? T(0x1.8p23 + 127) : T(0x1.8p52 + 1023);
    return native_vec<T, A>(arch::exponent_from_low_bits(raw(n + (more + vec<T, A>(biased)))));
}
/// Lane i of yes where bit i is set, else of no.
template <class T, class A>
HEED_INLINE vec<T, A> select_bits(std::uint32_t bits, vec<T, A> yes, vec<T, A> no)
{
    return native_vec<T, A>(arch::select_bits(bits, raw(yes), raw(no)));
}
/// Bit i is set where lane i is not 0.
template <class T, class A>
HEED_INLINE std::uint32_t nonzero_bits(vec<T, A> v)
{
    return arch::nonzero_bits(raw(v));
}
/// Bit i is set where lane i is not at most that of b, NaN included.
template <class T, class A>
HEED_INLINE std::uint32_t above_bits(vec<T, A> a, vec<T, A> b)
{
    return arch::above_bits(raw(a), raw(b));
}
/// Stores the lanes whose bit is set, side by side. A whole register may be written.
template <class T, class A>
HEED_INLINE void store_chosen(T* p, vec<T, A> v, std::uint32_t bits)
{
    arch::store_chosen(p, raw(v), bits);
}
/// The lower (0) or upper (1) half of the lanes in double.
template <class A>
HEED_INLINE vec<double, A> widened_half(vec<float, A> v, int half)
{
    return native_vec<double, A>(arch::widened_half<typename A::template registers<double>>(raw(v), half));
}

/// Lane i ^ By in lane i, for a power of two By below the number of lanes.
template <int By, class T, class A>
HEED_INLINE vec<T, A> exchange(vec<T, A> v)
{
    return native_vec<T, A>(arch::exchange<By>(raw(v)));
}
/// p[i] in all lanes, of p at a multiple of 16 bytes; i is a constant once loops are unrolled.
template <class A = native_arch>
HEED_INLINE vec<float, A> repeat(const float* p, int i)
{
    return native_vec<float, A>(arch::repeat(p, i, A{}));
}
/// acc = a * b + acc, rounded once.
template <class T, class A>
HEED_INLINE void accumulate(vec<T, A>& acc, vec<T, A> a, vec<T, A> b)
{
    auto sum = raw(acc);
    arch::accumulate(sum, raw(a), raw(b));
    acc = native_vec<T, A>(sum);
}
/// A number that multiplies all lanes: repeated in a register, or as it is where the machine multiplies by one lane.
template <class U, class A = native_arch>
using lane_factor = std::conditional_t<A::multiplies_by_element, U, vec<U, A>>;
template <class T, class A>
HEED_INLINE void accumulate(vec<T, A>& acc, T a, vec<T, A> b)
{
    auto sum = raw(acc);
    arch::accumulate(sum, a, raw(b));
    acc = native_vec<T, A>(sum);
}
/// Keeps a loaded vector in its register, where the compiler would rather load it again for every use.
template <class T, class A>
HEED_INLINE vec<T, A> in_register(vec<T, A> v)
{
    return native_vec<T, A>(arch::in_register(raw(v)));
}
/// vec<T> from and to elements of a storage type: widened exactly, rounded once.
template <class T, class A = native_arch, class E>
HEED_INLINE vec<T, A> load_as(const E* p)
{
    if constexpr (std::is_same_v<T, E>) return load<A>(p);
    else return native_vec<T, A>(arch::load(p, A{}));
}
template <class T, class A = native_arch, class E>
HEED_INLINE vec<T, A> load_as_n(const E* p, int n)
{
    return native_vec<T, A>(arch::load_n(p, n, A{}));
}
template <class E, class T, class A>
HEED_INLINE void store_as(E* p, vec<T, A> v)
{
    if constexpr (std::is_same_v<T, E>) store(p, v);
    else arch::store(p, raw(v));
}
template <class E, class T, class A>
HEED_INLINE void store_as_n(E* p, vec<T, A> v, int n)
{
    arch::store_n(p, raw(v), n);
}

/// The largest lane, of a vector without NaN.
template <class T, class A>
HEED_INLINE T largest(vec<T, A> v)
{
    return arch::largest(raw(v));
}
/// The sum of all lanes: the upper half is added to the lower until one is left.
template <class T, class A>
HEED_INLINE T sum_by_halves(vec<T, A> v)
{
    return arch::sum_by_halves(raw(v));
}

/// The first n elements, 0 behind them; nothing behind them is read or written.
template <class A = native_arch, class T>
HEED_INLINE vec<T, A> load_n(const T* p, int n)
{
    return load_as_n<T, A>(p, n);
}
template <class T, class A>
HEED_INLINE void store_n(T* p, vec<T, A> v, int n)
{
    store_as_n(p, v, n);
}

}  // namespace simd

// What functors call, beside the functions for scalars of base/math.hpp.
using simd::abs;
using simd::copysign;
using simd::fma;
using simd::max;
using simd::min;
using simd::select;
using simd::sqrt;

// Kernels are written in terms of registers.
namespace micro {
using namespace simd;
}
namespace kernel {
using namespace simd;
}

HEED_END
