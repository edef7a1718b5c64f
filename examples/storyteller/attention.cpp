// SPDX-License-Identifier: MIT
// The normalizers by name, with contiguous caches.
#include "attention_of.hpp"

#include "../guide/ablations.hpp"

namespace llama2c {
namespace {

/// softmax with the same sink in every head of every layer.
of_layers<heed::softmax_sink> softmax_with(float sink, const config& c)
{
    of_layers<heed::softmax_sink> s;
    s.logits.emplace_back(static_cast<std::size_t>(c.heads), sink);
    s.normalizers.emplace_back(s.logits[0].data(), c.heads);
    return s;
}

of_layers<heed::softmax_sink> softmax_with(const std::vector<std::vector<float>>& sinks, const config& c)
{
    of_layers<heed::softmax_sink> s{{}, sinks};
    for (const auto& logits : s.logits) s.normalizers.emplace_back(logits.data(), c.heads);
    return s;
}

}  // namespace

std::unique_ptr<cached_attention> make_attention(const std::string& normalizer, const sidecar& beside, const config& c,
                                                 const cache_form& cache, heed::executor_ref executor)
{
    const bool contiguous = cache.as == element::f32 && cache.page == 0;
    const auto any_cache = [&](auto with) {
        return contiguous ? attention_over<contiguous_cache>(c, std::move(with), cache, executor)
                          : attention_over_pages(c, std::move(with), cache, executor);
    };
    const auto f32_cache = [&](auto with) {
        if (!contiguous)
            throw input_error((cache.page ? "--page" : "--cache") + (": " + normalizer) +
                              " has caches of f32 without pages; softmax, softmax1, softmax_sink, sink and softpick "
                              "have all");
        return attention_over<contiguous_cache>(c, of_layers<decltype(with)>{{with}}, cache, executor);
    };
    if (normalizer == "softmax") return any_cache(softmax_with(-std::numeric_limits<float>::infinity(), c));
    if (normalizer == "softmax1" || normalizer == "softmax_sink") return any_cache(softmax_with(0, c));
    if (normalizer == "sink") return any_cache(softmax_with(beside.sinks, c));
    if (normalizer == "softpick") return any_cache(of_layers<heed::softpick>{{{}}});
    if (normalizer == "sigmoid") return f32_cache(heed::sigmoid{beside.bias});
    if (normalizer == "relu1") return f32_cache(heed::relu<1>{});
    if (normalizer == "relu2") return f32_cache(heed::relu<2>{});
    if (normalizer == "relu-softmax") return f32_cache(ablation::relu_softmax{});
    if (normalizer == "rectified-only") return f32_cache(ablation::rectified_only{});
    throw input_error("normalizer " + normalizer +
                      ": is none of softmax, softmax1, softmax_sink, sink, softpick, sigmoid, relu1, relu2, "
                      "relu-softmax, rectified-only");
}

}  // namespace llama2c
