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

#if defined(HEED_WITH_AVX512) || defined(HEED_WITH_AVX2)
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
            if (at == 0) scale_ = arch::gather(&row->d, step_bytes);
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
    HEED_INLINE auto number(int i) const
    {
        if constexpr (std::is_same_v<E, q4_0>) {  // a byte holds two channels that are 16 apart
            return arch::take_nibble(words_[i % 16 / 4], i % 4 * 2 + i / 16) * scale_;
        } else if constexpr (std::is_same_v<E, q8_0>) {
            return arch::take(words_[i / 4], i % 4, static_cast<const std::int8_t*>(nullptr)) * scale_;
        } else {
            constexpr int each = 4 / static_cast<int>(sizeof(E));
            return arch::take(words_[i / each], i % each, static_cast<const E*>(nullptr));
        }
    }

    static auto word()
    {
        if constexpr (is_double) return raw(vec<T>());
        else return arch::words{};
    }
    decltype(word()) words_[bytes / (is_double ? 8 : 4)];
    decltype(raw(vec<T>())) scale_;  // of blocks
#else
    HEED_INLINE transposed(const E* row, std::int64_t c, std::int64_t step, const transposed& = {})
        : row_(row), c_(c), step_(step)
    {}
    HEED_INLINE vec<U> operator[](int i) const
    {
        U lane[vec<U>::lanes];
        for (int j = 0; j < vec<U>::lanes; ++j) lane[j] = static_cast<U>(channel_of(row_ + j * step_, c_ + i));
        return load(lane);
    }

private:
    const E* row_;
    std::int64_t c_, step_;
#endif
};

}  // namespace micro
HEED_END
