// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_over_pages<float>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::bf16>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::f16>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<std::int8_t>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::fp8_e4m3>(parts<heed::softmax_sink>);

}  // namespace llama2c
