// SPDX-License-Identifier: MIT
// States of f32: two definitions, and what is done with states.
#include "verbs.hpp"

namespace {

template <normalizer Normalizer>
void clear(const state_numbers& s, outcome& to)
{
    report(heed::clear(normalizer_of<Normalizer>::from({}), state_of(s)), to);
}

void merge(const state_numbers& into, const state_numbers& other, outcome& to)
{
    report(heed::merge(state_of(into), state_of(other)), to);
}

template <normalizer Normalizer>
void finish(const definition& d, const state_numbers& s, const tensor& out, float* lse, outcome& to)
{
    report(heed::finish(normalizer_of<Normalizer>::from(d), state_of(s), view_of<float>(out), lse), to);
}

}  // namespace

extern const element_verbs KERNEL_PART(states_f32);
const element_verbs KERNEL_PART(states_f32) = {
    element::f32, {}, {&attend_partial<normalizer::softmax>, &attend_partial<normalizer::softpick>}, {}, {}};

extern const state_verbs KERNEL_PART(states);
const state_verbs KERNEL_PART(states) = {{&clear<normalizer::softmax>, &clear<normalizer::softpick>},
                                         &merge,
                                         {&finish<normalizer::softmax>, &finish<normalizer::softpick>}};
