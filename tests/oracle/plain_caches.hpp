// SPDX-License-Identifier: MIT
// Sequences of tokens to put into caches, and what attention over them is judged by.
#pragma once

#include "../pages.hpp"
#include "../two_threads.hpp"
#include "plain_cases.hpp"

#include <heed/observe.hpp>

namespace oracle {

inline constexpr double cache_scale = 0.375;

/// Sequences of these lengths, whose keys and values are drawn once.
class tokens {
public:
    static constexpr int64 heads = 4, kv_heads = 2, value_dim = 32;
    const int64 key_dim;

    explicit tokens(std::vector<int64> lengths, int64 key_channels = 24)
        : key_dim(key_channels), lengths_(std::move(lengths)),
          longest_(*std::max_element(lengths_.begin(), lengths_.end())),
          k_(test::normal<float>({batch(), kv_heads, longest_, key_dim}, 21)),
          v_(test::normal<float>({batch(), kv_heads, longest_, value_dim}, 22))
    {}
    int64 batch() const { return static_cast<int64>(lengths_.size()); }
    int64 length(int64 b) const { return lengths_[static_cast<std::size_t>(b)]; }
    const std::vector<int64>& all_lengths() const { return lengths_; }
    heed::index_view lengths() const { return {lengths_.data(), batch()}; }
    const test::tensor<float>& k() const { return k_; }
    const test::tensor<float>& v() const { return v_; }
    test::tensor<float> queries(int64 rows) const
    {
        return test::normal<float>({batch(), heads, rows, key_dim}, 24, 1.5);
    }

    /// Token t of sequence b, as row `slot` of line `line` of a cache.
    void write(int64 b, int64 t, heed::view<float> k, heed::view<float> v, int64 line, int64 slot) const
    {
        for (int64 h = 0; h < kv_heads; ++h) {
            std::copy_n(k_.in().row(b, h, t), key_dim, k.row(line, h, slot));
            std::copy_n(v_.in().row(b, h, t), value_dim, v.row(line, h, slot));
        }
    }
    /// Every token at its own place; queries come from the caller.
    plain::problem formula() const
    {
        plain::problem of{batch(), heads, kv_heads, key_dim, value_dim, longest_, {}, {}, {}, {}, {}, {}, {}};
        of.k = numbers_of(k_);
        of.v = numbers_of(v_);
        of.holds = [this](int64 b, int64 t) { return t < length(b); };
        return of;
    }

private:
    std::vector<int64> lengths_;
    int64 longest_;
    test::tensor<float> k_, v_;
};

inline std::vector<stated_mask> masks_of_caches()
{
    using namespace heed;
    using plain::place;
    return {{"all keys", some_mask(all_keys{}), [](const place&) { return true; }},
            {"causal", some_mask(causal{}), [](const place& x) { return x.key <= x.position; }},
            {"a short window", some_mask(causal{} & window{.left = 5}),
             [](const place& x) { return x.key <= x.position && x.key >= x.position - 5; }},
            {"a long window", some_mask(window{.left = 45, .right = 0}),
             [](const place& x) { return x.key <= x.position && x.key >= x.position - 45; }}};
}

/// Of two masks, the second attends everything.
inline auto def_of(const stated_mask& mask)
{
    return heed::attention{mask.mask, heed::prefix{1 << 20}, heed::scale{cache_scale}};
}

/// Queries are the last of their sequences.
inline plain::definition formula_of(const stated_mask& mask, const plain::problem& of)
{
    plain::definition d;
    d.scale = cache_scale;
    d.attends = mask.attends;
    d.position_of_row_0 = [&of](int64 b) {
        int64 end = of.tokens;
        while (end > 0 && of.holds && !of.holds(b, end - 1)) --end;
        return end - of.rows(b);
    };
    return d;
}

inline void check_row(const plain::row& r, const float* out, int64 b, int64 h, int64 i)
{
    INFO("sequence " << b << ", head " << h << ", row " << i);
    for (std::size_t c = 0; c < r.out.size(); ++c) check("channel", c, r.out[c], out[c]);
}

/// attend() in memory that holds these bytes.
template <class Def, class Q, class Kv>
void attend_in(int byte, const Def& def, const Q& q, const Kv& kv, const heed::view<float>& out,
               heed::options<float> how)
{
    const heed::plan<Def, float> plan(def, q, kv, how);
    REQUIRE(plan.status());
    std::vector<unsigned char> memory(plan.workspace_bytes(), static_cast<unsigned char>(byte));
    how.workspace = {memory.data(), memory.size()};
    REQUIRE(plan.run(q, kv, out, how));
}

/// Outputs and weights of `rows` query rows a sequence under every mask, or one of them. Neither a split of the keys
/// changes a bit, nor what memory held before: 0x3f3f3f3f is 0.75, and 0xffffffff a NaN.
template <class Kv>
void judge_all_masks(const tokens& of, int64 rows, const Kv& kv, plain::problem p, const std::string& only = "")
{
    const test::tensor<float> q = of.queries(rows);
    p.q = numbers_of(q);
    p.rows = [rows](int64) { return rows; };
    for (const stated_mask& mask : masks_of_caches()) {
        if (!only.empty() && mask.name != only) continue;
        INFO(mask.name << ", " << rows << " rows");
        const auto def = def_of(mask);
        const plain::definition formula = formula_of(mask, p);
        test::tensor<float> out({of.batch(), of.heads, rows, of.value_dim}, -7), again = out;
        const auto n = static_cast<std::size_t>(of.batch() * of.heads * rows);
        std::vector<float> shift(n), mass(n), map(static_cast<std::size_t>(rows * p.tokens));
        const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
        test::two_threads two;
        for (const int byte : {0xff, 0x3f}) {
            attend_in(byte, def, q.in(), kv, again.view(), {.executor = two});
            attend_in(byte, def, q.in(), kv, out.view(), {.stats = stats});
            CHECK(test::same_bits(out.data, again.data));
        }
        for (int64 b = 0; b < of.batch(); ++b)
            for (int64 h = 0; h < of.heads; ++h) {
                REQUIRE(heed::attention_map(def, q.in(), kv, stats, {b, h, 0, rows}, map.data()));
                for (int64 i = 0; i < rows; ++i) {
                    const plain::row r = plain::row_of(formula, p, b, h, i);
                    check_row(r, out.in().row(b, h, i), b, h, i);
                    std::vector<plain::judged> weights(static_cast<std::size_t>(p.tokens));
                    for (const plain::weighed& w : r.keys) weights[static_cast<std::size_t>(w.at.key)] = w.p;
                    for (std::size_t j = 0; j < weights.size(); ++j)
                        check("weight of key", j, weights[j], map[static_cast<std::size_t>(i * p.tokens) + j]);
                }
            }
    }
}

/// OCP E4M3: sign, 4 bits of exponent biased by 7, 3 of fraction.
inline double fp8(heed::fp8_e4m3 stored)
{
    const int exponent = stored.bits >> 3 & 15, fraction = stored.bits & 7;
    const double x = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
    return stored.bits & 0x80 ? -x : x;
}
/// OCP E5M2, of finite numbers: sign, 5 bits of exponent biased by 15, 2 of fraction.
inline double fp8(heed::fp8_e5m2 stored)
{
    const int exponent = stored.bits >> 2 & 31, fraction = stored.bits & 3;
    const double x = exponent == 0 ? std::ldexp(fraction, -16) : std::ldexp(4 + fraction, exponent - 17);
    return stored.bits & 0x80 ? -x : x;
}

}  // namespace oracle
