// SPDX-License-Identifier: MIT
// Products of integers: numbers become whole numbers of a step, two of them in a word.
#pragma once

#include "../simd/element_lanes.hpp"
#include "tuning.hpp"

#include <limits>

HEED_BEGIN
namespace micro {

using integer_words = native_lanes::word_register;

/// The largest operand of so many bits whose products with `terms` numbers of 8 bits have a sum of 32 bits. The upper
/// of two bytes of 16 bits is one with a sign, and so is the lower one: 127 * 256 + 127.
inline std::int64_t largest_operand(int bits, std::int64_t terms)
{
    const std::int64_t most = bits == 8 ? 127 : 127 * 256 + 127;
    return min_of(most, std::numeric_limits<std::int32_t>::max() / (128 * max_of(terms, 1)));
}

/// How numbers are rounded to whole ones: x is about step * round(x * inverse). Of numbers that are not all finite the
/// step is NaN, and the whole numbers are 0.
struct integer_step {
    float step, inverse;
};

/// What a row of numbers needs: their largest magnitude, and whether all are finite.
class magnitude {
public:
    HEED_INLINE void add(vec<float> x) { largest_ = native_lanes::larger_bits(largest_, abs(x)); }
    HEED_INLINE integer_step step(std::int64_t largest_whole) const
    {
        // Of magnitudes the order of bits is that of numbers, infinity above them all and NaN above it.
        if (any_not_finite(largest_)) return {libm::quiet_nan<float>, 0};
        const float wanted = largest(largest_) / static_cast<float>(largest_whole);
        constexpr float least = std::numeric_limits<float>::min();
        const float step = wanted > least ? wanted : least;
        return {step, 1 / step};
    }

private:
    static HEED_INLINE bool any_not_finite(vec<float> x) { return !(sum_by_halves(x - x) == 0); }

    vec<float> largest_ = vec<float>(0);
};

/// Two registers of numbers as whole ones, in the order of their lanes.
HEED_INLINE integer_words whole_numbers_of(vec<float> first, vec<float> second, const integer_step& by)
{
    const vec<float> inverse(by.inverse);
    if (by.inverse == 0) return native_lanes::all_words(0);
    return native_lanes::narrow(simd::round(first * inverse), simd::round(second * inverse));
}

/// Words that hold the channels of a row of K in pairs, and queries for them.
template <class E>
constexpr std::int64_t integer_pairs(std::int64_t dim)
{
    return round_up(dim, 16) / 2;
}

/// Packs a row of `dim` numbers for the pairs of E, 0 behind them, and gives their step. `row` has whole registers.
template <class E>
inline float pack_integers(const float* row, std::int64_t dim, std::int64_t largest_whole, std::uint32_t* pairs)
{
    using columns = typename element_traits<E>::template integer_columns<native_lanes>;
    constexpr int lanes = vec<float>::lanes;
    magnitude of;
    for (std::int64_t c = 0; c < dim; c += lanes) of.add(load(row + c));
    const integer_step by = of.step(largest_whole);
    for (std::int64_t first = 0; first < 2 * integer_pairs<E>(dim); first += columns::channels) {
        std::int16_t whole[columns::channels + 2 * lanes] = {};
        for (std::int64_t c = 0; c < columns::channels && first + c < dim; c += 2 * lanes) {
            const vec<float> second = first + c + lanes < dim ? load(row + first + c + lanes) : vec<float>(0);
            const integer_words w = whole_numbers_of(load(row + first + c), second, by);
            std::memcpy(whole + c, &w, sizeof(w));
        }
        for (int i = 0; i < columns::channels / 2; ++i) {
            const int a = columns::first_of_pair(i), b = a + columns::pair_apart;
            *pairs++ = static_cast<std::uint16_t>(whole[a]) | std::uint32_t{static_cast<std::uint16_t>(whole[b])} << 16;
        }
    }
    return by.step;
}

}  // namespace micro
HEED_END
