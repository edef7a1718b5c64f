// SPDX-License-Identifier: MIT
// What the entries of a mask's table mean: of numbers -inf leaves its key out, and anything else is added to the score;
// of bools true attends, and nothing is added. Entries are looked at sixty-four at a time, in loops that compilers turn
// into vectors.
#pragma once

#include "config.hpp"
#include "element.hpp"
#include "libm.hpp"

#include <cstring>

HEED_BEGIN
namespace detail {

/// Entries of a table as they are read: `raw` is a number that every pattern of bits is a value of. Most entries have
/// the bits of `full`, attended and 0, or of `none`.
template <class E>
struct table_entry {
    static_assert(
        std::is_same_v<E, float> || std::is_same_v<E, double>,
        "heed: the table of an attention_mask is of bool, float, f16, bf16 or, for tensors of double, double");
    using raw = E;
    using bits = std::conditional_t<sizeof(E) == 4, std::uint32_t, std::uint64_t>;
    static constexpr bits full = 0, none = sizeof(E) == 4 ? bits{0xff800000} : bits{0xfff} << (8 * sizeof(E) - 12);
    static bool attends(E x) { return x != -libm::infinity<E>; }
    static bool adds(E x) { return x != E(0); }  // a NaN does
};
/// Of sixteen bits, of which -inf has those of None.
template <std::uint16_t None>
struct half_entry {
    using raw = std::uint16_t;
    using bits = std::uint16_t;
    static constexpr bits full = 0, none = None;
    static bool attends(std::uint16_t x) { return x != None; }
    static bool adds(std::uint16_t x) { return (x & 0x7fff) != 0; }
};
template <>
struct table_entry<f16> : half_entry<0xfc00> {};
template <>
struct table_entry<bf16> : half_entry<0xff80> {};
template <>
struct table_entry<bool> {
    using raw = unsigned char;  // a byte that is neither 0 nor 1 is no bool, and true
    using bits = unsigned char;
    static constexpr bits full = 1, none = 0;
    static bool attends(unsigned char x) { return x != 0; }
    static bool adds(unsigned char) { return false; }
};

/// Whether all of N entries are of the one kind or all of the other.
struct uniform_entries {
    bool full, none;
};
template <int N, class E>
uniform_entries uniform(const E* x)
{
    using entry = table_entry<E>;
    using bits = typename entry::bits;
    bits not_full = 0, not_none = 0;
    for (int j = 0; j < N; ++j) {
        bits b;
        std::memcpy(&b, x + j, sizeof(b));
        not_full = static_cast<bits>(not_full | (b ^ entry::full));
        not_none = static_cast<bits>(not_none | (b ^ entry::none));
    }
    return {not_full == 0, not_none == 0};
}

/// Sixty-four entries of a row: bit j says whether key j is attended, `adds` whether any attended entry is not 0.
struct entries {
    std::uint64_t attended;
    bool adds;
};

inline std::uint64_t packed_bits(const unsigned char (&flag)[64])
{
    std::uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) {
        std::uint64_t eight = 0;
        if constexpr (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
            std::memcpy(&eight, flag + 8 * i, 8);
            eight = eight * 0x0102040810204080u >> 56;  // byte j, 0 or 1, becomes bit j of the uppermost byte
        } else {
            for (int j = 0; j < 8; ++j) eight |= std::uint64_t{flag[8 * i + j]} << j;
        }
        bits |= eight << (8 * i);
    }
    return bits;
}

/// The next n <= 64 entries from x on; bits from n on are 0.
template <class E>
entries look_at(const E* x, std::int64_t n)
{
    using entry = table_entry<E>;
    using raw = typename entry::raw;
    static_assert(sizeof(raw) == sizeof(E));
    raw copy[64];
    if (n == 64) {
        if (const uniform_entries all = uniform<64>(x); all.full || all.none)
            return {all.full ? ~std::uint64_t{0} : 0, false};
        std::memcpy(copy, x, sizeof(copy));
    } else {
        std::memset(copy, 0, sizeof(copy));
        std::memcpy(copy, x, static_cast<std::size_t>(n) * sizeof(E));
    }
    unsigned char attended[64], adds = 0;
    for (int j = 0; j < 64; ++j) {
        const bool in = entry::attends(copy[j]);
        attended[j] = in;
        adds = static_cast<unsigned char>(adds | (in & entry::adds(copy[j])));
    }
    const std::uint64_t bits = packed_bits(attended);
    return {n == 64 ? bits : bits & ~(~std::uint64_t{0} << n), adds != 0};
}

/// Whether one entry attends, and whether it is anything but 0.
template <class E>
bool entry_attends(const E* x)
{
    typename table_entry<E>::raw copy;
    std::memcpy(&copy, x, sizeof(copy));
    return table_entry<E>::attends(copy);
}

}  // namespace detail
HEED_END
