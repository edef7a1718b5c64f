// SPDX-License-Identifier: MIT
// The check of a mask: see testing.hpp.
#pragma once

#include "calls.hpp"

HEED_BEGIN
namespace detail {

template <class T, class Mask>
class mask_check {
public:
    mask_check(const Mask& mask, const problem& p) : mask_(mask), p_(p) {}

    status run()
    {
        status s = marks();
        if (s) s = classes();
        return s ? policy_calls<T, Mask>(mask_, p_).compare(looks_at_rows()) : s;
    }

private:
    static constexpr int rounds = 400;
    using ll = long long;

    /// [begin, end) of n: short ones as often as long ones.
    key_span drawn_span(std::int64_t n, std::int64_t most)
    {
        const std::int64_t begin = draw_.below(n), longest = min_of(n - begin, draw_.below(2) ? most : 4);
        return {begin, begin + 1 + draw_.below(longest)};
    }

    /// A key near the ends of what a row attends: if classes are wrong anywhere, they are wrong there.
    std::int64_t drawn_edge(const query_place& row)
    {
        std::vector<std::int64_t> edges{0, p_.total_keys};
        for (std::int64_t key = 1; key < p_.total_keys; ++key)
            if (mask_.attends(row, key) != mask_.attends(row, key - 1)) edges.push_back(key);
        const std::int64_t edge = edges[static_cast<std::size_t>(draw_.below(static_cast<std::int64_t>(edges.size())))];
        return min_of(max_of(edge + draw_.below(5) - 2, 0), p_.total_keys);
    }

    status marks()
    {
        for (int round = 0; round < rounds; ++round) {
            const query_place row = drawn_row(draw_, p_);
            key_span keys = drawn_span(p_.total_keys, key_bits::capacity);
            if (round % 2) {  // as kernels ask: a key tile
                keys.begin = keys.begin / key_bits::capacity * key_bits::capacity;
                keys.end = min_of(keys.begin + key_bits::capacity, p_.total_keys);
            }
            key_bits bits;
            mark(mask_, row, keys.begin, static_cast<int>(keys.end - keys.begin), bits);
            for (std::int64_t key = keys.begin; key < keys.end; ++key)
                if (const bool is = mask_.attends(row, key); bits.test(static_cast<int>(key - keys.begin)) != is)
                    return status::error(errc::invalid_argument,
                                         "check: mark: of the keys [%lld, %lld) key %lld is %s, and attends() says %s "
                                         "(batch %lld, head %lld, row %lld, position %lld)",
                                         ll{keys.begin}, ll{keys.end}, ll{key}, is ? "not marked" : "marked",
                                         is ? "true" : "false", ll{row.batch}, ll{row.head}, ll{row.row},
                                         ll{row.position});
        }
        return {};
    }

    status classes()
    {
        for (int round = 0; round < 4 * rounds; ++round) {
            const key_span rows = drawn_span(p_.queries, 64), heads = drawn_span(p_.query_heads, 64);
            key_span keys = drawn_span(p_.total_keys, 128);
            const std::int64_t position_0 = p_.total_keys - p_.queries;
            const std::int64_t batch = draw_.below(p_.batch);
            if (round % 4) {
                const std::int64_t row = rows.begin + draw_.below(rows.end - rows.begin);
                const std::int64_t edge = drawn_edge({batch, heads.begin, row, position_0 + row}),
                                   n = keys.end - keys.begin;
                keys =
                    round % 2 ? key_span{edge, min_of(edge + n, p_.total_keys)} : key_span{max_of(edge - n, 0), edge};
                if (keys.begin == keys.end) continue;
            }
            const block_place block{batch,      heads.begin, heads.end, rows.begin, rows.end, position_0 + rows.begin,
                                    keys.begin, keys.end};
            const coverage is = classify(mask_, block);
            if (is == coverage::partial) continue;
            for (std::int64_t h = heads.begin; h < heads.end; ++h)
                for (std::int64_t row = rows.begin; row < rows.end; ++row)
                    for (std::int64_t key = keys.begin; key < keys.end; ++key)
                        if (mask_.attends({block.batch, h, row, position_0 + row}, key) != (is == coverage::full))
                            return status::error(
                                errc::invalid_argument,
                                "check: classify: rows [%lld, %lld) and keys [%lld, %lld) are %s, but head %lld, row "
                                "%lld, position %lld %s key %lld",
                                ll{rows.begin}, ll{rows.end}, ll{keys.begin}, ll{keys.end},
                                is == coverage::full ? "full" : "none", ll{h}, ll{row}, ll{position_0 + row},
                                is == coverage::full ? "does not attend" : "attends", ll{key});
        }
        return {};
    }

    /// Whether a row's number within the call changes what is attended, at the same position.
    bool looks_at_rows()
    {
        for (int round = 0; round < rounds * 4; ++round) {
            query_place row = drawn_row(draw_, p_);
            const std::int64_t key = draw_.below(p_.total_keys);
            const bool here = mask_.attends(row, key);
            row.row = draw_.below(p_.queries);
            if (mask_.attends(row, key) != here) return true;
        }
        return false;
    }

    const Mask& mask_;
    problem p_;
    drawn draw_;
};

}  // namespace detail
HEED_END
