// SPDX-License-Identifier: MIT
#include "watched_attention_of.hpp"

page::watched_pointer page::watched_softmax1(double score_scale, const llama2c::config& model)
{
    return std::make_unique<watched_attention_of<heed::softmax1>>(heed::softmax1{}, score_scale, model);
}
