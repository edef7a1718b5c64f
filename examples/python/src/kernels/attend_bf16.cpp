// SPDX-License-Identifier: MIT
// attend over keys and values of bf16: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(attend_bf16);
const element_verbs KERNEL_PART(attend_bf16) = {
    element::bf16,
    {&attend<heed::bf16, heed::bf16, normalizer::softmax>, &attend<heed::bf16, heed::bf16, normalizer::softpick>},
    {},
    {},
    {}};
