// SPDX-License-Identifier: MIT
#include "case_mask.hpp"
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>
#include <heed/observe.hpp>

#include <cmath>

namespace bench {
namespace {

/// What observe() needs and gives: all that is one number a row.
class row_numbers {
public:
    explicit row_numbers(std::int64_t rows)
        : rows_(static_cast<std::size_t>(rows)), numbers_(8 * rows_), counts_(3 * rows_)
    {}
    heed::row_statistics<float> stats() { return {at(0), at(1), nullptr}; }
    heed::observations<float> wanted()
    {
        heed::observations<float> o;
        o.max_score = at(2), o.lse = at(3), o.entropy = at(4), o.total = at(5), o.first_token = at(6);
        o.mean_distance = at(7);
        o.attended = counts_.data(), o.zeros = o.attended + rows_, o.small = o.zeros + rows_;
        return o;
    }

private:
    float* at(std::size_t i) { return numbers_.data() + i * rows_; }
    std::size_t rows_;
    std::vector<float> numbers_;
    std::vector<std::int64_t> counts_;
};

/// `attending`, and then observe() of the same.
template <class Def>
contestant observed(const contestant& attending, const Def& def, const heed::view<const float>& q,
                    const heed::view<const float>& k, heed::options<float> how,
                    const std::shared_ptr<row_numbers>& rows)
{
    const heed::observe_plan plan(def, q, k, how);
    heed::or_throw(plan.status());
    const auto scratch = std::make_shared<std::vector<std::byte>>(plan.workspace_bytes());
    how.workspace = {scratch->data(), scratch->size()};
    return {[=] {
                attending.run();
                heed::or_throw(plan.run(q, k, rows->stats(), rows->wanted(), how));
                (void)scratch;
            },
            attending.output, attending.description + ", then observe"};
}

template <class E, class Def>
contestant make_in(const bench_case& c, const Def& def)
{
    struct held {
        std::shared_ptr<const inputs<E>> in;
        buffer<E> out;
        heed::thread_pool pool;
        std::vector<std::byte> scratch;
        explicit held(const bench_case& of)
            : in(inputs_of<E>(of)), out(of.batch * of.query_heads * of.queries * of.value_dim), pool(of.threads)
        {}
    };
    const auto h = std::make_shared<held>(c);
    const auto q = heed::bhsd<const E>(h->in->q.get(), {c.batch, c.query_heads, c.queries, c.key_dim}),
               k = heed::bhsd<const E>(h->in->k.get(), {c.batch, c.kv_heads, c.keys, c.key_dim}),
               v = heed::bhsd<const E>(h->in->v.get(), {c.batch, c.kv_heads, c.keys, c.value_dim});
    const auto out = heed::bhsd(h->out.get(), {c.batch, c.query_heads, c.queries, c.value_dim});
    heed::options<float> how;
    if (c.threads > 1) how.executor = h->pool;
    const heed::plan plan(def, q, k, v, how);
    heed::or_throw(plan.status());
    h->scratch.resize(plan.workspace_bytes());
    how.workspace = {h->scratch.data(), h->scratch.size()};
    const auto rows = std::make_shared<row_numbers>(c.impl == "observe" ? c.batch * c.query_heads * c.queries : 0);
    if (c.impl == "observe") how.stats = rows->stats();
    const contestant attending{[=] {
                                   heed::or_throw(plan.run(q, k, v, out, how));
                                   (void)h;
                               },
                               [=] { return std::vector<float>(h->out.get(), h->out.get() + h->out.size()); },
                               plan.describe().text};
    if constexpr (std::is_same_v<E, float>)
        if (c.impl == "observe") return observed(attending, def, q, k, how, rows);
    return attending;
}

template <class Def>
contestant make(const bench_case& c, const Def& def)
{
    if (c.element == "bf16") return make_in<heed::bf16>(c, def);
    if (c.element == "f16") return make_in<heed::f16>(c, def);
    return make_in<float>(c, def);
}

/// Only where the build has such products: without them the kernels would be compiled for nothing.
template <class... Policies>
contestant make_native(const bench_case& c, const Policies&... policies)
{
    if constexpr (heed::has_bf16_dots)
        return make_in<heed::bf16>(c, heed::attention{policies..., heed::compute<heed::bf16>{}});
    else return {};
}

template <class Normalizer>
contestant with_mask(const bench_case& c, const Normalizer& normalizer)
{
    return c.native ? make_native(c, normalizer, case_mask(c)) : make(c, heed::attention{normalizer, case_mask(c)});
}

}  // namespace

std::string heed_refusal(const bench_case& c)
{
    if (c.phase == "backward") return backward_refusal(c);
    if (c.over_cache()) return cache_refusal(c);
    if (!c.native) return "";
    const heed::bf16* const nowhere = nullptr;  // a plan looks at sizes alone
    const heed::plan plan(heed::attention{heed::compute<heed::bf16>{}},
                          heed::bhsd(nowhere, {c.batch, c.query_heads, c.queries, c.key_dim}),
                          heed::bhsd(nowhere, {c.batch, c.kv_heads, c.keys, c.key_dim}),
                          heed::bhsd(nowhere, {c.batch, c.kv_heads, c.keys, c.value_dim}));
    return plan.status() ? "" : plan.status().message();
}

std::string observe_refusal(const bench_case& c) { return c.element == "f32" ? "" : "observe is measured in f32 only"; }

contestant make_observe(const bench_case& c) { return make_heed(c); }

contestant make_heed(const bench_case& c)
{
    if (c.phase == "backward") return make_backward(c);
    if (c.over_cache()) return make_over_cache(c);
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
