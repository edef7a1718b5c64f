// SPDX-License-Identifier: MIT
// Gradients of f32: two definitions.
#include "verbs.hpp"

extern const element_verbs KERNEL_PART(backward_f32);
const element_verbs KERNEL_PART(backward_f32) = {
    element::f32, {}, {}, {&backward<float, normalizer::softmax>, &backward<float, normalizer::softpick>}, {}};
