// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_over_pages<float>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::bf16>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::f16>(parts<heed::softpick>);
template attention_pointer attention_over_pages<std::int8_t>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::fp8_e4m3>(parts<heed::softpick>);

}  // namespace llama2c
