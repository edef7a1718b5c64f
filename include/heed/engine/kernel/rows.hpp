// SPDX-License-Identifier: MIT
// Rows of K and V as the kernels read them: at a constant step. Where a source keeps a head's tokens in several runs
// (pages, a ring), a kernel takes what a run holds; where that is less than a register of keys, rows are copied into
// the worker's memory, one after the other. Nothing of it is compiled for a source of one run.
#pragma once

#include "../micro/prefetch.hpp"
#include "../micro/units.hpp"
#include "job.hpp"

#include <cstring>
#include <limits>

HEED_BEGIN
namespace kernel {

/// Rows of a segment, for the micro kernels.
template <class E>
HEED_INLINE micro::matrix<E> matrix_of(const rows<E>& of)
{
    return {of.data, of.step};
}

/// The keys, or the values, of one head: source(token) is the run that starts there, for tokens before `end`.
template <class Rows, class E, bool OneRun>
struct head_source {
    using element = E;
    static constexpr bool one_run = OneRun;

    Rows at;
    std::int64_t dim, end;

    HEED_INLINE rows<const E> operator()(std::int64_t token) const { return at(token); }
    HEED_INLINE std::int64_t elements() const { return elements_for<E>(dim); }  // of a row
    HEED_INLINE std::int64_t bytes() const { return elements() * static_cast<std::int64_t>(sizeof(E)); }
};
template <class Kv>
HEED_INLINE auto keys_of(const Kv& kv, const row_block& block)
{
    const auto at = kv.keys(block.batch, block.kv_head);
    return head_source<std::remove_const_t<decltype(at)>, typename Kv::key_element, Kv::one_run>{
        at, kv.key_dim(), kv.held(block.batch).end};
}
template <class Kv>
HEED_INLINE auto values_of(const Kv& kv, const row_block& block)
{
    const auto at = kv.values(block.batch, block.kv_head);
    return head_source<std::remove_const_t<decltype(at)>, typename Kv::value_element, Kv::one_run>{
        at, kv.value_dim(), kv.held(block.batch).end};
}

/// Copies `n` rows from `token` on to `copy`, asking for those `near_rows` ahead.
template <class Source>
HEED_NOINLINE rows<const typename Source::element> gathered(const Source& source, std::int64_t token, int n, void* copy)
{
    using E = typename Source::element;
    E* to = static_cast<E*>(copy);
    const std::int64_t each = source.elements();
    for (int i = 0; i < n;) {
        const auto run = source(token + i);
        for (std::int64_t x = 0; x < run.count && i < n; ++x, ++i) {
            if (const std::int64_t next = token + i + micro::near_rows; next < source.end) {
                micro::ask_for(source(next).data, source.dim);
            }
            std::memcpy(to + i * each, run.data + x * run.step, static_cast<std::size_t>(each) * sizeof(E));
        }
    }
    return {to, each, n};
}

/// At least `least` rows from `token` on at a constant step: their run, or a copy of `n` rows.
template <class Source>
HEED_INLINE rows<const typename Source::element> together(const Source& source, std::int64_t token, int least, int n,
                                                          void* copy)
{
    const auto run = source(token);
    if constexpr (!Source::one_run) {
        if (run.count >= least) return run;
        if (n == 2) return {run.data, source(token + 1).data - run.data, 2};  // any two rows are
        return gathered(source, token, n, copy);
    }
    return run;
}

/// Some rows of a source of one run, for the micro kernels.
template <class E>
struct strided_group {
    static constexpr bool one_run = true;
    const E* data;
    std::int64_t step;

    const E* row(int x) const { return data + x * step; }
    int run_from(int, int n) const { return n; }
    micro::row_panel<E> panel(int x) const { return {row(x), step, {}}; }
};

/// Up to `Groups` groups of `Size` rows: a group lies at a constant step, the groups anywhere.
template <class E, int Groups, int Size>
struct scattered_groups {
    const E* starts[Groups];
    std::int64_t step;

    const E* row(int x) const { return starts[x / Size] + x % Size * step; }
    int run_from(int x, int n) const { return n < Size - x % Size ? n : Size - x % Size; }
    micro::row_groups<E> panel(int x) const { return {starts + x / Size, step, {}}; }
};

/// Rows [token, token + n), n <= Groups * Size, as one of these: where they lie, or, where a group of them is not
/// within one run, in a copy.
template <int Groups, int Size, class Source>
HEED_INLINE auto grouped(const Source& source, std::int64_t token, [[maybe_unused]] int n, [[maybe_unused]] void* copy)
{
    using E = typename Source::element;
    auto run = source(token);
    if constexpr (Source::one_run) {
        return strided_group<E>{run.data, run.step};
    } else {
        scattered_groups<E, Groups, Size> to;
        to.step = run.step;
        for (int j = 0; j < n; j += Size, run.count -= Size, run.data += Size * run.step) {
            if (run.count <= 0) run = source(token + j);
            if (run.count < Size && run.count < n - j) {
                run = gathered(source, token, n, copy);
                to.step = run.step;
                j = 0;
            }
            to.starts[j / Size] = run.data;
        }
        return to;
    }
}

/// Channels of n rows from `token` on, to be asked for: as many of them as exist and lie at one step.
template <class Source>
HEED_INLINE micro::row_lines lines_of(const Source& source, std::int64_t token, std::int64_t n, std::int64_t channel,
                                      std::int64_t channels)
{
    using E = typename Source::element;
    if (token >= source.end) return {};
    const auto run = source(token);
    const std::int64_t rows = min_of(n, min_of(run.count, source.end - token));
    return {run.data + elements_for<E>(channel), run.step, elements_for<E>(channels), static_cast<int>(rows)};
}

/// Two distances: a cursor that asks for rows ahead of their use walks at a constant step. This aims it anew where its
/// run ends.
template <class Source>
class run_follower {
public:
    /// From `token` on, once the kernels have used `used` bytes; the cursor asks for rows that are so far `apart`, and
    /// for one byte of `Every` that they use.
    HEED_INLINE run_follower(const Source& source, std::int64_t token, std::int64_t apart, std::int64_t used)
        : source_(source), next_(token), apart_(apart), until_(used)
    {}
    template <int Every>
    HEED_INLINE void aim(micro::line_cursor& cursor, std::int64_t used)
    {
        if (used < until_ || next_ >= source_.end) return;
        const auto run = source_(next_);
        cursor = micro::line_cursor(run.data, run.step, source_.elements(), apart_, run.count);
        next_ += run.count;
        const detail::checked until = detail::checked(Every) * run.count * source_.bytes() + until_;
        until_ = until.fits() ? until.value() : unbounded_use;
    }
    /// How many bytes may be used before the next run.
    HEED_INLINE std::int64_t until() const { return next_ < source_.end ? until_ : unbounded_use; }

private:
    static constexpr std::int64_t unbounded_use = std::numeric_limits<std::int64_t>::max();

    Source source_;
    std::int64_t next_, apart_, until_;
};

/// One distance: lists the rows to ask for while the kernels use as many.
template <class Source>
class piece_list {
public:
    HEED_INLINE piece_list(const Source& source, std::int64_t token) : source_(source), next_(token) {}
    /// The next n <= copied_rows rows, or what there is of them.
    HEED_INLINE micro::piece_walk list(int n)
    {
        if (next_ >= source_.end) return micro::piece_walk(static_cast<const void*>(pieces_));
        int pieces = 0;
        const auto add = [&](const void* row, std::int64_t rows) {
            const auto first = micro::address_of(row);
            pieces_[pieces++] = {first, first + static_cast<std::uintptr_t>(rows * source_.bytes())};
        };
        while (n > 0 && next_ < source_.end) {
            const auto run = source_(next_);
            const int some = static_cast<int>(min_of(run.count, n));
            if (run.step == source_.elements()) add(run.data, some);
            else
                for (int i = 0; i < some; ++i) add(run.data + i * run.step, 1);
            next_ += some;
            n -= some;
        }
        pieces_[pieces] = {pieces_[pieces - 1].end, ~std::uintptr_t{0}};
        return micro::piece_walk(pieces_);
    }

private:
    Source source_;
    std::int64_t next_;
    micro::piece pieces_[copied_rows + 1];
};

/// What decode asks for while it passes the tile that starts at `token`: see micro::stream_ahead and, with two
/// distances, micro::tile_ahead.
template <class Kv>
class far_ahead {
    static constexpr bool lists = !micro::two_distances && !Kv::one_run;

public:
    using near_walk = std::conditional_t<micro::two_distances, micro::line_cursor,
                                         std::conditional_t<lists, micro::piece_walk, micro::line_walk>>;

    far_ahead(const Kv& kv, const row_block& block, std::int64_t token, bool sparse)
        : lines(lines_from(kv, block, token, sparse)), sparse_(sparse),
          k_(keys_of(kv, block), token + (sparse ? micro::key_tile : micro::key_tile / 2 + micro::lead_rows),
             micro::rows_apart, 0),
          second_k_(keys_of(kv, block), token + micro::key_tile + micro::key_tile / 2, micro::rows_apart, 0),
          v_(values_of(kv, block), token + micro::lead_rows, micro::rows_apart, 0)
    {}

    /// The rows of `source` from `token` on are about to be used: asks for those `lead` rows ahead, and for what leads
    /// them.
    template <class Source>
    HEED_INLINE auto from(const Source& source, std::int64_t token, std::int64_t lead)
    {
        const auto run = source(token);
        return stream<Source>(walk(micro::row_behind(run.data, lead, run.step), run.step, source.elements()), lines);
    }
    /// For rows that another register block asks for: one line again and again, so that the kernels need not be
    /// compiled a second time.
    template <class Source>
    HEED_INLINE auto idle(const Source& source, std::int64_t token)
    {
        using E = typename Source::element;
        const E* const row = source(token).data;
        return stream<Source>(rest_at(row), micro::far_lines(row, 0, micro::line_of<E>, row, 0, micro::line_of<E>));
    }
    /// What follows the runs of a source from `token` on.
    template <class Source>
    HEED_INLINE auto near(const Source& source, std::int64_t token)
    {
        until_ = used_;
        if constexpr (lists) return piece_list<Source>(source, token);
        else return run_follower<Source>(source, token, micro::near_apart, used_);
    }
    /// n elements are about to be used, and with them the first of `rows` more rows.
    template <class Stream, class Near>
    HEED_INLINE void before(Stream& at, Near& near, [[maybe_unused]] std::int64_t n, [[maybe_unused]] int rows)
    {
        if constexpr (lists) {
            if (rows > 0) at.near() = near.list(rows);
        } else if constexpr (!Kv::one_run) {
            if (used_ >= until_) aim(at, near);
            used_ += n * static_cast<std::int64_t>(sizeof(typename Stream::element));
        }
    }

    micro::far_lines lines;

private:
    template <class Source>
    using stream = micro::stream_ahead<typename Source::element, near_walk>;

    static micro::far_lines lines_from(const Kv& kv, const row_block& block, std::int64_t token, bool sparse)
    {
        const auto keys = keys_of(kv, block);
        const auto values = values_of(kv, block);
        const auto k = keys(token);
        const auto v = values(token);
        if (sparse) return {k.data, k.step, keys.elements()};
        return {k.data, k.step, keys.elements(), v.data, v.step, values.elements()};
    }
    template <class E>
    HEED_INLINE near_walk walk(const E* row, [[maybe_unused]] std::int64_t step, [[maybe_unused]] std::int64_t n)
    {
        if constexpr (micro::two_distances) return {row, step, n, micro::near_apart, micro::key_tile};
        else if constexpr (lists) return near_walk(static_cast<const void*>(row));
        else return {row, step, n};
    }
    template <class E>
    HEED_INLINE near_walk rest_at(const E* row)
    {
        if constexpr (micro::two_distances) return walk(row, 0, micro::line_of<E>);
        else return near_walk(static_cast<const void*>(row));
    }
    template <class Stream, class Near>
    HEED_INLINE void aim(Stream& at, Near& near)
    {
        near.template aim<1>(at.near(), used_);
        k_.template aim<2>(at.far().first(), used_);
        until_ = min_of(near.until(), k_.until());
        if (sparse_) second_k_.template aim<2>(at.far().second(), used_);
        else v_.template aim<2>(at.far().second(), used_);
        until_ = min_of(until_, sparse_ ? second_k_.until() : v_.until());
    }

    bool sparse_;
    std::int64_t used_ = 0, until_ = 0;  // bytes; those at which a run that is asked for ends
    run_follower<decltype(keys_of(std::declval<Kv>(), row_block{}))> k_, second_k_;
    run_follower<decltype(values_of(std::declval<Kv>(), row_block{}))> v_;
};

}  // namespace kernel
HEED_END
