// SPDX-License-Identifier: MIT
// S = Q K^T of a tile: how rows of K are read. Prefill packs them into strips that all rows of the block pass; decode
// transposes them in registers as they come from memory. Both give the same bits.
#pragma once

#include "../kernel/rows.hpp"
#include "../micro/scores.hpp"
#include "../micro/scores_unpacked.hpp"

HEED_BEGIN
namespace kernel {

HEED_INLINE bool attends(const row_group& rows, int first, int n) { return rows.lo < first + n && first < rows.hi; }

/// Scores of the strip of `keys` <= key_strip keys from key j of the tile on; asks for the next strip of the source,
/// and then for `after`.
template <class Job, class U = typename Job::unit>
void score_strip(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                 int j, int keys, const scratch<U>& mem, const micro::row_lines& after)
{
    constexpr int strip = micro::key_strip<sum_t<U>>, each = elements_of<U>, lanes = vec<U>::lanes;
    const auto source = keys_of(job.kv, block);
    const std::int64_t dim = job.kv.key_dim(), first = token + j;
    const micro::row_parts<sum_t<U>> parts(ceil_div(dim, each));
    const auto end_of = [&](std::int64_t part) { return min_of(parts.end(part) * each, dim); };
    for (std::int64_t part = 0; part < parts.count; ++part) {
        const std::int64_t channel = parts.begin(part) * each, channels = end_of(part) - channel;
        const std::int64_t units = ceil_div(channels, each);
        for (int x = 0, n; x < keys; x += n) {  // runs of rows: one in a source of one run
            const int left = keys - x, some = left < lanes ? left : lanes;
            const auto k = together(source, first + x, some, some, mem.copy);
            n = k.count >= left ? left : static_cast<int>(k.count) / lanes * lanes;
            micro::pack_keys(matrix_of(k), n, channel, channels, mem.strip + x, n == left ? strip - x : n);
        }
        micro::next_lines lines(units, mem.strip);
        if (part + 1 < parts.count) {
            lines.then(lines_of(source, first, keys, end_of(part), end_of(part + 1) - end_of(part)));
        } else {
            lines.then(lines_of(source, first + strip, strip, 0, end_of(0)));
            lines.then(after);
        }
        for (int g = 0; g < n_groups; ++g)
            if (attends(groups[g], j, strip))
                micro::scores(groups[g].rows,
                              mem.q + part * mem.part_step + groups[g].first * micro::query_step<sum_t<U>>,
                              micro::packed_keys<U>{mem.strip, units, {groups[g].lo - j, groups[g].hi - j}}, part > 0,
                              mem.s + groups[g].first * micro::score_step + j, lines.take());
    }
}

/// S for the keys [lowest, highest) of the tile of `count` keys, as far as each group attends them. after(token, n) are
/// lines to ask for besides the next keys while n keys from `token` on are scored.
template <class Job, class After, class U = typename Job::unit>
void score_packed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                  int count, int lowest, int highest, const scratch<U>& mem, After after)
{
    constexpr int strip = micro::key_strip<sum_t<U>>;
    for (int j = lowest / strip * strip; j < highest; j += strip) {
        const int keys = strip < count - j ? strip : count - j;
        score_strip(job, block, groups, n_groups, token, j, keys, mem, after(token + j, keys));
    }
}

/// The same where rows are few.
template <class Job, class U = typename Job::unit, class Kv = std::decay_t<decltype(std::declval<Job>().kv)>>
void score_streamed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                    int count, int lowest, int highest, const scratch<U>& mem, far_ahead<Kv>& far)
{
    constexpr int lanes = vec<U>::lanes, vecs = micro::unpacked_vecs, least = vecs * lanes;
    constexpr int some =
        Kv::one_run && micro::overlaps_transposition<typename Job::key_element> ? micro::overlapped_keys : least;
    static_assert(Kv::one_run || copied_rows >= least);
    constexpr int strip = micro::key_strip<sum_t<U>>;
    const auto source = keys_of(job.kv, block);
    const std::int64_t dim = source.dim;
    const int begin = lowest / least * least, stop = static_cast<int>(min_of(round_up(highest, lanes), count));
    const int whole = begin + (stop - begin) / lanes * lanes;
    const std::int64_t lead = micro::two_distances ? micro::near_rows : max_of(least, micro::key_lead / source.bytes());
    auto ahead = far.from(source, token + begin, lead), others = far.idle(source, token + begin);
    auto near = far.near(source, token + begin + lead);
    for (int j = begin; j < whole; j += some) {
        const int keys = some < whole - j ? some : whole - j;
        far.before(ahead, near, keys * source.elements(), keys);
        const auto k = grouped<vecs, lanes>(source, token + j, keys, mem.copy);
        const auto score = [&](const row_group& rows, auto& reader) {
            if (attends(rows, j, keys))
                micro::scores_unpacked(rows.rows, micro::packed_queries<U>{mem.q, mem.part_step, dim}.from_row(rows.first),
                                       k.panel(0), keys / lanes, mem.s + rows.first * micro::score_step + j, reader);
        };
        score(groups[0], ahead);
        for (int g = 1; g < n_groups; ++g) score(groups[g], others);
    }
    far.lines = ahead.far();
    // Keys that do not fill a register: packed strips, which start at multiples of their width as rows of scores end
    // there.
    for (int j = whole / strip * strip; whole < highest && j < highest; j += strip)
        score_strip(job, block, groups, n_groups, token, j, strip < count - j ? strip : count - j, mem, {});
}

}  // namespace kernel
HEED_END
