// SPDX-License-Identifier: MIT
// Rows of K as registers of channels, one lane a key.
#pragma once

#include "units.hpp"

HEED_BEGIN
namespace micro {

/// What the first of some rows is to a kernel: where it lies, and of keys of codes what their block has.
template <class E>
struct row_of {
    using type = const E*;
};
template <class E>
using row_of_t = typename row_of<E>::type;

/// Some channels of vec<U>::lanes rows of E that are `stride` apart, as registers of units.
template <class U, class E, bool = is_quantised_v<E>>
class transposed {
    using T = sum_t<U>;
    static constexpr bool is_double = std::is_same_v<T, double>;
    static constexpr int bytes = 16;  // of each row

public:
    static constexpr int channels = bytes / static_cast<int>(sizeof(E));
    static constexpr int units = channels / elements_of<U>;

    transposed() = default;

    /// From channel c on. What comes before them is of use for blocks only.
    HEED_INLINE transposed(const E* row, std::int64_t c, std::int64_t stride, const transposed& = {})
    {
        if constexpr (is_double) arch::transpose(row + c, stride, words_);
        else arch::transpose_words(row + c, stride * static_cast<std::int64_t>(sizeof(E)), words_);
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
        constexpr int each = 4 / static_cast<int>(sizeof(E));
        return arch::as_register<registers>(
            arch::take(words_[i / each], i % each, static_cast<const E*>(nullptr), native_arch{}));
    }

    static auto word()
    {
        if constexpr (is_double) return registers{};
        else return native_arch::words{};
    }
    decltype(word()) words_[bytes / (is_double ? 8 : 4)];
};

/// 16 numbers of a byte each of every row.
template <class E>
struct byte_columns {
    static_assert(sizeof(E) == 1, "heed: a quantised element is a number of one byte or a block of channels");
    static constexpr int channels = 16;
    native_lanes::words words[4];

    byte_columns() = default;
    HEED_INLINE byte_columns(const E* row, int, std::int64_t step_bytes, const byte_columns&)
    {
        native_lanes::transpose(row, step_bytes, words);
    }
    HEED_INLINE vec<float> operator[](int i) const
    {
        return element_traits<E>::template take<native_lanes>(words[i / 4], i % 4);
    }
};
template <class E, bool = (channels_of<E> > 1)>
struct columns_of {
    using type = byte_columns<E>;
};
template <class E>
struct columns_of<E, true> {
    using type = typename element_traits<E>::template columns<native_lanes>;
};

/// The same of a quantised element, as its file says.
template <class E>
class transposed<float, E, true> {
    using columns = typename columns_of<E>::type;

public:
    static constexpr int channels = columns::channels, units = channels;

    transposed() = default;

    /// From channel c on, a multiple of `channels` where rows are blocks. `before` are the channels before these.
    HEED_INLINE transposed(const E* row, std::int64_t c, std::int64_t stride, const transposed& before = {})
        : columns_(row + c / channels_of<E>, static_cast<int>(c % channels_of<E>),
                   channels_of<E> > 1 ? stride : stride * static_cast<std::int64_t>(sizeof(E)), before.columns_)
    {}
    HEED_INLINE vec<float> operator[](int i) const { return columns_[i]; }

private:
    columns columns_;
};

}  // namespace micro
HEED_END
