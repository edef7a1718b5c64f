// SPDX-License-Identifier: MIT
// From scores to weights, one row of a key tile: score maps, mask, shift, terms. Here policies meet vectors.
#pragma once

#include "../kernel/shift.hpp"
#include "../simd/exp.hpp"
#include "../simd/lanes.hpp"

HEED_BEGIN
namespace kernel {

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
/// is the j-th bf16 of the row, which lies before all scores that are still to be read. also(j) is called for every
/// sixteenth key j.
template <range Range, dropped Dropped, bool Pairs, class Normalizer, class T, class Also>
HEED_INLINE T weigh(const Normalizer& normalizer, T* s, int begin, int end, const key_bits& bits, vec<T> shift,
                    Also also)
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
        also(j);
    }
    return has_mass_v<Normalizer> ? sum_of_lanes(sums) : T(0);
}

/// A row of scores s; `place` is that of s[0].
template <class Def, class T>
struct score_row {
    const Def* def;
    T scale;
    T* s;
    const key_bits* bits;
    score_place<vec<T>> place;
};

/// Row r of a block in the tile of `count` keys that starts at `token`; its place only where somebody looks at it.
template <bool Placed, class Job, class U, class T = sum_t<U>>
HEED_INLINE score_row<typename Job::def_type, T> score_row_of(const Job& job, const row_block& block,
                                                              std::int64_t position_0, int r, std::int64_t token,
                                                              [[maybe_unused]] int count, const scratch<U>& mem)
{
    score_row<typename Job::def_type, T> row{&job.def, job.scale, mem.s + r * micro::score_step, &mem.bits[r], {}};
    if constexpr (Placed) row.place = {place_of(job, block, position_0, block.first + r), job.first_key + token, count};
    return row;
}

/// The lowest and the highest score of each lane, of those that mask and score maps leave; a NaN is none.
template <class T>
struct score_range {
    vec<T> lowest = vec<T>(std::numeric_limits<T>::infinity()), highest = vec<T>(-std::numeric_limits<T>::infinity());

    HEED_INLINE T top() const { return largest(highest); }
    HEED_INLINE T bottom() const { return -largest(vec<T>(0) - lowest); }
};

/// Applies score maps and mask to the scores of a row, sixteen at a time from j on, and widens the range by them. With
/// Masked, keys without a bit become -inf. Scores of pairs are scaled here.
template <bool Masked, class U, class Def, class T = sum_t<U>>
struct score_mapper {
    using V = vec<T>;
    score_row<Def, T> row;  // its own copy, which no store changes
    score_range<T> range = {};

    HEED_INLINE void operator()(int j)
    {
        const std::uint32_t attended = Masked ? row.bits->sixteen(j) : all_sixteen;
        if (Masked && attended != all_sixteen) sixteen(j, attended, std::bool_constant<Masked>{});
        else sixteen(j, attended, std::false_type{});
    }

private:
    template <bool IsMasked>
    HEED_INLINE void sixteen(int from, [[maybe_unused]] std::uint32_t attended, std::bool_constant<IsMasked>)
    {
        constexpr bool may_drop = IsMasked || Def::has_score_maps, pairs = elements_of<U> == 2;
        const V minus_infinity(-std::numeric_limits<T>::infinity());
        HEED_UNROLL
        for (int i = 0; i < micro::mass_lanes; i += V::lanes) {
            const int j = from + i;
            V v = load(row.s + j);
            if constexpr (pairs) v = v * V(row.scale);
            if constexpr (Def::has_score_maps) {
                score_place<V> at = row.place;
                at.advance(j);
                v = row.def->map_score(v, at);
            }
            if constexpr (IsMasked) v = select_bits(attended >> i, v, minus_infinity);
            if constexpr (may_drop || pairs) store(row.s + j, v);
            const V lowest = min(range.lowest, v);
            range.highest = max(range.highest, v);
            range.lowest = may_drop ? select(v == minus_infinity, range.lowest, lowest) : lowest;
        }
    }
};

/// The same for all of its scores.
template <bool Masked, class U, class Def, class T>
HEED_INLINE score_range<T> map_row(const score_row<Def, T>& row, int begin, int end)
{
    score_mapper<Masked, U, Def> map{row};
    for (int j = begin; j < end; j += micro::mass_lanes) map(j);
    return map.range;
}

/// Whether the scores of the next row are mapped while this one is weighed, in the time that multiply-adds leave: a
/// seventh of what weights take on Zen 5. Maps are work of their own, and code.
template <class Def>
inline constexpr bool overlaps_mapping = !Def::has_score_maps;

/// Turns the mapped scores [begin, end) of a row into weights and returns its M and l. True where those of the next
/// row, if any, were mapped on the way: `range`, that of the row, is then the next one's.
template <bool Masked, class U, class Def, class T>
HEED_NOINLINE inline bool weigh_row(const score_row<Def, T>& row, [[maybe_unused]] const score_row<Def, T>* next,
                                    int begin, int end, score_range<T>& range, T& shift, T& mass)
{
    using normalizer = typename Def::normalizer_type;
    constexpr bool pairs = elements_of<U> == 2;
    constexpr dropped where = Def::has_score_maps ? dropped::any : Masked ? dropped::masked : dropped::none;
    const auto nothing = [](int) {};

    const T top = range.top();
    shift = shift_for<normalizer::shift>(top);
    const bool near = is_near(range.bottom(), top, shift);
    if constexpr (overlaps_mapping<Def>) {
        if (near && next) {
            score_mapper<Masked, U, Def> map{*next};
            mass = weigh<simd::range::near, where, pairs>(row.def->normalizer(), row.s, begin, end, *row.bits,
                                                          vec<T>(shift), [&](int j) HEED_INLINE_LAMBDA { map(j); });
            range = map.range;
            return true;
        }
    }
    mass = near ? weigh<simd::range::near, where, pairs>(row.def->normalizer(), row.s, begin, end, *row.bits,
                                                         vec<T>(shift), nothing)
                : weigh<simd::range::any, dropped::any, pairs>(row.def->normalizer(), row.s, begin, end, *row.bits,
                                                               vec<T>(shift), nothing);
    return false;
}

}  // namespace kernel
HEED_END
