// SPDX-License-Identifier: MIT
#include "attention_over.hpp"

namespace llama2c {

template attention_pointer attention_over_pages<heed::q8_0>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::q5_1>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::q5_0>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::q4_1>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::q4_0>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::iq4_nl>(parts<heed::softpick>);
template attention_pointer attention_over_pages<heed::mxfp4>(parts<heed::softpick>);

}  // namespace llama2c
