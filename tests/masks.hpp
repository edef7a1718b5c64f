// SPDX-License-Identifier: MIT
// Tables that engines hand over, spelled from predicates, and their summaries.
#pragma once

#include "tensors.hpp"

#include <cmath>
#include <cstddef>
#include <functional>

namespace test {

/// An entry that attends, or one that leaves its key out.
template <class E>
E entry(bool attends)
{
    if constexpr (std::is_same_v<E, bool>) return attends;
    else return static_cast<E>(static_cast<heed::compute_t<E>>(attends ? 0 : -INFINITY));
}

/// A table [B, H, Sq, Skv] with rows of `stride` entries, whose padding would poison whoever reads it, and its summary.
template <class E>
struct table {
    heed::extents size;
    int64 stride;
    std::vector<unsigned char> bytes;
    std::vector<std::byte> memory;
    heed::mask_summary summary;

    template <class F>
    table(heed::extents e, int64 padded, F entry_at) : size(e), stride(padded)
    {
        bytes.assign(static_cast<std::size_t>(e.batch * e.heads * e.tokens * padded) * sizeof(E), 0xff);
        for (int64 b = 0; b < e.batch; ++b)
            for (int64 h = 0; h < e.heads; ++h)
                for (int64 i = 0; i < e.tokens; ++i)
                    for (int64 j = 0; j < e.dim; ++j) *at(b, h, i, j) = entry_at(b, h, i, j);
        summarise();
    }
    E* at(int64 b, int64 h, int64 i, int64 j)
    {
        return reinterpret_cast<E*>(bytes.data()) + ((b * size.heads + h) * size.tokens + i) * stride + j;
    }
    void summarise()
    {
        memory.assign(heed::summary_bytes(view()), std::byte{0x5a});
        heed::or_throw(heed::summarise(view(), {memory.data(), memory.size()}, summary));
    }
    heed::view<const E> view() const
    {
        return {reinterpret_cast<const E*>(bytes.data()),
                size,
                {size.heads * size.tokens * stride, size.tokens * stride, stride}};
    }
    heed::attention_mask<E> mask(bool with_summary = true) const
    {
        return heed::attention_mask<E>(view(), with_summary ? summary : heed::mask_summary{});
    }
};

}  // namespace test
