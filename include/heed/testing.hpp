// SPDX-License-Identifier: MIT
// Instruments for a policy of one's own, one call in a test:
//
//     #include <heed/testing.hpp>
//
//     const heed::status s = heed::check(my_normalizer{});
//     const heed::status s = heed::check(my_map, heed::problem{1, 4, 2, 70, 1100});   // or a mask
//     REQUIRE(s);                                      // s.message() says what is wrong, and where
//
// Of a normalizer it checks: its own check() passes; log_offset() is a number; terms() and slopes() of a vector equal
// those of its lanes; they carry 2^-M once and stay in range under its shift rule; a score of -inf weighs 0 and NaN
// stays NaN; slopes() are the derivatives of terms(). Of one with a threshold: what the search relies on, or the least
// share, and slopes().
//
// Of a score map: check() passes; map(), slope() and parameter_slope() of a vector equal those of its lanes; slope() is
// the derivative of map(); NaN stays NaN, or is masked; changes() is true where map() changes a score. Of a mask:
// check() passes; classify() and mark() agree with attends().
//
// Of each of them but a sum_is_one or share_of: decode has the bits of prefill, and two merged parts of the keys have
// the bits of the whole. A policy that reads `row` rather than `position` is tied to its call, so it is not tried in
// decode.
//
// parameter_slope() is compared lane by lane only, since heed cannot change the parameter that it differentiates by. A
// check allocates, takes milliseconds, and compiles a forward pass.
#pragma once

#include "testing/mask.hpp"
#include "testing/score.hpp"
#include "testing/sum_is_one.hpp"

HEED_BEGIN

/// Checks that a normalizer, a score map or a mask keeps its contract: the status is ok, or one sentence says what is
/// broken. `p` holds the heads, queries and keys that the policy's own tables fit. T is the type of the tensors,
/// float or double.
template <class T = float, class Policy>
status check(const Policy& policy, const problem& p)
{
    constexpr bool is_one = is_normalizer_v<Policy> || is_score_map_v<Policy> || is_mask_v<Policy>;
    static_assert(sizeof(std::conditional_t<is_one, attention<Policy>, char>) > 0);  // it has said its sentence
    static_assert(is_one || !(detail::sound_mask<Policy>::value && detail::sound_map<Policy>::value),
                  "heed: check() takes a normalizer, a score map or a mask");
    if (p.batch < 1 || p.kv_heads < 1 || p.query_heads < 1 || p.query_heads % p.kv_heads != 0 || p.queries < 1 ||
        p.total_keys < 1)
        return status::error(
            errc::invalid_argument,
            "check: batch %lld, heads %lld/%lld, %lld queries and %lld keys are no problem to check by",
            static_cast<long long>(p.batch), static_cast<long long>(p.query_heads), static_cast<long long>(p.kv_heads),
            static_cast<long long>(p.queries), static_cast<long long>(p.total_keys));
    if constexpr (detail::has_check<Policy>::value)
        if (status s = policy.check(p); !s) return s;
    if constexpr (is_normalizer_v<Policy>) {
        if constexpr (detail::sound_normalizer<Policy>::value) return detail::check_normalizer<T, Policy>(policy, p);
        else return detail::unsound_call("check");
    } else {
        status s;
        if constexpr (is_score_map_v<Policy>) s = detail::map_check<T, Policy>(policy, p).run();
        if constexpr (is_mask_v<Policy>)  // it may be both
            if (s) s = detail::mask_check<T, Policy>(policy, p).run();
        return s;
    }
}

/// The same by problems of heed's own, for policies without tables: a long one, and one with more queries than keys,
/// whose first rows stand at positions below 0.
template <class T = float, class Policy>
status check(const Policy& policy)
{
    const problem before_the_first{1, 4, 2, 40, 10};
    const status s = check<T>(policy, {2, 4, 2, 13, 1100});
    if constexpr (is_normalizer_v<Policy>) return s;
    else if constexpr (detail::has_check<Policy>::value)
        return s && policy.check(before_the_first) ? check<T>(policy, before_the_first) : s;
    else return s ? check<T>(policy, before_the_first) : s;
}

HEED_END
