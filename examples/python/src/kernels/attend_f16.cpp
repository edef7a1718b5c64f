// SPDX-License-Identifier: MIT
// attend over keys and values of f16: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(attend_f16);
const element_verbs KERNEL_PART(attend_f16) = {
    element::f16,
    {&attend<heed::f16, heed::f16, normalizer::softmax>, &attend<heed::f16, heed::f16, normalizer::softpick>},
    {},
    {},
    {}};
