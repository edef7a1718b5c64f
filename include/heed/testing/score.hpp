// SPDX-License-Identifier: MIT
// The check of a score map: see testing.hpp.
#pragma once

#include "calls.hpp"

#include <cmath>

HEED_BEGIN
namespace detail {

template <class T, class Map>
class map_check {
public:
    map_check(const Map& map, const problem& p) : map_(map), p_(p) {}

    status run()
    {
        status s = lanes("map", [this](auto x, const auto& at) { return map_.map(x, at); });
        if (s) s = poisoned();
        if constexpr (has_map_slope_v<Map>) {
            if (s) s = lanes("slope", [this](auto x, const auto& at) { return map_.slope(x, at); });
            if (s) s = slopes();
        }
        if constexpr (parameter_of_v<Map> != parameter::none)
            if (s) s = lanes("parameter_slope", [this](auto x, const auto& at) { return map_.parameter_slope(x, at); });
        if constexpr (has_changes<Map>::value)
            if (s) s = unchanged();
        return s ? policy_calls<T, Map>(map_, p_).compare(looks_at_rows()) : s;
    }

private:
    static constexpr int rounds = 400;
    using ll = long long;

    double drawn_score(int round) { return draw_.within(round % 3 == 0 ? 1 : 30); }

    /// Whether f of a vector equals f of each lane, at the place of its key.
    template <class F>
    status lanes(const char* what, F f)
    {
        constexpr int n = simd::vec<T>::lanes;
        for (int round = 0; round < rounds; ++round) {
            const query_place row = drawn_row(draw_, p_);
            const std::int64_t key = draw_.below(p_.total_keys), existing = p_.total_keys - key;
            T s[n], got[n];
            for (T& x : s) x = static_cast<T>(drawn_score(round));
            store(got, simd::vec<T>(f(simd::load(s), score_place<simd::vec<T>>(row, key, existing))));
            for (int i = 0; i < n && i < existing; ++i) {
                const T alone = T(f(s[i], score_place<T>(row, key + i)));
                const T tolerance = 64 * std::numeric_limits<T>::epsilon() * (std::fabs(alone) + std::fabs(s[i]));
                if (!is_close(got[i], alone, tolerance))
                    return status::error(errc::invalid_argument,
                                         "check: %s: lane %d of the keys from %lld on is %g for a score of %g, and key "
                                         "%lld by itself %g (head %lld, position %lld)",
                                         what, i, ll{key}, static_cast<double>(got[i]), static_cast<double>(s[i]),
                                         ll{key + i}, static_cast<double>(alone), ll{row.head}, ll{row.position});
            }
        }
        return {};
    }

    status poisoned()
    {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        for (int round = 0; round < rounds; ++round) {
            const score_place<double> at(drawn_row(draw_, p_), draw_.below(p_.total_keys));
            const double s = map_.map(nan, at);
            if (s == s && s != -std::numeric_limits<double>::infinity())
                return status::error(errc::invalid_argument,
                                     "check: map: a score of NaN becomes %g at key %lld, which hides it; max(x, 0) "
                                     "keeps a NaN in x, select(x > 0, x, 0) does not",
                                     s, ll{at.key_at(0)});
        }
        return {};
    }

    status slopes()
    {
        int smooth = 0;
        for (int round = 0; round < rounds; ++round) {
            const score_place<double> at(drawn_row(draw_, p_), draw_.below(p_.total_keys));
            const double s = drawn_score(round);
            if (!std::isfinite(map_.map(s, at))) continue;
            const difference d([&](double x) { return map_.map(x, at); }, s);
            const double has = map_.slope(s, at);
            smooth += d.smooth;
            if (d.smooth && !d.agrees(has))
                return status::error(errc::invalid_argument,
                                     "check: slope: at score %g, key %lld, head %lld it is %g; by differences of map() "
                                     "it is %g",
                                     s, ll{at.key_at(0)}, ll{at.head}, has, d.slope);
        }
        if (smooth > 0) return {};
        return status::error(errc::invalid_argument, "check: slope: map() is smooth nowhere, and has no derivative");
    }

    /// Whether scores of which changes() says that they are given back are, but for those that the map masks.
    status unchanged()
    {
        for (int round = 0; round < 4 * rounds; ++round) {
            const query_place row = drawn_row(draw_, p_);
            const std::int64_t first = draw_.below(p_.total_keys), end = min_of(first + 40, p_.total_keys);
            if (map_.changes({row.batch, row.head, row.head + 1, row.row, row.row + 1, row.position, first, end}))
                continue;
            for (std::int64_t key = first; key < end; ++key) {
                if constexpr (is_mask_v<Map>)
                    if (!map_.attends(row, key)) continue;
                const T s = static_cast<T>(round % 8 ? drawn_score(round) : -0.),
                        got = map_.map(s, score_place<T>(row, key));
                if (got == s && std::signbit(got) == std::signbit(s)) continue;
                return status::error(
                    errc::invalid_argument,
                    "check: changes: says false of the keys [%lld, %lld), and a score of %g becomes %g "
                    "at key %lld (batch %lld, head %lld, row %lld)",
                    ll{first}, ll{end}, static_cast<double>(s), static_cast<double>(got), ll{key}, ll{row.batch},
                    ll{row.head}, ll{row.row});
            }
        }
        return {};
    }

    /// Whether a row's number within the call changes a score, at the same position.
    bool looks_at_rows()
    {
        for (int round = 0; round < rounds; ++round) {
            query_place row = drawn_row(draw_, p_);
            const std::int64_t key = draw_.below(p_.total_keys);
            const double s = drawn_score(round), here = map_.map(s, score_place<double>(row, key));
            row.row = draw_.below(p_.queries);
            if (!is_close(map_.map(s, score_place<double>(row, key)), here, 0.)) return true;
        }
        return false;
    }

    const Map& map_;
    problem p_;
    drawn draw_;
};

}  // namespace detail
HEED_END
