// SPDX-License-Identifier: MIT
// The policies of the compute op. One definition serves every op: what is optional is decided when it runs, not when it
// is compiled.
#pragma once

#include <heed/heed.hpp>

#include <cmath>

namespace compute_op {

using int64 = std::int64_t;

/// m0^(h + 1) for the first n = 2^floor(log2 H) heads and m1^(2 (h - n) + 1) for the rest, m0 = 2^(-max_bias / n) and
/// m1 = 2^(-max_bias / 2 / n); 1 where max_bias is 0.
inline float alibi_slope(float max_bias, int64 head, int64 heads)
{
    if (!(max_bias > 0)) return 1;
    int64 n = 1;
    while (2 * n <= heads) n *= 2;
    const float m0 = std::exp2(-max_bias / static_cast<float>(n)),
                m1 = std::exp2(-max_bias / 2 / static_cast<float>(n));
    return head < n ? std::pow(m0, static_cast<float>(head + 1)) : std::pow(m1, static_cast<float>(2 * (head - n) + 1));
}

namespace detail {

using heed::status;

struct optional_sinks : heed::softmax_sink {
    using softmax_sink::softmax_sink;

    double log_offset(int64 head) const
    {
        return numbers ? softmax_sink::log_offset(head) : -std::numeric_limits<double>::infinity();
    }
    status check(const heed::problem& p) const { return numbers ? softmax_sink::check(p) : status{}; }
};

struct optional_softcap {
    float cap;  // 0: none

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return cap > 0 ? heed::softcap{cap}.map(s, at) : s;
    }
    bool changes(const heed::block_place&) const { return cap > 0; }
    status check(const heed::problem& p) const
    {
        return cap >= 0 && !(cap > 0) ? status{} : heed::softcap{cap}.check(p);
    }
};

/// s + slope_h mask, and -inf leaves its key out: a table of f16 or of f32, [M3, M2, Nq, Nkv], of which that of head h
/// and batch b is h % M2, b % M3. One without data is no mask.
struct sloped_mask {
    heed::attention_mask<heed::f16> halves;
    heed::attention_mask<float> floats;  // one of the two has data
    const float* slopes;                 // [H]

    sloped_mask(const heed::view<const heed::f16>& of_f16, const heed::view<const float>& of_f32,
                const heed::mask_summary& summary, const float* of_heads)
        : halves(of_f16, summary), floats(of_f32, summary), slopes(of_heads)
    {}

    bool is_there() const { return halves.values.data || floats.values.data; }
    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        if (!is_there()) return s;
        const heed::query_place row = in_table(at);
        const auto entries = [&](const auto& table) { return table.values.row(row.batch, row.head, row.row); };
        const V x = floats.values.data ? at.load(entries(floats)) : at.load(entries(halves));
        return heed::select(x == V(0), s, heed::fma(x, V(slopes[at.head]), s));
    }
    bool changes(const heed::block_place& block) const
    {
        bool any = false;
        if (is_there()) for_heads(block, [&](const heed::block_place& b) { return !(any = table().changes(b)); });
        return any;
    }
    bool attends(const heed::query_place& at, int64 key) const
    {
        if (!is_there()) return true;
        return floats.values.data ? floats.attends(in_table(at), key) : halves.attends(in_table(at), key);
    }
    heed::coverage classify(const heed::block_place& block) const
    {
        if (!is_there()) return heed::coverage::full;
        heed::coverage all = heed::coverage::partial;
        bool first = true;
        for_heads(block, [&](const heed::block_place& b) {
            const heed::coverage c = table().classify(b);
            all = first || c == all ? c : heed::coverage::partial;
            first = false;
            return all != heed::coverage::partial;
        });
        return all;
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        if (!is_there()) bits.set_range(0, count);
        else if (floats.values.data) floats.mark(in_table(at), first, count, bits);
        else halves.mark(in_table(at), first, count, bits);
    }

private:
    /// What a summary says does not depend on the type of the entries.
    const heed::attention_mask<heed::f16>& table() const { return halves; }
    const heed::extents& size() const { return floats.values.data ? floats.values.size : halves.values.size; }
    static int64 repeated(int64 i, int64 n) { return n == 1 ? 0 : i < n ? i : i % n; }  // a division only if need be
    heed::query_place in_table(heed::query_place at) const
    {
        at.head = repeated(at.head, size().heads);
        at.batch = repeated(at.batch, size().batch);
        return at;
    }
    /// f(block of the table) for the heads of a block that differ, while it returns true.
    template <class F>
    void for_heads(heed::block_place b, F f) const
    {
        const int64 first = b.head_begin, end = size().heads == 1 ? first + 1 : b.head_end;
        b.batch = repeated(b.batch, size().batch);
        for (int64 h = first; h < end; ++h) {
            b.head_begin = repeated(h, size().heads);
            b.head_end = b.head_begin + 1;
            if (!f(b)) return;
        }
    }
};

}  // namespace detail
}  // namespace compute_op
