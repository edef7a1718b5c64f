// SPDX-License-Identifier: MIT
// Rows of K as registers of channels, one lane a key.
#pragma once

#include "units.hpp"

HEED_BEGIN
namespace micro {

/// Some channels of vec<U>::lanes rows of E that are `step` elements apart, as registers of units.
template <class U, class E>
class transposed {
    using T = sum_t<U>;
    static constexpr bool has_blocks = channels_of<E> > 1;
    static constexpr bool is_double = std::is_same_v<T, double>;
    static constexpr int bytes = 16;  // of each row

public:
    static constexpr int channels = std::is_same_v<E, q4_0> ? 2 * bytes
                                    : has_blocks            ? bytes
                                                            : bytes / static_cast<int>(sizeof(E));
    static constexpr int units = channels / elements_of<U>;

    transposed() = default;

    /// From channel c on, a multiple of `channels` where rows are blocks. `before` are the channels before these.
    HEED_INLINE transposed(const E* row, std::int64_t c, std::int64_t step,
                           [[maybe_unused]] const transposed& before = {})
    {
        [[maybe_unused]] const std::int64_t step_bytes = step * static_cast<std::int64_t>(sizeof(E));
        if constexpr (is_double) {
            arch::transpose(row + c, step, words_);
        } else if constexpr (has_blocks) {
            row += c / channels_of<E>;
            const std::int64_t at = c % channels_of<E>;
            arch::transpose_words(row->q + at, step_bytes, words_);
            if (at == 0) scale_ = arch::as_register<registers>(arch::gather(&row->d, step_bytes, native_arch{}));
            else scale_ = before.scale_;
            if constexpr (std::is_same_v<E, q4_0>) {
                HEED_UNROLL
                for (auto& w : words_) w = arch::signed_nibbles(w);
            }
        } else {
            arch::transpose_words(row + c, step_bytes, words_);
        }
    }
    /// The i-th unit.
    HEED_INLINE vec<U> operator[](int i) const
    {
        if constexpr (is_double || elements_of<U> == 2) return vec<U>(words_[i]);
        else return native_vec<T, native_arch>(number(i));
    }

private:
    using registers = decltype(raw(vec<T>()));

    HEED_INLINE registers number(int i) const
    {
        if constexpr (std::is_same_v<E, q4_0>)  // a byte holds two channels that are 16 apart
            return arch::as_register<registers>(
                       arch::take_nibble(words_[i % 16 / 4], i % 4 * 2 + i / 16, native_arch{})) *
                   scale_;
        else if constexpr (std::is_same_v<E, q8_0>) return element<std::int8_t>(i) * scale_;
        else return element<E>(i);
    }
    template <class Number>
    HEED_INLINE registers element(int i) const
    {
        constexpr int each = 4 / static_cast<int>(sizeof(Number));
        return arch::as_register<registers>(
            arch::take(words_[i / each], i % each, static_cast<const Number*>(nullptr), native_arch{}));
    }

    static auto word()
    {
        if constexpr (is_double) return registers{};
        else return native_arch::words{};
    }
    decltype(word()) words_[bytes / (is_double ? 8 : 4)];
    registers scale_;  // of blocks
};

}  // namespace micro
HEED_END
