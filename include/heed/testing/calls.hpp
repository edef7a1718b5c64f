// SPDX-License-Identifier: MIT
// What all checks of testing.hpp share: drawn numbers, derivatives by differences, and the calls whose bits must agree.
#pragma once

#include "../attend.hpp"
#include "../reference.hpp"
#include "../state.hpp"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

HEED_BEGIN

namespace detail {

/// A generator that draws the same numbers on every machine.
class drawn {
public:
    /// In [0, n).
    std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(next_() % static_cast<std::uint64_t>(n)); }
    /// In [-range, range).
    double within(double range) { return (static_cast<double>(next_() >> 11) * 0x1p-52 - 1) * range; }
    template <class T>
    std::vector<T> some(std::int64_t n, double range)
    {
        std::vector<T> x(static_cast<std::size_t>(n));
        for (T& e : x) e = static_cast<T>(within(range));
        return x;
    }

private:
    std::mt19937_64 next_{20260101};
};

template <class T>
bool is_close(T a, T b, T tolerance)
{
    if (a == b || (a != a && b != b)) return true;
    return std::fabs(a - b) <= tolerance;
}

/// A derivative by differences, of a function that may be smooth around x, or bend or jump there.
struct difference {
    double slope, size;
    bool smooth;

    template <class F>
    difference(F f, double x)
    {
        constexpr double h = 1e-5;
        const double below = f(x - h), here = f(x), above = f(x + h);
        const double left = (here - below) / h, right = (above - here) / h;
        slope = (above - below) / (2 * h);
        size = std::fabs(left) + std::fabs(right);
        smooth = std::fabs(left - right) <= 1e-2 * size;
        size += 1e-3 * std::fabs(here);
    }
    bool agrees(double with) const { return std::fabs(with - slope) <= 1e-6 * size + 1e-12; }
};

/// Queries, keys and values to call a policy with, and the comparisons of the calls.
template <class T, class Policy>
class policy_calls {
public:
    policy_calls(const Policy& policy, const problem& p)
        : policy_(policy), p_(p), q_(draw_.some<T>(p.batch * p.query_heads * p.queries * dim, 2)),
          k_(draw_.some<T>(p.batch * p.kv_heads * p.total_keys * dim, 2)),
          v_(draw_.some<T>(p.batch * p.kv_heads * p.total_keys * dim, 2))
    {}

    /// `by_row`: the policy reads row numbers, which count within a call.
    status compare(bool by_row) const
    {
        const auto def = definition(p_.total_keys - p_.queries);
        const extents all{p_.batch, p_.query_heads, p_.queries, dim};
        std::vector<T> whole(q_.size());
        status s =
            heed::attend(def, queries(), keys(0, p_.total_keys), values(0, p_.total_keys), bhsd(whole.data(), all));
        if (s) s = merge_parts(def, all, whole);
        for (const std::int64_t row : {std::int64_t{0}, p_.queries / 2, p_.queries - 1})
            if (s && !by_row) s = decode(row, all, whole);
        return s;
    }

private:
    static constexpr std::int64_t dim = 16;

    auto definition(std::int64_t position_of_row_0) const
    {
        return attention{policy_, query_offset(position_of_row_0)};
    }
    view<const T> queries() const { return bhsd(q_.data(), {p_.batch, p_.query_heads, p_.queries, dim}); }
    view<const T> of_tokens(const std::vector<T>& x, std::int64_t first, std::int64_t end) const
    {
        const auto all = bhsd(x.data(), {p_.batch, p_.kv_heads, p_.total_keys, dim});
        return strided(all.row(0, 0, first), {p_.batch, p_.kv_heads, end - first, dim}, all.stride);
    }
    view<const T> keys(std::int64_t first, std::int64_t end) const { return of_tokens(k_, first, end); }
    view<const T> values(std::int64_t first, std::int64_t end) const { return of_tokens(v_, first, end); }

    static status differ(const char* what, std::int64_t b, std::int64_t h, std::int64_t row, T has, T whole)
    {
        using ll = long long;
        return status::error(errc::invalid_argument,
                             "check: %s, batch %lld, head %lld, row %lld: %g instead of %g: the policy does not depend "
                             "on score and place alone",
                             what, ll{b}, ll{h}, ll{row}, static_cast<double>(has), static_cast<double>(whole));
    }
    /// Whether the rows of `part` have the bits of the rows of `whole` from `row` on.
    status alike(const char* what, const view<const T>& part, const view<const T>& whole, std::int64_t row) const
    {
        for (std::int64_t b = 0; b < part.size.batch; ++b)
            for (std::int64_t h = 0; h < part.size.heads; ++h)
                for (std::int64_t i = 0; i < part.size.tokens; ++i) {
                    const T *x = part.row(b, h, i), *y = whole.row(b, h, row + i);
                    for (std::int64_t c = 0; c < dim; ++c)
                        if (std::memcmp(x + c, y + c, sizeof(T)) != 0) return differ(what, b, h, row + i, x[c], y[c]);
                }
        return {};
    }
    template <class Def>
    status merge_parts(const Def& def, const extents& all, const std::vector<T>& whole) const
    {
        const std::int64_t cut = (p_.total_keys - 1) / micro::key_tile * micro::key_tile;
        if (cut == 0) return {};
        const std::size_t rows = q_.size() / dim;
        std::vector<T> shift(2 * rows), mass(2 * rows), out(2 * q_.size()), merged(q_.size());
        state<T> part[2];
        status s;
        for (std::size_t i = 0; i < 2; ++i) {
            part[i] = {shift.data() + i * rows, mass.data() + i * rows, out.data() + i * q_.size(), all};
            if (s) s = clear(def, part[i]);
            const std::int64_t first = i ? cut : 0, end = i ? p_.total_keys : cut;
            if (s)
                s = attend_partial(def, queries(), keys(first, end), values(first, end), part[i],
                                   {first, p_.total_keys});
        }
        constexpr bool ordered = has_order_v<typename std::decay_t<Def>::normalizer_type>;
        if (s) s = ordered ? merge_left(part[1], part[0]) : merge(part[0], part[1]);
        if (s) s = finish(def, part[ordered], bhsd(merged.data(), all));
        return s ? alike("two merged parts", bhsd<const T>(merged.data(), all), bhsd(whole.data(), all), 0) : s;
    }
    status decode(std::int64_t row, const extents& all, const std::vector<T>& whole) const
    {
        const auto def = definition(p_.total_keys - p_.queries + row);
        problem one = p_;
        one.queries = 1;
        if (!def.check(one)) return {};  // it is a matter of all rows
        const extents e{p_.batch, p_.query_heads, 1, dim};
        std::vector<T> out(static_cast<std::size_t>(p_.batch * p_.query_heads * dim));
        const status s = heed::attend(def, strided(queries().row(0, 0, row), e, queries().stride),
                                      keys(0, p_.total_keys), values(0, p_.total_keys), bhsd(out.data(), e));
        return s ? alike("decode", bhsd<const T>(out.data(), e), bhsd(whole.data(), all), row) : s;
    }

    const Policy& policy_;
    problem p_;
    drawn draw_;
    std::vector<T> q_, k_, v_;
};

/// A row of a problem.
inline query_place drawn_row(drawn& draw, const problem& p)
{
    const std::int64_t row = draw.below(p.queries);
    return {draw.below(p.batch), draw.below(p.query_heads), row, p.total_keys - p.queries + row};
}

}  // namespace detail

HEED_END
