// SPDX-License-Identifier: MIT
// A float bias [B, Hq, Sq, Skv], added to the score; -inf in it masks its key. An extent of 1 is repeated along B,
// Hq and Sq. Columns are absolute key positions.
#pragma once

#include "../score.hpp"
#include "../view.hpp"

HEED_BEGIN

template <class T>
struct bias {
    view<const T> values;

    explicit bias(view<const T> v) : values(repeat_ones(v)) {}

    template <class V>
    V map(V s, const score_place<V>& at) const
    {
        return s + at.load(values.row(at.batch, at.head, at.row));
    }
    template <class V>
    V slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const score_place<V>&) const
    {
        return V(1);
    }
    status check(const problem& p) const
    {
        const extents& e = values.size;
        const bool fits = (e.batch == p.batch || e.batch == 1) && (e.heads == p.query_heads || e.heads == 1) &&
                          (e.tokens == p.queries || e.tokens == 1) && e.dim == p.total_keys;
        if (fits && (values.data || p.batch * p.query_heads * p.queries * p.total_keys == 0)) return {};
        return status::error(
            errc::invalid_argument, "bias: [%lld, %lld, %lld, %lld]%s does not broadcast to [%lld, %lld, %lld, %lld]",
            static_cast<long long>(e.batch), static_cast<long long>(e.heads), static_cast<long long>(e.tokens),
            static_cast<long long>(e.dim), values.data ? "" : " at null", static_cast<long long>(p.batch),
            static_cast<long long>(p.query_heads), static_cast<long long>(p.queries),
            static_cast<long long>(p.total_keys));
    }

private:
    static view<const T> repeat_ones(view<const T> v)
    {
        if (v.size.batch == 1) v.step.batch = 0;
        if (v.size.heads == 1) v.step.heads = 0;
        if (v.size.tokens == 1) v.step.tokens = 0;
        return v;
    }
};
template <class T>
bias(view<T>) -> bias<std::remove_const_t<T>>;

HEED_END
