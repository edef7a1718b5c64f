// SPDX-License-Identifier: MIT
// Caches of every element, and the table of all kernels.
#include "verbs.hpp"

#include <heed/append.hpp>

namespace {

template <class E>
void append(const cache_call& c, outcome& to)
{
    using T = std::conditional_t<std::is_same_v<E, double>, double, float>;
    report(heed::append(any_kv<E>(c.kv), c.sequence, c.position, view_of<const T>(c.k), view_of<const T>(c.v)), to);
}

template <class E>
void fetch(const cache_call& c, outcome& to)
{
    using T = std::conditional_t<std::is_same_v<E, double>, double, float>;
    report(heed::fetch(any_kv<const E>(c.kv), c.sequence, c.position, view_of<T>(c.k), view_of<T>(c.v)), to);
}

template <class E>
constexpr cache_verbs cache_of()
{
    return {&append<E>, &fetch<E>, heed::channels_of<E>, sizeof(E)};
}

}  // namespace

extern const element_verbs KERNEL_PART(attend_f32), KERNEL_PART(attend_f64), KERNEL_PART(attend_bf16),
    KERNEL_PART(attend_f16), KERNEL_PART(attend_q8_0), KERNEL_PART(attend_q4_0), KERNEL_PART(states_f32),
    KERNEL_PART(backward_f32), KERNEL_PART(backward_f64), KERNEL_PART(observe_f32);
extern const state_verbs KERNEL_PART(states);

namespace {

constexpr const element_verbs* files[] = {
    &KERNEL_PART(attend_f32),   &KERNEL_PART(attend_f64),  &KERNEL_PART(attend_bf16), &KERNEL_PART(attend_f16),
    &KERNEL_PART(attend_q8_0),  &KERNEL_PART(attend_q4_0), &KERNEL_PART(states_f32),  &KERNEL_PART(backward_f32),
    &KERNEL_PART(backward_f64), &KERNEL_PART(observe_f32)};

}  // namespace

extern const kernels HEED_TABLE;
const kernels HEED_TABLE = {heed::isa_name(),
                            files,
                            sizeof(files) / sizeof(files[0]),
                            {cache_of<float>(), cache_of<double>(), cache_of<heed::bf16>(), cache_of<heed::f16>(),
                             cache_of<heed::q8_0>(), cache_of<heed::q4_0>()},
                            &KERNEL_PART(states)};
