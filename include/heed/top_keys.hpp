// SPDX-License-Identifier: MIT
// The largest scores of each row as a list of keys, or of blocks, for selected_keys.
#pragma once

#include "engine/kernel/run_tasks.hpp"
#include "engine/validate.hpp"

#include <cstring>

HEED_BEGIN

/// Which entries of a row are listed.
struct top_choice {
    std::int64_t count = 0;  ///< how many, at most
    std::int64_t first = 0;  ///< of which as many of the first are listed whatever their score (sinks)
    std::int64_t last = 0;   ///< and as many of the last (the neighbourhood of the query)
};

namespace detail {

/// A float as a number in the same order; 0 for what is not listed, NaN and -inf.
inline std::uint32_t rank_of(float x)
{
    if (!(x > -libm::infinity<float>)) return 0;
    std::uint32_t bits;
    x = x + 0.f;  // -0 is 0
    std::memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/// Finds the rank that the last listed entry of a row has, by its digits from the highest on: each is counted in one
/// pass, and only entries that have the digits found so far count in the next.
class rank_search {
public:
    /// Of n scores, `wanted` > 0 of the largest.
    rank_search(const float* scores, std::int64_t n, std::int64_t wanted) : left_(wanted)
    {
        for (int shift = 32 - digit; shift >= 0 && left_ > 0; shift -= digit)
            if (!narrow(scores, n, shift)) return;
    }
    /// Entries above are listed, and of those equal to it the first left().
    std::uint32_t rank() const { return rank_; }
    std::int64_t left() const { return left_; }

private:
    static constexpr int digit = 8, values = 1 << digit;

    bool narrow(const float* scores, std::int64_t n, int shift)
    {
        std::int64_t count[values] = {};
        for (std::int64_t j = 0; j < n; ++j) {
            const std::uint32_t r = rank_of(scores[j]);
            if (r != 0 && ((r ^ rank_) & known_) == 0) ++count[r >> shift & (values - 1)];
        }
        int value = values - 1;
        while (value > 0 && count[value] < left_) left_ -= count[value--];
        if (value == 0 && known_ == 0 && count[0] < left_) {  // all of them
            left_ = 0;
            return false;
        }
        rank_ |= static_cast<std::uint32_t>(value) << shift;
        known_ |= static_cast<std::uint32_t>(values - 1) << shift;
        return true;
    }

    std::uint32_t rank_ = 0, known_ = 0;
    std::int64_t left_;
};

/// Lists a row's choice in order; returns how many.
template <class I>
std::int64_t list_top(const float* scores, std::int64_t n, const top_choice& choice, I* entries)
{
    const std::int64_t all = min_of(choice.count, n), first = min_of(choice.first, all);
    const std::int64_t last = min_of(choice.last, all - first), wanted = all - first - last;
    std::int64_t listed = 0;
    for (std::int64_t j = 0; j < first; ++j) entries[listed++] = static_cast<I>(j);
    if (wanted > 0) {
        const rank_search found(scores + first, n - first - last, wanted);
        std::int64_t equal = found.left();
        for (std::int64_t j = first; j < n - last; ++j) {
            const std::uint32_t r = rank_of(scores[j]);
            if (r > found.rank() || (r == found.rank() && r != 0 && equal-- > 0)) entries[listed++] = static_cast<I>(j);
        }
    }
    for (std::int64_t j = n - last; j < n; ++j) entries[listed++] = static_cast<I>(j);
    return listed;
}

}  // namespace detail

/// The entries with the largest scores of each row, in the order of their positions, as selected_keys takes them. Of
/// equal scores the earlier entry is listed; NaN and -inf are not. List n = (b heads + h) Sq + i is
///
///     entries[offsets[n]] to entries[offsets[n + 1] - 1],    of row scores[b][h][i]
///
/// scores is [B, heads, Sq, N]; offsets has B heads Sq + 1 numbers and entries room for B heads Sq min(count, N), of 32
/// or 64 bits. The result depends on nothing but the scores. Fails, with nothing written, where scores or choice are
/// wrong, room is lacking, or N does not fit an entry.
template <class I, class O>
status top_keys(const view<const float>& scores, const top_choice& choice, O* offsets, std::int64_t offset_room,
                I* entries, std::int64_t entry_room)
{
    static_assert((std::is_same_v<I, std::int32_t> || std::is_same_v<I, std::int64_t>)&&(
                      std::is_same_v<O, std::int32_t> || std::is_same_v<O, std::int64_t>),
                  "heed: top_keys lists std::int32_t or std::int64_t");
    using ll = long long;
    const extents& e = scores.size;
    status s = detail::first_error([&] { return detail::check_sizes("top_keys", "scores", scores); },
                                   [&] { return detail::check_memory("top_keys", "scores", scores); });
    if (!s) return s;
    if (choice.count < 0 || choice.first < 0 || choice.last < 0)
        return status::error(errc::invalid_argument, "top_keys: %lld entries, the first %lld and the last %lld: from 0",
                             ll{choice.count}, ll{choice.first}, ll{choice.last});
    const detail::checked lists = detail::checked(e.batch) * e.heads * e.tokens;
    const detail::checked room = lists * min_of(choice.count, e.dim);
    if (!offsets || !lists.fits() || offset_room <= lists.value() || !room.fits() || entry_room < room.value() ||
        (room.value() > 0 && !entries))
        return status::error(errc::invalid_argument,
                             "top_keys: room for %lld offsets and %lld entries, for %lld lists "
                             "of %lld",
                             ll{offset_room}, ll{entry_room}, ll{lists.value()}, ll{min_of(choice.count, e.dim)});
    if (e.dim - 1 > std::numeric_limits<I>::max() || room.value() > std::numeric_limits<O>::max())
        return status::error(errc::invalid_argument, "top_keys: %lld entries of %lld: beyond the lists' numbers",
                             ll{room.value()}, ll{e.dim});
    std::int64_t n = 0, end = 0;
    offsets[0] = 0;
    for (std::int64_t b = 0; b < e.batch; ++b)
        for (std::int64_t h = 0; h < e.heads; ++h)
            for (std::int64_t i = 0; i < e.tokens; ++i) {
                end += detail::list_top(scores.row(b, h, i), e.dim, choice, entries + end);
                offsets[++n] = static_cast<O>(end);
            }
    return {};
}

HEED_END
