// SPDX-License-Identifier: MIT
// Quantised rows for tests: random bits of every element, the floats that they stand for, and the same rows in pages
// and rings, where all else is 0xff: NaN in every scale and floating-point number.
#pragma once

#include "pages.hpp"

#include <tuple>

namespace test {

/// The elements that are blocks of channels.
using blocks = std::tuple<heed::q8_0, heed::q4_0, heed::q5_0, heed::q4_1, heed::q5_1, heed::iq4_nl>;

/// f(an element) for each of them.
template <class F>
void for_each_block(F f)
{
    std::apply([&](auto... element) { (f(element), ...); }, blocks());
}

inline void draw(std::mt19937_64& random, std::int8_t& x) { x = static_cast<std::int8_t>(random()); }
inline void draw(std::mt19937_64& random, heed::fp8_e4m3& x)
{
    x = heed::fp8_e4m3(std::normal_distribution<float>(0, 1)(random));
}
inline void draw(std::mt19937_64& random, heed::fp8_e5m2& x)
{
    x = heed::fp8_e5m2(std::normal_distribution<float>(0, 1)(random));
}
inline void draw(std::mt19937_64& random, heed::q8_0& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.015f)(random));
    for (std::int8_t& q : x.q) draw(random, q);
}
inline void draw(std::mt19937_64& random, heed::q4_0& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.2f)(random));
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
inline void draw(std::mt19937_64& random, heed::q5_0& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.1f)(random));
    for (std::uint8_t& b : x.high) b = static_cast<std::uint8_t>(random());
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
inline void draw(std::mt19937_64& random, heed::q4_1& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.2f)(random));
    x.m = heed::f16(std::normal_distribution<float>(0, 1)(random));
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
inline void draw(std::mt19937_64& random, heed::q5_1& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.1f)(random));
    x.m = heed::f16(std::normal_distribution<float>(0, 1)(random));
    for (std::uint8_t& b : x.high) b = static_cast<std::uint8_t>(random());
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
inline void draw(std::mt19937_64& random, heed::iq4_nl& x)
{
    x.d = heed::f16(std::normal_distribution<float>(0, 0.015f)(random));
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
inline void draw(std::mt19937_64& random, heed::mxfp4& x)
{
    x.e = static_cast<std::uint8_t>(124 + random() % 4);
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
/// Zero points that lie within the numbers, beside them, and are seldom whole.
template <class Block>
void draw_with_zero(std::mt19937_64& random, int most, Block& x)
{
    x.scale = std::normal_distribution<float>(0, 4.f / static_cast<float>(most))(random);
    x.zero = std::normal_distribution<float>(0.5f, 0.4f)(random) * static_cast<float>(most);
    for (std::uint8_t& q : x.q) q = static_cast<std::uint8_t>(random());
}
template <int Channels>
void draw(std::mt19937_64& random, heed::u8_block<Channels>& x)
{
    draw_with_zero(random, 255, x);
}
template <int Channels>
void draw(std::mt19937_64& random, heed::u4_block<Channels>& x)
{
    draw_with_zero(random, 15, x);
}
inline void draw(std::mt19937_64& random, float& x) { x = std::normal_distribution<float>(0, 1)(random); }

/// Random elements: numbers of about 1 where they have no scale beside them.
template <class E>
tensor<E> drawn_elements(heed::extents e, std::uint64_t seed)
{
    std::mt19937_64 random(seed);
    tensor<E> t(e);
    for (E& x : t.data) draw(random, x);
    return t;
}

/// Scales of one number for each token: between 1/3 and 3 times `about`, every fifth below 0.
inline tensor<float> drawn_scales(heed::extents of, std::uint64_t seed, double about)
{
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> spread(-1.1, 1.1);
    tensor<float> t({of.batch, of.heads, of.tokens, 1});
    for (float& x : t.data) x = static_cast<float>((random() % 5 == 0 ? -about : about) * std::exp(spread(random)));
    return t;
}

/// What rows stand for without scales beside them.
template <class E>
tensor<float> widened(const tensor<E>& t)
{
    tensor<float> w(t.size);
    for (int64 b = 0; b < t.size.batch; ++b)
        for (int64 h = 0; h < t.size.heads; ++h)
            for (int64 s = 0; s < t.size.tokens; ++s)
                for (int64 c = 0; c < t.size.dim; ++c)
                    w.view().row(b, h, s)[c] = heed::channel_of(t.in().row(b, h, s), c);
    return w;
}

/// Rows in memory of 0xff.
template <class E>
tensor<E> poisoned(heed::extents e)
{
    tensor<E> t(e);
    if (!t.data.empty()) std::memset(static_cast<void*>(t.data.data()), 0xff, t.data.size() * sizeof(E));
    return t;
}

/// A pool of pages of rows of E.
template <class E>
class page_pool {
public:
    page_pool(const page_lists& lists, int64 heads, int64 dim, layout how)
        : rows_(poisoned<E>({lists.pool_pages(), heads, lists.slots(), dim})),
          head_first_(how == layout::page_head_slot)
    {}
    /// With the rows of dense tokens.
    page_pool(const page_lists& lists, const tensor<E>& rows, layout how)
        : page_pool(lists, rows.size.heads, rows.size.dim, how)
    {
        lists.fill(rows.in(), view());
    }
    heed::view<E> view()
    {
        return head_first_ ? heed::bhsd(rows_.data.data(), rows_.size) : heed::bshd(rows_.data.data(), rows_.size);
    }
    heed::view<const E> in() const { return const_cast<page_pool*>(this)->view(); }
    const std::vector<E>& data() const { return rows_.data; }

private:
    tensor<E> rows_;
    bool head_first_;
};

/// The last `capacity` of the first lengths[b] tokens, each in its slot of a ring.
template <class E>
tensor<E> in_ring(const tensor<E>& rows, const std::vector<int64>& lengths, int64 capacity)
{
    tensor<E> ring = poisoned<E>({rows.size.batch, rows.size.heads, capacity, rows.size.dim});
    for (int64 b = 0; b < rows.size.batch; ++b)
        for (int64 h = 0; h < rows.size.heads; ++h)
            for (int64 t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t)
                std::copy_n(rows.in().row(b, h, t), heed::elements_for<E>(rows.size.dim),
                            ring.view().row(b, h, t % capacity));
    return ring;
}

/// The first lengths[b] tokens of each sequence, with nothing but 0xff behind them.
template <class E>
tensor<E> cut(const tensor<E>& rows, const std::vector<int64>& lengths)
{
    return in_ring(rows, lengths, rows.size.tokens);
}

}  // namespace test
