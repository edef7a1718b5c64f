// SPDX-License-Identifier: MIT
// Numbers of 8 and of 4 bits as registers of floats: where they lie, one lane a channel, and transposed, one lane a
// key.
#pragma once

#include "tuning.hpp"

HEED_BEGIN
namespace micro {

#if defined(HEED_WITH_AVX512) || defined(HEED_WITH_AVX2)

/// An f16 in all lanes; and one for each lane, `step` bytes apart.
template <class T>
HEED_INLINE vec<T> all_lanes(const f16& x)
{
    return native_vec<T, native_arch>(arch::broadcast(x));
}
template <class T>
HEED_INLINE vec<T> gather(const f16* first, std::int64_t step)
{
    return native_vec<T, native_arch>(arch::gather(first, step));
}
/// q - 8 of the lower or the upper halves of a register's number of bytes.
template <class T>
HEED_INLINE vec<T> load_nibbles(const std::uint8_t* p, bool upper)
{
    return native_vec<T, native_arch>(arch::load_nibbles(p, upper));
}

/// 16 bytes of each of vec<T>::lanes keys: lane j of word w holds bytes [4 w, 4 w + 4) of key j.
template <class T>
struct key_words {
    decltype(arch::words_of(typename vec<T>::batch::register_type{})) of[4];
};
template <class T>
HEED_INLINE key_words<T> transpose_words(const void* in, std::int64_t step_bytes)
{
    key_words<T> words;
    arch::transpose_words(in, step_bytes, words.of);
    return words;
}
/// Bytes that hold two q each as such of q - 8 in two's complement.
template <class T>
HEED_INLINE key_words<T> signed_nibbles(key_words<T> words)
{
    HEED_UNROLL
    for (auto& w : words.of) w = arch::signed_nibbles(w);
    return words;
}
/// The number in byte i, or in the i-th half of a byte, of each lane of a word.
template <class T, class E, class Word>
HEED_INLINE vec<T> take_byte(Word word, int i)
{
    return native_vec<T, native_arch>(arch::take_byte(word, i, static_cast<const E*>(nullptr)));
}
template <class T, class Word>
HEED_INLINE vec<T> take_nibble(Word word, int i)
{
    return native_vec<T, native_arch>(arch::take_nibble(word, i));
}

#else

template <class T>
HEED_INLINE vec<T> all_lanes(const f16& x)
{
    return vec<T>(T(float(x)));
}
template <class T>
HEED_INLINE vec<T> gather(const f16* first, std::int64_t step)
{
    T lane[vec<T>::lanes];
    for (int j = 0; j < vec<T>::lanes; ++j) {
        f16 x;
        std::memcpy(&x, reinterpret_cast<const char*>(first) + j * step, sizeof(x));
        lane[j] = T(float(x));
    }
    return load(lane);
}
template <class T>
HEED_INLINE vec<T> load_nibbles(const std::uint8_t* p, bool upper)
{
    T lane[vec<T>::lanes];
    for (int i = 0; i < vec<T>::lanes; ++i) lane[i] = T((upper ? p[i] >> 4 : p[i] & 15) - 8);
    return load(lane);
}
template <class T>
struct key_words {
    struct word {
        std::uint8_t byte[vec<T>::lanes][4];
    } of[4];
};
template <class T>
HEED_INLINE key_words<T> transpose_words(const void* in, std::int64_t step_bytes)
{
    key_words<T> words;
    for (int j = 0; j < vec<T>::lanes; ++j)
        for (int w = 0; w < 4; ++w)
            std::memcpy(words.of[w].byte[j], static_cast<const char*>(in) + j * step_bytes + 4 * w, 4);
    return words;
}
template <class T>
HEED_INLINE key_words<T> signed_nibbles(key_words<T> words)
{
    return words;
}
template <class T, class E, class Word>
HEED_INLINE vec<T> take_byte(const Word& word, int i)
{
    T lane[vec<T>::lanes];
    for (int j = 0; j < vec<T>::lanes; ++j) {
        E x;
        std::memcpy(&x, &word.byte[j][i], 1);
        lane[j] = static_cast<T>(x);
    }
    return load(lane);
}
template <class T, class Word>
HEED_INLINE vec<T> take_nibble(const Word& word, int i)
{
    T lane[vec<T>::lanes];
    for (int j = 0; j < vec<T>::lanes; ++j) lane[j] = T((word.byte[j][i / 2] >> (i % 2 * 4) & 15) - 8);
    return load(lane);
}

#endif

/// vec<T>::lanes channels of a block from the at-th on, a multiple of them.
template <class T>
HEED_INLINE vec<T> channels_of_block(const q8_0& block, int at)
{
    return load_as<T>(block.q + at) * all_lanes<T>(block.d);
}
template <class T>
HEED_INLINE vec<T> channels_of_block(const q4_0& block, int at)
{
    return load_nibbles<T>(block.q + at % 16, at >= 16) * all_lanes<T>(block.d);
}

/// Quantised rows of a register of keys, one lane each, from channel c on, some channels at a time: 16 of them are
/// transposed as they lie in memory, in four words of 32 bits, and taken apart one by one, so that few registers hold
/// them.
template <class T, class E>
class transposed_keys {
    static constexpr bool has_nibbles = std::is_same_v<E, q4_0>;
    static constexpr std::int64_t block = channels_of<E>;

public:
    static constexpr int channels = block > 1 ? static_cast<int>(block) : 16;
    static constexpr int together = 16;

    transposed_keys() = default;
    HEED_INLINE transposed_keys(const E* row, std::int64_t c, std::int64_t step) : at_(row + c / block), step_(step)
    {
        if constexpr (block > 1) d_ = gather<T>(&at_->d, step * static_cast<std::int64_t>(sizeof(E)));
        if constexpr (has_nibbles) words_ = signed_nibbles(transpose_words<T>(at_->q, byte_step()));
    }
    /// Turns to the channels [first, first + together).
    HEED_INLINE void turn_to(int first)
    {
        first_ = first;
        if constexpr (block == 1) words_ = transpose_words<T>(at_ + first, byte_step());
        else if constexpr (!has_nibbles) words_ = transpose_words<T>(at_->q + first, byte_step());
    }
    /// The i-th of these.
    HEED_INLINE vec<T> operator[](int i) const
    {
        if constexpr (has_nibbles) return take_nibble<T>(words_.of[i / 4], i % 4 * 2 + first_ / 16) * d_;
        else if constexpr (block > 1) return take_byte<T, std::int8_t>(words_.of[i / 4], i % 4) * d_;
        else return take_byte<T, E>(words_.of[i / 4], i % 4);
    }

private:
    HEED_INLINE std::int64_t byte_step() const { return step_ * static_cast<std::int64_t>(sizeof(E)); }

    const E* at_;
    std::int64_t step_;
    int first_ = 0;
    key_words<T> words_;
    vec<T> d_;
};

}  // namespace micro
HEED_END
