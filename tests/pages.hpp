// SPDX-License-Identifier: MIT
// Dense keys and values, put into pages in a random order; everything else in the pool is NaN.
#pragma once

#include "tensors.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace test {

enum class layout { page_slot_head, page_head_slot, both_in_one_pool };

/// Which pages hold the first lengths[b] tokens of sequence b, in a random order. Whole pages of the first `shared`
/// tokens are those of sequence 0.
class page_lists {
public:
    using index = std::int32_t;

    page_lists(std::vector<int64> lengths, int64 slots, int64 shared = 0) : slots_(slots), lengths_(std::move(lengths))
    {
        indptr_.push_back(0);
        for (const int64 length : lengths_) {
            const int64 pages = (length + slots - 1) / slots;
            width_ = std::max(width_, pages);
            indptr_.push_back(indptr_.back() + static_cast<index>(pages));
            last_page_len_.push_back(static_cast<index>(pages ? length - (pages - 1) * slots : 0));
        }
        std::vector<index> order(static_cast<std::size_t>(pool_pages()));
        std::iota(order.begin(), order.end(), 0);
        std::shuffle(order.begin(), order.end(), std::mt19937_64(5));

        padded_.assign(lengths_.size() * static_cast<std::size_t>(width_), -1);  // never read
        for (std::size_t b = 0; b < lengths_.size(); ++b)
            for (int64 i = 0; i < indptr_[b + 1] - indptr_[b]; ++i) {
                const bool same = (i + 1) * slots <= std::min({shared, lengths_[b], lengths_[0]});
                pages_.push_back(same && b > 0 ? pages_[static_cast<std::size_t>(i)]
                                               : order[static_cast<std::size_t>(indptr_[b] + i)]);
                padded_[b * static_cast<std::size_t>(width_) + static_cast<std::size_t>(i)] = pages_.back();
            }
    }

    int64 slots() const { return slots_; }
    /// Of a pool: some are not listed.
    int64 pool_pages() const { return indptr_.back() + 3; }
    int64 length(int64 b) const { return lengths_[static_cast<std::size_t>(b)]; }
    int64 page_of(int64 b, int64 token) const
    {
        return pages_[static_cast<std::size_t>(indptr_[static_cast<std::size_t>(b)] + token / slots_)];
    }

    heed::page_table csr() const
    {
        return heed::page_table::csr({indptr_.data(), count(indptr_)}, {pages_.data(), count(pages_)},
                                     {last_page_len_.data(), count(last_page_len_)});
    }
    heed::page_table padded() const
    {
        return heed::page_table::padded({padded_.data(), count(padded_)}, width_, {lengths_.data(), count(lengths_)});
    }

    /// Copies the rows of dense tokens to the pages that hold them.
    template <class E>
    void fill(const heed::view<const E>& from, const heed::view<E>& pool) const
    {
        for (int64 b = 0; b < count(lengths_); ++b)
            for (int64 t = 0; t < length(b); ++t)
                for (int64 h = 0; h < from.size.heads; ++h)
                    std::copy_n(from.row(b, h, t), heed::elements_for<E>(from.size.dim),
                                pool.row(page_of(b, t), h, t % slots_));
    }

private:
    template <class T>
    static int64 count(const std::vector<T>& v)
    {
        return static_cast<int64>(v.size());
    }

    int64 slots_, width_ = 0;
    std::vector<int64> lengths_;
    std::vector<index> indptr_, pages_, last_page_len_, padded_;
};

template <class E>
class paged {
public:
    paged(const tensor<E>& k, const tensor<E>& v, std::vector<int64> lengths, int64 slots, layout how, int64 shared = 0)
        : lists_(std::move(lengths), slots, shared)
    {
        const int64 pages = lists_.pool_pages(), heads = k.size.heads, dk = k.size.dim, dv = v.size.dim;
        const E nan(std::numeric_limits<heed::compute_t<E>>::quiet_NaN());
        k_.assign(static_cast<std::size_t>(pages * slots * heads * (dk + dv)), nan);
        const heed::extents k_size{pages, heads, slots, dk}, v_size{pages, heads, slots, dv};
        if (how == layout::both_in_one_pool) {
            const int64 row = dk + dv;
            const heed::strides step{slots * heads * row, row, heads * row};
            k_pool_ = {k_.data(), k_size, step};
            v_pool_ = {k_.data() + dk, v_size, step};
        } else {
            v_.assign(static_cast<std::size_t>(pages * slots * heads * dv), nan);
            const bool head_first = how == layout::page_head_slot;
            k_pool_ = head_first ? heed::bhsd(k_.data(), k_size) : heed::bshd(k_.data(), k_size);
            v_pool_ = head_first ? heed::bhsd(v_.data(), v_size) : heed::bshd(v_.data(), v_size);
        }
        lists_.fill(k.in(), k_pool_);
        lists_.fill(v.in(), v_pool_);
    }

    heed::page_table csr() const { return lists_.csr(); }
    heed::page_table padded() const { return lists_.padded(); }
    heed::paged_kv<const E> source(const heed::page_table& table) const { return {k_pool_, v_pool_, table}; }

private:
    page_lists lists_;
    std::vector<E> k_, v_;
    heed::view<E> k_pool_, v_pool_;
};

/// Sequence b of a tensor, its first `count` tokens.
template <class T>
heed::view<const T> sequence(const tensor<T>& t, int64 b, int64 count)
{
    return {t.in().row(b, 0, 0), {1, t.size.heads, count, t.size.dim}, t.in().stride};
}

}  // namespace test
