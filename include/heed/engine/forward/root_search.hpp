// SPDX-License-Identifier: MIT
// The threshold of a row whose weights sum to 1: the largest number t of T with F(t) >= 1,
//
//     F(t) = sum_j w((s_j - m) - t)          m: the largest score
//
// where each w is rounded to a multiple of 2^-48 (of double 2^-49) and sums are exact in double, as they are below 32
// (8): F does not depend on the order of keys, nor on keys of weight 0, and falls as t grows. So the end of the search
// does not depend on where it starts or how it goes, nor on machines.
//
// Steps are Newton's on F^(1/d), d the degree of w: it is convex where F is, and closer to a line, so that few steps
// from the left do. Sums in T are good enough for most of them.
#pragma once

#include "row_list.hpp"

HEED_BEGIN
namespace kernel {

/// F and G = -F' at some t.
struct root_sums {
    double f = 0, g = 0;
};

/// w and w' of a normalizer, at distances y from the threshold.
template <class N, class V>
HEED_INLINE V weight_at(const N& policy, V y)
{
    return policy.terms(detail::score_above_threshold<V>(y)).value;
}
template <class N, class V>
HEED_INLINE V slope_at(const N& policy, V y, V weight)
{
    if constexpr (has_slopes_v<N>) return policy.slopes(detail::score_above_threshold<V>(y)).value;
    else return select(y > 0, weight * V(N::threshold.degree) / y, V(0));  // of w = c y^degree
}

/// Rounds to multiples of 2^-Bits by adding a number whose last bit that is.
template <int Bits>
HEED_INLINE vec<double> on_grid(vec<double> x)
{
    constexpr double magic = 1.5 * (Bits < 52 ? static_cast<double>(std::int64_t{1} << (52 - Bits)) : 1);
    return (x + vec<double>(magic)) - vec<double>(magic);
}

/// Sums of both, exact: over z[0, n) = s - m, behind which stands a register of -inf.
template <class N, class T>
HEED_NOINLINE inline root_sums exact_sums(const N& policy, const T* z, int n, T t)
{
    using V = vec<T>;
    using D = vec<double>;
    constexpr int bits = sizeof(T) == 4 ? 48 : 49, slope_bits = 24;
    D f(0), g(0);
    for (int i = 0; i < n; i += V::lanes) {
        const V y = load(z + i) - V(t), w = weight_at(policy, y), u = slope_at(policy, y, w);
        if constexpr (sizeof(T) == 4) {
            for (const int half : {0, 1}) {
                f = f + on_grid<bits>(widened_half(w, half));
                g = g + on_grid<slope_bits>(widened_half(u, half));
            }
        } else {
            f = f + on_grid<bits>(in_register(w));
            g = g + on_grid<slope_bits>(in_register(u));
        }
    }
    return {sum_by_halves(f), sum_by_halves(g)};
}

/// The same in T: off by at most 1e-4 of themselves for lists of up to 2^16 keys.
template <class N, class T>
HEED_NOINLINE inline root_sums rough_sums(const N& policy, const T* z, int n, T t)
{
    using V = vec<T>;
    V f[2] = {V(0), V(0)}, g[2] = {V(0), V(0)};
    const auto add = [&](int i, int to) HEED_INLINE_LAMBDA {
        const V y = load(z + i) - V(t), w = weight_at(policy, y);
        f[to] = f[to] + w;
        g[to] = g[to] + slope_at(policy, y, w);
    };
    int i = 0;
    for (; i + 2 * V::lanes <= n; i += 2 * V::lanes) {
        add(i, 0);
        add(i + V::lanes, 1);
    }
    for (; i < n; i += V::lanes) add(i, 0);
    return {static_cast<double>(sum_by_halves(f[0] + f[1])), static_cast<double>(sum_by_halves(g[0] + g[1]))};
}

/// Newton's step on F^(1/degree) - 1; any number for any sums.
template <class N>
HEED_INLINE double root_step(const root_sums& at)
{
    constexpr double d = N::threshold.degree;
    if (d == 1.) return (at.f - 1) / at.g;
    if (d == 2.) return 2 * (at.f - libm::sqrt(at.f)) / at.g;
    return d * (at.f - at.f * libm::exp(-libm::log(at.f) / d)) / at.g;
}

/// Narrows [lo, hi), F(lo) >= 1 > F(hi), to one number of T; `take` receives the sums at each `t` that it asks for.
template <class N, class T>
class root_search {
public:
    /// `from` is where it starts; `low` is known to be left of the root, or the root.
    root_search(T low, T from) : lo_(low), t_(from > low && from < T(0) ? from : low) {}

    bool is_done() const { return done_; }
    T t() const { return t_; }

    void take(const root_sums& at)
    {
        if (!(at.f == at.f)) return poison();
        if (at.f >= 1) {
            lo_ = t_;
            of_lo_ = at;
            has_lo_ = true;
        } else {
            hi_ = t_;
        }
        const T after = libm::nextafter(lo_, T(1));
        if (!(after < hi_)) {
            done_ = has_lo_ || !(lo_ < hi_);
            t_ = lo_;
            return;
        }
        const double step = root_step<N>(at);
        T next = ++steps_ > most_steps ? lo_ + (hi_ - lo_) / 2 : static_cast<T>(static_cast<double>(t_) + step);
        if (!(next > lo_)) next = after;
        if (!(next < hi_)) next = libm::nextafter(hi_, -libm::infinity<T>);
        t_ = next;
    }
    row_threshold<T> threshold(T origin) const
    {
        if (poisoned_) return {libm::quiet_nan<T>, libm::quiet_nan<T>, libm::quiet_nan<T>};
        const double low = (of_lo_.f - 1) / of_lo_.g;
        return {origin, lo_, low > 0 && low < libm::infinity<double> ? static_cast<T>(low) : T(0)};
    }

private:
    /// Newton takes 2 to 8; behind these, halves.
    static constexpr int most_steps = 40;

    void poison() { done_ = poisoned_ = true; }

    T lo_, hi_ = T(0), t_;
    root_sums of_lo_ = {};
    int steps_ = 0;
    bool has_lo_ = false, done_ = false, poisoned_ = false;
};

/// z = s - m of the scores of a list above t, and a register of -inf behind them; returns their number.
template <class T>
HEED_INLINE int relative_scores(const row_list<T>& list, T t, T* z)
{
    constexpr int lanes = vec<T>::lanes;
    const vec<T> m(list.highest), bound(t);
    int to = 0;
    for (int i = 0; i < list.count; i += lanes) {
        const int n = lanes < list.count - i ? lanes : list.count - i;
        const vec<T> x = load(list.scores + i) - m;
        const std::uint32_t bits = above_bits(x, bound) & ((std::uint32_t{1} << n) - 1);
        store_chosen(z + to, x, bits);
        to += __builtin_popcount(bits);
    }
    for (int i = 0; i < 2 * lanes; i += lanes) store(z + to + i, vec<T>(-libm::infinity<T>));
    return to;
}

/// Forgets the scores of z that are at most t.
template <class T>
HEED_INLINE int above(T* z, int n, T t)
{
    constexpr int lanes = vec<T>::lanes;
    const vec<T> bound(t);
    int to = 0;
    for (int i = 0; i < n; i += lanes) {  // what stands behind is -inf
        const vec<T> x = load(z + i);
        const std::uint32_t bits = above_bits(x, bound);
        store_chosen(z + to, x, bits);
        to += __builtin_popcount(bits);
    }
    for (int i = 0; i < 2 * lanes; i += lanes) store(z + to + i, vec<T>(-libm::infinity<T>));
    return to;
}

/// A number left of the root, where F is above 1 by more than sums in T are off; and one that may be nearer to it.
template <class T>
struct root_bound {
    T left, near;
};

/// At most `steps` steps from there.
template <class N, class T>
root_bound<T> nearer(const N& policy, const T* z, int n, root_bound<T> at, int steps)
{
    for (; steps > 0; --steps) {
        const root_sums sums = rough_sums(policy, z, n, at.near);
        if (!(sums.f > 1 + 1e-4)) break;
        at.left = at.near;
        const T next = static_cast<T>(static_cast<double>(at.near) + root_step<N>(sums));
        if (!(next > at.left) || !(next < T(0))) break;
        at.near = next;
        if (next - at.left < T(1e-3) * -next) break;
    }
    return at;
}

/// More than rounding takes from sums and differences of such numbers.
template <class T>
HEED_INLINE T slack(T a, T b)
{
    return 4 * std::numeric_limits<T>::epsilon() * (libm::fabs(a) + libm::fabs(b));
}
/// The left end of where the threshold is, seen from the largest score: from what is known of the list's floor.
template <class N, class T>
HEED_INLINE T left_of_root(const row_list<T>& list)
{
    constexpr T least = -static_cast<T>(N::threshold.reach);
    const T from = list.floor - list.highest - slack(list.floor, list.highest);
    return from > least ? from : least;
}
/// Raises the floor of a list by what the scores in it say, and forgets what is below; z has room for the list.
template <class N, class T>
void tighten(const N& policy, row_list<T>& list, T* z)
{
    const T from = left_of_root<N>(list);
    const int n = relative_scores(list, from, z);
    const T t = nearer<N, T>(policy, z, n, {from, from}, 4).left;
    list.raise_floor((list.highest + t) - slack(list.highest, static_cast<T>(N::threshold.reach)));
    list.drop();
}

/// The threshold of a row, of which the list has every key that has a weight.
template <class N, class T>
row_threshold<T> threshold_of(const N& policy, const row_list<T>& list, T* z)
{
    if (list.highest == libm::infinity<T>) return {libm::quiet_nan<T>, libm::quiet_nan<T>, libm::quiet_nan<T>};
    if (list.count == 0) return {};
    const T from = left_of_root<N>(list);
    int n = relative_scores(list, from, z);
    root_bound<T> bound = nearer<N, T>(policy, z, n, {from, from}, 2);
    if (n > 4 * vec<T>::lanes) n = above(z, n, bound.left);
    bound = nearer<N, T>(policy, z, n, bound, 12);
    root_search<N, T> search(-static_cast<T>(N::threshold.reach), bound.near);
    while (!search.is_done()) search.take(exact_sums(policy, z, n, search.t()));
    return search.threshold(list.highest);
}

}  // namespace kernel
HEED_END
