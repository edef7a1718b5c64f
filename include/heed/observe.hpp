// SPDX-License-Identifier: MIT
// observe: what may be known of attention weights without ever holding them, from q, k and the row statistics that
// attend() leaves.
//
//     heed::attend(def, q, k, v, out, {.stats = {shift, mass}});
//     heed::observe(def, q, k, {shift, mass}, {.entropy = entropy, .first_token = first});    // [B, Hq, Sq] each
//     heed::attention_map(def, q, k, {shift, mass}, {batch, head, first_row, rows}, out);     // [rows, Skv]
//     heed::key_totals(def, q, k, {shift, mass}, totals);                                     // [B, Hkv, Skv]
//
// It costs the product q k^T once more, and no V. Every normalizer, score map, mask, element type and kv source is
// observed as it is attended; of compute<bf16> the rounded weights are. What a head is like follows from rows:
// measure/heads.hpp.
#pragma once

#include "engine/observe/key_sums.hpp"
#include "engine/observe/observe_partition.hpp"
#include "engine/planned.hpp"
#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN

namespace detail {

/// The source that keys are read from: a cache, or a view of keys, whose values nobody reads.
template <class K>
dense_kv<K, K> keys_of(const view<K>& k)
{
    return {k, k};
}
template <class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
const Kv& keys_of(const Kv& kv)
{
    return kv;
}

}  // namespace detail

/// A definition and a shape, checked once, then observed as often as wanted on tensors of that shape; what plan is to
/// attend(). Keys are a view or a kv source, queries a view or packed; packed sequences are all cut as the one with
/// most rows is.
template <class Def, class T>
class observe_plan : public detail::planned<kernel::observe_partition> {
    static_assert(detail::sound_thresholds<Def>::value);
    static_assert(Def::integer_bits == 0, "heed: observe computes in float or double; leave compute<std::int8_t> out");

public:
    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes are looked at.
    template <class Queries, class K>
    observe_plan(const Def& def, const Queries& queries, const K& k, const options<T>& how = {})
        : planned(heed::plan<Def, T>(def, queries, detail::keys_of(k), how).status()), def_(def)
    {
        const detail::packed_of<Queries> q = queries;
        q_ = q.rows.size;
        if (!status_) return;
        most_rows_ = longest(q);
        const auto& kv = detail::keys_of(k);
        kv_ = {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        partition_ = kernel::make_observe_partition<T>(
            {kv_.batch, q_.heads, kv_.heads, kv_.dim, 1, how.executor.concurrency(),
             kernel::may_copy_rows_v<std::decay_t<decltype(kv)>>},
            most_rows_, kv_.tokens);
        if (!partition_.fits)
            status_ = status_type::error(errc::invalid_argument, "observe: a workspace for %d workers beyond 64 bits",
                                         partition_.workers);
    }

    /// The kernel, instruction set, tile shapes, tasks and workspace, in one line.
    description describe() const
    {
        if (!status_) return no_plan();
        description d;
        std::snprintf(d.text, sizeof(d.text),
                      "observe, %s, %s: blocks of %lld rows x key tiles of %d, %lld tasks for %d worker%s, workspace "
                      "%zu bytes",
                      sizeof(T) == 4 ? "f32" : "f64", isa_name(), static_cast<long long>(partition_.cut.block_rows),
                      micro::key_tile, static_cast<long long>(partition_.blocks()), partition_.workers,
                      partition_.workers == 1 ? "" : "s", partition_.total_bytes);
        return d;
    }

    /// Fills the observations that are wanted. attend() filled stats.shift and stats.mass for the same q, k and
    /// definition. Fails, with nothing written, where the tensors differ from the planned ones.
    template <class Queries, class K>
    status_type run(const Queries& queries, const K& k, const row_statistics<T>& stats, const observations<T>& wanted,
                    const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        const auto& kv = detail::keys_of(k);
        status_type s = check("observe", q, kv, stats, wanted.top_k, how);
        if (s) s = check_wanted(wanted);
        if (!s) return s;
        const auto weights = pass_over(q, kv, stats, partition_.group, 1);
        auto task = [&](std::int64_t index, int worker) {
            observe_block(weights, block_of(index, q), worker, wanted, how);
        };
        return kernel::run_tasks("observe", partition_.work(), how.executor, partition_.tasks(0), task);
    }

    /// One task of run(), for hosts with their own loop, as in plan::run_task().
    template <class Queries, class K>
    void run_task(plan_task task, const Queries& queries, const K& k, const row_statistics<T>& stats,
                  const observations<T>& wanted, const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        observe_block(pass_over(q, detail::keys_of(k), stats, partition_.group, 1), block_of(task.index, q),
                      task.worker, wanted, how);
    }

    /// out[row][key] = p of the rows of a part, dense [rows, Skv]; 0 where a key is not attended.
    template <class Queries, class K>
    status_type map(const Queries& queries, const K& k, const row_statistics<T>& stats, const map_part& part,
                    number_view<T> out, const options<T>& how) const noexcept
    {
        const detail::packed_of<Queries> q = queries;
        const auto& kv = detail::keys_of(k);
        status_type s = check("attention_map", q, kv, stats, 1, how);
        if (s) s = check_part(part, q, out);
        if (!s || part.rows == 0 || partition_.tokens == 0) return s;
        const auto weights = pass_over(q, kv, stats, 1, partition_.group);
        auto task = [&](std::int64_t index, int worker) {
            const auto mem = memory_of(how, worker);
            const std::int64_t first = index * partition_.cut.block_rows;
            T* to = out + first * partition_.tokens;
            const int count = static_cast<int>(min_of(partition_.cut.block_rows, part.rows - first));
            for (std::int64_t j = 0; j < count * partition_.tokens; ++j) to[j] = T(0);
            weights({part.batch, part.head, part.first_row + first, count}, mem,
                    [&](int r, const kernel::row_weights<T>& w) {
                        const int end = static_cast<int>(min_of(w.end, partition_.tokens - w.key));
                        for (int j = w.begin; j < end; ++j) to[r * partition_.tokens + w.key + j] = w.p[j];
                    });
        };
        return kernel::run_tasks("attention_map", partition_.work(), how.executor,
                                 ceil_div(part.rows, partition_.cut.block_rows), task);
    }

    /// What the function key_totals() does.
    template <class Queries, class K>
    status_type key_totals(const Queries& queries, const K& k, const row_statistics<T>& stats, number_view<T> out,
                           const options<T>& how) const noexcept
    {
        static_assert(!has_order_v<typename Def::normalizer_type>,
                      "heed: key_totals() takes tiles of keys by themselves, and weights of a normalizer with an order "
                      "depend on newer tiles: sum the rows of attention_map()");
        const detail::packed_of<Queries> q = queries;
        const auto& kv = detail::keys_of(k);
        status_type s = check("key_totals", q, kv, stats, 1, how);
        if (s) s = check_totals(out);
        if (!s) return s;
        const auto weights = pass_over(q, kv, stats, partition_.group, 1);
        const std::int64_t tiles = ceil_div(kv_.tokens, micro::key_tile);
        auto task = [&](std::int64_t index, int worker) {
            const std::int64_t line = index / tiles, token = index % tiles * micro::key_tile;
            const std::int64_t rows = q_.heads > 0 ? rows_of(q, line / kv_.heads) * partition_.group : 0;
            kernel::key_sums<T> sums;
            weights.by_tile({line / kv_.heads, line % kv_.heads, 0, static_cast<int>(partition_.cut.block_rows)}, rows,
                            token, memory_of(how, worker), [&](int, const kernel::row_weights<T>& w) { sums.add(w); });
            sums.give(out + line * kv_.tokens + token, static_cast<int>(min_of(micro::key_tile, kv_.tokens - token)));
        };
        return kernel::run_tasks("key_totals", partition_.work(), how.executor, kv_.batch * kv_.heads * tiles, task);
    }

private:
    using unit = std::conditional_t<Def::computes_in_bf16 && simd::has_bf16_dots, bf16_pair, T>;

    kernel::observe_memory<unit> memory_of(const options<T>& how, int worker) const
    {
        kernel::carver c(kernel::first_line(how.workspace.data) +
                         static_cast<std::size_t>(worker) * partition_.worker_bytes);
        return kernel::observe_memory<unit>::carve(c, partition_);
    }

    template <class Weights>
    void observe_block(const Weights& weights, const kernel::query_block& block, int worker,
                       const observations<T>& wanted, const options<T>& how) const
    {
        const auto mem = memory_of(how, worker);
        const auto row = [&](int r) { return weights.index_of(weights.place(block, r)); };
        for (int r = 0; r < block.count; ++r) kernel::begin_observation(wanted, row(r), mem.sums[r]);
        weights(block, mem, [&](int r, const kernel::row_weights<T>& w) {
            kernel::add_columns<has_order_v<typename Def::normalizer_type>>(wanted, row(r), w, mem.sums[r]);
        });
        for (int r = 0; r < block.count; ++r) kernel::end_observation(wanted, row(r), mem.sums[r], mem.norms[r]);
    }

    /// The rows of the sequence with most, and of one.
    template <class Q>
    static std::int64_t longest(const packed<Q>& q)
    {
        std::int64_t most = q.bounds.size() > 0 ? 0 : q.rows.size.tokens;
        for (std::int64_t b = 0; b + 1 < q.bounds.size(); ++b) most = max_of(most, rows_of(q, b));
        return most;
    }
    template <class Q>
    static std::int64_t rows_of(const packed<Q>& q, std::int64_t b)
    {
        return q.bounds.size() > 0 ? q.bounds[b + 1] - q.bounds[b] : q.rows.size.tokens;
    }
    /// Late rows first: under a causal mask their blocks are the long ones. A packed sequence may have none of them.
    template <class Q>
    kernel::query_block block_of(std::int64_t index, const packed<Q>& q) const
    {
        const std::int64_t head = index / partition_.cut.blocks_per_head;
        const std::int64_t first =
            (partition_.cut.blocks_per_head - 1 - index % partition_.cut.blocks_per_head) * partition_.cut.block_rows;
        const std::int64_t rows = rows_of(q, head / partition_.kv_heads) * partition_.group - first;
        return {head / partition_.kv_heads, head % partition_.kv_heads, first,
                static_cast<int>(max_of(min_of(partition_.cut.block_rows, rows), 0))};
    }

    template <class Q, class Kv>
    auto pass_over(const packed<Q>& q, const Kv& kv, const row_statistics<T>& stats, std::int64_t group,
                   std::int64_t sharing) const
    {
        const auto source = detail::as_const(kv);
        using job = kernel::job<kernel::computed_definition_t<Def, T>, std::remove_const_t<decltype(source)>,
                                std::remove_const_t<Q>>;
        return kernel::weights_pass<job>({detail::definition_of_call<T>(def_, q.rows.size, q.bounds), source, q.rows,
                                          static_cast<T>(def_.scale_for(kv_.dim)), group, 0, -1, q.bounds},
                                         sharing, stats);
    }

    template <class Q, class Kv>
    status_type check(const char* verb, const packed<Q>& q, const Kv& kv, const row_statistics<T>& stats,
                      std::int64_t numbers, const options<T>& how) const
    {
        const extents k{kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        return detail::first_error(
            [&] { return status_; },
            [&] {
                if constexpr (Def::knows_thresholds)
                    return detail::check_thresholds(verb, def_.template thresholds<T>(), q.rows.size);
                else return status_type{};
            },
            [&] { return heed::plan<Def, T>(def_, q, kv, how).status(); },
            [&] { return detail::check_extents(verb, "q", q.rows.size, q_); },
            [&] { return detail::check_extents(verb, "k", k, kv_); }, [&] { return check_rows(verb, q); },
            [&] { return detail::check_input_memory(verb, q, kv); },
            [&] {
                return def_.check({kv_.batch, q_.heads, kv_.heads, most_rows_, kv_.tokens});
            },
            [&] { return detail::check_statistics(verb, stats, q_, numbers); },
            [&] { return detail::check_resources(verb, how, partition_.workers, partition_.total_bytes); });
    }
    status_type check_wanted(const observations<T>& wanted) const
    {
        if (wanted.top_k < 0 || (wanted.top_k > 0 && !(wanted.top_keys && wanted.top_weights)))
            return status_type::error(errc::invalid_argument, "observe: top_k %lld with %s top_keys and %s top_weights",
                                      static_cast<long long>(wanted.top_k), wanted.top_keys ? "some" : "null",
                                      wanted.top_weights ? "some" : "null");
        if (!(wanted.small_weight >= 0))
            return status_type::error(errc::invalid_argument, "observe: small_weight %g must be at least 0",
                                      static_cast<double>(wanted.small_weight));
        const std::int64_t rows = q_.batch * q_.heads * q_.tokens;
        status_type s;
        const auto holds = [&](const char* name, const auto& numbers, std::int64_t n) {
            if (s) s = detail::check_count("observe", name, numbers, n);
        };
        holds("max_score", wanted.max_score, rows), holds("lse", wanted.lse, rows);
        holds("entropy", wanted.entropy, rows), holds("total", wanted.total, rows);
        holds("first_token", wanted.first_token, rows), holds("mean_distance", wanted.mean_distance, rows);
        holds("attended", wanted.attended, rows), holds("zeros", wanted.zeros, rows),
            holds("small", wanted.small, rows);
        holds("top_keys", wanted.top_keys, rows * wanted.top_k);
        holds("top_weights", wanted.top_weights, rows * wanted.top_k);
        return s;
    }
    template <class Q>
    status_type check_rows(const char* verb, const packed<Q>& q) const
    {
        if (longest(q) <= most_rows_) return {};
        return status_type::error(errc::invalid_argument, "%s: a sequence of %lld rows, planned for up to %lld", verb,
                                  static_cast<long long>(longest(q)), static_cast<long long>(most_rows_));
    }
    template <class Q>
    status_type check_part(const map_part& part, const packed<Q>& q, const number_view<T>& out) const
    {
        using ll = long long;
        if (part.batch < 0 || part.batch >= kv_.batch || part.head < 0 || part.head >= q_.heads)
            return status_type::error(errc::invalid_argument, "attention_map: batch %lld of %lld, head %lld of %lld",
                                      ll{part.batch}, ll{kv_.batch}, ll{part.head}, ll{q_.heads});
        const std::int64_t rows = rows_of(q, part.batch);
        if (part.first_row < 0 || part.rows < 0 || part.first_row > rows || part.rows > rows - part.first_row)
            return status_type::error(errc::invalid_argument, "attention_map: %lld rows from row %lld on, of %lld",
                                      ll{part.rows}, ll{part.first_row}, ll{rows});
        if (!out && part.rows > 0 && kv_.tokens > 0)
            return status_type::error(errc::invalid_argument, "attention_map: out is null");
        if (!(detail::checked(part.rows) * kv_.tokens * static_cast<std::int64_t>(sizeof(T))).fits())
            return status_type::error(errc::invalid_argument,
                                      "attention_map: out: %lld rows x %lld keys: beyond 64 bits", ll{part.rows},
                                      ll{kv_.tokens});
        return detail::check_count("attention_map", "out", out, part.rows * kv_.tokens);
    }
    status_type check_totals(const number_view<T>& out) const
    {
        using ll = long long;
        const detail::checked all = detail::checked(kv_.batch) * kv_.heads * kv_.tokens;
        if (!(all * static_cast<std::int64_t>(sizeof(T))).fits())
            return status_type::error(errc::invalid_argument,
                                      "key_totals: out: %lld x %lld heads x %lld keys: beyond 64 bits", ll{kv_.batch},
                                      ll{kv_.heads}, ll{kv_.tokens});
        if (!out && all.value() > 0)
            return status_type::error(errc::invalid_argument, "key_totals: out is null, must be %lld x %lld x %lld",
                                      ll{kv_.batch}, ll{kv_.heads}, ll{kv_.tokens});
        return detail::check_count("key_totals", "out", out, all.value());
    }

    Def def_;
    extents q_, kv_;
    std::int64_t most_rows_ = 0;  // of a sequence
};

template <class Def, class Queries, class K>
observe_plan(const Def&, const Queries&, const K&, const options<detail::computed_of<Queries>>& = {})
    -> observe_plan<detail::definition_t<Def>, detail::computed_of<Queries>>;

namespace detail {

/// Plans, and calls run(plan, options).
template <class Def, class Queries, class Kv, class Run>
status with_plan(const char* verb, const Def& def, const Queries& q, const Kv& kv,
                 const options<computed_of<Queries>>& how, Run run)
{
    using T = computed_of<Queries>;
    if constexpr (sound_definition<definition_t<Def>, T>::value && sound_thresholds<definition_t<Def>>::value) {
        const observe_plan<definition_t<Def>, T> p(def, q, kv, how);
        return with_workspace(verb, p, how, [&](const options<T>& with) { return run(p, with); });
    } else {
        return unsound_call(verb);
    }
}

}  // namespace detail

/// Fills what is wanted of the weights of each row.
///
/// q [B, Hq, Sq, Dqk] and k [B, Hkv, Skv, Dqk], a view or a kv source, are the arguments of attend(), and stats.shift
/// and stats.mass are what attend() filled through options.stats. Bits do not depend on threads, the batch or how
/// queries are chunked. Allocates only where options.workspace is not given; options.stats is not looked at. Returns a
/// status; nothing is written where it is false.
///
/// q may be packed, [1, Hq, rows, Dqk]: statistics and observations are then [Hq, rows], and a map's part.batch is a
/// sequence, whose rows part.first_row counts.
template <class Def, class Queries, class K>
status observe(const Def& def, const Queries& q, const K& k, const row_statistics<detail::computed_of<Queries>>& stats,
               const observations<detail::computed_of<Queries>>& wanted,
               const options<detail::computed_of<Queries>>& how = {})
{
    return detail::with_plan("observe", def, q, k, how,
                             [&](const auto& plan, const auto& with) { return plan.run(q, k, stats, wanted, with); });
}

/// out[row][key] = p_ij for the rows of one query head, dense [part.rows, Skv]; 0 where a key is not attended. The rest
/// is as in observe().
template <class Def, class Queries, class K>
status attention_map(const Def& def, const Queries& q, const K& k,
                     const row_statistics<detail::computed_of<Queries>>& stats, const map_part& part,
                     number_view<detail::computed_of<Queries>> out,
                     const options<detail::computed_of<Queries>>& how = {})
{
    return detail::with_plan("attention_map", def, q, k, how, [&](const auto& plan, const auto& with) {
        return plan.map(q, k, stats, part, out, with);
    });
}

/// Sums of weights by key, as policies of eviction rank keys by (H2O's accumulated scores, arXiv 2306.14048; SnapKV's,
/// arXiv 2404.14469, with the last rows alone as q). A cache drops a key of a kv head for all query heads that read it,
/// so a sum is over all of them:
///
///     out[b][g][j] = sum over rows i, and in row i over heads h = g group to (g + 1) group - 1, of p_bhij
///
/// out is dense [B, Hkv, Skv], overwritten; j is the position of a key, and Skv what the source says of tokens(). A key
/// that no row attends, because it is masked, not listed by selected_keys, or not held by the cache, has 0; a row that
/// attend() makes NaN makes the keys NaN that it attends. Rows are summed in the order of the formula, with what
/// rounding takes from the sum beside it: beyond the errors of weights, a sum is off by at most u |sum| + (n u)^2 sum
/// |p|, where n is rows times group and u = 2^-24, or 2^-53 of double (Ogita, Rump and Oishi 2005, Sum2). Bits do not
/// depend on threads, the batch or the cache. q may be packed. The rest is as in observe(), beside which it takes the
/// product q k^T once more.
///
///     std::vector<float> totals(B * Hkv * Skv);
///     heed::attend(def, q, k, v, out, {.stats = {shift, mass}});
///     heed::key_totals(def, q, k, {shift, mass}, totals);
///     // of each head the 512 keys to keep: 4 sinks, the 128 newest, and the heaviest of the rest
///     const auto ranked = heed::bhsd<const float>(totals.data(), {B, Hkv, 1, Skv});
///     heed::top_keys(ranked, {512, 4, 128}, offsets, offset_room, entries, entry_room);
template <class Def, class Queries, class K>
status key_totals(const Def& def, const Queries& q, const K& k,
                  const row_statistics<detail::computed_of<Queries>>& stats,
                  number_view<detail::computed_of<Queries>> out, const options<detail::computed_of<Queries>>& how = {})
{
    return detail::with_plan("key_totals", def, q, k, how, [&](const auto& plan, const auto& with) {
        return plan.key_totals(q, k, stats, out, with);
    });
}

HEED_END
