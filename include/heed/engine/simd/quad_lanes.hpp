// SPDX-License-Identifier: MIT
// The operations that products of quads are written in. A quad is four bytes with a sign in one word: of four channels
// of a key, or of one channel of four keys.
#pragma once

#include "arch/portable_quads.hpp"
#include "byte_lanes.hpp"

HEED_BEGIN
namespace simd {

template <class A>
struct quad_lanes {
    using lanes = element_lanes<A>;
    using words = typename lanes::word_register;
    using bytes = byte_lanes<A>;

    /// acc += the I-th of four quads . b in each word, modulo 2^32.
    template <int I>
    HEED_INLINE static void dot(words& acc, words quads, words b)
    {
        arch::dot_quads<I>(acc, quads, b);
    }
    /// Quads of eight bytes of each of four rows, a byte of each row: those of four bytes in a register.
    HEED_INLINE static void interleave(const void* a, const void* b, const void* c, const void* d, words (&out)[2])
    {
        const words r[4] = {arch::load_eight_bytes(a, A{}), arch::load_eight_bytes(b, A{}),
                            arch::load_eight_bytes(c, A{}), arch::load_eight_bytes(d, A{})};
        arch::interleave_eight_bytes(r, out);
    }
    HEED_INLINE static void interleave_words(words a, words b, words (&out)[2]) { arch::interleave_words(a, b, out); }

    /// The f-th field of bytes of an element E, as numbers with a sign. Bytes are stored with one; a field without it
    /// is `bias` more than the number.
    template <class E>
    HEED_INLINE static words field(words w, int f)
    {
        using traits = element_traits<E>;
        if constexpr (traits::bias == 128 && traits::fields == 1) return w;
        else return less(bytes::template field<E>(w, f), traits::bias);
    }

private:
    typedef std::int8_t numbers __attribute__((vector_size(16)));
    HEED_INLINE static words less(words w, int bias)
    {
        numbers x;
        std::memcpy(&x, &w, sizeof(x));
        x = x - static_cast<std::int8_t>(bias);
        std::memcpy(&w, &x, sizeof(w));
        return w;
    }
};
using native_quads = quad_lanes<native_arch>;

}  // namespace simd
HEED_END
