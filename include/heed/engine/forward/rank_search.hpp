// SPDX-License-Identifier: MIT
// The k-th largest score of a row: the largest number t that k scores reach. Counts have no order, so neither has t.
#pragma once

#include "row_list.hpp"

HEED_BEGIN
namespace kernel {

/// Numbers of T in their order, as integers.
template <class T>
HEED_INLINE std::int64_t order_of(T x)
{
    list_key<T> n;
    std::memcpy(&n, &x, sizeof(n));
    return n < 0 ? std::int64_t{std::numeric_limits<list_key<T>>::min()} - n : n;
}
template <class T>
HEED_INLINE T number_at(std::int64_t order)
{
    const auto low = std::int64_t{std::numeric_limits<list_key<T>>::min()};
    return as_payload<T>(order < 0 ? low - order : order);
}

/// How many of s[0, n) are at least t.
template <class T>
HEED_NOINLINE inline std::int64_t count_from(const T* s, int n, T t)
{
    constexpr int lanes = vec<T>::lanes;
    const vec<T> bound(t);
    int below = 0;  // a NaN is
    for (int i = 0; i < n; i += lanes) {
        const std::uint32_t in = n - i >= lanes ? ~std::uint32_t{0} >> (32 - lanes) : (std::uint32_t{1} << (n - i)) - 1;
        below += __builtin_popcount(above_bits(bound, load(s + i)) & in);
    }
    return n - below;
}

/// Narrows [lo, hi) to one number, where `wanted` scores reach lo and not hi.
template <class T>
class rank_search {
public:
    /// `all` scores reach `low`, at least as many as are wanted, and none is above `high`.
    rank_search(std::int64_t wanted, T low, T high, std::int64_t all)
        : wanted_(wanted), lo_(order_of(low)), hi_(order_of(high) + 1), from_lo_(all)
    {}
    /// Done with the number itself, or with one that just so many scores reach: the least of those is it.
    bool is_done() const { return is_exact() || from_lo_ == wanted_; }
    bool is_exact() const { return lo_ + 1 >= hi_; }
    T low() const { return number_at<T>(lo_); }
    /// The number to count from next: where counts on a straight line of their logarithms would meet, or half way.
    T t()
    {
        const std::int64_t half = (lo_ >> 1) + (hi_ >> 1) + (lo_ & hi_ & 1);
        at_ = half;
        if (++steps_ % 3 != 0) {
            const double a = number_at<T>(lo_), b = number_at<T>(hi_ - 1),
                         of_lo = libm::log(static_cast<double>(from_lo_));
            const double share = (of_lo - libm::log(static_cast<double>(wanted_))) /
                                 (of_lo - libm::log(static_cast<double>(from_hi_) + 0.5));
            const double guess = a + (b - a) * share;
            const std::int64_t order = guess >= a && guess <= b ? order_of(static_cast<T>(guess)) : half;
            if (order > lo_ && order < hi_) at_ = order;
        }
        return number_at<T>(at_);
    }
    void take(std::int64_t count)
    {
        if (count >= wanted_) {
            lo_ = at_;
            from_lo_ = count;
        } else {
            hi_ = at_;
            from_hi_ = count;
        }
    }

private:
    std::int64_t wanted_, lo_, hi_, from_lo_, from_hi_ = 0, at_ = 0;
    int steps_ = 0;
};

/// The k-th largest of the scores of a list, of which there are so many, none below `low`.
template <class T>
T ranked(const row_list<T>& list, std::int64_t k, T low)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t all = count_from(list.scores, list.count, low);
    if (all < k) return -libm::infinity<T>;
    rank_search<T> search(k, low, list.highest, all);
    while (!search.is_done()) search.take(count_from(list.scores, list.count, search.t()));
    if (search.is_exact()) return search.low();
    list.pad();
    const vec<T> bound(search.low()), none(libm::infinity<T>);
    vec<T> least = none;
    for (int i = 0; i < list.count; i += lanes) {
        const vec<T> x = load(list.scores + i);
        least = min(least, select(x >= bound, x, none));
    }
    return -largest(vec<T>(0) - least);
}

}  // namespace kernel
HEED_END
