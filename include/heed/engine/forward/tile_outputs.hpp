// SPDX-License-Identifier: MIT
// O = P V of a tile: which rows of V are read, and how.
//
// Prefill takes V in panels of a few channels that stay in a cache while all rows pass: packed, or where they lie.
// Decode reads V from memory, in short runs of whole rows; where many keys have the weight 0 in every row at hand
// (trained softpick heads show 93 to 99 % of them), their rows of V are not read at all. All give the same bits.
#pragma once

#include "../kernel/rows.hpp"
#include "../micro/outputs.hpp"
#include "../micro/pack.hpp"
#include "../workspace.hpp"

HEED_BEGIN
namespace kernel {

/// Lists the keys of the tile to which any row gives a weight, and returns their number; stops where it exceeds `most`.
template <class U>
int list_weights(const row_group* groups, int n_groups, int most, const scratch<U>& mem)
{
    constexpr int lanes = vec<sum_t<U>>::lanes;
    int n = 0, lo = micro::key_tile, hi = 0;
    for (int g = 0; g < n_groups; ++g) {
        lo = groups[g].lo < lo ? groups[g].lo : lo;
        hi = groups[g].hi > hi ? groups[g].hi : hi;
    }
    for (int j = lo / lanes * lanes; j < hi && n <= most; j += lanes) {
        std::uint32_t any = 0;
        for (int g = 0; g < n_groups; ++g) {
            const row_group& rows = groups[g];
            if (rows.hi <= j || j + lanes <= rows.lo) continue;
            for (int r = rows.first; r < rows.first + rows.rows; ++r)
                any |= nonzero_bits(load(mem.s + r * micro::score_step + j));
        }
        for (; any; any &= any - 1) mem.listed[n++] = j + __builtin_ctz(any);
    }
    return n;
}

/// o += P V over the n listed keys, for whole registers of channels.
template <class Job, class U = typename Job::unit, class T = typename Job::T>
void add_listed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                int n, const scratch<U>& mem, T* o, std::int64_t o_step)
{
    using E = typename Job::value_element;
    constexpr int lanes = vec<T>::lanes, run = micro::streaming_run;
    const std::int64_t direct = job.kv.value_dim() / lanes;
    const auto source = values_of(job.kv, block);
    const auto** where = static_cast<const E**>(mem.listed_rows);
    rows<const E> here{nullptr, 0, 0};
    for (int i = 0, from = 0; i < n; ++i) {  // `here` starts at key `from` of the tile
        if (mem.listed[i] - from >= here.count) here = source(token + (from = mem.listed[i]));
        where[i] = here.data + (mem.listed[i] - from) * here.step;
    }
    for (int i = 0; i < micro::listed_ahead; ++i) where[n + i] = where[n - 1];
    for (int i = 0; i < n; i += run) {
        const int keys = run < n - i ? run : n - i;
        const int* list = mem.listed + i;
        for (int g = 0; g < n_groups; ++g) {
            const row_group& rows = groups[g];
            int from = 0, to = keys;  // beyond its own keys a group has no weights
            while (from < to && list[from] < rows.lo) ++from;
            while (from < to && list[to - 1] >= rows.hi) --to;
            if (from == to) continue;
            const T* p = mem.s + rows.first * micro::score_step;
            T* out = o + rows.first * o_step;
            for (std::int64_t panel = 0; panel < direct;) {
                const int vecs = static_cast<int>(min_of(direct - panel, micro::block_vecs));
                micro::outputs_listed({rows.rows, vecs}, p,
                                      micro::listed_values<E>{list + from, where + i + from, to - from}, panel * lanes,
                                      micro::matrix<T>{out + panel * lanes, o_step});
                panel += vecs;
            }
        }
    }
}

/// Whether panels of V can be read where they lie: with AVX-512, where the L2 cache is fast enough for them, if rows
/// have no gaps and are whole lines, up to 1 KiB (longer ones would share too few cache sets).
template <class Job>
constexpr bool may_read_in_place()
{
    return micro::avx512 && Job::kv_type::one_run && std::is_same_v<typename Job::unit, typename Job::value_element>;
}
template <class E>
HEED_INLINE bool reads_in_place(const rows<const E>& v, std::int64_t dim)
{
    const std::int64_t bytes = dim * static_cast<std::int64_t>(sizeof(E));
    return v.step == dim && bytes % micro::line_of<char> == 0 && bytes <= 1024 &&
           reinterpret_cast<std::uintptr_t>(v.data) % cache_line == 0;
}

/// A panel of V as outputs() takes it.
template <class Job, class U>
HEED_INLINE auto panel_of(const U* data, [[maybe_unused]] std::int64_t step)
{
    if constexpr (may_read_in_place<Job>()) return micro::row_panel<U>{data, step, {}};
    else return micro::packed_panel<U>{data};
}

/// Packs channels of n keys of V from `token` on, widened where they are of a storage type, into a panel.
template <class Job, class U = typename Job::unit, class T = typename Job::T>
void pack_value_panel(const Job& job, const row_block& block, std::int64_t token, int n, std::int64_t channel,
                      std::int64_t channels, int vecs, const scratch<U>& mem)
{
    using E = typename Job::value_element;
    constexpr int lanes = vec<T>::lanes, each = elements_of<U>;
    const auto source = values_of(job.kv, block);
    for (int x = 0, some; x < n; x += some) {  // runs of rows: one in a source of one run
        const int left = n - x, least = left < each ? left : each;
        const auto here = together(source, token + x, least, least, mem.copy);
        some = here.count >= left ? left : static_cast<int>(here.count) / each * each;
        micro::pack_values(matrix_of(here), some, channel, channels, vecs, mem.values + x / each * vecs * lanes);
        if constexpr (!Job::kv_type::one_run)  // the next panel's lines; those of one run have a step
            if (channel + channels < job.kv.value_dim())
                for (int i = 0; i < some; ++i)
                    __builtin_prefetch(here.data + i * here.step + elements_for<E>(channel + channels), 0, 2);
    }
}

/// o = P V where rows are many: panel by panel. Asks for the next panel, and at last for `next`.
template <class Job, class U = typename Job::unit, class T = typename Job::T>
void take_many(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
               int lowest, int highest, const scratch<U>& mem, T* o, std::int64_t o_step, const next_reads& next)
{
    constexpr int lanes = vec<T>::lanes, each = elements_of<U>, run = micro::value_run<T>;
    const auto source = values_of(job.kv, block);
    const std::int64_t dim = job.kv.value_dim();
    for (int g = 0; g < n_groups; ++g)
        if (groups[g].hi <= groups[g].lo) micro::fill_zero(o + groups[g].first * o_step, groups[g].rows * o_step);
    for (int j = lowest / each * each; j < highest; j += run) {
        const int keys = run < highest - j ? run : highest - j;
        micro::for_panels<T>(dim, [&](std::int64_t channel, std::int64_t channels, int width) HEED_INLINE_LAMBDA {
            const U* panel = mem.values;
            std::int64_t step = width * lanes;
            bool in_place = false;
            if constexpr (may_read_in_place<Job>()) {
                const auto v = source(token + j);
                in_place = reads_in_place<typename Job::value_element>(v, dim);
                if (in_place) panel = v.data + channel, step = v.step;
            }
            if (!in_place) pack_value_panel(job, block, token + j, keys, channel, channels, width, mem);
            micro::next_lines lines(keys / each, mem.values);
            if (channel + channels < dim) {
                lines.then(lines_of(source, token + j, keys, channel + channels,
                                    min_of(width * lanes, dim - channel - channels)));
            } else if (j + run < highest) {
                lines.then(lines_of(source, token + j + run, run, 0, micro::first_panel<T>(dim)));
            } else {
                lines.then(next.outputs);
                lines.then(next.keys);
                lines.then(next.queries);
            }
            for (int g = 0; g < n_groups; ++g) {
                const row_group& rows = groups[g];
                const int lo = (rows.lo > j ? rows.lo : j) / each, end = rows.hi < j + keys ? rows.hi : j + keys;
                const int hi = (end + each - 1) / each;
                if (lo >= hi) continue;
                micro::outputs({rows.rows, width}, micro::weight_rows<U>{mem.weights(rows.first) + lo, hi - lo},
                               panel_of<Job>(panel + (lo - j / each) * step, step), rows.lo < j,
                               micro::matrix<T>{o + rows.first * o_step + channel, o_step}, lines.take());
            }
        });
    }
}

/// o += P V where rows are few: V is streamed from memory in short runs of whole rows.
template <class Job, class U = typename Job::unit, class T = typename Job::T,
          class Kv = std::decay_t<decltype(std::declval<Job>().kv)>>
void add_streamed(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                  int lowest, int highest, const scratch<U>& mem, T* o, std::int64_t o_step, far_ahead<Kv>& far)
{
    using E = typename Job::value_element;
    constexpr int lanes = vec<T>::lanes, run = micro::streaming_run, each = elements_of<U>;
    constexpr int grouped_keys = micro::ahead_every * each;
    const auto source = values_of(job.kv, block);
    const std::int64_t dim = job.kv.value_dim(), direct = dim / lanes;  // registers that are read where they lie
    const int begin = lowest / grouped_keys * grouped_keys;
    const bool light = block.count <= micro::wide_rows || direct < micro::wide_vecs;
    const std::int64_t lead = micro::two_distances ? micro::near_rows : micro::value_lead<E>(light) / source.bytes();
    auto ahead = far.from(source, token + begin, lead), others = far.idle(source, token + begin);
    auto near = far.near(source, token + begin + lead);
    for (int j = begin; j < highest; j += run) {
        const int keys = run < highest - j ? run : highest - j, paired = keys / each * each;
        auto v = grouped<run / grouped_keys, grouped_keys>(source, token + j, keys, mem.copy);
        /// f(group, its first key, a multiple of `at`, and its number of units) for those that attend the keys [j +
        /// from, j + to). Before its own first key a group has weights of 0.
        const auto for_groups = [&](int from, int to, auto at, auto f) {
            for (int g = 0; g < n_groups; ++g) {
                const int lo = (groups[g].lo > j + from ? groups[g].lo : j + from) / at.value * at.value;
                const int end = groups[g].hi < j + to ? groups[g].hi : j + to;
                if (lo < end) f(g, lo, (end - lo + each - 1) / each);
            }
        };
        // In place: whole registers of channels, but for the key that lacks the second of its pair.
        // Two distances: what is asked for follows the runs of a source between calls, so one of several takes a panel
        // a call.
        const std::int64_t slice = Kv::one_run || !micro::two_distances ? max_of(direct, 1) : micro::block_vecs;
        for (std::int64_t c = 0; c < direct; c += slice) {
            const int vecs = static_cast<int>(min_of(slice, direct - c));
            far.before(ahead, near, elements_for<E>(std::int64_t{paired} * vecs * lanes), c == 0 ? keys : 0);
            for_groups(0, paired, std::integral_constant<int, grouped_keys>{}, [&](int g, int lo, int units) {
                auto panel = v.panel(lo - j);
                panel.skip(c * lanes);
                micro::outputs_rows({groups[g].rows, vecs},
                                    micro::weight_rows<U>{mem.weights(groups[g].first) + lo / each, units}, panel,
                                    micro::matrix<T>{o + groups[g].first * o_step + c * lanes, o_step},
                                    g == 0 ? ahead : others);
            });
        }
        const auto add_rest = [&](int from, std::int64_t channel, std::int64_t channels, int vecs) {
            for (int x = from, n; x < keys; x += n) {
                n = v.run_from(x, keys - x);
                micro::pack_values(micro::matrix<const E>{v.row(x), v.step}, n, channel, channels, vecs,
                                   mem.values + (x - from) / each * vecs * lanes);
            }
            for_groups(from, keys, std::integral_constant<int, each>{}, [&](int g, int lo, int units) {
                micro::outputs({groups[g].rows, vecs},
                               micro::weight_rows<U>{mem.weights(groups[g].first) + lo / each, units},
                               panel_of<Job>(mem.values + (lo - j - from) / each * vecs * lanes, vecs * lanes), true,
                               micro::matrix<T>{o + groups[g].first * o_step + channel, o_step},
                               micro::next_ahead(v.row(0)));
            });
        };
        if (paired < keys)
            for (std::int64_t c = 0; c < direct; c += micro::block_vecs) {
                const int vecs = static_cast<int>(min_of(direct - c, micro::block_vecs));
                add_rest(paired, c * lanes, vecs * lanes, vecs);
            }
        if (dim % lanes != 0) add_rest(0, direct * lanes, dim - direct * lanes, 1);
    }
}

/// o = P V where rows are few, over all keys or those that have a weight.
template <class Job, class U = typename Job::unit, class T = typename Job::T,
          class Kv = std::decay_t<decltype(std::declval<Job>().kv)>>
void take_few(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
              int count, int lowest, int highest, const scratch<U>& mem, T* o, std::int64_t o_step, far_ahead<Kv>& far)
{
    micro::fill_zero(o, block.count * o_step);
    if constexpr (elements_of<U> == 1) {
        if (job.kv.value_dim() % vec<T>::lanes == 0) {
            const int most = static_cast<int>(count * micro::listed_share);
            const int n = list_weights(groups, n_groups, most, mem);
            *mem.sparse = n <= most;
            if (n == 0) return;
            if (*mem.sparse) return add_listed(job, block, groups, n_groups, token, n, mem, o, o_step);
        }
    }
    add_streamed(job, block, groups, n_groups, token, lowest, highest, mem, o, o_step, far);
}

}  // namespace kernel
HEED_END
