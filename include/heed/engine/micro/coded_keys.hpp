// SPDX-License-Identifier: MIT
// Rows of codes in registers, one lane a key: their channels' scales and zero points come from memory as they are used.
// The keys of a register are of one block of tokens.
#pragma once

#include "transpose.hpp"

HEED_BEGIN
namespace micro {

/// What a panel of such rows is made of: keys of Codes with what their block has.
template <class Codes>
struct coded {};

}  // namespace micro

template <class Codes>
struct element_traits<micro::coded<Codes>> : detail::quantised_block<channels_of<Codes>> {};

namespace micro {

/// The first row of a register of keys, and the scales and zero points of its channels.
template <class Codes>
struct coded_row {
    const Codes* data;
    const float* scale;
    const float* zero;
};
template <class Codes>
struct row_of<coded<Codes>> {
    using type = coded_row<Codes>;
};

/// Rows of channels, of one block of tokens, as numbers: to[i][c] = (row i's code c - zero[c]) scale[c].
template <class Codes>
HEED_NOINLINE inline void widen_codes(const coded_row<Codes>& from, std::int64_t stride, std::int64_t rows,
                                      std::int64_t dim, float* to)
{
    constexpr int lanes = vec<float>::lanes;
    for (std::int64_t c = 0; c < dim; c += lanes) {
        const vec<float> scale = load(from.scale + c), zero = load(from.zero + c);
        for (std::int64_t i = 0; i < rows; ++i)
            store(to + i * dim + c, (load_channels<float>(row_after(from.data, i, stride), c) - zero) * scale);
    }
}

/// Registers of keys: starts[i] is the first row of the i-th, whose rows are at one step.
template <class Codes>
struct coded_panel {
    using element = coded<Codes>;
    const coded_row<Codes>* starts;
    std::int64_t row_stride;

    template <int>
    HEED_INLINE const coded_row<Codes>& group(int i) const
    {
        return starts[i];
    }
    template <int>
    HEED_INLINE coded_panel from_group(int i) const
    {
        return {starts + i, row_stride};
    }
};

template <class Codes>
class transposed<float, coded<Codes>, true> {
    using columns = typename columns_of<Codes>::type;

public:
    static constexpr int channels = columns::channels, units = channels;

    transposed() = default;
    HEED_INLINE transposed(const coded_row<Codes>& row, std::int64_t c, std::int64_t stride, const transposed& before)
        : columns_(row.data + c / channels_of<Codes>, static_cast<int>(c % channels_of<Codes>), stride,
                   before.columns_),
          scale_(row.scale + c), zero_(row.zero + c)
    {}
    HEED_INLINE vec<float> operator[](int i) const
    {
        return (columns_[i] - vec<float>(zero_[i])) * vec<float>(scale_[i]);
    }

private:
    columns columns_;
    const float* scale_ = nullptr;
    const float* zero_ = nullptr;
};

}  // namespace micro
HEED_END
