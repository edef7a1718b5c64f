// SPDX-License-Identifier: MIT
// From scores to weights, one row of a key tile: score maps, mask, shift, terms. Here policies meet vectors.
#pragma once

#include "../attention.hpp"
#include "../micro/exp.hpp"
#include "../micro/lanes.hpp"
#include "../micro/units.hpp"

HEED_BEGIN
namespace kernel {

/// The shift of a row that attended nothing yet; far below that of any score.
template <class T>
inline constexpr T no_shift = -detail::exp_constants<T>::largest;

/// M for the largest score of a row: a whole number; NaN, which poisons the row, for +inf.
template <heed::shift Rule, class T>
HEED_INLINE T shift_for(T largest_score)
{
    using C = detail::exp_constants<T>;
    if constexpr (Rule == heed::shift::none) return T(0);
    if (largest_score == std::numeric_limits<T>::infinity()) return std::numeric_limits<T>::quiet_NaN();
    if (Rule == heed::shift::at_least_zero && !(largest_score > 0)) return T(0);
    const T t = std::ceil(largest_score * C::log2_e);
    return t > C::largest ? C::largest : t < -C::largest ? -C::largest : t;
}

/// The shift of a row before its first score.
template <heed::shift Rule, class T>
inline constexpr T initial_shift = Rule == heed::shift::by_max ? no_shift<T> : T(0);

/// The fixed tree over the 16 lanes of a mass: lane i + lane i + 8, then 4, 2 and 1 apart.
template <class T>
HEED_INLINE T sum_of_lanes(vec<T> (&acc)[micro::mass_lanes / vec<T>::lanes])
{
    HEED_UNROLL
    for (int half = micro::mass_lanes / vec<T>::lanes / 2; half > 0; half /= 2) {
        HEED_UNROLL
        for (int i = 0; i < half; ++i) acc[i] = acc[i] + acc[i + half];
    }
    return sum_by_halves(acc[0]);
}

/// Sixteen keys that a row attends all, as most are even where a mask's edge runs through a tile.
inline constexpr std::uint32_t all_sixteen = 0xffff;

/// Where scores of -inf may be, which are not attended: nowhere, among sixteen keys of which a mask leaves some out,
/// anywhere. (A dot product of -inf is none of the first two: map_row() counts it as the lowest score, and the row is
/// not near its shift.)
enum class dropped { none, masked, any };

/// Turns scores s[begin, end) into weights and returns l. With Pairs both terms are rounded to bf16: what the weights
/// lose is missing in the mass as well, so that errors of one sign cancel. Such weights lie side by side: that of key j
/// is the j-th bf16 of the row, which lies before all scores that are still to be read.
template <range Range, dropped Dropped, bool Pairs, class Normalizer, class T>
HEED_INLINE T weigh(const Normalizer& normalizer, T* s, int begin, int end, const key_bits& bits, vec<T> shift)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes, lane_vecs = micro::mass_lanes / lanes;
    const V one = power_of_two(V(0) - shift);
    V sums[lane_vecs];
    for (V& sum : sums) sum = V(0);
    const auto put = [&](int j, V weight) HEED_INLINE_LAMBDA {
        if constexpr (Pairs) store_rounded(reinterpret_cast<bf16*>(s) + j, weight);
        else store(s + j, weight);
    };
    const auto sixteen = [&](int from, auto may_drop) HEED_INLINE_LAMBDA {
        HEED_UNROLL
        for (int i = 0; i < lane_vecs; ++i) {
            const int j = from + i * lanes;
            const V v = load(s + j);
            const auto attended = [&](V x) HEED_INLINE_LAMBDA {  // a NaN stays
                return may_drop.value ? select(v == V(-std::numeric_limits<T>::infinity()), V(0), x) : x;
            };
            const auto t = normalizer.terms(shifted_score<T, native_arch, Range>(v, shift, one));
            if constexpr (has_mass_v<Normalizer>) {
                const V mass = attended(t.mass);
                put(j, attended(t.weight));
                if constexpr (Pairs) sums[i] = sums[i] + rounded_to_bf16(mass);
                else sums[i] = sums[i] + mass;
            } else {
                put(j, attended(t.value));
            }
        }
    };
    for (int j = begin; j < end; j += micro::mass_lanes) {
        if constexpr (Dropped == dropped::masked) {
            if (bits.sixteen(j) == all_sixteen) sixteen(j, std::false_type{});
            else sixteen(j, std::true_type{});
        } else {
            sixteen(j, std::bool_constant<Dropped == dropped::any>{});
        }
    }
    return has_mass_v<Normalizer> ? sum_of_lanes(sums) : T(0);
}

/// The lowest and the highest score of each lane, of those that mask and score maps leave; a NaN is none.
template <class T>
struct score_range {
    vec<T> lowest, highest;
};

/// Applies score maps and mask to s[begin, end). begin and end are multiples of 16, `place.key` is the position of
/// s[0], `count` the number of keys that exist; with Masked, keys without a bit become -inf. Scores of pairs are scaled
/// here.
template <bool Masked, class U, class Def, class T>
HEED_INLINE score_range<T> map_row(const Def& def, [[maybe_unused]] T scale, score_place<vec<T>> place, T* s, int begin,
                                   int end, int count, const key_bits& bits)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes;
    constexpr bool pairs = elements_of<U> == 2;
    const V minus_infinity(-std::numeric_limits<T>::infinity());

    V highest = minus_infinity, lowest = V(0) - minus_infinity;
    const std::int64_t first = place.key;
    const auto sixteen = [&](int from, [[maybe_unused]] std::uint32_t attended, auto masked) HEED_INLINE_LAMBDA {
        constexpr bool may_drop = masked.value || Def::has_score_maps;
        HEED_UNROLL
        for (int i = 0; i < micro::mass_lanes; i += lanes) {
            const int j = from + i;
            V v = load(s + j);
            if constexpr (pairs) v = v * V(scale);
            if constexpr (Def::has_score_maps) {
                place.key = first + j;
                place.valid = count - j;
                v = def.map_score(v, place);
            }
            if constexpr (masked.value) v = select_bits(attended >> i, v, minus_infinity);
            if constexpr (may_drop || pairs) store(s + j, v);
            highest = max(highest, v);
            lowest = may_drop ? select(v == minus_infinity, lowest, min(lowest, v)) : min(lowest, v);
        }
    };
    for (int j = begin; j < end; j += micro::mass_lanes) {
        const std::uint32_t attended = Masked ? bits.sixteen(j) : all_sixteen;
        if (Masked && attended != all_sixteen) sixteen(j, attended, std::bool_constant<Masked>{});
        else sixteen(j, attended, std::false_type{});
    }
    return {lowest, highest};
}

/// Turns scores s[begin, end) into weights and returns {M, l}; see map_row and weigh.
template <bool Masked, class U, class Def, class T>
HEED_NOINLINE inline void weigh_row(const Def& def, T scale, score_place<vec<T>> place, T* s, int begin, int end,
                                    int count, const key_bits& bits, T& shift, T& mass)
{
    using normalizer = typename Def::normalizer_type;
    constexpr bool pairs = elements_of<U> == 2;
    constexpr dropped where = Def::has_score_maps ? dropped::any : Masked ? dropped::masked : dropped::none;

    const auto [lowest, highest] = map_row<Masked, U>(def, scale, place, s, begin, end, count, bits);
    const T top = largest(highest), bottom = -largest(vec<T>(0) - lowest);
    shift = shift_for<normalizer::shift>(top);
    mass = is_near(bottom, top, shift)
               ? weigh<range::near, where, pairs>(def.normalizer(), s, begin, end, bits, vec<T>(shift))
               : weigh<range::any, dropped::any, pairs>(def.normalizer(), s, begin, end, bits, vec<T>(shift));
}

}  // namespace kernel
HEED_END
