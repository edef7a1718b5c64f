// SPDX-License-Identifier: MIT
// How the threshold of a row is found while its scores come by, for each kind of threshold: what a tile says of it,
// which keys are forgotten, and what it is at last.
#pragma once

#include "rank_search.hpp"
#include "root_search.hpp"

HEED_BEGIN
namespace kernel {

template <class N, class T, threshold_kind Kind = detail::threshold_kind_v<N>>
class row_finder;

/// The same, every zero +0: which of -0 and +0 is the largest score depends on which came first.
template <class T>
row_threshold<T> without_signs_of_zeros(const row_threshold<T>& t)
{
    return {t.origin + T(0), t.high + T(0), t.low + T(0)};
}

/// Weights that sum to 1.
template <class N, class T>
class row_finder<N, T, threshold_kind::sum> {
public:
    static constexpr bool is_bounded = true;  // whether keys can be left out before the end

    row_finder(const N& policy, const query_place&) : policy_(policy) {}

    HEED_INLINE void see_top(row_list<T>& list, T top) const
    {
        if (!(top > list.highest)) return;
        list.highest = top;
        constexpr T reach = static_cast<T>(N::threshold.reach);
        if (top < libm::infinity<T>) list.raise_floor((top - reach) - slack(top, reach));
    }
    void tighten(row_list<T>& list, T* z) const { kernel::tighten(policy_, list, z); }
    bool is_worth_tightening(const row_list<T>& list) const { return list.count > 48; }
    row_threshold<T> find(const row_list<T>& list, T* z) const { return threshold_of(policy_, list, z); }

    /// The same from all scores: each_pass(f) calls f(scores, keys) for those of every tile.
    template <class EachPass>
    row_threshold<T> find_by_passes(T highest, EachPass each_pass) const
    {
        root_search<N, T> search(-static_cast<T>(N::threshold.reach), T(0));
        while (!search.is_done())
            search.take(sums_by_passes(highest, each_pass,
                                       [&](const T* z, int n) { return exact_sums(policy_, z, n, search.t()); }));
        return search.threshold(highest);
    }
    /// A score up to which weights are 0 whatever other keys there are, if they are up to `bound`.
    template <class EachPass>
    T bound_by_passes(T highest, T bound, EachPass each_pass) const
    {
        if (!(libm::fabs(highest) < libm::infinity<T>)) return bound;
        const auto sums_at = [&](T t) {
            return sums_by_passes(highest, each_pass, [&](const T* z, int n) { return rough_sums(policy_, z, n, t); });
        };
        const T from = left_of_root<N>(highest, bound);
        const T raised = floor_at<N>(highest, nearer<N, T>(sums_at, {from, from}, 4).left);
        return raised > bound ? raised : bound;
    }

private:
    /// The sums of all pieces of scores, which become distances from the highest.
    template <class EachPass, class SumsOf>
    static root_sums sums_by_passes(T highest, EachPass& each_pass, SumsOf sums_of)
    {
        root_sums sums;
        each_pass([&](T* s, key_range keys) {
            const vec<T> m(highest);
            for (int j = keys.begin; j < keys.end; j += vec<T>::lanes) store(s + j, load(s + j) - m);
            const root_sums some = sums_of(s + keys.begin, keys.end - keys.begin);
            sums = {sums.f + some.f, sums.g + some.g};
        });
        return sums;
    }

    N policy_;
};

/// The largest scores.
template <class N, class T>
class row_finder<N, T, threshold_kind::rank> {
public:
    static constexpr bool is_bounded = true;

    row_finder(const N& policy, const query_place& at) : wanted_(max_of(policy.rank(at.head), 1)) {}

    HEED_INLINE void see_top(row_list<T>& list, T top) const { list.highest = top > list.highest ? top : list.highest; }
    void tighten(row_list<T>& list, T*) const
    {
        const T t = ranked(list, wanted_, lowest(list.floor));
        if (t > -libm::infinity<T>) list.raise_floor(libm::nextafter(t, -libm::infinity<T>));
        list.drop();
    }
    /// Once k scores are there, and then where twice as many are: each time half of them are forgotten.
    bool is_worth_tightening(const row_list<T>& list) const { return list.count >= 2 * wanted_ && list.count > 48; }
    row_threshold<T> find(const row_list<T>& list, T*) const
    {
        if (list.count == 0) return {};
        return {list.highest, ranked(list, wanted_, lowest(list.floor)), T(0)};
    }
    template <class EachPass>
    row_threshold<T> find_by_passes(T highest, EachPass each_pass) const
    {
        const auto count = [&](T t) { return count_by_passes(t, each_pass); };
        const T low = -std::numeric_limits<T>::max();
        const std::int64_t all = count(low);
        if (all < wanted_) return {highest, -libm::infinity<T>, T(0)};
        rank_search<T> search(wanted_, low, highest, all);
        while (!search.is_exact()) search.take(count(search.t()));
        return {highest, search.low(), T(0)};
    }
    /// A score below the k-th largest, or `bound`.
    template <class EachPass>
    T bound_by_passes(T highest, T bound, EachPass each_pass) const
    {
        const auto count = [&](T t) { return count_by_passes(t, each_pass); };
        const T low = lowest(bound);
        const std::int64_t all = count(low);
        if (all < wanted_) return bound;
        rank_search<T> search(wanted_, low, highest, all);
        while (!search.is_done()) search.take(count(search.t()));
        const T below = libm::nextafter(search.low(), -libm::infinity<T>);
        return below > bound ? below : bound;
    }

private:
    template <class EachPass>
    static std::int64_t count_by_passes(T t, EachPass& each_pass)
    {
        std::int64_t n = 0;
        each_pass([&](T* s, key_range keys) { n += count_from(s + keys.begin, keys.end - keys.begin, t); });
        return n;
    }
    static T lowest(T floor)
    {
        const T low = -std::numeric_limits<T>::max();
        return floor > low ? floor : low;
    }

    std::int64_t wanted_;
};

/// Shares: the sums of the inner normalizer, which need no list; those of keys that have a weight of 0 fall for ever.
template <class N, class T>
class row_finder<N, T, threshold_kind::share> {
public:
    using inner = typename std::remove_cv_t<decltype(N::threshold)>::inner;
    static constexpr bool is_bounded = detail::has_least_share<N>::value;

    row_finder(const N& policy, const query_place& at) : head_(at.head)
    {
        if constexpr (is_bounded) least_ = static_cast<T>(policy.least_share(at)) * (1 - T(1e-4));
    }

    HEED_INLINE void see_top(row_list<T>& list, T top) const { list.highest = top > list.highest ? top : list.highest; }
    /// Adds what a tile comes to.
    HEED_INLINE void add(row_list<T>& list, T shift, T mass) const
    {
        (void)fold_sums(list.shift, list.mass, shift, mass);
    }
    /// What the weight of a key in units of 2^shift must exceed, if the key is to have a weight in the end.
    HEED_INLINE T bound(const row_list<T>& list, T shift) const
    {
        const double up = static_cast<double>(list.shift) - static_cast<double>(shift);
        return static_cast<T>(libm::ldexp(static_cast<double>(least_) * static_cast<double>(list.mass),
                                          up < 2000 ? static_cast<int>(up) : 2000));
    }
    void tighten(row_list<T>& list, T*) const
    {
        const vec<T> least(bound(list, list.shift));
        list.keep([&](vec<T> v) HEED_INLINE_LAMBDA {
            return above_bits(vec<T>(inner{}.terms(shifted_by(v, list.shift)).weight), least);
        });
    }
    row_threshold<T> find(const row_list<T>& list, T*) const
    {
        if (!(list.highest > -libm::infinity<T>) && list.mass == list.mass) return {};  // no key, and no NaN
        const row_denominator<T> den = denominator(inner{}, head_, list.shift, list.mass);
        return {den.shift, den.value, T(0)};
    }

private:
    std::int64_t head_;
    T least_ = -libm::infinity<T>;
};

}  // namespace kernel
HEED_END
