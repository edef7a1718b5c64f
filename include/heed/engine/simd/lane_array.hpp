// SPDX-License-Identifier: MIT
// Registers lane by lane: an array of numbers, which every machine has, and any other register seen as one.
#pragma once

#include "../../base/config.hpp"
#include "../../base/libm.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

HEED_BEGIN
namespace simd::arch {

/// N numbers, with what vec asks of a batch of xsimd. Compilers know such vectors on every machine, and split them
/// where it has no register of that width.
template <class T, int N>
struct lane_array {
    using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    typedef T vector __attribute__((vector_size(N * sizeof(T))));
    typedef integer integers __attribute__((vector_size(N * sizeof(T))));

    /// The outcome of a comparison: all bits of a lane, or none.
    struct batch_bool_type {
        integers bits;

        HEED_INLINE friend batch_bool_type operator&&(batch_bool_type a, batch_bool_type b)
        {
            return {a.bits & b.bits};
        }
        HEED_INLINE friend batch_bool_type operator||(batch_bool_type a, batch_bool_type b)
        {
            return {a.bits | b.bits};
        }
        HEED_INLINE friend batch_bool_type operator!(batch_bool_type a) { return {~a.bits}; }
        HEED_INLINE friend bool all(batch_bool_type m)
        {
            integer common = -1;
            for (int i = 0; i < N; ++i) common &= m.bits[i];
            return common != 0;
        }
    };
    using value_type = T;
    using register_type = lane_array;
    static constexpr int size = N;

    vector lanes;

    lane_array() = default;
    HEED_INLINE explicit lane_array(T number)
    {
        HEED_UNROLL
        for (int i = 0; i < N; ++i) lanes[i] = number;
    }
    HEED_INLINE static lane_array load_unaligned(const T* p)
    {
        lane_array a;
        std::memcpy(&a.lanes, p, sizeof(a.lanes));
        return a;
    }
    HEED_INLINE void store_unaligned(T* p) const { std::memcpy(p, &lanes, sizeof(lanes)); }
    HEED_INLINE T operator[](int i) const { return lanes[i]; }
    HEED_INLINE void set(int i, T x) { lanes[i] = x; }

    HEED_INLINE friend lane_array operator+(lane_array a, lane_array b) { return of(a.lanes + b.lanes); }
    HEED_INLINE friend lane_array operator-(lane_array a, lane_array b) { return of(a.lanes - b.lanes); }
    HEED_INLINE friend lane_array operator*(lane_array a, lane_array b) { return of(a.lanes * b.lanes); }
    HEED_INLINE friend lane_array operator/(lane_array a, lane_array b) { return of(a.lanes / b.lanes); }
    HEED_INLINE friend lane_array operator&(lane_array a, lane_array b) { return of(as_integers(a) & as_integers(b)); }
    HEED_INLINE friend lane_array operator|(lane_array a, lane_array b) { return of(as_integers(a) | as_integers(b)); }
    HEED_INLINE friend lane_array operator^(lane_array a, lane_array b) { return of(as_integers(a) ^ as_integers(b)); }
    HEED_INLINE friend batch_bool_type operator<(lane_array a, lane_array b) { return {(integers)(a.lanes < b.lanes)}; }
    HEED_INLINE friend batch_bool_type operator>(lane_array a, lane_array b) { return {(integers)(a.lanes > b.lanes)}; }
    HEED_INLINE friend batch_bool_type operator<=(lane_array a, lane_array b)
    {
        return {(integers)(a.lanes <= b.lanes)};
    }
    HEED_INLINE friend batch_bool_type operator>=(lane_array a, lane_array b)
    {
        return {(integers)(a.lanes >= b.lanes)};
    }
    HEED_INLINE friend batch_bool_type operator==(lane_array a, lane_array b)
    {
        return {(integers)(a.lanes == b.lanes)};
    }
    HEED_INLINE friend lane_array select(batch_bool_type m, lane_array yes, lane_array no)
    {
        return of((as_integers(yes) & m.bits) | (as_integers(no) & ~m.bits));
    }
    HEED_INLINE friend lane_array sqrt(lane_array a)
    {
        for (int i = 0; i < N; ++i) a.lanes[i] = libm::sqrt(a.lanes[i]);
        return a;
    }
    HEED_INLINE friend lane_array abs(lane_array a) { return of(as_integers(a) & ~as_integers(lane_array(T(-0.0)))); }

private:
    HEED_INLINE static lane_array of(vector v)
    {
        lane_array a;
        a.lanes = v;
        return a;
    }
    template <class V = integers, class = std::enable_if_t<!std::is_same_v<V, vector>>>
    HEED_INLINE static lane_array of(V bits)
    {
        return of((vector)bits);
    }
    HEED_INLINE static integers as_integers(lane_array a) { return (integers)a.lanes; }
};

/// The numbers in a register R.
template <class R, class = void>
struct lane_of {
    using type = std::decay_t<decltype(std::declval<const R&>()[0])>;
};
template <class R>
struct lane_of<R, std::void_t<typename R::value_type>> {
    using type = typename R::value_type;
};
template <class R>
using lane_t = typename lane_of<R>::type;

template <class R>
HEED_INLINE auto as_lanes(const R& r)
{
    using T = lane_t<R>;
    if constexpr (std::is_class_v<R>) {
        T x[sizeof(R) / sizeof(T)];
        r.store_unaligned(x);
        return lane_array<T, sizeof(R) / sizeof(T)>::load_unaligned(x);
    } else {
        lane_array<T, sizeof(R) / sizeof(T)> a;
        std::memcpy(&a, &r, sizeof(a));
        return a;
    }
}
/// A register of lanes; one that is a register already stays what it is.
template <class R, class Lanes>
HEED_INLINE R as_register(const Lanes& a)
{
    if constexpr (std::is_same_v<R, Lanes>) {
        return a;
    } else if constexpr (std::is_class_v<R>) {
        typename Lanes::value_type x[Lanes::size];
        a.store_unaligned(x);
        return R::load_unaligned(x);
    } else {
        R r;
        std::memcpy(&r, &a, sizeof(r));
        return r;
    }
}

/// f(i) in each lane i of a register, and f of each lane of some registers.
template <class R, class F>
HEED_INLINE R make_lanes(F f)
{
    lane_array<lane_t<R>, sizeof(R) / sizeof(lane_t<R>)> to;
    HEED_UNROLL
    for (int i = 0; i < to.size; ++i) to.set(i, f(i));
    return as_register<R>(to);
}
template <class F, class R, class... More>
HEED_INLINE R each_lane(F f, const R& a, const More&... more)
{
    return make_lanes<R>([&](int lane) HEED_INLINE_LAMBDA { return f(as_lanes(a)[lane], as_lanes(more)[lane]...); });
}

}  // namespace simd::arch
HEED_END
