// SPDX-License-Identifier: MIT
// The one file that knows xsimd. vec<T> is a native register of T, lane_mask<T> a comparison of two of them; the
// functions below are all that kernels and policies use.
#pragma once

#include "../../base/config.hpp"
#include "../../base/element/quantised.hpp"
#include "../../base/math.hpp"
#include "../../base/mistakes.hpp"

// gcc 12 takes the undefined pass-through operand of its own AVX-512 intrinsics for an uninitialised variable
// (PR 105593), and what is inlined from a system header still warns.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <xsimd/xsimd.hpp>

#if defined(HEED_WITH_AVX512)
#include "arch/avx512_quantised.hpp"
#elif defined(HEED_WITH_AVX2)
#include "arch/avx2_quantised.hpp"
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

HEED_BEGIN

#if XSIMD_VERSION_MAJOR < 8
#error "heed: xsimd 8.1 or newer is needed (Debian: libxsimd-dev)"
#endif

// The registers that HEED_ISA names. xsimd's default follows more flags: AVX-512F alone, or a width of SVE.
#if defined(HEED_WITH_AVX512)
using native_arch = xsimd::avx512bw;
#elif defined(HEED_WITH_AVX2)
using native_arch = xsimd::fma3<xsimd::avx2>;
#elif defined(__aarch64__)
using native_arch = xsimd::neon64;
#else
using native_arch = xsimd::default_arch;
#endif

/// The outcome of comparing two vec<T>, lane by lane.
template <class T, class Arch = native_arch>
struct lane_mask {
    xsimd::batch_bool<T, Arch> native;

    explicit operator bool() const { return detail::one_truth<lane_mask>(); }
};

/// A register of T.
template <class T, class Arch = native_arch>
struct vec : detail::no_number<vec<T, Arch>, T> {
    using batch = xsimd::batch<T, Arch>;
    static constexpr int lanes = static_cast<int>(batch::size);

    batch native;

    vec() = default;  // any value
    HEED_INLINE vec(T value) : native(value) {}
    HEED_INLINE explicit vec(const batch& b) : native(b) {}

    HEED_INLINE friend vec operator+(vec a, vec b) { return vec(a.native + b.native); }
    HEED_INLINE friend vec operator-(vec a, vec b) { return vec(a.native - b.native); }
    HEED_INLINE friend vec operator*(vec a, vec b) { return vec(a.native * b.native); }
#if defined(__aarch64__)
    // xsimd refines an estimate for float; the compiler's own operator is the instruction, rounded once.
    HEED_INLINE friend vec operator/(vec a, vec b)
    {
        using native_register = typename batch::register_type;
        return vec(batch(static_cast<native_register>(a.native) / static_cast<native_register>(b.native)));
    }
#else
    HEED_INLINE friend vec operator/(vec a, vec b) { return vec(a.native / b.native); }
#endif
    // xsimd subtracts from 0 on AVX-512, and -(+0) would be +0.
    HEED_INLINE friend vec operator-(vec a) { return vec(a.native ^ batch(T(-0.0))); }

    HEED_INLINE friend lane_mask<T, Arch> operator<(vec a, vec b) { return {a.native < b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator>(vec a, vec b) { return {a.native > b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator<=(vec a, vec b) { return {a.native <= b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator>=(vec a, vec b) { return {a.native >= b.native}; }
    HEED_INLINE friend lane_mask<T, Arch> operator==(vec a, vec b) { return {a.native == b.native}; }
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
    return xsimd::all(m.native);
}

/// Registers from and to memory; no alignment but the element's.
template <class T>
HEED_INLINE vec<T> load(const T* p)
{
    return vec<T>(vec<T>::batch::load_unaligned(p));
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
    return vec<T, A>(xsimd::select(m.native, yes.native, no.native));
}

template <class T, class A>
HEED_INLINE vec<T, A> abs(vec<T, A> a)
{
    return vec<T, A>(xsimd::abs(a.native));
}
template <class T, class A>
HEED_INLINE vec<T, A> copysign(vec<T, A> magnitude, identity_t<vec<T, A>> sign)
{
    return vec<T, A>((sign.native & xsimd::batch<T, A>(T(-0.0))) | xsimd::abs(magnitude.native));
}

#if defined(HEED_WITH_AVX512) || defined(HEED_WITH_AVX2)

template <class T, class A>
HEED_INLINE vec<T, A> native_vec(typename vec<T, A>::batch::register_type r)
{
    return vec<T, A>(typename vec<T, A>::batch(r));
}
template <class T, class A>
HEED_INLINE typename vec<T, A>::batch::register_type raw(vec<T, A> v)
{
    return v.native;
}

/// a * b + c, rounded once. xsimd before 11 multiplies and adds on AVX-512.
template <class T, class A>
HEED_INLINE vec<T, A> fma(vec<T, A> a, identity_t<vec<T, A>> b, identity_t<vec<T, A>> c)
{
    return native_vec<T, A>(arch::fma(raw(a), raw(b), raw(c)));
}
/// The larger; a NaN in the first argument is kept. xsimd changed its rule in 14.0.
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
HEED_INLINE vec<T, A> near_power_of_two(vec<T, A> n, vec<T, A> more = vec<T, A>(0))
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
/// acc = a * b + acc, rounded once.
template <class T, class A>
HEED_INLINE void accumulate(vec<T, A>& acc, vec<T, A> a, vec<T, A> b)
{
    auto sum = raw(acc);
    arch::accumulate(sum, raw(a), raw(b));
    acc = native_vec<T, A>(sum);
}
/// Keeps a loaded vector in its register, where the compiler would rather load it again for every use.
template <class T, class A>
HEED_INLINE vec<T, A> in_register(vec<T, A> v)
{
    return native_vec<T, A>(arch::in_register(raw(v)));
}
/// vec<T> from and to elements of a storage type: widened exactly, rounded once.
template <class T, class E>
HEED_INLINE vec<T> load_as(const E* p)
{
    if constexpr (std::is_same_v<T, E>) return load(p);
    else return native_vec<T, native_arch>(arch::load(p));
}
template <class T, class E>
HEED_INLINE vec<T> load_as_n(const E* p, int n)
{
    return native_vec<T, native_arch>(arch::load_n(p, n));
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

#else  // any other machine: xsimd, and plain loops over lanes where it has no operation

template <class T, class A, class F>
HEED_INLINE vec<T, A> lane_by_lane(vec<T, A> a, F f)
{
    T buffer[vec<T, A>::lanes];
    store(buffer, a);
    for (int i = 0; i < vec<T, A>::lanes; ++i) buffer[i] = f(buffer[i], i);
    return load(buffer);
}

template <class T, class A>
HEED_INLINE vec<T, A> fma(vec<T, A> a, identity_t<vec<T, A>> b, identity_t<vec<T, A>> c)
{
    return vec<T, A>(xsimd::fma(a.native, b.native, c.native));
}
template <class T, class A>
HEED_INLINE vec<T, A> max(vec<T, A> a, identity_t<vec<T, A>> b)
{
    return select(b > a, b, a);
}
template <class T, class A>
HEED_INLINE vec<T, A> min(vec<T, A> a, identity_t<vec<T, A>> b)
{
    return select(b < a, b, a);
}
template <class T, class A>
HEED_INLINE vec<T, A> round(vec<T, A> a)
{
    return vec<T, A>(xsimd::nearbyint(a.native));
}
template <class T, class A>
HEED_INLINE vec<T, A> power_of_two(vec<T, A> n)
{
    constexpr T low = 2 * (std::numeric_limits<T>::min_exponent - 1),
                high = 2 * (std::numeric_limits<T>::max_exponent - 1);
    return lane_by_lane(n, [](T x, int) {
        return x != x ? x : std::ldexp(T(1), static_cast<int>(x < low ? low : x > high ? high : x));
    });
}
template <class T, class A>
HEED_INLINE vec<T, A> near_power_of_two(vec<T, A> n, vec<T, A> more = vec<T, A>(0))
{
    return power_of_two(n + more);
}
template <class T, class A>
HEED_INLINE vec<T, A> select_bits(std::uint32_t bits, vec<T, A> yes, vec<T, A> no)
{
    T other[vec<T, A>::lanes];
    store(other, no);
    return lane_by_lane(yes, [&](T x, int i) { return (bits >> i) & 1 ? x : other[i]; });
}
template <class T, class A, class F>
HEED_INLINE T by_halves(vec<T, A> v, F f)
{
    T lane[vec<T, A>::lanes];
    store(lane, v);
    for (int half = vec<T, A>::lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] = f(lane[i], lane[i + half]);
    return lane[0];
}
template <class T, class A>
HEED_INLINE T largest(vec<T, A> v)
{
    return by_halves(v, [](T a, T b) { return b > a ? b : a; });
}
template <class T, class A>
HEED_INLINE T sum_by_halves(vec<T, A> v)
{
    return by_halves(v, [](T a, T b) { return a + b; });
}
template <class T, class A>
HEED_INLINE std::uint32_t nonzero_bits(vec<T, A> v)
{
    T lane[vec<T, A>::lanes];
    store(lane, v);
    std::uint32_t bits = 0;
    for (int i = 0; i < vec<T, A>::lanes; ++i) bits |= std::uint32_t{lane[i] != T(0)} << i;
    return bits;
}
template <class T, class A>
HEED_INLINE void accumulate(vec<T, A>& acc, vec<T, A> a, vec<T, A> b)
{
    acc = fma(a, b, acc);
}
template <class T, class A>
HEED_INLINE vec<T, A> in_register(vec<T, A> v)
{
    return v;
}
template <class T, class E>
HEED_INLINE vec<T> load_as_n(const E* p, int n)
{
    T buffer[vec<T>::lanes] = {};
    for (int i = 0; i < n; ++i) buffer[i] = static_cast<T>(p[i]);
    return load(buffer);
}
template <class T, class E>
HEED_INLINE vec<T> load_as(const E* p)
{
    if constexpr (std::is_same_v<T, E>) return load(p);
    else return load_as_n<T>(p, vec<T>::lanes);
}
template <class E, class T, class A>
HEED_INLINE void store_as_n(E* p, vec<T, A> v, int n)
{
    T buffer[vec<T, A>::lanes];
    store(buffer, v);
    for (int i = 0; i < n; ++i) p[i] = E(buffer[i]);
}
template <class E, class T, class A>
HEED_INLINE void store_as(E* p, vec<T, A> v)
{
    if constexpr (std::is_same_v<T, E>) store(p, v);
    else store_as_n(p, v, vec<T, A>::lanes);
}
#endif

/// The first n elements, 0 behind them; nothing behind them is read or written.
template <class T>
HEED_INLINE vec<T> load_n(const T* p, int n)
{
    return load_as_n<T>(p, n);
}
template <class T, class A>
HEED_INLINE void store_n(T* p, vec<T, A> v, int n)
{
    store_as_n(p, v, n);
}

HEED_END
