// SPDX-License-Identifier: MIT
// The operations that products of bytes are written in: registers of bytes, and words that sum four products.
#pragma once

#include "element_lanes.hpp"

HEED_BEGIN
namespace simd {

template <class A>
struct byte_lanes {
    using lanes = element_lanes<A>;
    using words = typename lanes::word_register;
    static constexpr int count = lanes::count, groups = count / 4;  // words of a register, and groups of 16 bytes

    HEED_INLINE static void dot(words& acc, words no_sign, words sign) { arch::dot_bytes(acc, no_sign, sign); }
    template <int Bytes>
    HEED_INLINE static words load(const void* p, std::int64_t stride)
    {
        return arch::load_pieces<Bytes>(p, stride, A{});
    }
    /// Pieces of two rows, or of four, that lie anywhere.
    HEED_INLINE static words two(const void* a, const void* b) { return load<8 * groups>(a, apart(a, b)); }
    HEED_INLINE static words four(const void* a, const void* b, const void* c, const void* d)
    {
        return arch::load_four(a, b, c, d, A{});
    }
    HEED_INLINE static words load_n(const void* p, int n) { return arch::load_bytes_n(p, n, A{}); }
    HEED_INLINE static void transpose_lanes(const words (&r)[4], words (&out)[4]) { arch::transpose_lanes(r, out); }
    HEED_INLINE static words add_neighbours(words a, words b) { return arch::add_neighbours(a, b); }
    template <int Half>
    HEED_INLINE static void interleave_rows(const words (&r)[4], words (&out)[2])
    {
        arch::interleave_rows<Half>(r, out);
    }
    template <int N>
    HEED_INLINE static void interleave_rows(const words (&r)[N], words (&out)[N])
    {
        arch::interleave_rows(r, out);
    }
    HEED_INLINE static void transpose_groups(words (&w)[4]) { arch::transpose_groups(w); }
    HEED_INLINE static void split(const vec<float, A> (&x)[4], words& upper, words& lower)
    {
        const typename A::template registers<float> r[4] = {raw(x[0]), raw(x[1]), raw(x[2]), raw(x[3])};
        arch::split_to_bytes(r, upper, lower);
    }

    /// The f-th field of bytes of an element E, as numbers without sign.
    template <class E>
    HEED_INLINE static words field(words w, int f)
    {
        return from(element_traits<E>::field(to(w), f));
    }
    /// a + b and 256 a, word by word.
    HEED_INLINE static words add(words a, words b) { return from(to(a) + to(b)); }
    HEED_INLINE static words times_256(words a) { return from(to(a) << 8); }

private:
    HEED_INLINE static std::int64_t apart(const void* a, const void* b)
    {
        return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(b) - reinterpret_cast<std::uintptr_t>(a));
    }
    using vector = typename lanes::words;
    HEED_INLINE static vector to(words w)
    {
        vector v;
        std::memcpy(&v, &w, sizeof(v));
        return v;
    }
    HEED_INLINE static words from(vector v)
    {
        words w;
        std::memcpy(&w, &v, sizeof(w));
        return w;
    }
};
using native_bytes = byte_lanes<native_arch>;
/// Whether products of integers are products of bytes.
inline constexpr bool multiplies_bytes = arch::multiplies_bytes<native_arch>;

}  // namespace simd
HEED_END
