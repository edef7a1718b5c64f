// SPDX-License-Identifier: MIT
// From scores to weights, one row of a key tile: score maps, mask, shift, terms. Here policies meet vectors.
#pragma once

#include "../kernel/fold.hpp"
#include "../kernel/row_normalizer.hpp"
#include "../simd/exp.hpp"
#include "../simd/lanes.hpp"
#include "ordered_weights.hpp"
#include "tile_scores.hpp"

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

/// A row of scores s; `place` is the place of s[0].
template <class Def, class T>
struct score_row {
    const Def* def;
    T scale;
    T* s;
    const key_bits* bits;
    score_place<vec<T>> place;
};

/// A definition where the score maps that say where they change nothing do so.
template <class Def>
struct unconditional_maps {
    using normalizer_type = typename Def::normalizer_type;
    static constexpr bool has_score_maps = Def::has_unconditional_maps;
    static constexpr int lists = Def::lists;

    const Def& def;

    HEED_INLINE normalizer_type normalizer() const { return def.normalizer(); }
    HEED_INLINE normalizer_type normalizer_of(const query_place& row) const { return def.normalizer_of(row); }
    template <class V>
    HEED_INLINE V map_score(V s, const score_place<V>& at) const
    {
        return def.map_score_unconditionally(s, at);
    }
};

template <class Def>
inline constexpr bool is_thresholded_v<unconditional_maps<Def>> = is_thresholded_v<Def>;

/// f(definition) with what maps the scores of a tile: all of it, or what is left where its conditional maps change
/// nothing.
template <class Tile, class F>
HEED_INLINE void with_maps_of(const Tile& t, F f)
{
    using def_type = typename Tile::job_type::def_type;
    if constexpr (def_type::has_conditional_maps) {
        if (!t.job.def.changes(place_of_pairs(t.job, t.block, t.position_0, t.token, t.keys)))
            return f(unconditional_maps<def_type>{t.job.def});
    }
    f(t.job.def);
}

/// Row r of a tile's block, whose scores `def` maps; `place` is filled only where a score map or an observer reads it.
template <bool Placed, class Tile, class Def, class U>
HEED_INLINE score_row<Def, sum_t<U>> score_row_of(const Tile& t, const Def& def, int r, const scores_memory<U>& mem)
{
    score_row<Def, sum_t<U>> row{&def, t.job.scale, mem.row(r), &t.bits[r], {}};
    if constexpr (Placed || is_thresholded_v<Def>) row.place = t.place(r);
    return row;
}

/// The normalizer of a row.
template <class Def, class T>
HEED_INLINE auto normalizer_of(const score_row<Def, T>& row)
{
    if constexpr (is_thresholded_v<Def>) return row.def->normalizer_of(row.place);
    else return row.def->normalizer();
}
/// The shift of a row and a tile in which its largest score is `top`.
template <class Def, class T>
HEED_INLINE T shift_of(const score_row<Def, T>& row, T top)
{
    if constexpr (is_thresholded_v<Def>) return normalizer_of(row).shift_of_row();
    else return shift_for<shift_rule<typename Def::normalizer_type>()>(top);
}

/// Keys [begin, end) of a tile, whole sixteens.
struct key_range {
    int begin, end;
};

/// Where the terms of scores go: the weight in place of its score, the mass to 16 lanes. With Pairs both are rounded to
/// bf16: what the weights lose is missing in the mass as well, so that errors of one sign cancel. Such weights lie side
/// by side over the row's own scores: the weight of key j is the j-th bf16 of the row. Writing it never overtakes
/// reading, because a bf16 is half a float.
template <bool Pairs, class T>
struct term_sink {
    using V = vec<T>;
    static constexpr int lane_vecs = micro::mass_lanes / V::lanes;

    T* s;
    V sums[lane_vecs];

    HEED_INLINE explicit term_sink(T* row) : s(row)
    {
        for (V& sum : sums) sum = V(0);
    }
    HEED_INLINE void put_weight(int j, V weight) const
    {
        if constexpr (Pairs) store_rounded(reinterpret_cast<bf16*>(s) + j, weight);
        else store(s + j, weight);
    }
    HEED_INLINE void add_mass(int i, V mass)
    {
        if constexpr (Pairs) sums[i] = sums[i] + rounded_to_bf16(mass);
        else sums[i] = sums[i] + mass;
    }
};

/// Turns the scores of a row into weights and returns l. also(j) is called for every sixteenth key j.
template <range Range, dropped Dropped, bool Pairs, class Def, class T, class Also>
HEED_INLINE T weigh(const score_row<Def, T>& row, key_range keys, vec<T> shift, Also also)
{
    using V = vec<T>;
    using normalizer = typename Def::normalizer_type;
    constexpr int lanes = V::lanes, lane_vecs = micro::mass_lanes / lanes;
    const auto& policy = normalizer_of(row);
    [[maybe_unused]] const key_bits& bits = *row.bits;  // read once: stores of vectors may alias the row
    const V one = power_of_two(V(0) - shift);
    term_sink<Pairs, T> to(row.s);
    const auto sixteen = [&](int from, auto may_drop) HEED_INLINE_LAMBDA {
        HEED_UNROLL
        for (int i = 0; i < lane_vecs; ++i) {
            const int j = from + i * lanes;
            const V v = load(to.s + j);
            const auto attended = [&](V x) HEED_INLINE_LAMBDA {  // a NaN stays
                return may_drop.value ? select(v == V(-libm::infinity<T>), V(0), x) : x;
            };
            const auto t = policy.terms(shifted_score<T, native_arch, Range>(v, shift, one));
            if constexpr (has_mass_v<normalizer>) {
                // A product that is stored and added is not added by a multiply-add, whatever the compiler thinks of
                // it.
                const V mass = is_thresholded_v<Def> ? in_register(attended(t.mass)) : attended(t.mass);
                to.put_weight(j, attended(t.weight));
                to.add_mass(i, mass);
            } else {
                to.put_weight(j, attended(t.value));
            }
        }
    };
    for (int j = keys.begin; j < keys.end; j += micro::mass_lanes) {
        if constexpr (Dropped == dropped::masked) {
            if (Def::lists > 0 && bits.sixteen(j) == 0) {
                HEED_UNROLL
                for (int i = 0; i < lane_vecs; ++i) to.put_weight(j + i * lanes, V(0));
            } else if (bits.sixteen(j) == all_sixteen) sixteen(j, std::false_type{});
            else sixteen(j, std::true_type{});
        } else {
            sixteen(j, std::bool_constant<Dropped == dropped::any>{});
        }
        also(j);
    }
    return has_mass_v<normalizer> ? sum_of_lanes(to.sums) : T(0);
}

/// The lowest and the highest score of each lane, after mask and score maps; a NaN does not count.
template <class T>
struct score_range {
    vec<T> lowest = vec<T>(libm::infinity<T>), highest = vec<T>(-libm::infinity<T>);

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
        if constexpr (Masked && Def::lists > 0) {  // what no row wants was not scored
            if (attended == 0) return leave_out(j);
        }
        if (Masked && attended != all_sixteen) sixteen(j, attended, std::bool_constant<Masked>{});
        else sixteen(j, attended, std::false_type{});
    }

private:
    HEED_INLINE void leave_out(int j)
    {
        for (int i = 0; i < micro::mass_lanes; i += V::lanes) store(row.s + j + i, V(-libm::infinity<T>));
    }
    template <bool IsMasked>
    HEED_INLINE void sixteen(int from, [[maybe_unused]] std::uint32_t attended, std::bool_constant<IsMasked>)
    {
        constexpr bool may_drop = IsMasked || Def::has_score_maps, pairs = elements_of<U> == 2;
        const V minus_infinity(-libm::infinity<T>);
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
HEED_INLINE score_range<T> map_row(const score_row<Def, T>& row, key_range keys)
{
    score_mapper<Masked, U, Def> map{row};
    for (int j = keys.begin; j < keys.end; j += micro::mass_lanes) map(j);
    return map.range;
}

/// Whether the scores of the next row are mapped while this one is weighed, in the time that multiply-adds leave: a
/// seventh of what weights take on Zen 5. Maps are work of their own, and code.
template <class Def>
inline constexpr bool overlaps_mapping = !Def::has_score_maps;

/// Turns the mapped scores of a row into weights and gives its M and l. Returns true where it also mapped the scores of
/// the next row: `range`, which held the range of this row's scores, then holds the next row's.
template <bool Masked, class U, class Def, class T>
HEED_NOINLINE inline bool weigh_row(const score_row<Def, T>& row, [[maybe_unused]] const score_row<Def, T>* next,
                                    key_range keys, score_range<T>& range, T& shift, T& mass)
{
    constexpr bool pairs = elements_of<U> == 2;
    constexpr dropped where = Def::has_score_maps ? dropped::any : Masked ? dropped::masked : dropped::none;
    const auto nothing = [](int) {};

    if constexpr (has_order_v<typename Def::normalizer_type>) {
        shift = T(0);
        mass = weigh_from_the_right<pairs>(normalizer_of(row), row.s, keys.begin, keys.end);
        return false;
    }
    const T top = range.top();
    shift = shift_of(row, top);
    const bool near = is_near(range.bottom(), top, shift);
    if constexpr (overlaps_mapping<Def>) {
        if (near && next) {
            score_mapper<Masked, U, Def> map{*next};
            mass = weigh<simd::range::near, where, pairs>(row, keys, vec<T>(shift),
                                                          [&](int j) HEED_INLINE_LAMBDA { map(j); });
            range = map.range;
            return true;
        }
    }
    mass = near ? weigh<simd::range::near, where, pairs>(row, keys, vec<T>(shift), nothing)
                : weigh<simd::range::any, dropped::any, pairs>(row, keys, vec<T>(shift), nothing);
    return false;
}

/// Turns the scores of all rows of a tile, mapped by `def`, into weights.
template <bool Masked, class Tile, class Def, class U, class T = sum_t<U>>
HEED_INLINE void weigh_rows_by(const Tile& t, const Def& def, const scores_memory<U>& mem, const partial<T>& result)
{
    const auto row_of = [&](int r) HEED_INLINE_LAMBDA { return score_row_of<Def::has_score_maps>(t, def, r, mem); };
    // Where keys have an order nobody asks for the range of a row.
    constexpr bool maps =
        !has_order_v<typename Def::normalizer_type> || Masked || Def::has_score_maps || elements_of<U> == 2;
    score_range<T> range;
    bool mapped = false;
    for (const register_block* rows = t.cover.begin(); rows != t.cover.end(); ++rows) {
        const key_range keys{rows->begin(), rows->end()};
        const int end = rows->end_row();
        const bool goes_on = rows + 1 != t.cover.end() && rows[1].begin() == keys.begin && rows[1].end() == keys.end;
        auto row = row_of(rows->first);
        for (int r = rows->first; r < end; ++r) {
            if (maps && !mapped) range = map_row<Masked, U>(row, keys);
            const auto next = row_of(r + 1);
            mapped = weigh_row<Masked, U>(row, r + 1 < end || goes_on ? &next : nullptr, keys, range, result.shift[r],
                                          result.mass[r]);
            row = next;
        }
    }
}

/// Turns the scores of all rows of a tile into weights, and writes their shifts and masses to the result.
template <class Tile, class U, class T = sum_t<U>>
HEED_INLINE void weigh_rows(const Tile& t, const scores_memory<U>& mem, const partial<T>& result)
{
    with_maps_of(t, [&](const auto& def) HEED_INLINE_LAMBDA {
        if (t.cover.masked) weigh_rows_by<true>(t, def, mem, result);
        else weigh_rows_by<false>(t, def, mem, result);
    });
}

}  // namespace kernel
HEED_END
