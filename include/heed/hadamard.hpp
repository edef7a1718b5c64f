// SPDX-License-Identifier: MIT
// hadamard: an orthogonal transform of the channels of rows, which spreads outlier channels over all of them before
// they are quantised; rotate and rotate_back: rows by it, and by its inverse.
//
//     const heed::hadamard by;
//     heed::rotate(q, q_rotated, by);                               // rows of queries
//     heed::append(cache, sequence, position, k_rows, v_rows, by);  // keys, while they are quantised
//     heed::attend(def, q_rotated, cache, out);                     // (R q).(R k) = q.k
//
// Values too, where their outliers matter; then the outputs are rotated:
//
//     heed::append(cache, sequence, position, k_rows, v_rows, heed::row_transforms{by, by});
//     heed::attend(def, q_rotated, cache, out);
//     heed::rotate_back(out, by);                                   // sum p_j R v_j = R o
//
// A scale of a row of int8 follows its largest channel, and a few channels of K that are far larger than the rest take
// the steps of all others. Rotated, a row has no such channels: every channel is a sum of all with signs.
#pragma once

#include "engine/cache_checks.hpp"
#include "engine/kernel/run_tasks.hpp"
#include "engine/micro/walsh_hadamard.hpp"
#include "engine/micro/widen.hpp"

HEED_BEGIN

/// The rotation of rows of D channels, D a power of two up to 8192,
///
///     (R x)[i] = 1 / sqrt(D)  sum over j of (-1)^popcount(i & j) signs[j] x[j]
///
/// by the fast Walsh-Hadamard transform, D log2(D) sums (QuaRot, arXiv 2404.00456; SpinQuant, arXiv 2405.16406). R is
/// orthogonal: it keeps norms and products, and without signs it is its own inverse. Random signs, which must be the
/// same for queries and keys of all calls on a cache, keep a row that is itself a pattern of signs from becoming one
/// large channel.
///
/// Sums are computed in float, or in double for rows of double, and |R x - what is computed| <= (log2(D) + 2) u |x|, in
/// the Euclidean norm, where D max |x_j| does not overflow. NaN or Inf in a row is NaN or Inf in all of its channels.
///
/// As a transform of append() it changes rows of every head alike. RoPE, which pairs channels, comes before it.
struct hadamard {
    number_view<const float> signs;  ///< +1 or -1 for each channel; none: +1 for all

    /// Rotates a row in place. One whose size is no power of two becomes NaN: where a transform of yours calls this, it
    /// should have a check() that calls that below.
    template <class T>
    void operator()(T* row, std::int64_t dim, std::int64_t = 0, std::int64_t = 0) const
    {
        if (!rotates(dim)) return fill_with_nan(row, dim);
        flip(row, dim);
        transform(row, dim);
    }
    /// The inverse, R^T.
    template <class T>
    void back(T* row, std::int64_t dim) const
    {
        if (!rotates(dim)) return fill_with_nan(row, dim);
        transform(row, dim);
        flip(row, dim);
    }

    /// Fails where rows of this size cannot be rotated: their number of channels, or signs, are not what they must be.
    status check(const char* verb, const char* name, const extents& rows) const
    {
        using ll = long long;
        if (!rotates(rows.dim))
            return status::error(errc::invalid_argument,
                                 "%s: %s have %lld channels; a rotation takes a power of two, at most %lld", verb, name,
                                 ll{rows.dim}, ll{detail::largest_row});
        if (status s = detail::check_count(verb, "signs", signs, rows.dim); !s) return s;
        for (std::int64_t c = 0; signs && c < rows.dim; ++c)
            if (!(libm::fabs(signs[c]) == 1))
                return status::error(errc::invalid_argument, "%s: signs[%lld] is %g, must be 1 or -1", verb, ll{c},
                                     static_cast<double>(signs[c]));
        return {};
    }

private:
    static bool rotates(std::int64_t dim) { return dim > 0 && dim <= detail::largest_row && (dim & (dim - 1)) == 0; }
    template <class T>
    static void fill_with_nan(T* row, std::int64_t dim)
    {
        for (std::int64_t c = 0; c < dim; ++c) row[c] = libm::quiet_nan<T>;
    }
    template <class T>
    void flip(T* row, std::int64_t dim) const
    {
        if (signs)
            for (std::int64_t c = 0; c < dim; ++c) row[c] *= static_cast<T>(signs[c]);
    }
    template <class T>
    static void transform(T* row, std::int64_t dim)
    {
        micro::walsh_hadamard(row, dim, static_cast<T>(1 / libm::sqrt(static_cast<double>(dim))));
    }
};

namespace detail {

/// Changes each of `rows` by change(row, dim) into `to`, which lies apart from them or is the same.
template <class E, class O, class Change>
status change_rows(const char* verb, const view<E>& rows, const view<O>& to, const hadamard& by,
                   const executor_ref& executor, const Change& change)
{
    using T = compute_t<E>;
    static_assert(std::is_same_v<compute_t<O>, T>, "heed: rotate takes rows of float, bf16 and f16, or both of double");
    static_assert(!std::is_const_v<O>, "heed: rotate writes to a view that is not const");
    const status s =
        first_error([&] { return check_sizes(verb, "rows", rows); }, [&] { return by.check(verb, "rows", rows.size); },
                    [&] { return check_memory(verb, "rows", rows); },
                    [&] { return check_written_tensor(verb, "to", to, rows.size); },
                    [&] {
                        if (same_place(to, rows) || !may_overlap(to, rows)) return status{};
                        return status::error(errc::invalid_argument, "%s: to overlaps rows, and is not the same", verb);
                    });
    if (!s) return s;
    const extents& e = rows.size;
    auto task = [&](std::int64_t i, int) {
        T row[largest_row];
        const std::int64_t b = i / e.heads, h = i % e.heads;
        for (std::int64_t t = 0; t < e.tokens; ++t) {
            micro::widen(rows.row(b, h, t), 0, e.dim, row);
            change(row, e.dim);
            micro::narrow(row, e.dim, to.row(b, h, t));
        }
    };
    const std::int64_t tasks = is_empty(e) ? 0 : e.batch * e.heads;
    constexpr double work_of_a_channel = 32;  // 0.3 to 0.7 ns on Zen 3, D 64 to 512: as many multiply-adds
    const double channels = static_cast<double>(tasks) * static_cast<double>(e.tokens) * static_cast<double>(e.dim);
    return kernel::run_tasks(verb, work_of_a_channel * channels, executor, tasks, task);
}

}  // namespace detail

/// to[b][h][t] = R rows[b][h][t], of float, bf16 and f16 in any mix, rounded once, or of double. Both are [B, H, S, D];
/// `to` may be `rows`, and may not overlap them otherwise. Packed rows are [1, H, rows, D]. Allocates nothing; returns
/// a status, and nothing is written where it is false.
template <class E, class O>
status rotate(const view<E>& rows, const view<O>& to, const hadamard& by = {}, executor_ref executor = {})
{
    return detail::change_rows("rotate", rows, to, by, executor, [&](auto* row, std::int64_t dim) { by(row, dim); });
}
/// The same in place.
template <class E>
status rotate(const view<E>& rows, const hadamard& by = {}, executor_ref executor = {})
{
    return rotate(rows, rows, by, executor);
}

/// to[b][h][t] = R^T rows[b][h][t]: what was rotated, as it was. Sizes and errors as in rotate().
template <class E, class O>
status rotate_back(const view<E>& rows, const view<O>& to, const hadamard& by = {}, executor_ref executor = {})
{
    return detail::change_rows("rotate_back", rows, to, by, executor,
                               [&](auto* row, std::int64_t dim) { by.back(row, dim); });
}
/// The same in place.
template <class E>
status rotate_back(const view<E>& rows, const hadamard& by = {}, executor_ref executor = {})
{
    return rotate_back(rows, rows, by, executor);
}

HEED_END
