// SPDX-License-Identifier: MIT
#include "attending.hpp"
#include "case_mask.hpp"

#include <cmath>

namespace bench {
namespace {

template <class Def>
contestant make(const bench_case& c, const Def& def)
{
    if (c.element == "bf16") return attending_in<heed::bf16>(c, def);
    if (c.element == "f16") return attending_in<heed::f16>(c, def);
    return attending_in<float>(c, def);
}

/// Only where the build has such products: without them the kernels would be compiled for nothing.
template <class... Policies>
contestant make_native(const bench_case& c, const Policies&... policies)
{
    if constexpr (heed::simd::has_bf16_dots)
        return attending_in<heed::bf16>(c, heed::attention{policies..., heed::compute<heed::bf16>{}});
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
    if (c.form != mask_form::policy) return table_refusal(c);
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

std::string policy_refusal(const bench_case& c)
{
    return c.form == mask_form::policy ? "policy stands beside masks as tables" : heed_refusal(c);
}

contestant make_policy(const bench_case& c)
{
    bench_case policy = c;
    policy.form = mask_form::policy;
    return make_heed(policy);
}

contestant make_heed(const bench_case& c)
{
    if (c.phase == "backward") return make_backward(c);
    if (c.over_cache()) return make_over_cache(c);
    if (c.form != mask_form::policy) return make_with_table(c);
    static const std::vector<float> logits(1000000, 0.5f);
    if (c.normalizer == "softmax") return with_mask(c, heed::softmax{});
    if (c.normalizer == "softmax1") return with_mask(c, heed::softmax1{});
    if (c.normalizer == "softmax_sink") return with_mask(c, heed::softmax_sink{logits.data(), c.query_heads});
    if (c.normalizer == "softpick") return with_mask(c, heed::softpick{});
    if (c.normalizer == "sigmoid") return with_mask(c, heed::sigmoid{-std::log(static_cast<double>(c.keys))});
    if (c.normalizer == "relu1") return with_mask(c, heed::relu<1>{});
    if (c.normalizer == "relu2") return with_mask(c, heed::relu<2>{});
    if (c.normalizer.rfind("stick_breaking", 0) == 0) return make_ordered(c);
    return make_thresholded(c);
}

}  // namespace bench
