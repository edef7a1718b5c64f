// SPDX-License-Identifier: MIT
// A register of rows of K, for products of integers.
#pragma once

#include "integer_memory.hpp"

HEED_BEGIN
namespace kernel {

/// Copies n rows of K from `token` on, with zeros behind each and for as many rows as a register has.
template <class Source>
HEED_NOINLINE micro::matrix<const typename Source::element> padded_keys(const Source& source, std::int64_t token, int n,
                                                                        std::int64_t dim, char* copy)
{
    using E = typename Source::element;
    const std::int64_t each = elements_for<E>(dim);
    const auto bytes = static_cast<std::size_t>(each) * sizeof(E);
    E* const to = reinterpret_cast<E*>(copy);
    std::memset(copy, 0, bytes * vec<float>::lanes);
    for (int i = 0; i < n; ++i)
        std::memcpy(to + i * each, source(token + i).data, static_cast<std::size_t>(source.bytes()));
    return {to, source.stride_of(each)};
}

/// A register of rows of K from key j of the tile on, of `dim` channels: where they lie, or copied with zeros behind
/// them.
template <class Tile>
HEED_INLINE auto register_of_keys(const Tile& t, int j, std::int64_t dim, char* copy)
{
    constexpr int lanes = vec<float>::lanes;
    const auto source = t.key_rows();
    const int n = t.keys - j;
    if (n >= lanes && dim == source.dim) {
        const auto segment = source(t.token + j);
        if (segment.count >= lanes) return matrix_of(segment);
    }
    return padded_keys(source, t.token + j, n < lanes ? n : lanes, dim, copy);
}

}  // namespace kernel
HEED_END
