// SPDX-License-Identifier: MIT
// Products of bytes: whole numbers of 16 bits are two bytes with a sign each, x = 256 upper + lower, and products with
// each of them are summed apart. Numbers of K and V are without sign, `bias` more than they are; what that adds to a
// sum is the same for all of them, and is what sums start with.
#pragma once

#include "../simd/byte_lanes.hpp"
#include "integer_operands.hpp"
#include "integer_prefetch.hpp"

HEED_BEGIN
namespace micro {

using byte_words = native_bytes::words;

/// How bytes of E fill a register.
template <class E>
struct byte_shape {
    using traits = element_traits<E>;
    static constexpr int fields = traits::fields;
    /// Bytes of a row that a register takes, their groups of 16, and how many channels they are.
    static constexpr int bytes = traits::bytes_at_once > 0 ? traits::bytes_at_once : 16 * native_bytes::groups;
    static constexpr int span = bytes / 16, channels = bytes * fields;
    /// Rows of K of four registers, and how often as many make a register of scores.
    static constexpr int keys = 4 * native_bytes::groups / span, sets = span;

    static constexpr std::int64_t steps(std::int64_t dim) { return ceil_div(dim, std::int64_t{channels}); }
};

/// Bytes of an operand of so many bits.
constexpr int parts_of(int bits) { return bits / 8; }

/// The j-th byte of x, from the upper one of so many parts.
HEED_INLINE std::int8_t part_of(std::int16_t x, int part, int parts)
{
    const auto lower = static_cast<std::int8_t>(x & 255);
    return part + 1 == parts ? lower : static_cast<std::int8_t>((x - lower) >> 8);
}

/// Rounds a row of `dim` numbers, of whole registers, and gives their step; 0 behind them up to `padded`.
inline float round_row(const float* row, std::int64_t dim, std::int64_t padded, std::int64_t largest_whole,
                       std::int16_t* whole)
{
    constexpr int lanes = vec<float>::lanes;
    magnitude of;
    for (std::int64_t c = 0; c < dim; c += lanes) of.add(load(row + c));
    const integer_step by = of.step(largest_whole);
    for (std::int64_t c = 0; c < padded; c += 2 * lanes) {
        const auto at = [&](std::int64_t x) { return x < dim ? load(row + x) : vec<float>(0); };
        const integer_words w = whole_numbers_of(at(c), at(c + lanes), by);
        std::memcpy(whole + c, &w, sizeof(w));
    }
    return by.step;
}

/// Queries of a register block as registers for registers of keys: [steps][4][fields][register_rows][parts] registers,
/// each word repeated for the keys beside it; and what sums start with, [blocks][register_rows] registers.
template <class E>
struct spread_bytes {
    using shape = byte_shape<E>;
    static constexpr int lanes = vec<float>::lanes;

    std::uint32_t* words;
    std::uint32_t* starts;

    static std::int64_t words_of(std::int64_t dim, int parts)
    {
        return shape::steps(dim) * 4 * shape::fields * register_rows * parts * lanes;
    }
    static std::int64_t starts_of(std::int64_t dim)
    {
        return (channels_of<E> > 1 ? dim / channels_of<E> : 1) * register_rows * lanes;
    }

    /// Row r of the block. `bytes` has [parts][padded] bytes of its numbers.
    void put(const std::int16_t* whole, std::int8_t* bytes, std::int64_t dim, int r, int parts) const
    {
        const std::int64_t steps = shape::steps(dim), padded = steps * shape::channels;
        for (int part = 0; part < parts; ++part)
            for (std::int64_t c = 0; c < padded; ++c) bytes[part * padded + c] = part_of(whole[c], part, parts);
        std::uint32_t* to = words + r * parts * lanes;
        for (std::int64_t i = 0; i < steps * 4 * shape::fields; ++i, to += register_rows * parts * lanes) {
            const std::int64_t first =
                i / (4 * shape::fields) * shape::channels + i % shape::fields * 16 + i / shape::fields % 4 * 4;
            for (int part = 0; part < parts; ++part)
                for (int j = 0; j < lanes / 4; ++j) {
                    std::uint32_t word;
                    std::memcpy(&word, bytes + part * padded + first + j % shape::span * 16, sizeof(word));
                    for (int k = 0; k < 4; ++k) to[part * lanes + 4 * j + k] = word;
                }
        }
        const std::int64_t each = channels_of<E> > 1 ? channels_of<E> : dim;
        for (std::int64_t c = 0; c < dim; c += each) {
            std::int32_t sum = 0;
            for (std::int64_t x = c; x < c + each; ++x) sum += whole[x];
            std::uint32_t* const start = starts + (c / each * register_rows + r) * lanes;
            for (int j = 0; j < lanes; ++j)
                start[j] = j / 4 % shape::span == 0 ? static_cast<std::uint32_t>(-shape::traits::bias * sum) : 0;
        }
    }
};

}  // namespace micro
HEED_END
