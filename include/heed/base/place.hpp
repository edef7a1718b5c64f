// SPDX-License-Identifier: MIT
// Where a score stands: which batch, head, query row and key. Positions are absolute token numbers of the
// sequence; rows count within the call. Score maps and masks see these and nothing else of a kernel.
#pragma once

#include "math.hpp"
#include "mistakes.hpp"
#include "view.hpp"

#include <cstddef>

HEED_BEGIN

/// Keys that one partial result {M, l, o} covers, counted from the sequence's first. It fixes where results are folded,
/// and so is the same on every machine: a part of a sequence that begins at a multiple of it has the bits that its keys
/// have in the whole.
inline constexpr int key_tile = 512;

/// One query row. Of packed queries `batch` is the sequence, and Sq and Skv are its own rows and tokens: its last row
/// stands at its last token unless heed::query_offset says otherwise.
struct query_place {
    std::int64_t batch = 0;     ///< index of the sequence
    std::int64_t head = 0;      ///< query head
    std::int64_t row = 0;       ///< 0 .. Sq-1 within this call; of packed queries within the sequence
    std::int64_t position = 0;  ///< row + query offset, by default Skv - Sq + row: below 0 where queries outnumber keys
};

/// A query row beside lanes_of<V>::count consecutive keys, of which the first `valid` exist. A scalar V is one lane,
/// and has the same members, so that one map serves both. A map may be called for any key of the sequence, masked ones
/// too: tables have an entry for each key from 0 on, and functions an answer.
template <class V>
struct score_place : query_place {
    static constexpr int lanes = lanes_of<V>::count;  ///< how many consecutive keys
    static constexpr detail::key_of_many<> key{};     // no number: see key_at()

    std::int64_t valid = 1;  ///< how many of them exist

    score_place() = default;
    operator std::ptrdiff_t() const { return detail::index_of_many<>(); }
    /// The place of a query row beside the keys from one on, of which `existing` exist.
    HEED_INLINE score_place(const query_place& of, std::int64_t key_of_lane_0, std::int64_t existing = 1)
        : query_place(of), valid(existing), first_(key_of_lane_0)
    {}

    /// The absolute position of a lane's key.
    HEED_INLINE std::int64_t key_at(int lane) const { return first_ + lane; }

    /// The keys' absolute positions, as numbers; in float, whole ones end at 2^24.
    V keys() const { return lanes_of<V>::iota(first_); }

    /// Key position minus query position, subtracted before it is rounded: exact near the diagonal of any sequence.
    V distances() const { return lanes_of<V>::iota(first_ - position); }

    /// table[key + offset] of each key; lanes that do not exist are 0 and not read. With an offset of -position that
    /// is a table by distance, of which the row reads the entries from -position to the last key's distance.
    template <class E>
    HEED_INLINE V load(const E* table, std::int64_t offset = 0) const
    {
        return lanes_of<V>::load(table + (first_ + offset), valid);
    }

    /// The same of a vector, array or span: an entry that it does not have is NaN.
    template <class C, class E = detail::element_of_container<const C&>>
    V load(const C& table, std::int64_t offset = 0) const
    {
        const auto size = static_cast<std::int64_t>(table.size());
        const std::int64_t begin = first_ + offset, existing = min_of(valid, lanes);
        if (begin >= 0 && begin + existing <= size) return load(table.data(), offset);
        return gather([&](std::int64_t at) {
            using T = typename lanes_of<V>::element;
            const bool is_there = at + offset >= 0 && at + offset < size;
            return is_there ? static_cast<T>(table.data()[at + offset]) : libm::quiet_nan<T>;
        });
    }

    /// f(key) of each key, for f of an absolute position, a number of any type; lanes that do not exist are 0, and f is
    /// not asked for them. For what is no run of a table: relative-position buckets, coordinates of an image.
    template <class F>
    V gather(F f) const
    {
        using T = typename lanes_of<V>::element;
        T value[lanes] = {};
        for (int i = 0; i < lanes && i < valid; ++i) value[i] = static_cast<T>(f(key_at(i)));
        return lanes_of<V>::load(value, lanes);
    }

    /// Moves n keys on.
    HEED_INLINE void advance(std::int64_t n)
    {
        first_ += n;
        valid -= n;
    }

private:
    std::int64_t first_ = 0;  // key of lane 0
};

/// A rectangle of query rows and keys. Rows of all heads [head_begin, head_end) are meant.
struct block_place {
    std::int64_t batch = 0;                     ///< index of the sequence
    std::int64_t head_begin = 0, head_end = 0;  ///< query heads [begin, end)
    std::int64_t row_begin = 0, row_end = 0;    ///< query rows [begin, end), as query_place::row
    std::int64_t position_begin = 0;            ///< of row_begin
    std::int64_t key_begin = 0, key_end = 0;    ///< absolute positions [begin, end)

    query_place first_row() const { return {batch, head_begin, row_begin, position_begin}; }  ///< of the first head
    /// Of the last head.
    query_place last_row() const
    {
        return {batch, head_end - 1, row_end - 1, position_begin + (row_end - 1 - row_begin)};
    }
};

namespace detail {

/// Whether a policy maps scores.
template <class P, class = void>
struct has_map : std::false_type {};
template <class P>
struct has_map<P, std::void_t<decltype(std::declval<const P&>().map(double{}, score_place<double>{}))>>
    : std::true_type {};

}  // namespace detail

/// What policies may check before anything runs.
struct problem {
    std::int64_t batch = 0;                      ///< sequences
    std::int64_t query_heads = 0, kv_heads = 0;  ///< Hq and Hkv
    std::int64_t queries = 0;                    ///< Sq
    std::int64_t total_keys = 0;                 ///< keys of the whole sequence, of which a call may hold a part
};

namespace detail {

template <class P, class = void>
struct has_check : std::false_type {};
template <class P>
struct has_check<P, std::void_t<decltype(std::declval<const P&>().check(problem{}))>> : std::true_type {};
HEED_NAMES_MEMBER(check, has_check)

/// Whether a policy's check() is asked, where it has one.
template <class P>
inline constexpr bool is_check_asked_v = has_check<P>::value == names_check<P>::value;

}  // namespace detail

HEED_END
