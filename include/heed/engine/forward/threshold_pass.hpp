// SPDX-License-Identifier: MIT
// The forward pass of a normalizer with a threshold. K is read once: scores come tile by tile, and of each row the keys
// are listed that may have a weight. From the list follow the threshold, the weights and the rows of V that are read.
//
// What a row gets does not depend on how: whether its outputs come from its list, from tiles that lists are spread
// over, or, where a list does not fit, from scores that are computed once more, every partial result of a tile is the
// same, and so is the order in which they are folded.
#pragma once

#include "candidates.hpp"
#include "forward_pass.hpp"
#include "list_outputs.hpp"

HEED_BEGIN
namespace kernel {

/// A call by another definition.
template <class Def, class Job>
struct job_by;
template <class Def, class Other, class Kv, class Q>
struct job_by<Def, job<Other, Kv, Q>> {
    using type = job<Def, Kv, Q>;
};

template <class Job, class Sink>
class threshold_pass : forward_pass<Job, Sink> {
    using base = forward_pass<Job, Sink>;
    using T = typename Job::T;
    using U = typename Job::unit;
    using memory = threshold_memory<U>;
    using definition = std::decay_t<decltype(std::declval<Job>().def)>;
    using policy_type = typename definition::policy_type;
    template <class, class>
    friend class threshold_pass;

public:
    using base::base;

    void run_task(int stage, std::int64_t task, int worker) const
    {
        if (this->p_.stage(stage) == partition::work_of::list) return this->tasks().list(this->job_);
        carver c(this->base_ + static_cast<std::size_t>(worker) * this->p_.worker_bytes);
        const memory mem = memory::carve(c, this->p_);
        const sequence_tasks of = this->tasks().sequence_of(task, false);
        run(this->tasks().block_of(of, task - of.first.pass), of.cut.tiles, mem);
    }

private:
    using finder = row_finder<policy_type, T>;
    static constexpr bool sums_shares = detail::threshold_kind_v<policy_type> == threshold_kind::share;

    void run(const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        mem.begin(block.count);
        const policy_type policy = this->job_.def.normalizer().policy;
        const bool listed = list_keys(policy, block, tiles, mem);
        if (!listed && !sums_shares) return run_in_parts(policy, block, tiles, mem);
        if constexpr (leaves_lists_v<Sink>) return give_lists(policy, block, mem);
        else give_rows(policy, block, tiles, mem, listed);
    }
    /// Leaves the lists of a part of the keys.
    void give_lists(const policy_type& policy, const query_block& block, const memory& mem) const
    {
        place_cursor<Job> places(this->job_, block);
        for (int r = 0; r < block.count; ++r) {
            const query_place p = places.next();
            this->to_.fold(policy, p, this->job_.index_of(p), mem.lists[r]);
        }
    }
    void give_rows(const policy_type& policy, const query_block& block, std::int64_t tiles, const memory& mem,
                   bool listed) const
    {
        place_cursor<Job> places(this->job_, block, this->job_.position_of_row_0(block.batch));
        for (int r = 0; r < block.count; ++r)
            mem.thresholds[r] = without_signs_of_zeros(finder(policy, places.next()).find(mem.lists[r], mem.near));
        keep_thresholds(block, tiles, mem, listed);
        if (listed) give_outputs(block, tiles, mem);
        else compute_again(block, tiles, mem);
    }
    /// Fewer rows have longer lists. Of one row whose list does not fit, scores are computed again and again.
    void run_in_parts(const policy_type& policy, query_block block, std::int64_t tiles, const memory& mem) const
    {
        if (block.count == 1) return run_alone(policy, block, tiles, mem);
        const int end = block.count, rows = (end + 3) / 4;
        for (int r = 0; r < end; r += rows, block.first += rows) {
            block.count = rows < end - r ? rows : end - r;
            run(block, tiles, mem);
        }
    }
    void run_alone(const policy_type& policy, const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        if constexpr (leaves_lists_v<Sink>) {
            this->to_.overflow(this->job_.index_of(place_of(this->job_, block, 0, block.first)));
        } else {
            if constexpr (!sums_shares) find_by_passes(policy, block, tiles, mem);
            keep_thresholds(block, tiles, mem, false);
            compute_again(block, tiles, mem);
        }
    }
    /// Scores once more, with thresholds that are known.
    void compute_again(const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        threshold_pass(known<Job>(block, mem), this->p_, this->to_, this->base_).run_block(block, tiles, mem, {});
    }

    /// Calls take(row, r, keys, range, token, masked) for each row and tile of which the mask leaves any key; row has
    /// its scores, mapped, and -inf where a key is not attended.
    template <class Take>
    void for_scores(const query_block& block, std::int64_t tiles, const memory& mem, Take take) const
    {
        const auto for_rows = [&](const tile<Job>& t, const auto& def, auto masked) HEED_INLINE_LAMBDA {
            for (const register_block& rows : t.cover) {
                if (rows.is_empty()) continue;
                const key_range keys{rows.begin(), rows.end()};
                for (int r = rows.first; r < rows.end_row(); ++r) {
                    const auto row = score_row_of<true>(t, def, r, mem.scores);
                    const score_range<T> range = map_row<masked.value, U>(row, keys);
                    take(row, r, keys, range, t.token, masked);
                }
            }
        };
        std::int64_t after;
        for (std::int64_t i = this->attended_tile(block, 0, tiles); i < tiles; i = after) {
            after = this->attended_tile(block, i + 1, tiles);
            const std::int64_t token = this->first_of(block, i);
            const tile<Job> t(this->job_, block, token, static_cast<int>(this->keys_from(block, token)), mem.bits);
            if (t.is_unattended()) continue;
            if (block.count <= micro::streaming_rows) {
                decode_prefetch<tile<Job>> prefetch(t, true);
                score_streamed(t, mem.scores, prefetch);
            } else {
                const micro::row_lines next = after < tiles ? this->first_keys(block, after) : micro::row_lines();
                score_packed(t, mem.scores, [&](std::int64_t, int) HEED_INLINE_LAMBDA { return next; });
            }
            scale_scores(t, mem.scores.scores);
            with_maps_of(t, [&](const auto& def) HEED_INLINE_LAMBDA {
                if (t.cover.masked) for_rows(t, def, std::true_type{});
                else for_rows(t, def, std::false_type{});
            });
        }
    }

    /// Lists what may have a weight. False where a list is full, or none is worth while: of shares the sums of the
    /// inner normalizer are there all the same.
    bool list_keys(const policy_type& policy, const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        const std::int64_t room = mem.places_of(block.count) - row_list<T>::spare;
        bool fits = finder::is_bounded && this->job_.kv.held(block.batch).end <= most_listed_tokens;
        if (!fits && !sums_shares) return false;
        std::int64_t payloads_of = -1;
        pack_queries(this->job_, block, mem.scores);
        for_scores(block, tiles, mem,
                   [&](const auto& row, int r, key_range keys, const score_range<T>& range, std::int64_t token,
                       [[maybe_unused]] auto masked) {
                       if (!fits && !sums_shares) return;
                       if (token != payloads_of) {
                           for (int j = 0; j < micro::key_tile; ++j) mem.payloads[j] = as_payload<T>(token + j);
                           payloads_of = token;
                       }
                       row_list<T>& list = mem.lists[r];
                       const finder find(policy, row.place);
                       find.see_top(list, range.top());
                       [[maybe_unused]] T shift = T(0);
                       if constexpr (sums_shares)
                           shift = add_sums<masked.value>(find, list, row, keys, range, mem.copied);
                       if constexpr (finder::is_bounded)
                           fits = fits && list_row(find, list, row.s, keys, {room, shift}, mem);
                   });
        return fits;
    }
    /// What a row's list may hold, and the unit of the scores' weights in a sum of shares.
    struct list_bounds {
        std::int64_t room;
        T shift;
    };
    /// Lists what may have a weight among the keys of a tile. False where there is no room for them.
    static bool list_row(const finder& find, row_list<T>& list, const T* s, key_range keys, const list_bounds& of,
                         const memory& mem)
    {
        const int n = keys.end - keys.begin;
        if (list.count + n > of.room) find.tighten(list, mem.near);
        if (list.count + n > of.room) return false;
        if constexpr (sums_shares) {
            list.collect_by(s, find.bound(list, of.shift), mem.copied, keys, mem.payloads);
        } else {
            list.collect(s, keys, mem.payloads);
            if (list.count <= 2 * list.tightened || !find.is_worth_tightening(list)) return true;
            find.tighten(list, mem.near);
            list.tightened = list.count;
        }
        return true;
    }
    /// Adds what a tile comes to for the inner normalizer of a share. The scores of the row become its weights, in
    /// units of 2^shift, which is returned; `copied` receives the scores.
    template <bool Masked, class Row>
    static T add_sums(const finder& find, row_list<T>& list, const Row& row, key_range keys, score_range<T> range,
                      T* copied)
    {
        using inner = inner_definition<std::decay_t<decltype(*row.def)>>;
        const inner def{};
        const score_row<inner, T> of_inner{&def, row.scale, row.s, row.bits, row.place};
        const score_row<inner, T>* const next = nullptr;
        std::copy_n(row.s + keys.begin, keys.end - keys.begin, copied + keys.begin);
        T shift, mass;
        (void)weigh_row<Masked, T>(of_inner, next, keys, range, shift, mass);
        find.add(list, shift, mass);
        return shift;
    }

    /// The same thresholds from sums over all scores, which are computed for each step of the search: of a row alone
    /// whose list is longer than all lists together may be.
    void find_by_passes(const policy_type& policy, const query_block& block, std::int64_t tiles,
                        const memory& mem) const
    {
        T highest = -libm::infinity<T>;
        pack_queries(this->job_, block, mem.scores);
        for_scores(block, tiles, mem, [&](const auto&, int, key_range, score_range<T> range, std::int64_t, auto) {
            highest = range.top() > highest ? range.top() : highest;
        });
        const finder find(policy, place_of(this->job_, block, 0, block.first));
        const auto each_tile = [&](auto f) {
            for_scores(block, tiles, mem,
                       [&](const auto& row, int, key_range keys, const score_range<T>&, std::int64_t, auto) {
                           f(row.s, keys);
                       });
        };
        mem.thresholds[0] = without_signs_of_zeros(find.find_by_passes(highest, each_tile));
    }

    /// The outputs of rows whose thresholds are known and whose lists hold all keys that have a weight.
    void give_outputs(const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        if constexpr (elements_of<U> == 2) {
            compute_again(block, tiles, mem);
        } else {
            const Job job = known<Job>(block, mem);
            std::int64_t entries = 0;
            place_cursor<Job> places(job, block, job.position_of_row_0(block.batch));
            for (int r = 0; r < block.count; ++r) {
                weigh_list(job.def.normalizer_of(places.next()), mem.lists[r]);
                entries += mem.lists[r].count;
            }
            const std::int64_t keys = this->job_.kv.held(block.batch).end - this->held_from(block);
            this->begin_rows(block, mem.sum);
            if (may_list() && static_cast<double>(entries) <= listed_share * static_cast<double>(keys * block.count))
                outputs_of_lists(job, block, mem);
            else outputs_of_tiles(job, block, tiles, mem);
            this->end_rows(block, mem.sum);
        }
    }
    bool may_list() const
    {
        return !has_value_scales_v<typename Job::kv_type> && this->job_.kv.value_dim() % vec<T>::lanes == 0;
    }
    void outputs_of_lists(const Job& job, const query_block& block, const memory& mem) const
    {
        place_cursor<Job> places(job, block, job.position_of_row_0(block.batch));
        for (int r = 0; r < block.count; ++r) {
            outputs_of_list(job, block, mem.lists[r], mem.values, mem.ends, mem.sum.row(r));
            mem.sum.shift[r] = job.def.normalizer_of(places.next()).shift_of_row();
        }
    }
    void outputs_of_tiles(const Job& job, const query_block& block, std::int64_t tiles, const memory& mem) const
    {
        int next[memory::most_rows] = {};
        bool sparse = false;
        for (std::int64_t i = this->attended_tile(block, 0, tiles); i < tiles;
             i = this->attended_tile(block, i + 1, tiles)) {
            const std::int64_t token = this->first_of(block, i);
            const tile<Job> t(job, block, token, static_cast<int>(this->keys_from(block, token)), mem.bits);
            if (t.is_unattended()) continue;
            place_cursor<Job> places(job, block, job.position_of_row_0(block.batch));
            for (const register_block& rows : t.cover)
                for (int r = rows.first; r < rows.end_row(); ++r) {
                    mem.tile.mass[r] = spread_list(t, rows, mem.lists[r], next[r], mem.scores.row(r));
                    mem.tile.shift[r] = job.def.normalizer_of(places.next()).shift_of_row();
                }
            scale_weights(t, mem.scores.scores);
            if (block.count <= micro::streaming_rows) {
                decode_prefetch<tile<Job>> prefetch(t, true);
                outputs_streamed(t, mem.scores, mem.outputs, mem.tile.o, prefetch, sparse);
            } else {
                outputs_packed(t, mem.scores, mem.outputs, mem.tile.o, {});
            }
            repair_outputs(t, mem.scores, mem.tile.o);
            this->fold(block, mem.sum, mem.tile);
        }
    }
    /// The call, by a definition that knows the thresholds of a block: outputs of its weights, or of slopes.
    template <class Known>
    Known known(const query_block& block, const memory& mem) const
    {
        const Job& of = this->job_;
        const threshold_rows<T> rows{mem.thresholds, -block.kv_head * of.group - block.first, 0, 1, of.group};
        return {typename Known::def_type(of.def, rows),
                of.kv,
                of.q,
                of.scale,
                of.group,
                of.first_key,
                of.total_keys,
                of.bounds,
                of.tile_stride};
    }

    /// Leaves what is found of a block's rows where the definition says: before outputs, which use up the lists.
    void keep_thresholds(const query_block& block, [[maybe_unused]] std::int64_t tiles, const memory& mem,
                         [[maybe_unused]] bool listed) const
    {
        if constexpr (definition::keeps_thresholds) {
            place_cursor<Job> places(this->job_, block);
            row_threshold<T>* const to = this->job_.def.template thresholds<T>();
            for (int r = 0; r < block.count; ++r) to[this->job_.index_of(places.next())] = mem.thresholds[r];
            if constexpr (has_slope_out_v<policy_type>)
                if (this->job_.def.template slope_out<T>().data) give_slopes(block, tiles, mem, listed);
        }
    }
    /// The outputs of slopes: of lists that are copied behind themselves, or, where there is no room, of scores that
    /// are computed once more.
    void give_slopes(const query_block& block, std::int64_t tiles, const memory& mem, bool listed) const
    {
        using slope_job = typename job_by<sloped<typename definition::call_type, T>, Job>::type;
        const to_output<T, T> to{this->job_.def.template slope_out<T>(), {}};
        const threshold_pass<slope_job, to_output<T, T>> slopes(known<slope_job>(block, mem), this->p_, to,
                                                                this->base_);
        const std::int64_t room = mem.places_of(block.count);
        row_list<T> kept[memory::most_rows];
        for (int r = 0; r < block.count; ++r) {
            kept[r] = mem.lists[r];
            listed = listed && 2 * (kept[r].count + row_list<T>::spare) <= room;
        }
        if (!listed) return slopes.compute_again(block, tiles, mem);
        for (int r = 0; r < block.count; ++r) mem.lists[r].move_behind();
        slopes.give_outputs(block, tiles, mem);
        std::copy_n(kept, block.count, mem.lists);
    }

    /// If at most this share of keys has a weight, rows of V are taken from lists.
    static constexpr double listed_share = 0.25;
};

/// The pass of a definition: one that knows its thresholds has nothing to find.
template <class Job, class Sink>
using pass_of =
    std::conditional_t<finds_thresholds_v<typename Job::def_type>, threshold_pass<Job, Sink>, forward_pass<Job, Sink>>;

}  // namespace kernel
HEED_END
