// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_over_pages<heed::q8_0>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::q5_1>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::q5_0>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::q4_1>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::q4_0>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::iq4_nl>(parts<heed::softmax_sink>);
template attention_pointer attention_over_pages<heed::mxfp4>(parts<heed::softmax_sink>);

}  // namespace llama2c
