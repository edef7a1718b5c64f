// SPDX-License-Identifier: MIT
// Random lists of keys, and the same keys as a table.
#pragma once

#include "tensors.hpp"

#include <algorithm>
#include <memory>

namespace test {

/// Which rows share a list, and how full it is.
struct selection_shape {
    int64 block = 1;  // keys of an entry
    int64 rows = 1;   // query rows that share a list
    bool by_head = true;
    int percent = 10;  // of all blocks
};

/// Lists for [batch, query_heads, queries] rows over kv_heads heads and `keys` keys.
class selection {
public:
    selection(heed::extents q, int64 kv_heads, int64 keys, const selection_shape& s, std::uint64_t seed)
        : size_{q.batch, q.heads, q.tokens, keys}, block_(s.block), rows_(s.rows), heads_(s.by_head ? kv_heads : 1),
          group_(q.heads / kv_heads), row_blocks_((q.tokens + s.rows - 1) / s.rows)
    {
        std::mt19937_64 random(seed);
        table_ = std::make_unique<bool[]>(static_cast<std::size_t>(q.batch * q.heads * q.tokens * keys));
        offsets_.push_back(0);
        for (int64 b = 0; b < q.batch; ++b)
            for (int64 h = 0; h < heads_; ++h)
                for (int64 r = 0; r < row_blocks_; ++r) {
                    if (random() % 7 != 0)  // some lists are empty
                        for (int64 e = 0; e * block_ < keys; ++e)
                            if (static_cast<int>(random() % 100) < s.percent) add(b, h, r, e);
                    offsets_.push_back(static_cast<int64>(entries_.size()));
                }
    }

    heed::selected_keys lists() const
    {
        heed::list_shape shape;
        shape.block = block_;
        shape.heads = heads_;
        shape.group = group_;
        shape.row_blocks = row_blocks_;
        shape.rows = rows_;
        return {offsets_, entries_, shape};
    }
    heed::dense_mask mask() const
    {
        return heed::dense_mask{heed::bhsd(static_cast<const bool*>(table_.get()), size_)};
    }

private:
    void add(int64 b, int64 list_head, int64 row_block, int64 entry)
    {
        entries_.push_back(static_cast<std::int32_t>(entry));
        for (int64 h = 0; h < size_.heads; ++h) {
            if (heads_ > 1 && h / group_ != list_head) continue;
            for (int64 i = row_block * rows_; i < std::min(size_.tokens, (row_block + 1) * rows_); ++i)
                for (int64 j = entry * block_; j < std::min(size_.dim, (entry + 1) * block_); ++j)
                    table_[static_cast<std::size_t>(((b * size_.heads + h) * size_.tokens + i) * size_.dim + j)] = true;
        }
    }

    heed::extents size_;
    int64 block_, rows_, heads_, group_, row_blocks_;
    std::vector<int64> offsets_;
    std::vector<std::int32_t> entries_;
    std::unique_ptr<bool[]> table_;
};

}  // namespace test
