// SPDX-License-Identifier: MIT
// Where the tokens of caches of every kind lie, sound or not, by tables of 32 or 64 bits.
#pragma once

#include "attend.hpp"

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
        if (kind == storage::packed)  // one sequence too many among none has no length
            return has_lengths && lengths.size() > 0 ? lengths[b] : starts[b + 1] - starts[b];
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
                           : m.is_paged()                                       ? std::min<int64>(9 * m.slots, 200)
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
    /// Where sequences begin: lengths that were drawn are cut to what there is, and become ends where padding is in
    /// front.
    void draw_starts(input& in, std::vector<int64>& drawn, bool hostile)
    {
        std::vector<int64> at;
        if (kind == storage::packed) {
            cells = 1;
            at.push_back(in.range(0, slots));
            for (int64 b = 0; b < sequences; ++b) at.push_back(in.range(at.back(), slots));
        } else {
            for (int64 b = 0; b < sequences; ++b) at.push_back(in.range(0, slots));
        }
        for (std::size_t b = 0; b < drawn.size() && b < static_cast<std::size_t>(sequences); ++b) {
            if (drawn[b] < 0 || drawn[b] > slots) continue;
            drawn[b] = kind == storage::packed ? std::min(drawn[b], at[b + 1] - at[b]) : std::max(drawn[b], at[b]);
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
            const int64 end = kind == storage::packed         ? starts[b + 1]
                              : has_lengths && lengths.size() ? lengths[b]
                                                              : slots;
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

}  // namespace fuzz
