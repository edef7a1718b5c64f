// SPDX-License-Identifier: MIT
// heed's verbs on the plain types of calls.hpp. Each file of kernels makes functions of some of them.
#pragma once

#include "stored_keys.hpp"

#include <heed/observe.hpp>
#include <heed/summarise.hpp>

#include <cstdio>
#include <cstdlib>

// Names of a file of kernels that another one sees: those of each CPU are others.
#define KERNEL_JOIN_NOW(a, b) a##_##b
#define KERNEL_JOIN(a, b) KERNEL_JOIN_NOW(a, b)
#define KERNEL_PART(name) KERNEL_JOIN(HEED_TABLE, name)

namespace {

inline void report(const heed::status& s, outcome& to)
{
    if (s) return;
    to.code = static_cast<int>(s.code());
    std::snprintf(to.text, sizeof(to.text), "%s", s.message());
}

/// The module's threads.
struct host_executor {
    const executor& of;

    int concurrency() const { return of.workers; }
    template <class F>
    void operator()(std::int64_t n, F f) const
    {
        of.run(
            of.host, n, [](void* context, std::int64_t i, int worker) { (*static_cast<F*>(context))(i, worker); }, &f);
    }
};

/// What a table of the call says, looked at once for all heads.
template <class E>
class summarised {
public:
    summarised(const tensor& of, const heed::executor_ref& threads)
    {
        if (!of.data) return;
        const auto view = view_of<const E>(of);
        heed::mask_summary summary;
        const std::size_t bytes = heed::summary_bytes(view);
        if (bytes > 0) {
            memory_ = std::malloc(bytes);
            status = memory_ ? heed::summarise(view, {memory_, bytes}, summary, threads)
                             : heed::status::error(heed::errc::out_of_memory,
                                                   "attend: no %zu bytes for a mask's summary", bytes);
        }
        table = {true, heed::attention_mask<E>(view, summary)};
    }
    summarised(const summarised&) = delete;
    summarised& operator=(const summarised&) = delete;
    ~summarised() { std::free(memory_); }

    heed::status status;
    table_of_scores<E> table;

private:
    void* memory_ = nullptr;
};

/// What all verbs share: threads, summaries, and then f(definition, options).
template <class T, normalizer Normalizer, class Call, class F>
void with_definition(const Call& call, outcome& to, F f)
{
    const definition& d = call.def;
    host_executor threads{call.threads};
    heed::options<T> how;
    if (call.threads.workers > 1) how.executor = threads;
    const summarised<bool> mask(d.mask, how.executor);
    const summarised<T> bias(d.bias, how.executor);
    if (!mask.status) return report(mask.status, to);
    if (!bias.status) return report(bias.status, to);
    const heed::attention def{normalizer_of<Normalizer>::from(d), any_score_map<T>(d, bias.table),
                              any_mask<T>(d, mask.table, bias.table), heed::scale{d.scale},
                              heed::query_offset(view_of(d.offsets))};
    report(f(def, how), to);
}

/// attend, with q and out of Q and keys and values of E.
template <class Q, class E, normalizer Normalizer>
void attend(const attend_call& c, outcome& to)
{
    using T = heed::compute_t<Q>;
    with_definition<T, Normalizer>(c, to, [&](const auto& def, heed::options<T>& how) {
        how.stats = {static_cast<T*>(c.stats.shift), static_cast<T*>(c.stats.mass), static_cast<T*>(c.stats.lse)};
        return heed::attend(def, view_of<const Q>(c.q), any_kv<const E>(c.kv), view_of<Q>(c.out), how);
    });
}

inline heed::state<float> state_of(const state_numbers& s)
{
    return {s.shift, s.mass, s.out, {s.size[0], s.size[1], s.size[2], s.size[3]}};
}

template <normalizer Normalizer>
void attend_partial(const partial_call& c, outcome& to)
{
    with_definition<float, Normalizer>(c, to, [&](const auto& def, heed::options<float>& how) {
        return heed::attend_partial(def, view_of<const float>(c.q), any_kv<const float>(c.kv), state_of(c.state),
                                    {c.first_key, c.total_keys, c.tile_stride}, how);
    });
}

template <class T, normalizer Normalizer>
void backward(const backward_call& c, outcome& to)
{
    with_definition<T, Normalizer>(c, to, [&](const auto& def, heed::options<T>& how) {
        const heed::row_statistics<T> stats{static_cast<T*>(c.stats.shift), static_cast<T*>(c.stats.mass), nullptr};
        heed::gradients<T> wanted;
        if (c.dq.data) wanted.dq = view_of<T>(c.dq);
        if (c.dk.data) wanted.dk = view_of<T>(c.dk);
        if (c.dv.data) wanted.dv = view_of<T>(c.dv);
        if (c.dbias.data) wanted.dbias = view_of<T>(c.dbias);
        if (c.dsinks) wanted.dlog_offset = static_cast<T*>(c.dsinks);
        const heed::output_gradients<const T> of{view_of<const T>(c.out), stats, view_of<const T>(c.dout),
                                                 static_cast<const T*>(c.dlse)};
        const heed::dense_kv kv{view_of<const T>(c.kv.k), view_of<const T>(c.kv.v), view_of(c.kv.lengths)};
        return heed::backward(def, view_of<const T>(c.q), kv, of, wanted, how);
    });
}

template <normalizer Normalizer>
void observe(const observe_call& c, outcome& to)
{
    with_definition<float, Normalizer>(c, to, [&](const auto& def, heed::options<float>& how) {
        const heed::row_statistics<float> stats{static_cast<float*>(c.stats.shift), static_cast<float*>(c.stats.mass),
                                                nullptr};
        const auto q = view_of<const float>(c.q);
        const any_kv<const float> kv(c.kv);
        if (c.map) return heed::attention_map(def, q, kv, stats, {c.batch, c.head, c.first_row, c.rows}, c.map, how);
        heed::observations<float> wanted;
        wanted.max_score = c.max_score, wanted.lse = c.lse, wanted.entropy = c.entropy, wanted.total = c.total;
        wanted.first_token = c.first_token, wanted.mean_distance = c.mean_distance;
        wanted.attended = c.attended, wanted.zeros = c.zeros, wanted.small = c.small;
        wanted.small_weight = c.small_weight, wanted.top_k = c.top_k;
        wanted.top_keys = c.top_keys, wanted.top_weights = c.top_weights;
        return heed::observe(def, q, kv, stats, wanted, how);
    });
}

}  // namespace
