// SPDX-License-Identifier: MIT
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <vector>

namespace bench {
namespace {

template <class E, class Def>
contestant make_in(const bench_case& c, const Def& def)
{
    struct held {
        inputs<E> in;
        heed::thread_pool pool;
        std::vector<float> sink;
        std::vector<std::byte> scratch;
        held(const bench_case& of) : in(of), pool(of.threads) {}
    };
    auto h = std::make_shared<held>(c);
    const heed::extents rows{c.batch, c.query_heads, c.queries, c.dim}, kv{c.batch, c.kv_heads, c.keys, c.dim};
    const auto q = heed::bhsd<const E>(h->in.q.get(), rows), k = heed::bhsd<const E>(h->in.k.get(), kv),
               v = heed::bhsd<const E>(h->in.v.get(), kv);
    const auto out = heed::bhsd(h->in.out.get(), rows);
    heed::options<float> how;
    if (c.threads > 1) how.executor = h->pool;
    const heed::plan plan(def, q, k, v, how);
    heed::or_throw(plan.status());
    h->scratch.resize(plan.workspace_bytes());
    how.workspace = {h->scratch.data(), h->scratch.size()};
    return {[=] {
                heed::or_throw(plan.run(q, k, v, out, how));
                (void)h;
            },
            plan.describe().text};
}

/// All tensors of the case's type.
template <class Def>
contestant make(const bench_case& c, const Def& def)
{
    if (c.kv == "bf16") return make_in<heed::bf16>(c, def);
    if (c.kv == "f16") return make_in<heed::f16>(c, def);
    return make_in<float>(c, def);
}

template <class Normalizer>
contestant with_mask(const bench_case& c, const Normalizer& normalizer)
{
    if (c.mask == "causal") return make(c, heed::attention{normalizer, heed::causal{}});
    return make(c, heed::attention{normalizer});
}

}  // namespace

contestant make_heed(const bench_case& c)
{
    static const std::vector<float> logits(1000000, 0.5f);
    if (c.normalizer == "softmax") return with_mask(c, heed::softmax{});
    if (c.normalizer == "softmax1") return with_mask(c, heed::softmax1{});
    if (c.normalizer == "softmax_sink") return with_mask(c, heed::softmax_sink{logits.data(), c.query_heads});
    if (c.normalizer == "softpick") return with_mask(c, heed::softpick{});
    if (c.normalizer == "sigmoid") return with_mask(c, heed::sigmoid{-std::log(static_cast<double>(c.keys))});
    if (c.normalizer == "relu1") return with_mask(c, heed::relu<1>{});
    return with_mask(c, heed::relu<2>{});
}

}  // namespace bench
