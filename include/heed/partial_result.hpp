// SPDX-License-Identifier: MIT
// What a part of the keys gives: the state {M, l, o} as a value, and which keys they were. state.hpp has the verbs. And
// what it says of thresholds, for which threshold_state.hpp has them.
#pragma once

#include "base/math.hpp"
#include "base/reach.hpp"

HEED_BEGIN

/// {M, l, o} of [B, Hq, Sq] rows in the caller's memory, dense. Packed queries have [1, Hq, rows].
template <class T>
struct state {
    T* shift = nullptr;  ///< [B, Hq, Sq]
    T* mass = nullptr;   ///< [B, Hq, Sq]
    T* out = nullptr;    ///< [B, Hq, Sq, Dv], not normalised
    extents size;        ///< B, Hq, Sq, Dv

    std::int64_t rows() const { return size.batch * size.heads * size.tokens; }  ///< B Hq Sq
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

/// What some of the keys say of the threshold of a row. The number of scores is 0 for no key, and `too_many` where
/// there was no place for one: then all of them are needed once more, in more places.
template <class T>
struct row_candidates {
    static constexpr std::int64_t too_many = -1;  ///< the count where a score found no place

    T highest = -libm::infinity<T>;  ///< the largest score
    T bound = -libm::infinity<T>;    ///< scores up to here have weight 0, whatever other keys there are
    std::int64_t count = 0;          ///< of scores above

    bool overflows() const { return count < 0; }  ///< whether a score found no place
};

/// The scores of [B, Hq, Sq] rows that may have a weight, in the caller's memory, dense: those of row i from
/// scores + i * places on. Packed queries have [1, Hq, rows]. It may be copied as bytes to another machine.
template <class T>
struct threshold_state {
    row_candidates<T>* rows = nullptr;  ///< [B, Hq, Sq]
    T* scores = nullptr;                ///< [B, Hq, Sq, places]
    extents size;                       ///< B, Hq, Sq, and places as dim

    std::int64_t count() const { return size.batch * size.heads * size.tokens; }  ///< B Hq Sq
};

namespace detail {

/// That memory for `size`, rows of dim numbers of `bytes` bytes, can be counted.
inline status check_countable(const char* verb, const char* name, const extents& size, std::size_t bytes)
{
    using ll = long long;
    const checked all =
        checked(size.batch) * size.heads * size.tokens * max_of(size.dim, 1) * static_cast<std::int64_t>(bytes);
    if (size.batch >= 0 && size.heads >= 0 && size.tokens >= 0 && size.dim >= 0 && all.fits()) return {};
    return status::error(errc::invalid_argument, "%s: %s: [%lld, %lld, %lld, %lld] is negative or beyond 64 bits", verb,
                         name, ll{size.batch}, ll{size.heads}, ll{size.tokens}, ll{size.dim});
}

template <class T>
status check_rows(const char* verb, const char* name, const threshold_state<T>& s)
{
    if (const status ok = check_countable(verb, name, s.size, sizeof(T)); !ok) return ok;
    if (s.count() > 0 && (!s.rows || (!s.scores && s.size.dim > 0)))
        return status::error(errc::invalid_argument, "%s: %s has null rows or scores", verb, name);
    return {};
}
template <class T>
status check_state(const char* verb, const char* name, const threshold_state<T>& s)
{
    using ll = long long;
    const std::int64_t places = s.size.dim;
    if (const status ok = check_rows(verb, name, s); !ok) return ok;
    for (std::int64_t i = 0; i < s.count(); ++i)
        if (s.rows[i].count < row_candidates<T>::too_many || s.rows[i].count > places)
            return status::error(errc::invalid_argument, "%s: row %lld of %s has %lld scores in %lld places", verb,
                                 ll{i}, name, ll{s.rows[i].count}, ll{places});
    return {};
}

template <class T>
status check_state(const char* verb, const char* name, const state<T>& s)
{
    if (const status ok = check_countable(verb, name, s.size, sizeof(T)); !ok) return ok;
    if (s.rows() == 0 || (s.shift && s.mass && s.out)) return {};
    return status::error(errc::invalid_argument, "%s: %s has a null shift, mass or out", verb, name);
}

}  // namespace detail
HEED_END
