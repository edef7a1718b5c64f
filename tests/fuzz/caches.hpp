// SPDX-License-Identifier: MIT
// Caches of every kind and element: pages by list or by row, rings, dense ones with lengths; scales by token or
// channel; tables of any numbers. What a cache holds is said here in loops of its own.
#pragma once

#include "token_map.hpp"

#include <variant>

namespace fuzz {

/// Any bits that stand for numbers of about 1, now and then for none.
inline void draw_element(input& in, float& x, const family& f) { x = element_of<float>(f.draw(in)); }
inline void draw_element(input& in, heed::f16& x, const family& f) { x = element_of<heed::f16>(f.draw(in)); }
inline void draw_element(input& in, heed::bf16& x, const family& f) { x = element_of<heed::bf16>(f.draw(in)); }
inline void draw_element(input& in, std::int8_t& x, const family&) { x = static_cast<std::int8_t>(in.random()); }
inline void draw_element(input& in, heed::fp8_e4m3& x, const family&)
{
    x.bits = static_cast<std::uint8_t>(in.random());
    if ((x.bits & 0x7f) == 0x7f && in.random() % 16) x.bits = 0;
}
inline void draw_element(input& in, heed::fp8_e5m2& x, const family&)
{
    x.bits = static_cast<std::uint8_t>(in.random());
    if ((x.bits & 0x7f) >= 0x5c && in.random() % 16) x.bits &= 0xbf;  // mostly below 256, and finite
}
inline void draw_element(input& in, heed::q8_0& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 64);
    for (auto& q : x.q) q = static_cast<std::int8_t>(in.random());
}
inline void draw_element(input& in, heed::q4_0& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 8);
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}
inline void draw_element(input& in, heed::q5_0& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 16);
    for (auto& b : x.high) b = static_cast<std::uint8_t>(in.random());
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}

inline void draw_element(input& in, heed::q4_1& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 8);
    x.m = element_of<heed::f16>(f.draw(in));
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}
inline void draw_element(input& in, heed::q5_1& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 16);
    x.m = element_of<heed::f16>(f.draw(in));
    for (auto& b : x.high) b = static_cast<std::uint8_t>(in.random());
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}
inline void draw_element(input& in, heed::iq4_nl& x, const family& f)
{
    x.d = element_of<heed::f16>(f.draw(in) / 100);
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}

inline void draw_element(input& in, heed::mxfp4& x, const family& f)
{
    int exponent = 0;
    std::frexp(f.draw(in), &exponent);
    x.e = static_cast<std::uint8_t>(std::clamp(exponent + 125, 2, 250));
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}

template <class E>
std::enable_if_t<has_zero_point<E>> draw_element(input& in, E& x, const family& f)
{
    x.scale = element_of<float>(f.draw(in) / 16);
    x.zero = element_of<float>(in.uniform() * 20 - 2);
    for (auto& q : x.q) q = static_cast<std::uint8_t>(in.random());
}

enum class scaling { none, by_token, by_channel };

/// K or V of a cache, and its scales.
template <class E>
struct cache_side {
    placed<E> rows;
    placed<float> scale;
    scaling by = scaling::none;

    static cache_side drawn(input& in, const token_map& at, int64 heads, int64 dim, scaling by, bool hostile,
                            bool repeated)
    {
        cache_side s;
        s.by = by;
        s.rows = placed<E>::drawn(in, {at.cells, heads, at.slots, dim}, true, hostile && in.one_in(2));
        const bool specials = in.one_in(8);
        const family f = family::drawn(in);
        if (s.rows.has_memory && !is_empty(s.rows.v.size)) {
            const auto& v = s.rows.v;
            for (int64 b = 0; b < v.size.batch; ++b)
                for (int64 h = 0; h < v.size.heads; ++h)
                    for (int64 t = 0; t < v.size.tokens; ++t)
                        for (int64 c = 0; c < v.size.dim / channels<E>; ++c) {
                            draw_element(in, v.row(b, h, t)[c], f);
                            if constexpr (std::is_same_v<E, float> || std::is_same_v<E, heed::f16>)
                                if (specials && in.random() % 300 == 0) v.row(b, h, t)[c] = element_of<E>(special(in));
                        }
        }
        if (by == scaling::none) return s;
        const heed::extents e =
            by == scaling::by_token ? heed::extents{at.cells, heads, at.slots, 1} : heed::extents{1, heads, 1, dim};
        s.scale = placed<float>::drawn(in, e, !repeated, hostile && in.one_in(3));
        if (s.scale.has_memory && !is_empty(s.scale.v.size))
            for (int64 b = 0; b < s.scale.v.size.batch; ++b)
                for (int64 h = 0; h < s.scale.v.size.heads; ++h)
                    for (int64 t = 0; t < s.scale.v.size.tokens; ++t)
                        for (int64 c = 0; c < s.scale.v.size.dim; ++c) {
                            float& x = s.scale.v.row(b, h, t)[c];
                            x = static_cast<float>((0.2 + in.uniform()) / (std::is_same_v<E, std::int8_t> ? 64 : 2));
                            if (specials && in.random() % 200 == 0)
                                x = in.random() % 2 ? -x : static_cast<float>(special(in));
                            if (std::fabs(x) < 1e-20f) x = 0;  // or a weight times it may be 0, or not
                        }
        return s;
    }
    bool has_memory() const { return rows.has_memory && (by == scaling::none || scale.has_memory); }
    /// Whether sizes fit, and scales that stand for many numbers are sane: of the cells that are asked for.
    bool is_sound(const token_map& at, int64 heads, int64 dim) const
    {
        return is_sound(at, heads, dim, [](int64) { return true; });
    }
    template <class F>
    bool is_sound(const token_map& at, int64 heads, int64 dim, F asked) const
    {
        const auto is = [](const heed::extents& a, const heed::extents& b) {
            return a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens && a.dim == b.dim;
        };
        if (!is_describable(rows.v) || !is(rows.v.size, {at.cells, heads, at.slots, dim})) return false;
        if (by == scaling::none) return true;
        const auto& v = scale.v;
        if (!is_describable(v) || !is(v.size, by == scaling::by_token ? heed::extents{at.cells, heads, at.slots, 1}
                                                                      : heed::extents{1, heads, 1, dim}))
            return false;
        const auto sane = [](float x) { return x > 0 && x <= std::numeric_limits<float>::max(); };
        if (by == scaling::by_channel) {
            for (int64 h = 0; h < heads; ++h)
                for (int64 c = 0; c < dim; ++c)
                    if (!sane(v.row(0, h, 0)[c])) return false;
        } else if (v.stride.tokens == 0 && !is_empty(v.size)) {
            for (int64 b = 0; b < v.size.batch; ++b)
                for (int64 h = 0; h < heads; ++h)
                    if (asked(b) && !sane(*v.row(b, h, 0))) return false;
        }
        return true;
    }
    double stored(int64 cell, int64 h, int64 slot, int64 c) const { return channel(rows.v.row(cell, h, slot), c); }
    double scale_of(int64 cell, int64 h, int64 slot, int64 c) const
    {
        if (by == scaling::none) return 1;
        return number(by == scaling::by_token ? *scale.v.row(cell, h, slot) : scale.v.row(0, h, 0)[c]);
    }
    /// What a score is made of: an infinite scale makes it anything, whatever is stored.
    double number_at(int64 cell, int64 h, int64 slot, int64 c) const
    {
        const double s = scale_of(cell, h, slot, c);
        return std::isfinite(s) ? stored(cell, h, slot, c) * s : s;
    }
    /// `selects`: a scale of 0 stands for a row of zeros, as it does for values.
    std::vector<double> decoded(const token_map& at, int64 b, int64 heads, int64 dim, bool selects = false) const
    {
        std::vector<double> x;
        for (int64 h = 0; h < heads; ++h)
            for (int64 t = at.first(b); t < at.end(b); ++t) {
                const int64 cell = at.cell(b, t), slot = at.slot(b, t);
                const bool zeros = selects && by == scaling::by_token && *scale.v.row(cell, h, slot) == 0;
                for (int64 c = 0; c < dim; ++c) x.push_back(zeros ? 0 : number_at(cell, h, slot, c));
            }
        return x;
    }
};

/// Rows of any of the library's sources, chosen at run time: each kernel is compiled once for all of them.
template <class E>
struct any_rows {
    std::variant<heed::strided_rows<E>, heed::ring_rows<E>, heed::paged_rows<E>, heed::pinned_ring_rows<E>> of;
    heed::rows<E> operator()(int64 token) const
    {
        return std::visit([&](const auto& r) { return r(token); }, of);
    }
};

template <class K, class V>
struct any_kv {
    using key_element = K;
    using value_element = V;
    static constexpr bool contiguous = false;

    heed::view<const K> k;
    heed::view<const V> v;
    std::variant<heed::dense_kv<const K, const V>, heed::ring_kv<const K, const V>, heed::paged_kv<const K, const V>,
                 heed::pinned_ring_kv<const K, const V>, heed::packed_kv<const K, const V>,
                 heed::left_padded_kv<const K, const V>>
        of;

    template <class Source>
    explicit any_kv(const Source& s) : k(s.k), v(s.v), of(heed::detail::as_const(s))
    {}
    template <class F>
    auto with(F f) const
    {
        return std::visit(f, of);
    }
    int64 batch() const
    {
        return with([](const auto& s) { return s.batch(); });
    }
    int64 heads() const { return k.size.heads; }
    int64 key_dim() const { return k.size.dim; }
    int64 value_dim() const { return v.size.dim; }
    heed::token_span held(int64 b) const
    {
        return with([&](const auto& s) { return s.held(b); });
    }
    heed::token_span gone(int64 b) const
    {
        return with([&](const auto& s) {
            if constexpr (heed::has_gone_v<std::decay_t<decltype(s)>>) return s.gone(b);
            else return heed::token_span{0, 0};
        });
    }
    bool ragged() const
    {
        return with([](const auto& s) { return s.ragged(); });
    }
    int64 tokens() const
    {
        return with([](const auto& s) { return s.tokens(); });
    }
    auto keys(int64 b, int64 h) const { return rows_in(k, b, h); }
    auto values(int64 b, int64 h) const { return rows_in(v, b, h); }
    template <class E>
    any_rows<E> rows_in(const heed::view<E>& rows, int64 b, int64 h) const
    {
        return with([&](const auto& s) { return any_rows<E>{s.rows_in(rows, b, h)}; });
    }
    heed::status check() const
    {
        return with([](const auto& s) { return s.check(); });
    }
    heed::status check_rows() const
    {
        return with([](const auto& s) { return s.check_rows(); });
    }
    template <class F>
    void views(F f) const
    {
        with([&](const auto& s) { s.views(f); });
    }
};

/// Whether a source is of the library's own type, to be written to as well; a kernel is compiled for each.
enum class own { none, paged_and_ring, all };

/// Calls f with the kv source that a map and two sides are.
template <scaling ByK, scaling ByV, own Own, class K, class V, class F>
auto with_source(const token_map& at, const cache_side<K>& k, const cache_side<V>& v, F f)
{
    const auto scaled = [&](const auto& source) {
        const auto keys = [&] {
            if constexpr (ByK == scaling::by_token) return heed::per_token{k.scale.v};
            else if constexpr (ByK == scaling::by_channel) return heed::per_channel{k.scale.v};
            else return heed::unscaled{};
        };
        const auto values = [&] {
            if constexpr (ByV == scaling::by_token) return heed::per_token{v.scale.v};
            else return heed::unscaled{};
        };
        const auto with_scales = [&](const auto& s) {
            if constexpr (ByK == scaling::none && ByV == scaling::none) return f(s);
            else return f(heed::scaled_kv{s, keys(), values()});
        };
        if constexpr (Own != own::none) return with_scales(source);
        else return with_scales(any_kv<K, V>(source));
    };
    switch (at.kind) {
    case storage::dense:
        if constexpr (Own == own::paged_and_ring) break;
        else return scaled(heed::dense_kv{k.rows.v, v.rows.v, at.lengths.view});
    case storage::ring: break;
    case storage::pinned:
        if constexpr (Own == own::paged_and_ring) break;
        else return scaled(heed::pinned_ring_kv{k.rows.v, v.rows.v, at.lengths.view, at.stay, at.firsts.view});
    case storage::packed:
        if constexpr (Own == own::paged_and_ring) break;
        else return scaled(heed::packed_kv{k.rows.v, v.rows.v, at.starts.view, at.lengths.view});
    case storage::left_padded:
        if constexpr (Own == own::paged_and_ring) break;
        else return scaled(heed::left_padded_kv{k.rows.v, v.rows.v, at.starts.view, at.lengths.view});
    default: return scaled(heed::paged_kv{k.rows.v, v.rows.v, at.table()});
    }
    return scaled(heed::ring_kv{k.rows.v, v.rows.v, at.lengths.view, at.firsts.view});
}

template <class E>
int64 cache_dim(input& in)
{
    if constexpr (channels < E >> 1) return channels<E> * in.range(1, 3);
    else return drawn_dim(in);
}

}  // namespace fuzz
