// SPDX-License-Identifier: MIT
// The same for the other element types.
#include "attend.hpp"

namespace fuzz {

void attend_elements(input& in)
{
    using heed::bf16, heed::f16;
    const auto softmax = [](const auto& r) { return whole_definition(r, heed::softmax{}); };
    const auto softpick = [](const auto& r) { return whole_definition(r, heed::softpick{r.parameter}); };
    switch (in.range(0, 4)) {
    case 0: attend_case<double>(in, normalizer::softmax, softmax); break;
    case 1: attend_case<double>(in, normalizer::softpick, softpick); break;
    case 2: attend_case<bf16, false, bf16, bf16, bf16>(in, normalizer::softmax, softmax); break;
    case 3: attend_case<f16, false, f16, f16, f16>(in, normalizer::softpick, softpick); break;
    case 4: attend_case<float, false, f16, bf16, float>(in, normalizer::softmax, softmax); break;
    }
}

}  // namespace fuzz
