// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_by<heed::bf16, heed::compute<heed::bf16>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<std::int8_t, heed::compute<std::int8_t>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<heed::q8_0, heed::compute<std::int8_t>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<heed::q4_0, heed::compute<std::int8_t>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<std::int8_t, heed::compute<std::int8_t, 8>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<heed::q8_0, heed::compute<std::int8_t, 8>>(parts<heed::softmax_sink>);
template attention_pointer attention_by<heed::q4_0, heed::compute<std::int8_t, 8>>(parts<heed::softmax_sink>);

}  // namespace llama2c
