// SPDX-License-Identifier: MIT
// attend over keys and values of f64: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(attend_f64);
const element_verbs KERNEL_PART(attend_f64) = {
    element::f64,
    {&attend<double, double, normalizer::softmax>, &attend<double, double, normalizer::softpick>},
    {},
    {},
    {}};
