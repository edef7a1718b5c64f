// SPDX-License-Identifier: MIT
// attend over dense tensors of float: every normalizer with any maps, masks, offsets, shapes and strides.
#include "attend.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    switch (in.range(0, 12)) {
    case 0:
        attend_case<float>(in, normalizer::softmax, [](const auto& r) { return whole_definition(r, heed::softmax{}); });
        break;
    case 1:
        attend_case<float>(in, normalizer::softmax1,
                           [](const auto& r) { return whole_definition(r, heed::softmax1(r.parameter)); });
        break;
    case 2:
        attend_case<float>(in, normalizer::sink, [](const auto& r) {
            return whole_definition(r, heed::softmax_sink(r.logits, r.logit_count));
        });
        break;
    case 3:
    case 4:
        attend_case<float>(in, normalizer::softpick,
                           [](const auto& r) { return whole_definition(r, heed::softpick{r.parameter}); });
        break;
    case 5:
        attend_case<float>(in, normalizer::sigmoid,
                           [](const auto& r) { return whole_definition(r, heed::sigmoid{r.parameter}); });
        break;
    case 6:
        attend_case<float>(in, normalizer::relu1, [](const auto& r) { return whole_definition(r, heed::relu<1>{}); });
        break;
    case 7:
        attend_case<float>(in, normalizer::relu2, [](const auto& r) { return whole_definition(r, heed::relu<2>{}); });
        break;
    case 8:
        attend_case<float, true>(in, normalizer::softmax,
                                 [](const auto& r) { return plain_definition(r, heed::softmax{}); });
        break;
    case 9:
        attend_case<float, true>(in, normalizer::softpick,
                                 [](const auto& r) { return plain_definition(r, heed::softpick{r.parameter}); });
        break;
    case 12:
        attend_case<float>(in, normalizer::stick_breaking,
                           [](const auto& r) { return whole_definition(r, heed::stick_breaking{}); });
        break;
    default: attend_elements(in); break;
    }
    return 0;
}
