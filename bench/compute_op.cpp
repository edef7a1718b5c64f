// SPDX-License-Identifier: MIT
// heed as an op of a graph: examples/clients/compute_op.hpp, which every thread of the graph calls with its part. The
// threads have a barrier.
#include "contestants.hpp"
#include "inputs.hpp"
#include "mask_table.hpp"

#include "../examples/clients/compute_op.hpp"

#include <heed/executor/threads.hpp>

#include <atomic>
#include <cmath>

namespace bench {
namespace {

/// A barrier that spins, as graphs have them.
struct spinning {
    int threads = 1;
    std::atomic<int> here{0};
    std::atomic<std::int64_t> rounds{0};

    void wait()
    {
        const std::int64_t round = rounds.load();
        if (here.fetch_add(1) + 1 == threads) {
            here = 0;
            rounds = round + 1;
        } else {
            while (rounds.load() == round) {
            }
        }
    }
    compute_op::barrier handle()
    {
        if (threads == 1) return {};
        return {[](void* of) { static_cast<spinning*>(of)->wait(); }, this};
    }
};

template <class E>
constexpr compute_op::type type_of = std::is_same_v<E, float>       ? compute_op::type::f32
                                     : std::is_same_v<E, heed::f16> ? compute_op::type::f16
                                                                    : compute_op::type::bf16;

/// [dim, tokens, heads, batch], as such libraries count.
template <class E>
compute_op::tensor tensor_of(const E* data, std::int64_t dim, std::int64_t tokens, std::int64_t heads,
                             std::int64_t batch, const row_steps& step)
{
    const auto bytes = [](std::int64_t elements) { return static_cast<std::size_t>(elements) * sizeof(E); };
    return {const_cast<E*>(data),
            type_of<E>,
            {dim, tokens, heads, batch},
            {sizeof(E), bytes(step.token), bytes(step.head), bytes(step.batch)}};
}

template <class E>
contestant make(const bench_case& c)
{
    struct held {
        std::shared_ptr<const inputs<E>> in;
        std::vector<float> q, out;
        heed::thread_pool pool;
        std::vector<std::byte> scratch;
        spinning all;
        std::shared_ptr<buffer<float>> floats;
        std::shared_ptr<buffer<heed::f16>> halves;
        compute_op::tensor mask;
        explicit held(const bench_case& of)
            : in(inputs_of<E>(of)), q(in->q.get(), in->q.get() + in->q.size()), pool(of.threads)
        {
            all.threads = of.threads;
            const row_steps step{0, 0, of.keys};
            if (of.form == mask_form::halves) {
                halves = table_of<heed::f16>(of);
                mask = tensor_of<heed::f16>(halves->get(), of.keys, of.queries, 1, 1, step);
            } else if (of.form != mask_form::policy) {
                floats = table_of<float>(of);
                mask = tensor_of<float>(floats->get(), of.keys, of.queries, 1, 1, step);
            }
        }
    };
    const auto h = std::make_shared<held>(c);
    h->out.resize(static_cast<std::size_t>(c.batch * c.query_heads * c.queries * c.value_dim));
    const auto rows = [&](std::int64_t dim) {  // [head][query]
        return row_steps{c.query_heads * c.queries * dim, c.queries * dim, dim};
    };
    compute_op::tensors t;
    t.q = tensor_of(h->q.data(), c.key_dim, c.queries, c.query_heads, c.batch, rows(c.key_dim));
    t.k = tensor_of(h->in->k(), c.key_dim, c.keys, c.kv_heads, c.batch, h->in->k_step);
    t.v = tensor_of(h->in->v(), c.value_dim, c.keys, c.kv_heads, c.batch, h->in->v_step);
    const row_steps step = rows(c.value_dim);  // out is [dim, heads, tokens, batch]
    t.out =
        tensor_of(h->out.data(), c.value_dim, c.query_heads, c.queries, c.batch, {step.batch, step.token, step.head});
    if (c.form != mask_form::policy) t.mask = &h->mask;
    compute_op::parameters p;
    p.scale = 1 / std::sqrt(static_cast<float>(c.key_dim));
    h->scratch.resize(compute_op::scratch_bytes(p, t, c.threads));
    const auto run = [=] {
        h->pool(c.threads, [&](std::int64_t part, int) {
            heed::or_throw(compute_op::compute(p, t, static_cast<int>(part), c.threads, h->scratch.data(),
                                               h->scratch.size(), h->all.handle()));
        });
    };
    return {run, [=] { return h->out; }, "heed as an op of a graph"};
}

}  // namespace

std::string compute_op_refusal(const bench_case& c)
{
    if (c.normalizer != "softmax" || c.form == mask_form::bools ||
        (c.form == mask_form::policy && c.mask != mask_kind::all))
        return "compute_op is measured for softmax, and takes masks as tables of numbers";
    return c.native ? "compute_op multiplies in f32" : "";
}

contestant make_compute_op(const bench_case& c)
{
    if (c.element == "bf16") return make<heed::bf16>(c);
    if (c.element == "f16") return make<heed::f16>(c);
    return make<float>(c);
}

}  // namespace bench
