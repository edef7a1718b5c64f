// SPDX-License-Identifier: MIT
// What a part of the keys gives: the state {M, l, o} as a value, and which keys they were. state.hpp has the verbs.
#pragma once

#include "base/math.hpp"
#include "base/reach.hpp"

HEED_BEGIN

/// {M, l, o} of [B, Hq, Sq] rows in the caller's memory, dense. Packed queries have [1, Hq, rows].
template <class T>
struct state {
    T* shift = nullptr;  // [B, Hq, Sq]
    T* mass = nullptr;   // [B, Hq, Sq]
    T* out = nullptr;    // [B, Hq, Sq, Dv], not normalised
    extents size;        // B, Hq, Sq, Dv

    std::int64_t rows() const { return size.batch * size.heads * size.tokens; }
};

/// Which keys of the whole sequence a call to attend_partial holds: all from first_key on, or every tile_stride-th key
/// tile (heed::key_tile keys), as interleaved context parallelism deals them out. Part i of n of a sequence is
///
///     {.first_key = i * heed::key_tile, .total_keys = all, .tile_stride = n}
///
/// over the tiles i, i + n, i + 2 n ... one after the other; positions stay those of the whole sequence.
struct key_part {
    std::int64_t first_key = 0;    ///< absolute position of the first
    std::int64_t total_keys = -1;  ///< of the whole sequence; -1: this part is the last
    std::int64_t tile_stride = 1;  ///< key tiles of the sequence from one of the part to its next
};

namespace detail {

template <class T>
status check_state(const char* verb, const char* name, const state<T>& s)
{
    using ll = long long;
    const extents& e = s.size;
    const checked bytes = checked(e.batch) * e.heads * e.tokens * max_of(e.dim, 1) * static_cast<ll>(sizeof(T));
    if (e.batch < 0 || e.heads < 0 || e.tokens < 0 || e.dim < 0 || !bytes.fits())
        return status::error(errc::invalid_argument, "%s: %s: [%lld, %lld, %lld, %lld] is negative or beyond 64 bits",
                             verb, name, ll{e.batch}, ll{e.heads}, ll{e.tokens}, ll{e.dim});
    if (s.rows() == 0 || (s.shift && s.mass && s.out)) return {};
    return status::error(errc::invalid_argument, "%s: %s has a null shift, mass or out", verb, name);
}

}  // namespace detail
HEED_END
