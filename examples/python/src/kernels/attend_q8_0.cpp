// SPDX-License-Identifier: MIT
// attend over caches of q8_0, with queries and outputs of f32: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(attend_q8_0);
const element_verbs KERNEL_PART(attend_q8_0) = {
    element::q8_0,
    {&attend<float, heed::q8_0, normalizer::softmax>, &attend<float, heed::q8_0, normalizer::softpick>},
    {},
    {},
    {}};
