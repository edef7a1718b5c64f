// SPDX-License-Identifier: MIT
// The tile step: the partial result {M, l, o} of a block of query rows and one key tile.
//
// It is a pure function of each row and of the tile's attended keys: nothing here depends on how many rows share the
// block, and everything that is computed in parts (strips, register blocks, runs of keys) keeps the order of every
// operation. Prefill, decode and split decode are walks over this one step.
#pragma once

#include "../kv.hpp"
#include "../micro/outputs.hpp"
#include "../micro/scores.hpp"
#include "weigh.hpp"

HEED_BEGIN
namespace kernel {

/// A call, in the units of the kernels.
template <class Def, class Kv, class Q>
struct job {
    using T = compute_t<Q>;
    using value_element = typename Kv::value_element;
    static constexpr bool stored_values = !std::is_same_v<value_element, T>;  // V is not made of what it is computed in

    const Def& def;
    const Kv& kv;
    view<const Q> q;
    T scale;
    std::int64_t group;       // query heads of a kv head
    std::int64_t first_key;   // absolute position of key row 0; a multiple of key_tile
    std::int64_t total_keys;  // of the whole sequence
};

/// Rows [first, first + count) of one kv head; row x is query row x / group of head x % group.
struct row_block {
    std::int64_t batch, kv_head, first;
    int count;
};

/// {M, l, o} of the rows of a block.
template <class T>
struct partial {
    T* shift;  // [rows]
    T* mass;   // [rows]
    T* o;      // [rows][o_step]
};

/// Per-worker memory.
template <class T>
struct scratch {
    T* q;            // [rows][Dqk], scaled
    T* strip;        // [Dqk][key_strip]
    T* s;            // [rows][score_step]
    T* values;       // [key_tile][lanes]: the last channels of V; [key_tile][o_step] where V is of a storage type
    key_bits* bits;  // [rows]
    partial<T> tile, run;
};

/// Row x of a block as policies see it.
template <class Job>
HEED_INLINE query_place place_of(const Job& job, const row_block& block, std::int64_t position_of_row_0, std::int64_t x)
{
    const std::int64_t row = x / job.group;
    return {block.batch, block.kv_head * job.group + x % job.group, row, position_of_row_0 + row};
}

/// The channels of o that a register panel starts at, and how V reaches it.
template <class T>
HEED_INLINE bool is_finite(const T* o, std::int64_t padded)
{
    vec<T> sum(0);
    for (std::int64_t c = 0; c < padded; c += vec<T>::lanes) {
        const vec<T> x = load(o + c);
        sum = sum + (x - x);
    }
    return all(sum == vec<T>(0));
}

/// Rows of a register block and the keys [lo, hi) of the tile that any of them attends.
struct row_group {
    int first, rows, lo, hi;
};

/// Adds P V over the keys of the tile to o, for all groups.
template <class Job, class T = typename Job::T>
void add_outputs(const Job& job, const row_block& block, const row_group* groups, int n_groups, std::int64_t token,
                 int count, const scratch<T>& mem, T* o, std::int64_t o_step)
{
    constexpr int lanes = vec<T>::lanes;
    const std::int64_t dim = job.kv.value_dim();
    const bool streaming = block.count <= micro::streaming_rows;
    const bool widened = Job::stored_values && !streaming;  // once for all rows of the block
    const std::int64_t direct = widened ? 0 : dim / lanes;  // registers of channels that are read where they lie
    const int run = streaming ? micro::streaming_run : micro::key_tile;
    for (int j = 0; j < count; j += run) {
        const int keys = run < count - j ? run : count - j;
        const auto v = job.kv.values(block.batch, block.kv_head, token + j);
        const std::int64_t packed = dim - direct * lanes, packed_step = round_up(packed, lanes);
        if (packed > 0) micro::pack_values(v.data + direct * lanes, v.step, keys, packed, mem.values, packed_step);

        const auto add = [&](std::int64_t panel, int vecs, const auto* values, std::int64_t step, auto& first, auto& others) {
            for (int g = 0; g < n_groups; ++g) {
                const row_group& rows = groups[g];
                const int lo = rows.lo > j ? rows.lo : j, hi = rows.hi < j + keys ? rows.hi : j + keys;
                if (lo >= hi) continue;
                micro::outputs(rows.rows, vecs, mem.s + rows.first * micro::score_step + lo, values + (lo - j) * step, step,
                               hi - lo, o + rows.first * o_step + panel * lanes, o_step, g == 0 ? first : others);
            }
        };
        micro::stream_ahead<typename Job::value_element> stream(v.data, v.step, dim), again = stream;
        for (std::int64_t panel = 0; panel < ceil_div(dim, lanes);) {
            const bool in_place = panel < direct;
            const int vecs = static_cast<int>(min_of((in_place ? direct : ceil_div(dim, lanes)) - panel, micro::block_vecs));
            micro::panel_ahead<T> near(in_place ? v.step : packed_step);
            if (!in_place) {
                add(panel, vecs, mem.values + (panel - direct) * lanes, packed_step, near, near);
            } else if (streaming) {
                add(panel, vecs, v.data + panel * lanes, v.step, stream, again);
            } else if constexpr (!Job::stored_values) {
                add(panel, vecs, v.data + panel * lanes, v.step, near, near);
            }
            panel += vecs;
        }
    }
}

/// The partial result of `block` and the keys [token, token + count) of one tile. Returns false, with nothing
/// written, where the mask lets no row attend any of them.
template <class Job, class T = typename Job::T>
bool tile_step(const Job& job, const row_block& block, std::int64_t token, int count, const scratch<T>& mem,
               const partial<T>& result, std::int64_t o_step)
{
    using Def = std::decay_t<decltype(job.def)>;
    const std::int64_t position_0 = job.def.position_of_row_0(block.batch, job.q.size.tokens, job.total_keys);
    const std::int64_t key_0 = job.first_key + token;
    const std::int64_t dim = job.kv.key_dim();

    coverage cover = coverage::full;
    if constexpr (Def::has_mask) {
        const std::int64_t row_begin = block.first / job.group;
        cover = job.def.classify({block.batch, block.kv_head * job.group, (block.kv_head + 1) * job.group, row_begin,
                                  (block.first + block.count - 1) / job.group + 1, position_0 + row_begin, key_0,
                                  key_0 + count});
        if (cover == coverage::none) return false;
    }
    const bool masked = cover == coverage::partial || count % micro::mass_lanes != 0;

    constexpr int max_groups = static_cast<int>((micro::query_block + micro::block_rows - 1) / micro::block_rows) + 1;
    row_group groups[max_groups];
    const int n_groups = (block.count + micro::block_rows - 1) / micro::block_rows;
    int lowest = count, highest = 0;
    for (int g = 0, x = 0; g < n_groups; ++g) {
        const int rows = (block.count - x) / (n_groups - g);
        row_group& mine = groups[g] = {x, rows, 0, count};
        if (cover == coverage::partial) {
            mine.lo = count;
            mine.hi = 0;
            for (int r = x; r < x + rows; ++r) {
                job.def.mark(place_of(job, block, position_0, block.first + r), key_0, count, mem.bits[r]);
                const int first = mem.bits[r].first(), end = mem.bits[r].end();
                mine.lo = first < mine.lo ? first : mine.lo;
                mine.hi = end > mine.hi ? end : mine.hi;
            }
        } else if (masked) {
            for (int r = x; r < x + rows; ++r) {
                mem.bits[r].clear();
                mem.bits[r].set_range(0, count);
            }
        }
        lowest = mine.lo < lowest ? mine.lo : lowest;
        highest = mine.hi > highest ? mine.hi : highest;
        x += rows;
    }

    for (int j = lowest / micro::key_strip * micro::key_strip; j < highest; j += micro::key_strip) {
        const auto k = job.kv.keys(block.batch, block.kv_head, token + j);
        const int keys = micro::key_strip < count - j ? micro::key_strip : count - j;
        const auto attends = [&](const row_group& rows, int first, int n) { return rows.lo < first + n && first < rows.hi; };
        if (n_groups <= micro::unpacked_groups && keys % vec<T>::lanes == 0) {
            for (int x = 0; x < keys; x += vec<T>::lanes)
                for (int g = 0; g < n_groups; ++g)
                    if (attends(groups[g], j + x, vec<T>::lanes))
                        micro::scores_unpacked(groups[g].rows, mem.q + groups[g].first * dim, dim, k.data + x * k.step,
                                               k.step, dim, mem.s + groups[g].first * micro::score_step + j + x);
            continue;
        }
        micro::pack_keys(k.data, k.step, keys, dim, mem.strip);
        const int share = (micro::key_strip + n_groups - 1) / n_groups;  // rows of the next strip that a group asks for
        for (int g = 0; g < n_groups; ++g)
            if (attends(groups[g], j, micro::key_strip))
                micro::scores(groups[g].rows, mem.q + groups[g].first * dim, dim, mem.strip, dim,
                              mem.s + groups[g].first * micro::score_step + j,
                              micro::strip_ahead(k.data + (micro::key_strip + g * share) * k.step, k.step, dim, share));
    }

    for (int g = 0; g < n_groups; ++g) {
        const int begin = groups[g].lo / micro::mass_lanes * micro::mass_lanes;
        const int end = groups[g].hi <= groups[g].lo ? begin : static_cast<int>(round_up(groups[g].hi, micro::mass_lanes));
        for (int r = groups[g].first; r < groups[g].first + groups[g].rows; ++r) {
            score_place<vec<T>> place;
            static_cast<query_place&>(place) = place_of(job, block, position_0, block.first + r);
            place.key = key_0;
            T* s = mem.s + r * micro::score_step;
            if (masked) weigh_row<true>(job.def, place, s, begin, end, count, mem.bits[r], result.shift[r], result.mass[r]);
            else weigh_row<false>(job.def, place, s, begin, end, count, mem.bits[r], result.shift[r], result.mass[r]);
        }
    }

    for (std::int64_t c = 0; c < block.count * o_step; c += vec<T>::lanes) store(result.o + c, vec<T>(0));
    add_outputs(job, block, groups, n_groups, token, count, mem, result.o, o_step);

    // A NaN or Inf in V may have met a weight of 0: find out from the outputs, and leave such keys out where it did.
    for (int g = 0; g < n_groups; ++g) {
        for (int r = groups[g].first; r < groups[g].first + groups[g].rows; ++r) {
            T* o = result.o + r * o_step;
            if (is_finite(o, o_step)) continue;
            for (std::int64_t c = 0; c < o_step; c += vec<T>::lanes) store(o + c, vec<T>(0));
            for (int j = groups[g].lo; j < groups[g].hi; ++j) {
                const auto v = job.kv.values(block.batch, block.kv_head, token + j);
                micro::outputs_selected(mem.s[r * micro::score_step + j], v.data, job.kv.value_dim(), o);
            }
        }
    }
    return true;
}

}  // namespace kernel
HEED_END
