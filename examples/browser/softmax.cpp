// SPDX-License-Identifier: MIT
#include "watched_attention_of.hpp"

page::watched_pointer page::watched_softmax(double score_scale, const llama2c::config& model)
{
    return std::make_unique<watched_attention_of<heed::softmax>>(heed::softmax{}, score_scale, model);
}
