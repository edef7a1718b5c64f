// SPDX-License-Identifier: MIT
// The operations that an element's file in base/element/ is written in: registers of floats, and words of 32 bits, one
// of each of several rows. Words are vectors of the compiler, with its operators << >> & | ^ ~ + -.
#pragma once

#include "vec.hpp"

HEED_BEGIN
namespace simd {
template <int N>
struct vectors_of {
    typedef std::uint32_t words __attribute__((vector_size(4 * N)));
    typedef std::int32_t signed_words __attribute__((vector_size(4 * N)));
    typedef std::int16_t halves_of_words __attribute__((vector_size(4 * N)));
    typedef float numbers __attribute__((vector_size(4 * N)));
};
template <class A>
struct element_lanes {
    using floats = vec<float, A>;
    static constexpr int count = floats::lanes;
    using words = typename vectors_of<count>::words;
    using word_register = typename A::words;

    /// An f16 or a float in all lanes; and f16 that are `stride` bytes apart.
    HEED_INLINE static floats all(const f16& x) { return native_vec<float, A>(arch::broadcast(x, A{})); }
    HEED_INLINE static floats all(const float& x) { return floats(x); }
    HEED_INLINE static floats gather(const f16* first, std::int64_t stride)
    {
        return native_vec<float, A>(arch::gather(first, stride, A{}));
    }
    /// Two floats of each row, which are `stride` bytes apart and have 8 more bytes behind them.
    HEED_INLINE static void gather_two(const float* first, std::int64_t stride, floats (&out)[2])
    {
        typename A::words w[4];
        arch::transpose_words(first, stride, w);
        for (int i = 0; i < 2; ++i) out[i] = native_vec<float, A>(as<typename A::template registers<float>>(w[i]));
    }
    /// Elements of one number each: by the machine where it knows the format, else one by one.
    template <class E>
    HEED_INLINE static floats load(const E* p)
    {
        return native_vec<float, A>(arch::load(p, A{}));
    }
    /// Bytes as words.
    HEED_INLINE static words bytes(const std::uint8_t* p) { return as<words>(arch::load_bytes_as_words(p, A{})); }
    /// The lower or the upper four bits of bytes. A shift by a variable costs less than the branch that gcc makes of a
    /// choice: 0.92 of decode's time over q4_0 with AVX2, where alone a row's place in a block is no constant.
    HEED_INLINE static words halves(words bytes, bool upper)
    {
        if (__builtin_constant_p(upper)) return upper ? bytes >> 4 : bytes & 15u;
        return bytes >> (upper ? 4 : 0) & 15u;
    }

    /// Four bits a word, the upper ones of each byte first.
    HEED_INLINE static words upper_halves_first(const std::uint8_t* p)
    {
        static_assert(count <= 16);
        static constexpr std::uint32_t shifts[16] = {4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24};
        static constexpr std::uint32_t is_upper[16] = {0, 0, 0, 0, 0, 0, 0, 0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
        words w = words{} + word_at(p);
        if constexpr (count > 8) {
            const words upper = first_of(is_upper);
            w = (w & ~upper) | (word_at(p + 4) & upper);
        }
        return w >> first_of(shifts) & 15u;
    }

    /// The number at the place that the lower four bits of each word say, of a table of whole numbers of 8 bits.
    HEED_INLINE static floats look_up(const float (&table)[16], words w)
    {
        return native_vec<float, A>(arch::look_up(table, as<typename A::words>(w), A{}));
    }

    /// out[w] lane j = the w-th 32 bits of row j, the first byte lowest, of rows of 16 bytes that are `stride` bytes
    /// apart.
    HEED_INLINE static void transpose(const void* first, std::int64_t stride, words (&out)[4])
    {
        typename A::words w[4];
        arch::transpose_words(first, stride, w);
        HEED_UNROLL
        for (int i = 0; i < 4; ++i) out[i] = first_byte_lowest(as<words>(w[i]));
    }
    /// The i-th number of one byte of each word.
    template <class E>
    HEED_INLINE static floats take(words w, int i)
    {
        return native_vec<float, A>(
            arch::take(as<typename A::words>(first_byte_lowest(w)), i, static_cast<const E*>(nullptr), A{}));
    }
    /// The upper `Bits` of each word, and words, as whole numbers in two's complement.
    template <int Bits>
    HEED_INLINE static floats signed_top(words w)
    {
        return floats_of(as<signed_words>(w) >> (32 - Bits));
    }
    /// Words whose bits are those of floats.
    HEED_INLINE static floats from_bits(words w)
    {
        return native_vec<float, A>(as<typename A::template registers<float>>(w));
    }
    HEED_INLINE static floats whole_numbers(words w) { return floats_of(as<signed_words>(w)); }
    /// The larger in the order of bits, as numbers without sign.
    HEED_INLINE static floats larger_bits(floats a, floats b)
    {
        const words x = bits_of(a), y = bits_of(b);
        return from_bits(x > y ? x : y);
    }
    /// Lane i of yes where bit i is set, else of no.
    HEED_INLINE static floats select_bits(std::uint32_t bits, floats yes, floats no)
    {
        return simd::select_bits(bits, yes, no);
    }

    /// Fields of `Bits` of both halves of each word, which start at bit `at` of it, as numbers of 16 bits.
    template <int Bits>
    HEED_INLINE static words signed_fields(words w, int at)
    {
        return as<words>(as<halves_of_words>(w) << (16 - Bits - at) >> (16 - Bits));
    }
    /// Twice as many bytes as there are words, as numbers of 16 bits, two in a word; and so many of the 32 numbers of
    /// four bits, less 8, that are kept as q4_0 keeps them.
    HEED_INLINE static words shorts(const std::int8_t* p) { return as<words>(arch::load_shorts(p, A{})); }
    HEED_INLINE static words signed_nibbles(const std::uint8_t* p, int at)
    {
        return as<words>(arch::load_signed_nibbles(p, at, A{}));
    }
    /// As transpose(), for numbers of 16 bits that become pairs: the two halves of each word, as the machine orders
    /// them.
    HEED_INLINE static void transpose_pairs(const void* first, std::int64_t stride, words (&out)[4])
    {
        if constexpr (A::multiplies_by_element) {
            typename A::words w[4];
            arch::transpose_pairs(first, stride, w);
            HEED_UNROLL
            for (int i = 0; i < 4; ++i) out[i] = first_byte_lowest(as<words>(w[i]));
        } else {
            transpose(first, stride, out);
        }
    }
    // Sums of products stay in registers of the machine: from a vector of the compiler and back gcc 12 copies them.

    /// Two registers of whole numbers within 16 bits, side by side.
    HEED_INLINE static word_register narrow(floats first, floats second)
    {
        return as<word_register>(arch::narrow_to_shorts(raw(first), raw(second), A{}));
    }
    /// The numbers of two rows in pairs, as the machine orders them; and their products' sums in the order of numbers.
    HEED_INLINE static void interleave(words a, words b, word_register (&out)[2])
    {
        arch::interleave_shorts(as<word_register>(a), as<word_register>(b), out);
    }
    HEED_INLINE static void restore_order(word_register (&w)[2]) { arch::restore_order(w); }
    /// acc += a.first * b.first + a.second * b.second of the pairs in each word, modulo 2^32.
    HEED_INLINE static void dot(word_register& acc, word_register a, word_register b) { arch::dot_shorts(acc, a, b); }
    HEED_INLINE static void dot(word_register& acc, words a, const std::uint32_t* b)
    {
        arch::dot_shorts(acc, as<word_register>(a), b);
    }
    /// A pair that multiplies all pairs: repeated in a register, or as it is where the machine multiplies by one lane.
    /// dot() of it is that of pairs which the machine has ordered.
    HEED_INLINE static auto factor(std::uint32_t pair)
    {
        if constexpr (A::multiplies_by_element) return pair;
        else return all_words(pair);
    }
    template <class Lane, class = std::enable_if_t<A::multiplies_by_element && std::is_same_v<Lane, std::uint32_t>>>
    HEED_INLINE static void dot(word_register& acc, Lane a, word_register b)
    {
        arch::dot_shorts(acc, a, b);
    }
    HEED_INLINE static word_register all_words(std::uint32_t w) { return as<word_register>(words{} + w); }
    HEED_INLINE static word_register load_words(const std::uint32_t* p)
    {
        word_register w;
        std::memcpy(&w, p, sizeof(w));
        return w;
    }
    HEED_INLINE static void store_words(std::uint32_t* p, word_register w) { std::memcpy(p, &w, sizeof(w)); }
    HEED_INLINE static void store_words(std::uint32_t* p, words w) { std::memcpy(p, &w, sizeof(w)); }
    HEED_INLINE static floats whole_numbers_of(word_register w) { return whole_numbers(as<words>(w)); }

private:
    HEED_INLINE static words bits_of(floats x)
    {
        const typename A::template registers<float> r = raw(x);
        return as<words>(r);
    }
    /// Four bytes, or as many as hold the halves of a register; the first one lowest.
    HEED_INLINE static std::uint32_t word_at(const std::uint8_t* p)
    {
        std::uint32_t w = 0;
        HEED_UNROLL
        for (int i = 0; i < (count < 8 ? count / 2 : 4); ++i) w |= std::uint32_t{p[i]} << (8 * i);
        return w;
    }
    HEED_INLINE static words first_of(const std::uint32_t (&table)[16])
    {
        words w;
        std::memcpy(&w, table, sizeof(w));
        return w;
    }

    using halves_of_words = typename vectors_of<count>::halves_of_words;
    using signed_words = typename vectors_of<count>::signed_words;
    using numbers = typename vectors_of<count>::numbers;

    template <class To, class From>
    HEED_INLINE static To as(const From& from)
    {
        static_assert(sizeof(To) == sizeof(From));
        To to;
        std::memcpy(&to, &from, sizeof(to));
        return to;
    }
    HEED_INLINE static floats floats_of(signed_words w)
    {
        return native_vec<float, A>(as<typename A::template registers<float>>(__builtin_convertvector(w, numbers)));
    }
    HEED_INLINE static words first_byte_lowest(words w)
    {
        if constexpr (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) {
            w = (w & 0x00ff00ffu) << 8 | (w >> 8 & 0x00ff00ffu);
            w = w << 16 | w >> 16;
        }
        return w;
    }
};
using native_lanes = element_lanes<native_arch>;

}  // namespace simd
HEED_END
