// SPDX-License-Identifier: MIT
// observe: what may be known of attention weights without ever holding them, from q, k and the row statistics that
// attend() leaves.
//
//     heed::attend(def, q, k, v, out, {.stats = {shift, mass}});
//     heed::observe(def, q, k, {shift, mass}, {.entropy = entropy, .first_token = first});    // [B, Hq, Sq] each
//     heed::attention_map(def, q, k, {shift, mass}, {batch, head, first_row, rows}, out);     // [rows, Skv]
//
// It costs the product q k^T once more, and no V. Every normalizer, score map, mask, element type and kv source is
// observed as it is attended; of compute<bf16> the rounded weights are. What a head is like follows from rows:
// measure/heads.hpp.
#pragma once

#include "engine/observe/observe_pass.hpp"
#include "engine/workspace.hpp"
#include "plan.hpp"

HEED_BEGIN

/// A definition and a shape, checked once, then observed as often as wanted on tensors of that shape.
template <class Def, class T>
class observe_plan {
    static_assert(Def::integer_bits == 0, "heed: observe computes in float or double; leave compute<std::int8_t> out");

public:
    using status_type = heed::status;

    /// Plans for tensors of these shapes and an executor of this concurrency. Only sizes are looked at.
    template <class Q, class K>
    observe_plan(const Def& def, const view<Q>& q, const view<K>& k, const options<T>& how = {})
        : observe_plan(def, q, dense_kv{k, k}, how)
    {}
    template <class Q, class Kv, class = std::enable_if_t<is_kv_source_v<Kv>>>
    observe_plan(const Def& def, const view<Q>& q, const Kv& kv, const options<T>& how = {})
        : def_(def), q_(q.size), status_(heed::plan<Def, T>(def, q, kv, how).status())
    {
        if (!status_) return;
        kv_ = {kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        const int workers = how.executor.concurrency();
        partition_ = kernel::make_partition<kernel::observe_memory<T>>(
            {q_.batch, q_.heads, kv_.heads, kv_.dim, 1, workers, !Kv::contiguous}, q_.tokens, {0, kv_.tokens});
        const std::int64_t heads = partition_.batch * partition_.kv_heads, wanted = std::int64_t{4} * workers;
        if (workers > 1 && partition_.blocks() > 0 &&
            partition_.blocks() < wanted) {  // fewer rows a block keep all workers busy
            const std::int64_t rows =
                round_up(ceil_div(partition_.cut.rows, ceil_div(wanted, heads)), micro::register_rows);
            partition_.cut.block_rows = min_of(max_of(rows, micro::streaming_rows), partition_.cut.block_rows);
            partition_.cut.blocks_per_head = ceil_div(partition_.cut.rows, partition_.cut.block_rows);
        }
        kernel::carving_count one;
        (void)kernel::observe_memory<T>::carve(one, partition_);
        const detail::checked all =
            detail::checked(kernel::cache_line) + detail::checked(partition_.workers) * one.bytes();
        if (!partition_.fits || !all.fits()) {
            status_ = status_type::error(errc::invalid_argument, "observe: a workspace for %d workers beyond 64 bits",
                                         partition_.workers);
            return;
        }
        worker_bytes_ = static_cast<std::size_t>(one.bytes().value());
    }

    const status_type& status() const { return status_; }

    /// Scratch that run() and map() need: a constant a worker.
    std::size_t workspace_bytes() const
    {
        return status_ ? kernel::cache_line + static_cast<std::size_t>(partition_.workers) * worker_bytes_ : 0;
    }

    /// Fills the observations that are wanted. attend() filled stats.shift and stats.mass for the same q, k and
    /// definition. Fails, with nothing written, where the tensors differ from the planned ones.
    template <class Q, class K>
    status_type run(const view<Q>& q, const view<K>& k, const row_statistics<T>& stats, const observations<T>& wanted,
                    const options<T>& how) const noexcept
    {
        return run(q, dense_kv{k, k}, stats, wanted, how);
    }
    template <class Q, class Kv>
    status_type run(const view<Q>& q, const Kv& kv, const row_statistics<T>& stats, const observations<T>& wanted,
                    const options<T>& how) const noexcept
    {
        status_type s = check("observe", q, kv, stats, wanted.top_k, how);
        if (s) s = check_wanted(wanted);
        if (!s) return s;
        const auto weights = pass_over(q, kv, stats, partition_.group, 1);
        auto task = [&](std::int64_t index, int worker) {
            const auto mem = memory_of(how, worker);
            const kernel::query_block block = block_of(index);
            const auto row = [&](int r) { return weights.index_of(weights.place(block, r)); };
            for (int r = 0; r < block.count; ++r) kernel::begin_observation(wanted, row(r), mem.sums[r]);
            weights(block, mem, [&](int r, const kernel::row_weights<T>& w) {
                kernel::add_columns(wanted, row(r), w, mem.sums[r]);
            });
            for (int r = 0; r < block.count; ++r) kernel::end_observation(wanted, row(r), mem.sums[r], mem.norms[r]);
        };
        return kernel::run_tasks("observe", partition_.work(), how.executor, partition_.blocks(), task);
    }

    /// out[row][key] = p of the rows of a part, dense [rows, Skv]; 0 where a key is not attended.
    template <class Q, class K>
    status_type map(const view<Q>& q, const view<K>& k, const row_statistics<T>& stats, const map_part& part, T* out,
                    const options<T>& how) const noexcept
    {
        return map(q, dense_kv{k, k}, stats, part, out, how);
    }
    template <class Q, class Kv>
    status_type map(const view<Q>& q, const Kv& kv, const row_statistics<T>& stats, const map_part& part, T* out,
                    const options<T>& how) const noexcept
    {
        status_type s = check("attention_map", q, kv, stats, 1, how);
        if (s) s = check_part(part, out);
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

private:
    using unit = std::conditional_t<Def::computes_in_bf16 && simd::has_bf16_dots, bf16_pair, T>;

    kernel::observe_memory<unit> memory_of(const options<T>& how, int worker) const
    {
        kernel::carver c(kernel::first_line(how.workspace.data) + static_cast<std::size_t>(worker) * worker_bytes_);
        return kernel::observe_memory<unit>::carve(c, partition_);
    }

    /// Late rows first: under a causal mask their blocks are the long ones.
    kernel::query_block block_of(std::int64_t index) const
    {
        const std::int64_t head = index / partition_.cut.blocks_per_head;
        const std::int64_t first =
            (partition_.cut.blocks_per_head - 1 - index % partition_.cut.blocks_per_head) * partition_.cut.block_rows;
        return {head / partition_.kv_heads, head % partition_.kv_heads, first,
                static_cast<int>(min_of(partition_.cut.block_rows, partition_.cut.rows - first))};
    }

    template <class Q, class Kv>
    auto pass_over(const view<Q>& q, const Kv& kv, const row_statistics<T>& stats, std::int64_t group,
                   std::int64_t sharing) const
    {
        const auto source = detail::as_const(kv);
        using job = kernel::job<Def, std::remove_const_t<decltype(source)>, std::remove_const_t<Q>>;
        return kernel::weights_pass<job>({def_, source, q, static_cast<T>(def_.scale_for(kv_.dim)), group, 0, -1},
                                         sharing, stats);
    }

    template <class Q, class Kv>
    status_type check(const char* verb, const view<Q>& q, const Kv& kv, const row_statistics<T>& stats,
                      std::int64_t numbers, const options<T>& how) const
    {
        const extents k{kv.batch(), kv.heads(), kv.tokens(), kv.key_dim()};
        return detail::first_error(
            [&] { return status_; }, [&] { return heed::plan<Def, T>(def_, q, kv, how).status(); },
            [&] { return detail::check_extents(verb, "q", q.size, q_); },
            [&] { return detail::check_extents(verb, "k", k, kv_); },
            [&] {
                return detail::check_input_memory(verb, packed<Q>{q, {}}, kv);
            },
            [&] {
                return def_.check({q_.batch, q_.heads, kv_.heads, q_.tokens, kv_.tokens});
            },
            [&] { return detail::check_statistics(verb, stats, q_, numbers); },
            [&] { return detail::check_resources(verb, how, partition_.workers, workspace_bytes()); });
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
        return {};
    }
    status_type check_part(const map_part& part, const T* out) const
    {
        using ll = long long;
        if (part.batch < 0 || part.batch >= q_.batch || part.head < 0 || part.head >= q_.heads)
            return status_type::error(errc::invalid_argument, "attention_map: batch %lld of %lld, head %lld of %lld",
                                      ll{part.batch}, ll{q_.batch}, ll{part.head}, ll{q_.heads});
        if (part.first_row < 0 || part.rows < 0 || part.first_row > q_.tokens || part.rows > q_.tokens - part.first_row)
            return status_type::error(errc::invalid_argument, "attention_map: %lld rows from row %lld on, of %lld",
                                      ll{part.rows}, ll{part.first_row}, ll{q_.tokens});
        if (!out && part.rows > 0 && kv_.tokens > 0)
            return status_type::error(errc::invalid_argument, "attention_map: out is null");
        if (!(detail::checked(part.rows) * kv_.tokens * static_cast<std::int64_t>(sizeof(T))).fits())
            return status_type::error(errc::invalid_argument,
                                      "attention_map: out: %lld rows x %lld keys: beyond 64 bits", ll{part.rows},
                                      ll{kv_.tokens});
        return {};
    }

    Def def_;
    extents q_, kv_;
    kernel::partition partition_;
    std::size_t worker_bytes_ = 0;
    status_type status_;
};

template <class Def, class Q, class K>
observe_plan(const Def&, const view<Q>&, const K&) -> observe_plan<Def, compute_t<Q>>;
template <class Def, class Q, class K>
observe_plan(const Def&, const view<Q>&, const K&, const options<compute_t<Q>>&) -> observe_plan<Def, compute_t<Q>>;

namespace detail {

/// Plans, and calls run(plan, options).
template <class Def, class Q, class Kv, class Run>
status with_plan(const char* verb, const Def& def, const view<Q>& q, const Kv& kv, const options<compute_t<Q>>& how,
                 Run run)
{
    using T = compute_t<Q>;
    if constexpr (sound_definition<definition_t<Def>, T>::value) {
        const observe_plan<definition_t<Def>, T> p(def, q, kv, how);
        return with_workspace(verb, p, how, [&](const options<T>& with) { return run(p, with); });
    } else {
        return {};
    }
}

}  // namespace detail

/// Fills what is wanted of the weights of each row.
///
/// q [B, Hq, Sq, Dqk] and k [B, Hkv, Skv, Dqk], a view or a kv source, are the arguments of attend(), and stats.shift
/// and stats.mass are what attend() filled through options.stats. Bits do not depend on threads, the batch or how
/// queries are chunked. Allocates only where options.workspace is not given; options.stats is not looked at. Returns a
/// status; nothing is written where it is false.
template <class Def, class Q, class K>
status observe(const Def& def, const view<Q>& q, const K& k, const row_statistics<compute_t<Q>>& stats,
               const observations<compute_t<Q>>& wanted, const options<compute_t<Q>>& how = {})
{
    return detail::with_plan("observe", def, q, k, how,
                             [&](const auto& plan, const auto& with) { return plan.run(q, k, stats, wanted, with); });
}

/// out[row][key] = p_ij for the rows of one query head, dense [part.rows, Skv]; 0 where a key is not attended. The rest
/// is as in observe().
template <class Def, class Q, class K>
status attention_map(const Def& def, const view<Q>& q, const K& k, const row_statistics<compute_t<Q>>& stats,
                     const map_part& part, compute_t<Q>* out, const options<compute_t<Q>>& how = {})
{
    return detail::with_plan("attention_map", def, q, k, how, [&](const auto& plan, const auto& with) {
        return plan.map(q, k, stats, part, out, with);
    });
}

HEED_END
