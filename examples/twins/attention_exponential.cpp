// SPDX-License-Identifier: MIT
#include "attention_families.hpp"
#include "attention_of.hpp"

namespace twins {

std::unique_ptr<attention<float>> make_exponential_attention(const std::string& normalizer, int64 context)
{
    using logit = make_sink::logit;
    const auto with_sink = [](logit kind) { return std::make_unique<attention_of<float, make_sink>>(make_sink{kind}); };
    if (normalizer == "softmax") return with_sink(logit::none);
    if (normalizer == "softmax1") return with_sink(logit::zero);
    if (normalizer == "sink") return with_sink(logit::learned);
    if (normalizer == "sigmoid") {
        const make_fixed<heed::sigmoid> make{{sigmoid_bias(context)}};
        return std::make_unique<attention_of<float, make_fixed<heed::sigmoid>>>(make);
    }
    return nullptr;
}

}  // namespace twins
