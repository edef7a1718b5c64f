// SPDX-License-Identifier: MIT
#include "watched_attention_of.hpp"

page::watched_pointer page::watched_softpick(double score_scale, const llama2c::config& model)
{
    return std::make_unique<watched_attention_of<heed::softpick>>(heed::softpick{}, score_scale, model);
}
