// SPDX-License-Identifier: MIT
// Caches of every kind and element: pages by list or by row, rings, dense ones with lengths; scales by token or
// channel; tables of any numbers. What a cache holds is said here in loops of its own.
#pragma once

#include "attend.hpp"

#include <variant>

namespace fuzz {

/// Whole numbers of 32 or 64 bits in a block of their own.
struct numbers_table {
    std::vector<int64> values;
    heed::index_view view;

    numbers_table() = default;
    numbers_table(input& in, std::vector<int64> v) : values(std::move(v))
    {
        const auto n = static_cast<int64>(values.size());
        if (in.one_in(2)) {
            view = {static_cast<const int64*>(table(in, values)), n};
            return;
        }
        std::vector<std::int32_t> narrow;
        for (int64& x : values) narrow.push_back(static_cast<std::int32_t>(x)), x = narrow.back();
        view = {static_cast<const std::int32_t*>(table(in, narrow)), n};
    }
    std::size_t size() const { return values.size(); }
    int64 operator[](int64 i) const { return values[static_cast<std::size_t>(i)]; }
};

enum class storage { dense, ring, padded, csr, pinned, packed, left_padded };

/// Where tokens lie: cells of a tensor [cells, heads, slots].
struct token_map {
    storage kind = storage::dense;
    int64 sequences = 0, cells = 0, slots = 0, width = 0;
    numbers_table lengths, pages, indptr, firsts;  // firsts: of a ring, or none
    numbers_table starts;                          // slots where packed and padded sequences begin; packed: and end
    int64 stay = 0;                                // pinned tokens
    bool has_lengths = true, valid = true;

    int64 first(int64 b) const
    {
        if (kind != storage::ring) return 0;  // gone() has what a ring with pinned tokens lost
        const int64 told = firsts.size() ? std::max<int64>(firsts[b], 0) : 0;
        return std::min(std::max(end(b) - slots, told), end(b));
    }
    int64 end(int64 b) const
    {
        if (kind == storage::ring && slots == 0) return 0;
        if (kind == storage::csr) {
            const int64 n = indptr[b + 1] - indptr[b];
            return n == 0 ? 0 : (n - 1) * slots + lengths[b];
        }
        if (kind == storage::packed) return has_lengths ? lengths[b] : starts[b + 1] - starts[b];
        if (kind == storage::left_padded) return (has_lengths ? lengths[b] : slots) - starts[b];
        return has_lengths ? lengths[b] : slots;
    }
    /// Tokens of a ring with pinned ones that are there no more.
    std::pair<int64, int64> gone(int64 b) const
    {
        if (kind != storage::pinned) return {0, 0};
        const int64 told = firsts.size() ? firsts[b] : 0;
        return {stay, std::min(std::max(lengths[b] - (slots - stay), told), lengths[b])};
    }
    int64 sequences_told() const
    {
        if (kind == storage::packed) return std::max<int64>(static_cast<int64>(starts.size()) - 1, 0);
        return is_paged() ? static_cast<int64>(lengths.size()) : cells;
    }
    /// A ring of which all tokens ever seen are too many to look at one by one.
    bool is_endless() const
    {
        if (kind != storage::pinned) return false;
        for (const int64 n : lengths.values)
            if (n > 4096) return true;
        return false;
    }
    /// Pages that a sequence has, and one of them.
    int64 pages_of(int64 b) const
    {
        return kind == storage::csr ? indptr[b + 1] - indptr[b] : (lengths[b] + slots - 1) / slots;
    }
    int64 page(int64 b, int64 i) const { return kind == storage::csr ? pages[indptr[b] + i] : pages[b * width + i]; }
    bool is_paged() const { return kind == storage::padded || kind == storage::csr; }
    int64 cell(int64 b, int64 token) const
    {
        return is_paged() ? page(b, token / slots) : kind == storage::packed ? 0 : b;
    }
    int64 slot(int64 b, int64 token) const
    {
        if (kind == storage::packed || kind == storage::left_padded) return starts[b] + token;
        if (kind == storage::pinned) return token < stay ? token : stay + (token - stay) % (slots - stay);
        return kind == storage::dense ? token : token % slots;
    }
    heed::page_table table() const
    {
        if (kind == storage::csr) return heed::page_table::csr(indptr.view, pages.view, lengths.view);
        return heed::page_table::padded(pages.view, width, lengths.view);
    }

    static token_map drawn(input& in, int64 sequences, bool hostile, bool dense_too = true)
    {
        token_map m;
        m.kind = static_cast<storage>(in.range(dense_too ? 0 : 1, dense_too ? 6 : 3));
        m.sequences = sequences;
        constexpr int64 sizes[] = {1, 2, 3, 4, 7, 8, 16, 24, 64};
        constexpr int64 rooms[] = {0, 1, 5, 16, 33, 64, 100, 512, 530};
        m.slots = m.is_paged() ? in.one_of(sizes) : in.one_of(rooms);
        const bool wild = hostile && in.one_in(2);
        std::vector<int64> lengths, pages, indptr{0};
        const int64 most = m.kind == storage::ring || m.kind == storage::pinned ? 3 * m.slots + 3
                           : m.is_paged()          ? std::min<int64>(9 * m.slots, 200)
                                                   : m.slots;
        for (int64 b = 0; b < sequences; ++b) lengths.push_back(in.range(0, most));
        if (m.kind == storage::ring && in.one_in(6))
            for (int64& n : lengths) n += in.range(0, 1) << in.range(20, 59);
        if (wild && sequences > 0) lengths[in.random() % lengths.size()] = in.hostile();
        if (hostile && in.one_in(6)) lengths.resize(lengths.size() + 1, 1);
        m.cells = sequences;
        if (m.is_paged()) {
            int64 needed = 0;
            std::vector<int64> counts;
            for (int64& n : lengths) {
                const int64 count = n > 0 && n < 1000 ? (n + m.slots - 1) / m.slots : 0;
                counts.push_back(count);
                m.width = std::max(m.width, count);
                needed += count;
            }
            m.cells = needed + in.range(0, 2);
            std::vector<int64> pool;
            for (int64 i = 0; i < m.cells; ++i) pool.push_back(i);
            for (std::size_t i = pool.size(); i > 1; --i) std::swap(pool[i - 1], pool[in.random() % i]);
            const bool shared = in.one_in(3);
            m.width += in.range(0, 2);
            std::size_t taken = 0;
            for (std::size_t b = 0; b < lengths.size(); ++b) {
                for (int64 i = 0; i < (m.kind == storage::csr ? counts[b] : m.width); ++i) {
                    if (i >= counts[b]) pages.push_back(in.one_in(2) ? -1 : in.hostile());  // never read
                    else if (shared && b > 0 && i == 0 && counts[0] > 0) pages.push_back(pages[0]);
                    else pages.push_back(pool[taken++]);
                }
                indptr.push_back(indptr.back() + counts[b]);
                if (m.kind == storage::csr && counts[b] > 0) lengths[b] -= (counts[b] - 1) * m.slots;
            }
            if (hostile && !pages.empty()) pages[in.random() % pages.size()] = in.one_in(2) ? m.cells : in.hostile();
            if (hostile && m.kind == storage::csr && in.one_in(3))
                indptr[in.random() % indptr.size()] = in.one_in(2) ? in.range(-1, 9) : in.hostile();
            if (hostile && in.one_in(4)) pages.resize(in.random() % (pages.size() + 1));
            if (hostile && m.kind == storage::padded && in.one_in(6))
                m.width = in.one_in(2) ? m.width + 1 : in.hostile();
            if (hostile && m.kind == storage::csr && in.one_in(8)) indptr.resize(in.random() % (indptr.size() + 1));
        } else if (m.kind != storage::ring && m.kind != storage::pinned && in.one_in(3)) {
            m.has_lengths = false;
            lengths.clear();
        }
        if (m.kind == storage::pinned) m.stay = hostile && in.one_in(4) ? in.hostile() : in.range(0, m.slots);
        if (m.kind == storage::packed || m.kind == storage::left_padded) m.draw_starts(in, lengths, hostile);
        m.lengths = numbers_table(in, lengths);
        if ((m.kind == storage::ring || m.kind == storage::pinned) && in.one_in(3)) {
            std::vector<int64> firsts;
            for (const int64 n : lengths) {
                const wide first = wide{n} - in.range(-2, m.slots + 2);
                firsts.push_back(fits(first) ? static_cast<int64>(first) : n);
            }
            if (wild && !firsts.empty()) firsts[0] = in.hostile();
            if (hostile && in.one_in(4)) firsts.push_back(0);
            m.firsts = numbers_table(in, firsts);
        }
        if (m.is_paged()) m.pages = numbers_table(in, pages);
        if (m.kind == storage::csr) m.indptr = numbers_table(in, indptr);
        m.valid = m.is_sound();
        return m;
    }

private:
    /// Where sequences begin: lengths are cut to what there is, and become ends where padding is in front.
    void draw_starts(input& in, std::vector<int64>& lengths, bool hostile)
    {
        std::vector<int64> at;
        if (kind == storage::packed) {
            cells = 1;
            at.push_back(in.range(0, slots));
            for (int64 b = 0; b < sequences; ++b) at.push_back(in.range(at.back(), slots));
        } else {
            for (int64 b = 0; b < sequences; ++b) at.push_back(in.range(0, slots));
        }
        for (std::size_t b = 0; b < lengths.size() && b < static_cast<std::size_t>(sequences); ++b) {
            if (lengths[b] < 0 || lengths[b] > slots) continue;
            lengths[b] = kind == storage::packed ? std::min(lengths[b], at[b + 1] - at[b]) : std::max(lengths[b], at[b]);
        }
        if (hostile && !at.empty() && in.one_in(2))
            at[in.random() % at.size()] = in.one_in(2) ? in.range(-1, slots + 1) : in.hostile();
        if (hostile && in.one_in(6)) at.resize(at.size() + 1, slots);
        starts = numbers_table(in, at);
    }
    bool has_sound_starts() const
    {
        const int64 n = sequences_told();
        if (static_cast<int64>(starts.size()) != (kind == storage::packed ? n + 1 : cells)) return false;
        if (lengths.size() != 0 && static_cast<int64>(lengths.size()) != n) return false;
        for (int64 b = 0; b < n; ++b) {
            const int64 end = kind == storage::packed ? starts[b + 1] : has_lengths && lengths.size() ? lengths[b] : slots;
            if (starts[b] < 0 || end < starts[b] || end > slots) return false;
            if (kind == storage::packed && lengths.size() != 0 && (lengths[b] < 0 || lengths[b] > end - starts[b]))
                return false;
        }
        return true;
    }
    bool is_sound() const
    {
        if (kind == storage::packed || kind == storage::left_padded) return has_sound_starts();
        if (kind == storage::pinned && cells > 0 && (stay < 0 || stay >= slots)) return false;
        if (!is_paged()) {
            if (kind == storage::dense && lengths.size() == 0) return true;
            if (static_cast<int64>(lengths.size()) != cells) return false;
            for (const int64 n : lengths.values)
                if (n < 0 || n > (kind == storage::dense ? slots : int64{1} << 60)) return false;
            return firsts.size() == 0 || static_cast<int64>(firsts.size()) == cells;
        }
        if (slots < 1) return false;
        const auto n = static_cast<int64>(lengths.size()), listed = static_cast<int64>(pages.size());
        if (kind == storage::padded && (width < 0 || wide{n} * width > listed)) return false;
        if (kind == storage::csr && static_cast<int64>(indptr.size()) != n + 1) return false;
        for (int64 b = 0; b < n; ++b) {
            if (kind == storage::csr) {
                if (indptr[b] < 0 || indptr[b + 1] < indptr[b] || indptr[b + 1] > listed) return false;
                if (indptr[b + 1] > indptr[b] && (lengths[b] < 1 || lengths[b] > slots)) return false;
            } else if (lengths[b] < 0 || (wide{lengths[b]} + slots - 1) / slots > width) {
                return false;
            }
            for (int64 i = 0; i < pages_of(b); ++i)
                if (page(b, i) < 0 || page(b, i) >= cells) return false;
        }
        return true;
    }
};

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
    if constexpr (channels < E >> 1) return 32 * in.range(1, 3);
    else return drawn_dim(in);
}

}  // namespace fuzz
