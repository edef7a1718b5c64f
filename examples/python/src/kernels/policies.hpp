// SPDX-License-Identifier: MIT
// Policies whose kind is known at run time: one normalizer for softmax and its kin, one score map and one mask for all
// of theirs. A definition is a type, and each costs seconds to compile; with these a few do for every combination. Each
// asks heed's own policy, so that nothing is defined twice; what a call does not use costs a branch a vector of scores,
// and tiles are classified as ever.
#pragma once

#include "../calls.hpp"

#include <heed/heed.hpp>

namespace {

template <class T>
heed::view<T> view_of(const tensor& t)
{
    const std::int64_t *n = t.size, *s = t.stride;
    return heed::strided(static_cast<T*>(t.data), {n[0], n[1], n[2], n[3]}, {s[0], s[1], s[2]});
}

inline heed::index_view view_of(const numbers& n) { return {n.data, n.count}; }

/// softmax, softmax1 and softmax_sink: their extra mass is 0, n, or e to a logit of the head.
struct any_softmax : heed::softmax {
    double extra;
    const float* sinks;
    std::int64_t sink_count;

    explicit any_softmax(const definition& d) : extra(d.extra), sinks(d.sinks), sink_count(d.sink_count) {}

    double log_offset(std::int64_t head) const
    {
        return sinks ? heed::softmax_sink(sinks, sink_count).log_offset(head) : heed::softmax1(extra).log_offset(head);
    }
    heed::status check(const heed::problem& p) const
    {
        return sinks ? heed::softmax_sink(sinks, sink_count).check(p) : heed::softmax1(extra).check(p);
    }
};

template <normalizer>
struct normalizer_of {
    using type = any_softmax;
    static type from(const definition& d) { return any_softmax(d); }
};
template <>
struct normalizer_of<normalizer::softpick> {
    using type = heed::softpick;
    static type from(const definition& d) { return {d.extra}; }
};

/// A table of the call, and what one look at it says of its tiles.
template <class E>
struct table_of_scores {
    bool is_there = false;
    heed::attention_mask<E> entries{heed::view<const E>{}};
};

/// Soft capping, then ALiBi, then a bias.
template <class T>
struct any_score_map {
    double cap;
    heed::alibi slopes;
    table_of_scores<T> bias;

    any_score_map(const definition& d, const table_of_scores<T>& table)
        : cap(d.softcap), slopes(d.slopes, d.slope_count), bias(table)
    {}

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        if (cap != 0) s = heed::softcap{cap}.map(s, at);
        if (slopes.numbers) s = slopes.map(s, at);
        if (bias.is_there) s = bias.entries.map(s, at);
        return s;
    }
    bool changes(const heed::block_place& block) const
    {
        return cap != 0 || slopes.numbers || (bias.is_there && bias.entries.changes(block));
    }
    /// Those of ALiBi and of a bias are 1.
    template <class V>
    V slope(V s, const heed::score_place<V>& at) const
    {
        return cap != 0 ? heed::softcap{cap}.slope(s, at) : V(1);
    }
    static constexpr auto parameter = heed::parameter::per_score;
    template <class V>
    V parameter_slope(V, const heed::score_place<V>&) const
    {
        return V(1);
    }
    heed::status check(const heed::problem& p) const
    {
        heed::status s;
        if (cap != 0) s = heed::softcap{cap}.check(p);
        if (s && slopes.numbers) s = slopes.check(p);
        if (s && bias.is_there) s = bias.entries.check(p);
        return s;
    }
};

/// Keys that causal, a window and documents all attend: one span for each row.
struct any_span : heed::span_mask<any_span> {
    alignment causal;
    std::int64_t causal_offset;
    heed::window window;
    numbers documents;

    explicit any_span(const definition& d)
        : causal(d.causal), causal_offset(d.causal_offset), window{d.left, d.right}, documents(d.documents)
    {}

    heed::key_span span(const heed::query_place& at) const
    {
        heed::key_span s = window.span(at);
        if (causal != alignment::none) keep(s, diagonal().span(at));
        if (documents.count > 0) keep(s, heed::document(view_of(documents)).span(at));
        return s;
    }
    bool is_everything() const
    {
        return causal == alignment::none && documents.count == 0 && window.left == heed::unbounded &&
               window.right == heed::unbounded;
    }
    heed::status check(const heed::problem& p) const
    {
        heed::status s = window.check(p);
        if (s && causal != alignment::none) s = diagonal().check(p);
        if (s && documents.count > 0) s = heed::document(view_of(documents)).check(p);
        return s;
    }

private:
    heed::causal diagonal() const
    {
        return causal == alignment::by_row ? heed::causal::offset(causal_offset) : heed::causal{};
    }
    static void keep(heed::key_span& s, const heed::key_span& other)
    {
        s.begin = s.begin > other.begin ? s.begin : other.begin;
        s.end = s.end < other.end ? s.end : other.end;
    }
};

/// (prefix | causal & window & documents) & mask & bias: a bias leaves out the keys where it is -inf.
template <class T>
struct any_mask {
    any_span spans;
    heed::prefix prefix;
    table_of_scores<bool> table;
    table_of_scores<T> bias;

    any_mask(const definition& d, const table_of_scores<bool>& attended, const table_of_scores<T>& added)
        : spans(d), prefix(d.prefix), table(attended), bias(added)
    {}

    bool attends(const heed::query_place& at, std::int64_t key) const
    {
        return (prefix.attends(at, key) || spans.attends(at, key)) &&
               (!table.is_there || table.entries.attends(at, key)) && (!bias.is_there || bias.entries.attends(at, key));
    }
    heed::coverage classify(const heed::block_place& block) const
    {
        auto result = heed::coverage::full;
        if (!spans.is_everything()) result = heed::classify(heed::prefix(prefix) | any_span(spans), block);
        keep(result, table, block);
        keep(result, bias, block);
        return result;
    }
    void mark(const heed::query_place& at, std::int64_t first, int count, heed::key_bits& bits) const
    {
        prefix.mark(at, first, count, bits);
        spans.mark(at, first, count, bits);
        keep(bits, table, at, first, count);
        keep(bits, bias, at, first, count);
    }
    heed::status check(const heed::problem& p) const
    {
        heed::status s = spans.check(p);
        if (s) s = prefix.check(p);
        if (s && table.is_there) s = table.entries.check(p);
        if (s && bias.is_there) s = bias.entries.check(p);
        return s;
    }

private:
    template <class E>
    static void keep(heed::coverage& result, const table_of_scores<E>& of, const heed::block_place& block)
    {
        if (!of.is_there || result == heed::coverage::none) return;
        const heed::coverage own = of.entries.classify(block);
        if (own != heed::coverage::full) result = own;
    }
    template <class E>
    static void keep(heed::key_bits& bits, const table_of_scores<E>& of, const heed::query_place& at,
                     std::int64_t first, int count)
    {
        if (!of.is_there) return;
        heed::key_bits own;
        of.entries.mark(at, first, count, own);
        bits &= own;
    }
};

}  // namespace
