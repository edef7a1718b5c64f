// SPDX-License-Identifier: MIT
// Gradients of f64: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(backward_f64);
const element_verbs KERNEL_PART(backward_f64) = {
    element::f64, {}, {}, {&backward<double, normalizer::softmax>, &backward<double, normalizer::softpick>}, {}};
