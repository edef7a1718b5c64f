// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_to_chosen<float>(parts<heed::softmax_sink>);
template attention_pointer attention_to_chosen<heed::q8_0>(parts<heed::softmax_sink>);

}  // namespace llama2c
