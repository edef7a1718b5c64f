// SPDX-License-Identifier: MIT
// From scores to weights and their slopes, given a row's {M, l}: where policies meet the vectors of the backward pass.
//
//     p = w(s) / den        ds = (w'(s) (dO . v) - u'(s) D) / den        D = dO . O - dlse
//
// (Where a threshold moves with the scores, D = dO . O', and w' and u' are what row_normalizer.hpp says.)
//
// Before dO . v is known, a = w' / den and b = u' D / den are; ds = a (dO . v) - b. Where a is 0 throughout, as in
// softpick's tiles without a positive score, nobody needs dO . v.
#pragma once

#include "../kernel/fold.hpp"
#include "../kernel/row_normalizer.hpp"

HEED_BEGIN
namespace kernel {

/// sum_c a[c] b[c] by 16 virtual lanes, channel c to lane c mod 16, then the fixed tree. An a[c] of 0 takes nothing
/// from b[c]: a row without a weight, whose output is 0, has D = 0 whatever dO holds.
template <class T, class A, class B>
HEED_NOINLINE inline T dot(const A* a, const B* b, std::int64_t dim)
{
    constexpr int lanes = vec<T>::lanes, some = micro::mass_lanes / lanes;
    vec<T> sums[some];
    for (vec<T>& sum : sums) sum = vec<T>(0);
    for (std::int64_t c = 0; c < dim; c += micro::mass_lanes) {
        HEED_UNROLL
        for (int i = 0; i < some; ++i) {
            const int n = static_cast<int>(max_of(min_of(dim - c - i * lanes, lanes), 0));
            const std::int64_t at = n == 0 ? 0 : c + i * lanes;
            const vec<T> x = n == lanes ? load_as<T>(a + at) : load_as_n<T>(a + at, n);
            const vec<T> y = n == lanes ? load_as<T>(b + at) : load_as_n<T>(b + at, n);
            sums[i] = fma(x, select(x == vec<T>(0), vec<T>(0), y), sums[i]);
        }
    }
    return sum_of_lanes(sums);
}

/// What the backward pass knows of a row before it sees a key.
template <class T>
struct row_slopes {
    T shift;    // M, raised where the extra mass needs it
    T inverse;  // 1 / den in units of 2^-M; 0 for an empty row
    T d;        // D / den
    T extra;    // -D c / den: the gradient of log c
    T unit;     // of 1 / den and D / den: 1, or a power of two where 1 / den may overflow
};

/// Whether a denominator moves with the scores of its row, so that D is needed.
template <class Normalizer>
inline constexpr bool has_moving_mass_v = has_mass_v<Normalizer>;
template <class N, class T>
inline constexpr bool has_moving_mass_v<row_normalizer<N, T, threshold_kind::share>> = true;

/// A denominator whose reciprocal is near the largest number, or beyond: a row of softpick whose scores are all near 0.
/// Its weights are still of the order of 1, and so are products of its slopes with what is small.
template <class T>
inline constexpr T tiny_denominator = 64 * std::numeric_limits<T>::min();
template <class T>
inline constexpr T tiny_unit = static_cast<T>(sizeof(T) == 4 ? 0x1p64 : 0x1p512);

/// `dlse`: the gradient in the log of the denominator, which enters as D does.
template <class Normalizer, class T, class O, class DO>
row_slopes<T> slopes_of_row(const row_denominator<T>& den, const O* out, const DO* dout, std::int64_t dim, T dlse)
{
    if (den.value == T(0)) return {den.shift, 0, 0, 0, 1};
    const T unit = den.value < tiny_denominator<T> ? tiny_unit<T> : T(1), value = den.value * unit;
    const T d = has_moving_mass_v<Normalizer> ? (dot<T>(out, dout, dim) - dlse) / value : T(0);
    return {den.shift, T(1) / value, d, den.extra == T(0) ? T(0) : -d * den.extra * unit, unit};
}

/// What a strip of keys has of a row, or of a register block of rows: flags.
enum strip_flag : unsigned { no_flag = 0, has_weights = 1, has_slopes = 2, needs_values = 4 };

/// Of one row and a strip of keys: weights, and the two parts of their gradient.
template <class T>
struct slope_row {
    T *p, *a, *b;  // p holds scores before
};

/// The normalizer of a row: one that is found once for all of a strip's keys, where a definition is asked for it.
template <class Def, bool = is_thresholded_v<Def>>
struct normalizer_at {
    const Def& def;

    HEED_INLINE normalizer_at(const Def& of, const query_place&) : def(of) {}
    HEED_INLINE auto operator()() const { return def.normalizer(); }
};
template <class Def>
struct normalizer_at<Def, true> {
    typename Def::normalizer_type normalizer;

    HEED_INLINE normalizer_at(const Def& of, const query_place& row) : normalizer(of.normalizer_of(row)) {}
    HEED_INLINE const auto& operator()() const { return normalizer; }
};

/// Fills a slope_row for a strip and says what is in it; with Masked, keys without a bit have p = a = b = 0.
template <bool Masked, class Def, class T>
HEED_INLINE unsigned slope_keys(const Def& def, score_place<vec<T>> place, const row_slopes<T>& row, std::uint64_t bits,
                                const slope_row<T>& to)
{
    using V = vec<T>;
    using normalizer = typename Def::normalizer_type;
    constexpr int lanes = V::lanes, vecs = micro::register_vecs;
    constexpr bool may_drop = Masked || Def::has_score_maps;
    const normalizer_at<Def> normalizer_of_row(def, place);
    const V minus_infinity(-libm::infinity<T>);
    const V shift(row.shift), one = power_of_two(V(0) - shift), inverse(row.inverse), d(row.d), zero(0);
    V s[vecs], farthest(0);
    HEED_UNROLL
    for (int i = 0; i < vecs; ++i) {
        s[i] = load(to.p + i * lanes);
        if constexpr (Def::has_score_maps) s[i] = def.map_score(s[i], place);
        if constexpr (Masked)
            s[i] = select_bits(static_cast<std::uint32_t>(bits >> (i * lanes)) & ((2u << (lanes - 1)) - 1), s[i],
                               minus_infinity);
        const V far = distance(s[i], shift);
        farthest = max(may_drop ? select(s[i] == minus_infinity, zero, far) : far, farthest);
        place.advance(lanes);
    }
    auto no_weight = zero == zero, no_slope = no_weight, no_mass = no_weight;
    const auto slope = [&](int i, auto score) HEED_INLINE_LAMBDA {
        const auto dropped = [&](V x) HEED_INLINE_LAMBDA {
            if constexpr (may_drop) return select(s[i] == minus_infinity, zero, x);
            else return x;
        };
        const auto t = normalizer_of_row().terms(score);
        const auto u = normalizer_of_row().slopes(score);
        V p, a, b = zero;
        if constexpr (has_mass_v<normalizer>) {
            const V mass(u.mass);
            p = dropped(t.weight * inverse);
            a = dropped(V(u.weight) * inverse);
            b = dropped(select(mass == zero, zero, mass * d));
        } else if constexpr (has_moving_mass_v<normalizer>) {
            p = dropped(t.value * inverse);
            a = dropped(u.weight * inverse);
            b = dropped(select(u.mass == zero, zero, u.mass * d));
        } else {
            p = dropped(t.value * inverse);
            a = dropped(V(u.value) * inverse);
        }
        store(to.p + i * lanes, p);
        store(to.a + i * lanes, a);
        store(to.b + i * lanes, b);
        no_weight = no_weight & (p == zero);
        no_slope = no_slope & (a == zero);
        no_mass = no_mass & (b == zero);
    };
    if (all_near(farthest)) {
        HEED_UNROLL
        for (int i = 0; i < vecs; ++i) slope(i, shifted_score<T, native_arch, range::near>(s[i], shift, one));
    } else {
        for (int i = 0; i < vecs; ++i) slope(i, shifted_score<T, native_arch, range::any>(s[i], shift, one));
    }
    return (all(no_weight) ? no_flag : has_weights) | (all(no_slope) ? no_flag : has_slopes | needs_values) |
           (all(no_mass) ? no_flag : has_slopes);
}

/// Multiplies a strip by a row's unit.
template <class T>
HEED_NOINLINE inline void scale_strip(T unit, T* x)
{
    using V = vec<T>;
    for (int j = 0; j < micro::key_strip<T>; j += V::lanes) store(x + j, load(x + j) * V(unit));
}

/// ds[j] = a[j] dp[j] - b[j] for a strip, in place of dp[j]; dp is not read where `sloped` is false.
template <class T>
HEED_INLINE void combine_slopes(const T* a, const T* b, T* dp, bool sloped)
{
    using V = vec<T>;
    HEED_UNROLL
    for (int j = 0; j < micro::key_strip<T>; j += V::lanes) {
        V ds = V(0) - load(b + j);
        if (sloped) {
            const V x = load(a + j);
            ds = fma(x, select(x == V(0), V(0), load(dp + j)), ds);  // a slope of 0 takes nothing from V
        }
        store(dp + j, ds);
    }
}

}  // namespace kernel
HEED_END
