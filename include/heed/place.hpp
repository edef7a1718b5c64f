// SPDX-License-Identifier: MIT
// Where a score stands: which batch, head, query row and key. Positions are absolute token numbers of the
// sequence; rows count within the call. Score maps and masks see these and nothing else of a kernel.
#pragma once

#include "math.hpp"

HEED_BEGIN

/// One query row.
struct query_place {
    std::int64_t batch = 0;
    std::int64_t head = 0;      // query head
    std::int64_t row = 0;       // 0 .. Sq-1 within this call
    std::int64_t position = 0;  // row + query offset: the absolute position
};

/// A query row beside lanes_of<V>::count consecutive keys, of which the first `valid` exist.
template <class V>
struct score_place : query_place {
    std::int64_t key = 0;  // absolute position of lane 0
    std::int64_t valid = 1;

    /// The keys' absolute positions, as numbers; in float, whole ones end at 2^24.
    V keys() const { return lanes_of<V>::iota(key); }

    /// Key position minus query position, subtracted before it is rounded: exact near the diagonal of any sequence.
    V distances() const { return lanes_of<V>::iota(key - position); }

    /// One number a key, read from per_key[key] on; lanes that do not exist are 0 and not read.
    template <class E>
    V load(const E* per_key) const
    {
        return lanes_of<V>::load(per_key + key, valid);
    }
};

/// A rectangle of query rows and keys. Rows of all heads [head_begin, head_end) are meant.
struct block_place {
    std::int64_t batch = 0;
    std::int64_t head_begin = 0, head_end = 0;
    std::int64_t row_begin = 0, row_end = 0;
    std::int64_t position_begin = 0;  // of row_begin
    std::int64_t key_begin = 0, key_end = 0;

    query_place first_row() const { return {batch, head_begin, row_begin, position_begin}; }
    query_place last_row() const
    {
        return {batch, head_end - 1, row_end - 1, position_begin + (row_end - 1 - row_begin)};
    }
};

/// What policies may check before anything runs.
struct problem {
    std::int64_t batch = 0;
    std::int64_t query_heads = 0, kv_heads = 0;
    std::int64_t queries = 0;     // Sq
    std::int64_t total_keys = 0;  // keys of the whole sequence, of which a call may hold a part
};

HEED_END
