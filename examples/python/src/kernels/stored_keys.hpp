// SPDX-License-Identifier: MIT
// Keys and values whose storage is known at run time: two tensors, a ring, or pages.
#pragma once

#include "policies.hpp"

namespace {

/// The rows of a head, as those of heed::dense_kv, ring_kv or paged_kv.
template <class E>
struct any_rows {
    storage kind;
    E* data;
    std::int64_t stride, slots;  // dense: all tokens; ring: its capacity; paged: of a page
    const std::int64_t* pages;
    std::int64_t page_stride;

    HEED_INLINE heed::rows<E> operator()(std::int64_t token) const
    {
        if (kind == storage::dense) return {data + token * stride, stride, slots - token};
        const std::int64_t slot = token % slots;
        E* const of_page = kind == storage::paged ? data + pages[token / slots] * page_stride : data;
        return {of_page + slot * stride, stride, slots - slot};
    }
};

/// What heed::dense_kv, ring_kv and paged_kv are, as one type. A dense one has lengths or none.
template <class E>
struct any_kv {
    using key_element = std::remove_const_t<E>;
    using value_element = key_element;
    static constexpr bool contiguous = false;

    storage kind;
    heed::view<E> k, v;
    heed::index_view lengths, firsts;
    numbers pages;
    std::int64_t width;

    explicit any_kv(const key_storage& s)
        : kind(s.kind), k(view_of<E>(s.k)), v(view_of<E>(s.v)), lengths(view_of(s.lengths)), firsts(view_of(s.firsts)),
          pages(s.pages), width(s.width)
    {}
    template <class U>
    explicit any_kv(const any_kv<U>& o)
        : kind(o.kind), k(o.k), v(o.v), lengths(o.lengths), firsts(o.firsts), pages(o.pages), width(o.width)
    {}

    std::int64_t batch() const
    {
        return as([](const auto& kv) { return kv.batch(); });
    }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    heed::token_span held(std::int64_t b) const
    {
        return as([b](const auto& kv) { return kv.held(b); });
    }
    bool ragged() const
    {
        return as([](const auto& kv) { return kv.ragged(); });
    }
    std::int64_t tokens() const
    {
        return as([](const auto& kv) { return kv.tokens(); });
    }
    std::int64_t heads_side_by_side() const
    {
        return as([](const auto& kv) { return kv.heads_side_by_side(); });
    }
    std::int64_t heads_of_a_page() const { return kind == storage::paged ? paged().heads_of_a_page() : 1; }

    any_rows<E> keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    any_rows<E> values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    any_kv<const E> as_const() const { return any_kv<const E>(*this); }

    heed::status check() const
    {
        return as([](const auto& kv) { return kv.check(); });
    }
    heed::status check_sequence(std::int64_t b) const
    {
        return as([b](const auto& kv) { return kv.check_sequence(b); });
    }
    heed::status check_rows() const
    {
        return as([](const auto& kv) { return kv.check_rows(); });
    }
    heed::status check_rows(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return as([=](const auto& kv) { return kv.check_rows(b, first, end); });
    }
    heed::status check_exclusive(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return as([=](const auto& kv) { return kv.check_exclusive(b, first, end); });
    }
    template <class F>
    void views(F f) const
    {
        f("k", k);
        f("v", v);
    }

private:
    heed::dense_kv<E> dense() const { return {k, v, lengths}; }
    heed::ring_kv<E> ring() const { return {k, v, lengths, firsts}; }
    heed::paged_kv<E> paged() const { return {k, v, heed::page_table::padded(view_of(pages), width, lengths)}; }
    template <class F>
    auto as(F f) const
    {
        switch (kind) {
        case storage::ring: return f(ring());
        case storage::paged: return f(paged());
        default: return f(dense());
        }
    }
    any_rows<E> rows_in(const heed::view<E>& of, std::int64_t b, std::int64_t h) const
    {
        const bool is_paged = kind == storage::paged;
        return {kind,           of.row(is_paged ? 0 : b, h, 0),          of.token_stride(),
                of.size.tokens, pages.data + (is_paged ? b * width : 0), of.stride.batch};
    }
};

}  // namespace
