// SPDX-License-Identifier: MIT
// attend over keys and values of f32: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(attend_f32);
const element_verbs KERNEL_PART(attend_f32) = {
    element::f32,
    {&attend<float, float, normalizer::softmax>, &attend<float, float, normalizer::softpick>},
    {},
    {},
    {}};
