// SPDX-License-Identifier: MIT
// Keys and values in pages.
#pragma once

#include "../base/math.hpp"
#include "contract.hpp"

#include <algorithm>

HEED_BEGIN

/// Says which pages hold the tokens of each sequence.
class page_table {
public:
    /// FlashInfer's form: sequence b lies in pages[indptr[b]] to pages[indptr[b + 1] - 1]. All are full but the last,
    /// which holds last_page_len[b] >= 1 tokens; the entry of a sequence without pages is not read.
    static page_table csr(index_view indptr, index_view pages, index_view last_page_len)
    {
        return page_table(pages, false, indptr, 0, last_page_len);
    }
    /// vLLM's form: sequence b lies in row b of pages [sequences, width]. Only the entries that its lengths[b] tokens
    /// need are read.
    static page_table padded(index_view pages, std::int64_t width, index_view lengths)
    {
        return page_table(pages, true, {}, width, lengths);
    }

    /// The same sequences without their first `n` >= 0 pages, for attend_partial() behind a shared prefix: token 0 is
    /// the first of page n. A sequence with no more pages is empty.
    page_table from_page(std::int64_t n) const
    {
        page_table t = *this;
        t.skipped_ += n;
        return t;
    }

    std::int64_t sequences() const { return lengths_.size(); }  ///< how many have an entry
    /// The pages of sequence b, in order.
    index_view pages_of(std::int64_t b) const { return pages_.from(min_of(first(b), pages_.size())); }
    /// Tokens of sequence b from the first page on that from_page() left, for pages of so many slots.
    std::int64_t length(std::int64_t b, std::int64_t slots) const
    {
        const std::int64_t n = padded_ ? lengths_[b] : csr_length(b, slots);
        if (skipped_ == 0) return n;  // the usual table: kernels ask for every tile, and pages() divides
        return pages(b, slots) == 0 ? 0 : n - skipped_ * slots;
    }
    /// The number of pages of sequence b that are read.
    std::int64_t pages(std::int64_t b, std::int64_t slots) const { return max_of(listed(b, slots) - skipped_, 0); }

    /// Checks the lengths of sequences [begin, end), and that the table has an entry for each of their pages.
    status check(std::int64_t slots, std::int64_t begin, std::int64_t end) const
    {
        using ll = long long;
        const std::int64_t n = sequences();
        if (!pages_.is_sound() || !indptr_.is_sound() || !lengths_.is_sound())
            return status::error(errc::invalid_argument, "paged_kv: a table of %lld, %lld and %lld numbers at null",
                                 ll{pages_.size()}, ll{indptr_.size()}, ll{lengths_.size()});
        if (skipped_ < 0 || !detail::within_limit(skipped_))
            return status::error(errc::invalid_argument, "paged_kv: a table from page %lld on", ll{skipped_});
        return padded_ ? check_padded(n, slots, begin, end) : check_csr(n, slots, begin, end);
    }
    /// Checks that every page of sequence `b` with any of the tokens [from_token, end_token) exists in a pool of
    /// `count`.
    status check_pages(std::int64_t b, std::int64_t slots, std::int64_t count, std::int64_t from_token,
                       std::int64_t end_token) const
    {
        if (from_token >= end_token) return {};
        for (std::int64_t i = from_token / slots; i <= (end_token - 1) / slots; ++i)
            if (static_cast<std::uint64_t>(pages_[first(b) + i]) >= static_cast<std::uint64_t>(count))
                return status::error(
                    errc::invalid_argument, "paged_kv: sequence %lld: page %lld of %lld is %lld; the pool has %lld",
                    static_cast<long long>(b), static_cast<long long>(i), static_cast<long long>(pages(b, slots)),
                    static_cast<long long>(pages_[first(b) + i]), static_cast<long long>(count));
        return {};
    }

    /// Checks that no page of sequence `b` with any of the tokens [from_token, end_token) is listed twice, by this or
    /// another sequence. It reads the whole table.
    status check_exclusive(std::int64_t b, std::int64_t slots, std::int64_t from_token, std::int64_t end_token) const
    {
        for (std::int64_t i = from_token / slots; i * slots < end_token; ++i) {
            const std::int64_t page = pages_[first(b) + i];
            for (std::int64_t other = 0; other < sequences(); ++other)
                for (std::int64_t j = 0, n = pages(other, slots); j < n; ++j)
                    if (pages_[first(other) + j] == page && (other != b || j != i))
                        return status::error(
                            errc::invalid_argument,
                            "paged_kv: sequence %lld: its page %lld, page %lld of the pool, is also page "
                            "%lld of sequence %lld",
                            static_cast<long long>(b), static_cast<long long>(i), static_cast<long long>(page),
                            static_cast<long long>(j), static_cast<long long>(other));
        }
        return {};
    }

    /// Checks that the pages of the last bounds[b + 1] - bounds[b] tokens of each sequence b are listed once. It reads
    /// the table once for every 512 of these pages.
    status check_last_exclusive(const index_view& bounds, std::int64_t slots) const
    {
        written_pages batch;
        status s;
        for (std::int64_t b = 0; s && b < sequences(); ++b) {
            const std::int64_t end = length(b, slots), n = bounds[b + 1] - bounds[b];
            for (std::int64_t i = (end - n) / slots; s && n > 0 && i * slots < end; ++i) {
                batch.page[batch.count++] = pages_[first(b) + i];
                if (batch.count == written_pages::at_once) s = check_listed_once(batch, slots);
            }
        }
        return s ? check_listed_once(batch, slots) : s;
    }

private:
    using checked = detail::checked;

    /// Some pages that are written to, and how often they were seen.
    struct written_pages {
        static constexpr int at_once = 512;
        std::int64_t page[at_once];
        unsigned char seen[at_once];
        int count = 0;
    };
    status check_listed_once(written_pages& batch, std::int64_t slots) const
    {
        std::int64_t* const end = batch.page + batch.count;
        std::sort(batch.page, end);
        std::fill_n(batch.seen, batch.count, static_cast<unsigned char>(0));
        for (std::int64_t b = 0; batch.count > 0 && b < sequences(); ++b)
            for (std::int64_t j = 0, n = pages(b, slots); j < n; ++j) {
                const std::int64_t page = pages_[first(b) + j], *at = std::lower_bound(batch.page, end, page);
                if (at == end || *at != page || batch.seen[at - batch.page]++ == 0) continue;
                return status::error(
                    errc::invalid_argument,
                    "paged_kv: sequence %lld: its page %lld, page %lld of the pool, is listed twice and "
                    "would be written to",
                    static_cast<long long>(b), static_cast<long long>(j), static_cast<long long>(page));
            }
        batch.count = 0;
        return {};
    }

    page_table(index_view pages, bool padded, index_view indptr, std::int64_t width, index_view per_sequence)
        : pages_(pages), padded_(padded), indptr_(indptr), width_(width), lengths_(per_sequence)
    {}
    std::int64_t first(std::int64_t b) const { return (padded_ ? b * width_ : indptr_[b]) + skipped_; }
    std::int64_t csr_length(std::int64_t b, std::int64_t slots) const
    {
        const std::int64_t n = indptr_[b + 1] - indptr_[b];
        return n > 0 ? (n - 1) * slots + lengths_[b] : 0;
    }
    /// The number of pages of sequence b with the ones that are skipped.
    std::int64_t listed(std::int64_t b, std::int64_t slots) const
    {
        return padded_ ? lengths_[b] / slots + (lengths_[b] % slots != 0) : indptr_[b + 1] - indptr_[b];
    }

    status check_padded(std::int64_t n, std::int64_t slots, std::int64_t begin_sequence,
                        std::int64_t end_sequence) const
    {
        using ll = long long;
        const checked entries = checked(n) * width_;
        if (width_ < 0 || !entries.fits() || entries.value() > pages_.size())
            return status::error(errc::invalid_argument,
                                 "paged_kv: a table of %lld entries for %lld sequences of width %lld",
                                 ll{pages_.size()}, ll{n}, ll{width_});
        for (std::int64_t b = begin_sequence; b < end_sequence; ++b)
            if (lengths_[b] < 0 || listed(b, slots) > width_)
                return status::error(errc::invalid_argument,
                                     "paged_kv: sequence %lld: length %lld is not in %lld pages of %lld tokens", ll{b},
                                     ll{lengths_[b]}, ll{width_}, ll{slots});
        return {};
    }
    status check_csr(std::int64_t n, std::int64_t slots, std::int64_t begin_sequence, std::int64_t end_sequence) const
    {
        using ll = long long;
        if (indptr_.size() - 1 != n)
            return status::error(errc::invalid_argument,
                                 "paged_kv: indptr has %lld entries for the %lld sequences of last_page_len",
                                 ll{indptr_.size()}, ll{n});
        for (std::int64_t b = begin_sequence; b < end_sequence; ++b) {
            const std::int64_t begin = indptr_[b], end = indptr_[b + 1];
            if (begin < 0 || end < begin || end > pages_.size())
                return status::error(errc::invalid_argument,
                                     "paged_kv: sequence %lld: indptr [%lld, %lld) is not within the %lld pages listed",
                                     ll{b}, ll{begin}, ll{end}, ll{pages_.size()});
            if (end > begin && (lengths_[b] < 1 || lengths_[b] > slots))
                return status::error(errc::invalid_argument,
                                     "paged_kv: sequence %lld: last_page_len %lld is not in [1, %lld]", ll{b},
                                     ll{lengths_[b]}, ll{slots});
            if (const checked tokens = checked(end - begin) * slots;
                !tokens.fits() || !detail::within_limit(tokens.value()))
                return status::error(errc::invalid_argument,
                                     "paged_kv: sequence %lld: %lld pages of %lld tokens are above 2^60", ll{b},
                                     ll{end - begin}, ll{slots});
        }
        return {};
    }

    index_view pages_;
    bool padded_;
    index_view indptr_;
    std::int64_t width_;
    index_view lengths_;        // padded: of sequences; csr: of their last pages
    std::int64_t skipped_ = 0;  // pages at the start of each sequence
};

/// The rows of a head: one segment for each page.
template <class E>
class paged_rows : detail::stride_unit<E> {
public:
    /// The rows of a head in these pages of a pool, one page after the other.
    paged_rows(const view<E>& pool, const index_view& pages, std::int64_t head)
        : detail::stride_unit<E>(pool), data_(pool.row(0, head, 0)), page_step_(pool.stride.batch),
          row_step_(pool.token_stride()), pages_(pages), slots_(pool.size.tokens),
          shift_((slots_ & (slots_ - 1)) == 0 ? __builtin_ctzll(static_cast<std::uint64_t>(slots_)) : -1)
    {}
    /// The segment from a token on, to the end of its page.
    HEED_INLINE rows<E> operator()(std::int64_t token) const
    {
        const std::int64_t i = shift_ >= 0 ? token >> shift_ : token / slots_, slot = token - i * slots_;
        const detail::stride_unit<E>& unit = *this;
        return detail::rows_from(detail::after(data_, pages_[i] * page_step_, unit), slot, row_step_, slots_ - slot,
                                 unit);
    }

private:
    E* data_;
    std::int64_t page_step_, row_step_;
    index_view pages_;
    std::int64_t slots_;
    int shift_;  // slots are 2^shift, or -1
};

/// Keys and values in pages: a pool of pages of equal size, and for each sequence the list of the pages that hold its
/// tokens, in order. Pages may be shared, so that a prefix of many sequences is stored once.
///
/// A pool is a view whose sizes are pages, heads, slots (tokens of a page) and channels, in any layout:
///
///     heed::bshd(pool, {pages, heads, slots, dim})       // [page, slot, head, dim], as vLLM and FlashInfer's NHD
///     heed::bhsd(pool, {pages, heads, slots, dim})       // [page, head, slot, dim], FlashInfer's HND
///     heed::strided(pool, {...}, {page, head, slot})     // K and V in one pool, and anything else
///
/// The call that reads them fails where a page is not in the pool, or where the table is too short for its lengths.
template <class K, class V = K>
struct paged_kv {
    using key_element = std::remove_const_t<K>;
    using value_element = std::remove_const_t<V>;
    static constexpr bool contiguous = false;

    view<K> k;         ///< [pages, Hkv, slots, Dqk]
    view<V> v;         ///< [pages, Hkv, slots, Dv]
    page_table table;  ///< the pages of each sequence

    std::int64_t batch() const { return table.sequences(); }
    std::int64_t heads() const { return k.size.heads; }
    std::int64_t key_dim() const { return k.size.dim; }
    std::int64_t value_dim() const { return v.size.dim; }
    std::int64_t slots() const { return k.size.tokens; }  ///< tokens of a page
    token_span held(std::int64_t b) const { return {0, table.length(b, slots())}; }
    bool ragged() const { return batch() > 1; }
    std::int64_t tokens() const { return detail::longest(*this); }

    static constexpr bool aligned_blocks = true;
    std::int64_t heads_side_by_side() const { return detail::heads_side_by_side(k, v); }
    std::int64_t heads_of_a_page() const { return detail::heads_of_a_page(k, v); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_in(k, b, h); }
    auto values(std::int64_t b, std::int64_t h) const { return rows_in(v, b, h); }
    /// The rows of any pool whose pages and slots lie as those of k do.
    template <class E>
    paged_rows<E> rows_in(const view<E>& of, std::int64_t b, std::int64_t h) const
    {
        return {of, table.pages_of(b), h};
    }
    paged_kv<const K, const V> as_const() const { return {k, v, table}; }

    status check() const { return check_sequences(0, batch()); }
    status check_sequence(std::int64_t b) const { return check_sequences(b, b + 1); }
    status check_rows() const
    {
        status s;
        for (std::int64_t b = 0; s && b < batch(); ++b) s = check_rows(b, 0, held(b).end);
        return s;
    }
    status check_rows(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return table.check_pages(b, slots(), k.size.batch, first, end);
    }
    status check_exclusive(std::int64_t b, std::int64_t first, std::int64_t end) const
    {
        return table.check_exclusive(b, slots(), first, end);
    }
    status check_last_exclusive(const index_view& bounds) const { return table.check_last_exclusive(bounds, slots()); }
    template <class F>
    void views(F f) const
    {
        f("k", k);
        f("v", v);
    }

private:
    static constexpr std::int64_t largest_page = std::int64_t{1} << 20;

    status check_sequences(std::int64_t begin, std::int64_t end) const
    {
        const status s = detail::check_alike("k", k, "v", v, "pages");
        if (!s) return s;
        if (slots() < 1 || slots() > largest_page)
            return status::error(errc::invalid_argument, "paged_kv: pages of %lld tokens; 1 to %lld are possible",
                                 static_cast<long long>(slots()), static_cast<long long>(largest_page));
        return table.check(slots(), begin, end);
    }
};

template <class A, class B>
paged_kv(view<A>, view<B>, page_table) -> paged_kv<A, B>;

HEED_END
