// SPDX-License-Identifier: MIT
// Weights of a row and a tile where keys take their shares in an order: w e^-U, where U sums the masses u of the keys
// of the tile behind a key. Sixteen keys at a time are summed by a fixed tree, which is the same for every width of
// registers; what the sixteens behind them come to is added.
#pragma once

#include "../kernel/remainder.hpp"
#include "../micro/tuning.hpp"
#include "../workspace.hpp"

HEED_BEGIN
namespace kernel {

/// Registers of the sixteen keys of a mass.
template <class T>
inline constexpr int lane_vecs = micro::mass_lanes / vec<T>::lanes;

/// Lanes whose number lacks the bit By.
template <int By>
inline constexpr std::uint32_t lanes_without = 0xffffu / ((1u << By) + 1u);

/// One level of the tree: adds to `behind` of the lower lanes of each 2 By what the upper ones come to, and to `total`
/// what the others come to.
template <int By, class T>
HEED_INLINE void add_behind(vec<T> (&total)[lane_vecs<T>], vec<T> (&behind)[lane_vecs<T>])
{
    constexpr int lanes = vec<T>::lanes;
    if constexpr (By < lanes) {
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            const vec<T> other = exchange<By>(total[i]);
            behind[i] = select_bits(lanes_without<By>, behind[i] + other, behind[i]);
            total[i] = total[i] + other;
        }
    } else {
        constexpr int apart = By / lanes;
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) {
            if (i & apart) continue;
            behind[i] = behind[i] + total[i + apart];
            total[i] = total[i + apart] = total[i] + total[i + apart];
        }
    }
}

/// Of sixteen masses, one a lane: what the lanes behind each come to; `masses` becomes the sum of all, in every lane.
template <class T>
HEED_INLINE void sum_behind(vec<T> (&masses)[lane_vecs<T>], vec<T> (&behind)[lane_vecs<T>])
{
    for (vec<T>& x : behind) x = vec<T>(0);
    add_behind<1, T>(masses, behind);
    add_behind<2, T>(masses, behind);
    add_behind<4, T>(masses, behind);
    add_behind<8, T>(masses, behind);
}

/// Turns the scores of keys [begin, end) of a row, multiples of 16, into weights and returns U. A score of -inf is none
/// of a key. With Pairs weights are rounded to bf16 and lie side by side, as in term_sink.
///
/// Terms, sums and exponentials have a loop each: a processor looks some two hundred instructions ahead, and one loop
/// of all three takes half of them for sixteen keys that wait for each other. (Zen 5: prefill of 2048 x 2048, D 128,
/// takes 1.21 times as long as softmax's, and 1.38 by one loop.)
template <bool Pairs, class Normalizer, class T>
HEED_NOINLINE T weigh_from_the_right(const Normalizer& policy, T* s, int begin, int end)
{
    using V = vec<T>;
    constexpr int lanes = V::lanes;
    const V nothing(-libm::infinity<T>), zero(0);
    alignas(cache_line) T masses[micro::key_tile];  // then, of each key, those of the keys behind it
    for (int j = begin; j < end; j += lanes) {
        const V v = load(s + j);
        const auto t = policy.terms(shifted_score<T>(v, zero, V(1)));
        store(s + j, select(v == nothing, zero, V(t.weight)));
        store(masses + j, select(v == nothing, zero, V(t.mass)));
    }
    V newer(0);
    for (int from = end - micro::mass_lanes; from >= begin; from -= micro::mass_lanes) {
        V mass[lane_vecs<T>], behind[lane_vecs<T>];
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) mass[i] = load(masses + from + i * lanes);
        sum_behind<T>(mass, behind);
        HEED_UNROLL
        for (int i = 0; i < lane_vecs<T>; ++i) store(masses + from + i * lanes, newer + behind[i]);
        newer = newer + mass[0];
    }
    for (int j = begin; j < end; j += lanes) {  // what is none of a key stays 0 where a newer key is a NaN
        const V weight = load(s + j), w = select(weight == zero, zero, weight * exp_neg_abs(load(masses + j)));
        if constexpr (Pairs) store_rounded(reinterpret_cast<bf16*>(s) + j, w);
        else store(s + j, w);
    }
    T sum[lanes];
    store(sum, newer);
    return sum[0];
}

}  // namespace kernel
HEED_END
